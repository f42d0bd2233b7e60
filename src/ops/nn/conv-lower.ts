/**
 * @file The default loop nest of convolution: one scalar sum per output element, any type and
 * layout.
 */
import { add, affine, fma, KernelBuilder, mul } from "../../kernel/build.ts";
import { type Expr, isFloatElem, type Kernel } from "../../kernel/ir.ts";
import type { TensorType } from "../../tensor/tensor.ts";
import { contractionPorts } from "./contraction.ts";
import type { ConvAttrs } from "./conv.ts";
import { gridOf, spatialOf, windowOf } from "./spatial.ts";
import { forEachOutput, type PlacedWindow, placeWindow, spatialOffset } from "./window.ts";

export function lowerConv(
  ins: readonly TensorType[],
  attrs: ConvAttrs,
  outs: readonly TensorType[],
): Kernel {
  const { layout, groups } = attrs;
  const k = new KernelBuilder("conv");
  const ports = contractionPorts(k, ins, outs[0]!, attrs);
  const gx = gridOf(layout, ins[0]!.shape);
  const gw = gridOf(layout, ins[1]!.shape);
  const gy = gridOf(layout, outs[0]!.shape);
  const window = windowOf(spatialOf(layout, ins[1]!.shape), attrs, attrs.dilation);
  const perGroup = gy.channels / groups;
  const isFloat = isFloatElem(ports.acc);

  const element = (place: PlacedWindow, xBase: Expr, o: Expr, outBase: Expr): void => {
    const wBase = k.let("w", affine([o, gw.batchStride]));
    const sum = k.reg("sum", ports.start(o));
    const channels = (body: (i: Expr) => void): void => k.for("i", 0, gw.channels, body);
    const step = (i: Expr, tap: readonly Expr[], position: readonly Expr[]): void => {
      const a = ports.x(affine(xBase, [i, gx.channelStride], spatialOffset(position, gx)));
      const b = ports.w(affine(wBase, [i, gw.channelStride], spatialOffset(tap, gw)), o);
      k.set(sum, isFloat ? fma(a, b, sum) : add(sum, mul(a, b)));
    };
    if (layout === "nhwc") place.each((tap, p) => channels((i) => step(i, tap, p)));
    else channels((i) => place.each((tap, p) => step(i, tap, p)));
    ports.store(sum, o, k.let("at", affine(outBase, [o, gy.channelStride])));
  };

  const perGroupGrid = { ...gy, channels: groups };
  forEachOutput(k, perGroupGrid, layout === "nhwc", (n, group, at) => {
    const xBase = affine([n, gx.batchStride], [group, gw.channels * gx.channelStride]);
    const x = k.let("x", xBase);
    const y = k.let("y", affine([n, gy.batchStride], spatialOffset(at, gy)));
    const place = placeWindow(k, window, gx.size, gy.size, at);
    k.forParallel("o", 0, perGroup, (o) => {
      element(place, x, k.let("channel", affine([group, perGroup], o)), y);
    });
  });
  return k.build();
}
