/** @file f32 convolution of each channel by itself (NHWC, 1-D and 2-D, dilation, stride). */
import { affine, KernelBuilder } from "../../kernel/build.ts";
import { conv } from "../../ops/nn/conv.ts";
import { SCALARS } from "../../ops/scalar.ts";
import { type Tensor, tensorOf } from "../../tensor/tensor.ts";
import { type DepthwiseTile, depthwiseKernel, depthwiseTile } from "../depthwise/f32.ts";
import { fitsPlanes, planeSize, planesKernel } from "../depthwise/f32-planes.ts";
import { convGeometry } from "../gemm/geometry.ts";
import {
  type Candidate,
  definePrimitive,
  type Operand,
  operandBytes,
  type Step,
} from "../primitive.ts";
import { packedStorage, plainStorage } from "../storage.ts";

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

const packedTaps = (c: number, taps: number): Operand => ({
  kind: "work",
  id: "taps",
  bytes: 4 * c * taps,
});

/** packTaps for weights that are not known at compile time: input 1 into a work area. */
function packTapsStep(c: number, taps: number): Step {
  const k = new KernelBuilder("pack_taps");
  const w = k.buffer("w", "f32", c * taps, "in");
  const packed = k.buffer("packed", "f32", c * taps, "out");
  k.for("tap", 0, taps, (tap) => {
    k.for("c", 0, c, (channel) => {
      k.store(packed, affine(channel, [tap, c]), k.load(w, affine(tap, [channel, taps])));
    });
  });
  return { kernel: k.build(), operands: [{ kind: "in", index: 1 }, packedTaps(c, taps)], args: [] };
}

export const convF32Depthwise = definePrimitive({
  name: "f32_conv_depthwise",
  op: conv,
  candidates: (input) => {
    const { ins, outs, attrs, constants, storage, caps } = input;
    const [x, w, bias] = ins;
    const weights = constants[1];
    if (x?.dtype !== "f32" || w?.dtype !== "f32" || ins.length > 3) return [];
    const g = convGeometry(x, w.shape.slice(1, -1), outs[0]!, attrs, attrs.groups);
    if (g === null || g.groups !== g.c || g.n !== g.c) return [];
    const { act } = attrs;
    if (act !== undefined && SCALARS[act.fn] === undefined) return [];
    const tile = depthwiseTile(g, caps);
    const macs = g.batch * g.oh * g.ow * g.c * g.kh * g.kw;
    const none = tensorOf("f32", [g.c], new Float32Array(g.c));
    const given = bias !== undefined && constants[2] === undefined;
    const b: Operand = given
      ? { kind: "in", index: 2 }
      : { kind: "const", name: "bias", tensor: constants[2] ?? none };
    /** The taps as the kernel reads them: a constant, or packed in each run. */
    const tapsOperand = (): Operand => {
      if (weights === undefined) return packedTaps(g.c, g.kh * g.kw);
      const taps = packTaps(weights);
      const channels = Array.from({ length: g.c }, (_, c) => c);
      const stored =
        storage[1] &&
        packedStorage(storage[1], {
          pack: packTaps,
          block: taps.data.length,
          width: g.c,
          order: (scale) => channels.map(scale),
        });
      return { kind: "const", name: "weights", tensor: taps, ...(stored && { storage: stored }) };
    };
    const channelsLast = (tile: DepthwiseTile) => {
      const operands: Operand[] = [
        { kind: "in", index: 0 },
        tapsOperand(),
        b,
        { kind: "out", index: 0 },
      ];
      const kernel = depthwiseKernel(g, tile, act);
      if (kernel.buffers.length > operands.length) {
        operands.push({ kind: "work", id: "sums", bytes: 4 * tile.pixels * tile.lanes });
      }
      const step = { kernel, operands, args: [] };
      const steps = weights === undefined ? [packTapsStep(g.c, g.kh * g.kw), step] : [step];
      return { inPlace: false, steps };
    };
    const planes = () => {
      const stored = storage[1] && plainStorage(storage[1], w);
      const operands: Operand[] = [
        { kind: "in", index: 0 },
        weights === undefined
          ? { kind: "in", index: 1 }
          : { kind: "const", name: "weights", tensor: weights, ...(stored && { storage: stored }) },
        b,
        { kind: "out", index: 0 },
        { kind: "work", id: "plane", bytes: 4 * planeSize(g) },
      ];
      return { inPlace: false, steps: [{ kernel: planesKernel(g, act), operands, args: [] }] };
    };
    const name = `f32_conv_depthwise_${g.kh}x${g.kw}`;
    const work = { macs, bytes: operandBytes(input) };
    const found: Candidate[] = [];
    if (tile !== null) {
      found.push({ name, family: "depthwise", work, implement: () => channelsLast(tile) });
    }
    if (fitsPlanes(g)) {
      const copied = 8 * g.batch * g.c * g.h * g.w;
      found.push({
        name: `f32_conv_depthwise_planes_${g.kh}x${g.kw}`,
        family: "depthwise",
        ins: ["nchw", "plain", "plain"],
        outs: ["nchw"],
        work: { macs, bytes: work.bytes + copied },
        implement: planes,
      });
    }
    return found;
  },
});
