/** @file f32 convolution of each channel by itself (NHWC, 1-D and 2-D, dilation, stride). */
import { conv } from "../../ops/nn/conv.ts";
import { SCALARS } from "../../ops/scalar.ts";
import { type Tensor, tensorOf } from "../../tensor/tensor.ts";
import { depthwiseKernel, depthwiseTile } from "../depthwise/f32.ts";
import { convGeometry } from "../gemm/geometry.ts";
import { definePrimitive, type Operand, operandBytes } from "../primitive.ts";
import { packedStorage } from "../storage.ts";

/** [C, kh, kw, 1] as [kh * kw][C]. */
function packTaps(w: Tensor): Tensor {
  const c = w.type.shape[0]!;
  const taps = w.data.length / c;
  const packed = Float32Array.from(
    { length: w.data.length },
    (_, i) => w.data[(i % c) * taps + Math.floor(i / c)] as number,
  );
  return { type: { dtype: "f32", shape: [packed.length] }, data: packed };
}

export const convF32Depthwise = definePrimitive({
  name: "f32_conv_depthwise",
  op: conv,
  candidates: (input) => {
    const { ins, outs, attrs, constants, storage, caps } = input;
    const [x, w, bias] = ins;
    const weights = constants[1];
    if (x?.dtype !== "f32" || w?.dtype !== "f32" || weights === undefined) return [];
    if (ins.length > 3 || (bias !== undefined && constants[2] === undefined)) return [];
    const g = convGeometry(x, w.shape.slice(1, -1), outs[0]!, attrs, attrs.groups);
    if (g === null || g.groups !== g.c || g.n !== g.c) return [];
    const { act } = attrs;
    if (act !== undefined && SCALARS[act.fn] === undefined) return [];
    const tile = depthwiseTile(g, caps);
    if (tile === null) return [];
    const macs = g.batch * g.oh * g.ow * g.c * g.kh * g.kw;
    const implement = () => {
      const taps = packTaps(weights);
      const channels = Array.from({ length: g.c }, (_, c) => c);
      const stored =
        storage[1] &&
        packedStorage(storage[1], taps.data.length, g.c, (scale) => channels.map(scale));
      const none = tensorOf("f32", [g.c], new Float32Array(g.c));
      const operands: Operand[] = [
        { kind: "in", index: 0 },
        { kind: "const", name: "weights", tensor: taps, ...(stored && { storage: stored }) },
        { kind: "const", name: "bias", tensor: constants[2] ?? none },
        { kind: "out", index: 0 },
      ];
      const kernel = depthwiseKernel(g, tile, act);
      if (kernel.buffers.length > operands.length) {
        operands.push({ kind: "work", id: "sums", bytes: 4 * tile.pixels * tile.lanes });
      }
      return { inPlace: false, steps: [{ kernel, operands, args: [] }] };
    };
    const name = `f32_conv_depthwise_${g.kh}x${g.kw}`;
    const work = { macs, bytes: operandBytes(input) };
    return [{ name, family: "depthwise", work, implement }];
  },
});
