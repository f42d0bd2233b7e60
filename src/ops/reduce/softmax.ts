/** @file softmax and log_softmax over one axis, numerically stable: the maximum is taken out first. */
import { type Arith, defineOp, type Op, type OutQuant } from "../../graph/op.ts";
import { binary, call, constant, KernelBuilder, lt, mul, select, sub } from "../../kernel/build.ts";
import { type Expr, elemOf, type Kernel, scalarTypeOf } from "../../kernel/ir.ts";
import { type DType, isFloat } from "../../tensor/dtype.ts";
import {
  numberReader,
  numberWriter,
  type Tensor,
  type TensorType,
  tensorType,
  zeros,
} from "../../tensor/tensor.ts";
import { declare, realReader } from "../lowering.ts";
import { axesText, axisLabels, expectAxis, expectInputs, refuse, relabel } from "../shape/check.ts";
import { groupsOf, storer, vectorReads } from "./define.ts";
import { forEachGroup, type Group, type Read, spread } from "./fold.ts";
import { entryOf, lowest, softmaxRule } from "./softmax-rule.ts";

export interface LogSoftmaxAttrs {
  readonly axis: number;
  /** Quantised operands: the quantised type of the result; absent: f32. */
  readonly out?: OutQuant;
}

export interface SoftmaxAttrs extends LogSoftmaxAttrs {
  readonly arith?: Arith;
}

function inferFloat(ins: readonly TensorType[], axis: number): TensorType {
  expectInputs(ins, 1);
  const { dtype, shape } = ins[0]!;
  expectAxis(axis, shape.length);
  if (!isFloat(dtype)) refuse("E_DTYPE", `expected float elements, got ${dtype}`);
  return tensorType(dtype, shape);
}

/** Replaces every group along the axis by what `map` makes of it. */
function mapGroups(
  x: Tensor,
  axis: number,
  type: TensorType,
  map: (group: readonly number[]) => readonly number[],
): Tensor {
  const out = zeros(type);
  const read = numberReader(x);
  const write = numberWriter(out);
  const { at, within } = groupsOf(x.type.shape, [axis]);
  for (const base of at) {
    const results = map(within.map((o) => read(base + o)));
    within.forEach((o, i) => write(base + o, results[i]!));
  }
  return out;
}

function softmaxOf(xs: readonly number[]): readonly number[] {
  const top = xs.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const e = xs.map((x) => Math.exp(x - top));
  const sum = e.reduce((a, b) => a + b, 0);
  return e.map((v) => v / sum);
}

function logSoftmaxOf(xs: readonly number[]): readonly number[] {
  const top = xs.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const log = Math.log(xs.map((x) => Math.exp(x - top)).reduce((a, b) => a + b, 0));
  return xs.map((x) => x - top - log);
}

/** One group: maximum, sum of exponentials, results. f32 and f64 keep the exponentials in the result. */
function emitGroup(
  k: KernelBuilder,
  group: Group,
  dtype: DType,
  read: Read,
  store: (at: Expr, value: Expr) => void,
  reread: Read | null,
  log: boolean,
): void {
  const elem = elemOf(scalarTypeOf(dtype));
  // A NaN is in the sum of exponentials in any case.
  const larger = (a: Expr, b: Expr): Expr => select(lt(a, b), b, a);
  const identity = Number.NEGATIVE_INFINITY;
  const top = k.let("top", group.fold({ op: "max", elem, identity, read, combine: larger }));
  const shifted: Read = (index, type) => sub(read(index, type), spread(top, type));
  const exp: Read = (index, type) => {
    const e = call("exp", shifted(index, type));
    if (reread === null) return e;
    const named = k.let("e", e);
    store(index, named);
    return named;
  };
  const sum = group.fold({ op: "add", elem, identity: 0, read: exp, slow: true });
  if (log) {
    const less = k.let("log", call("log", sum));
    group.each((at, type) => store(at, sub(shifted(at, type(elem)), spread(less, type(elem)))));
    return;
  }
  const factor = k.let("factor", binary("div", constant(sum.type, 1), sum));
  group.each((at, type) => {
    const e = (reread ?? exp)(at, type(elem));
    store(at, mul(e, spread(factor, type(elem))));
  });
}

function lowerFloat(x: TensorType, y: TensorType, axis: number, log: boolean): Kernel {
  const k = new KernelBuilder(log ? "log_softmax" : "softmax");
  const { ins, outs } = declare(k, [x], [y]);
  const dtype = x.quant === undefined ? x.dtype : "f32";
  const real = realReader(k, ins[0]!, x);
  const read: Read = (index, type) =>
    x.quant === undefined ? k.load(ins[0]!, index, type) : real(index);
  const store = storer(k, outs[0]!, y);
  const exact = y.quant === undefined && (y.dtype === "f32" || y.dtype === "f64");
  const reread: Read | null = exact && !log ? (index, type) => k.load(outs[0]!, index, type) : null;
  forEachGroup(k, x.shape, [axis], vectorReads(x), (group) =>
    emitGroup(k, group, dtype, read, store, reread, log),
  );
  return k.build();
}

function inferQuantised(x: TensorType, { axis, out, arith }: SoftmaxAttrs): TensorType {
  const small = (dtype: string): boolean => dtype === "i8" || dtype === "u8";
  expectAxis(axis, x.shape.length);
  if (x.quant!.axis !== null) refuse("E_DTYPE", "the operand is quantised per channel");
  if (!small(x.dtype)) refuse("E_DTYPE", `a quantised softmax takes i8 or u8, got ${x.dtype}`);
  if (out === undefined) {
    if (arith === "tflite") refuse("E_MODEL", "a quantised softmax needs the type of its result");
    return tensorType("f32", x.shape);
  }
  const { dtype, scale, zeroPoint, axis: channel } = out;
  if (!small(dtype) || channel !== null) {
    refuse("E_DTYPE", `the result of a quantised softmax is i8 or u8 per tensor, not ${dtype}`);
  }
  const whole = dtype === "i8" ? -128 : 0;
  if (arith === "tflite" && (scale[0] !== 1 / 256 || zeroPoint[0] !== whole)) {
    refuse(
      "E_MODEL",
      `the result has scale ${scale[0]} and zero point ${zeroPoint[0]}, TensorFlow Lite's softmax gives 1/256 and ${whole}`,
    );
  }
  return tensorType(dtype, x.shape, { scale, zeroPoint, axis: null });
}

function lowerQuantised(x: TensorType, y: TensorType, attrs: SoftmaxAttrs): Kernel {
  const k = new KernelBuilder("softmax");
  const { ins, outs } = declare(k, [x], [y]);
  const rule = softmaxRule(x, y, attrs.arith === "tflite");
  const table = rule.table(k);
  const { elem } = rule;
  const read: Read = (index) => k.load(ins[0]!, index);
  forEachGroup(k, x.shape, [attrs.axis], false, (group) => {
    const top = k.let("top", group.fold({ op: "max", elem: "i32", identity: lowest(x), read }));
    const entry: Read = (index) => entryOf(k, table, top, read(index, "i32"));
    const sum = group.fold({ op: "add", elem, identity: 0, read: entry });
    const scale = k.let("scale", rule.scaleOf(sum));
    group.each((at) => k.store(outs[0]!, at, rule.result(entry(at, elem), scale)));
  });
  return k.build();
}

const axes: Op<LogSoftmaxAttrs>["axes"] = ([x], { axis }) => {
  const labels = axisLabels("x", x!.shape.length);
  return axesText([labels], [relabel(labels, (i) => i === axis)]);
};

const f32 = (...shape: number[]): TensorType => tensorType("f32", shape);
const floatSamples = [
  { ins: [f32(3, 37)], attrs: { axis: 1 } },
  { ins: [f32(2, 5, 9)], attrs: { axis: 1 } },
  { ins: [f32(4, 3)], attrs: { axis: 0 }, range: [-100, 100] as const },
  { ins: [f32(1, 10)], attrs: { axis: 1 }, range: [-300, 300] as const },
  { ins: [f32(2, 0)], attrs: { axis: 1 } },
  { ins: [tensorType("f64", [2, 7])], attrs: { axis: 1 } },
  { ins: [tensorType("f16", [3, 6])], attrs: { axis: 0 } },
  { ins: [tensorType("bf16", [3, 6])], attrs: { axis: 1 } },
];
const quantised = (dtype: DType, shape: number[], scale: number, zeroPoint: number): TensorType =>
  tensorType(dtype, shape, { scale: [Math.fround(scale)], zeroPoint: [zeroPoint], axis: null });
const out = (dtype: DType, scale: number, zeroPoint: number): OutQuant => ({
  dtype,
  scale: [Math.fround(scale)],
  zeroPoint: [zeroPoint],
  axis: null,
});

export const softmax = defineOp<SoftmaxAttrs>({
  name: "softmax",
  quant: "integer",
  infer(ins, attrs) {
    expectInputs(ins, 1);
    const x = ins[0]!;
    return [x.quant === undefined ? inferFloat(ins, attrs.axis) : inferQuantised(x, attrs)];
  },
  axes,
  eval([x], { axis, arith }, [type]) {
    if (x!.type.quant === undefined) return [mapGroups(x!, axis, type!, softmaxOf)];
    const rule = softmaxRule(x!.type, type!, arith === "tflite");
    return [mapGroups(x!, axis, type!, (group) => (group.length === 0 ? [] : rule.js(group)))];
  },
  lower: ([x], attrs, [y]) =>
    x!.quant === undefined ? lowerFloat(x!, y!, attrs.axis, false) : lowerQuantised(x!, y!, attrs),
  permute: (attrs, perm) => ({ ...attrs, axis: perm.indexOf(attrs.axis) }),
  inPlace: ([x], _attrs, [y]) => (x!.dtype === y!.dtype ? 0 : null),
  samples: [
    ...floatSamples,
    {
      ins: [quantised("i8", [3, 12], 0.16, 9)],
      attrs: { axis: 1, arith: "tflite", out: out("i8", 1 / 256, -128) },
    },
    {
      ins: [quantised("u8", [2, 5, 3], 0.05, 128)],
      attrs: { axis: 1, arith: "tflite", out: out("u8", 1 / 256, 0) },
    },
    { ins: [quantised("i8", [3, 12], 0.1, 9)], attrs: { axis: 1, out: out("i8", 1 / 255, -120) } },
    { ins: [quantised("u8", [4, 3], 0.3, 0)], attrs: { axis: 0 } },
  ],
});

export const logSoftmax = defineOp<LogSoftmaxAttrs>({
  name: "log_softmax",
  quant: "float",
  infer: (ins, { axis }) => [inferFloat(ins, axis)],
  axes,
  eval: ([x], { axis }, [type]) => [mapGroups(x!, axis, type!, logSoftmaxOf)],
  lower: ([x], { axis }, [y]) => lowerFloat(x!, y!, axis, true),
  permute: (attrs, perm) => ({ ...attrs, axis: perm.indexOf(attrs.axis) }),
  inPlace: ([x], _attrs, [y]) => (x!.dtype === y!.dtype ? 0 : null),
  samples: [
    ...floatSamples,
    {
      ins: [quantised("i8", [3, 12], 0.1, 9)],
      attrs: { axis: 1, out: out("i8", 0.1, 100) },
      tolerance: 0.1,
    },
  ],
});
