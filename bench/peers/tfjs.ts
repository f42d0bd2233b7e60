/**
 * @file TensorFlow.js with its wasm backend as an engine: our target graph (NHWC, activations fused, as its own
 * converter fuses them) as calls of its operators. A model with an operator that is not in the table is refused.
 */
import { createRequire } from "node:module";
import { dirname } from "node:path";
import type * as Tf from "@tensorflow/tfjs-core";
import type { Engine, EngineInput, Loaded } from "../../cli/bench-engines.ts";
import { expandComposites } from "../../src/graph/decompose.ts";
import type { Node, Value } from "../../src/graph/graph.ts";
import type { Activation } from "../../src/graph/op.ts";
import { cleanGraph, targetGraph } from "../../src/pipeline.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { UserError } from "../../src/util/errors.ts";

type Core = typeof Tf;
type T = Tf.Tensor;
type Pads = Tf.backend_util.ExplicitPadding;

/** The attributes that occur; which ones, the operator says. */
interface Attrs {
  readonly act?: Activation;
  readonly stride: readonly [number, number];
  readonly padBegin: readonly [number, number];
  readonly padEnd: readonly [number, number];
  readonly dilation: readonly [number, number];
  readonly kernel: readonly [number, number];
  readonly groups: number;
  readonly axes: number[];
  readonly keepDims: boolean;
  readonly axis: number;
  readonly epsilon: number;
  readonly perm: number[];
  readonly shape: number[];
  readonly size: [number, number];
  readonly block: number;
  readonly mode: string;
  readonly min: number;
  readonly max: number;
  readonly alpha?: number;
  readonly beta?: number;
  readonly transA?: boolean;
  readonly transB?: boolean;
  readonly approximate: string;
}

/** Computes a node from its operands; the weights are given as `prepare` left them. */
type Call = (tf: Core, ins: readonly T[], attrs: Attrs, shape: readonly number[]) => T;

const hardSigmoid = (tf: Core, x: T, alpha: number, beta: number): T =>
  tf.clipByValue(tf.add(tf.mul(x, alpha), beta), 0, 1);

const SCALARS: Readonly<Record<string, (tf: Core, x: T, a: Partial<Attrs>) => T>> = {
  relu: (tf, x) => tf.relu(x),
  clip: (tf, x, a) =>
    a.min === 0 && a.max === 6 ? tf.relu6(x) : tf.clipByValue(x, a.min!, a.max!),
  sigmoid: (tf, x) => tf.sigmoid(x),
  tanh: (tf, x) => tf.tanh(x),
  hard_sigmoid: (tf, x, a) => hardSigmoid(tf, x, a.alpha ?? 0.2, a.beta ?? 0.5),
  hard_swish: (tf, x) => tf.mul(x, hardSigmoid(tf, x, 1 / 6, 0.5)),
  gelu: (tf, x) => tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1)),
};

function activate(tf: Core, x: T, act: Activation | undefined): T {
  if (act === undefined) return x;
  const call = SCALARS[act.fn];
  if (call === undefined) throw new UserError("E_UNSUPPORTED", `no activation ${act.fn}`);
  return call(tf, x, act as unknown as Partial<Attrs>);
}

/** The activation that its fused operators know. */
function fusedName(act: Activation | undefined): "relu" | "relu6" | undefined {
  if (act?.fn === "relu") return "relu";
  return act?.fn === "clip" && act["min"] === 0 && act["max"] === 6 ? "relu6" : undefined;
}

const padsOf = ({ padBegin: [t, l], padEnd: [b, r] }: Attrs): Pads => [
  [0, 0],
  [t, b],
  [l, r],
  [0, 0],
];

function conv(tf: Core, ins: readonly T[], a: Attrs): T {
  const [x, filter, bias, residual] = ins as readonly [Tf.Tensor4D, Tf.Tensor4D, T?, T?];
  const fused = residual === undefined ? fusedName(a.act) : undefined;
  const options = {
    x,
    filter,
    strides: [...a.stride] as [number, number],
    // Also takes explicit padding, which its types leave out.
    pad: padsOf(a) as unknown as number,
    dilations: [...a.dilation] as [number, number],
    ...(bias === undefined ? {} : { bias }),
    ...(fused === undefined ? {} : { activation: fused }),
  };
  const y = a.groups > 1 ? tf.fused.depthwiseConv2d(options) : tf.fused.conv2d(options);
  const sum = residual === undefined ? y : tf.add(y, residual);
  return fused === undefined ? activate(tf, sum, a.act) : sum;
}

function linear(tf: Core, [x, w, bias]: readonly T[], a: Attrs, shape: readonly number[]): T {
  const k = x!.shape.at(-1)!;
  const rows = tf.reshape(x!, [-1, k]) as Tf.Tensor2D;
  const fused = fusedName(a.act);
  const y = tf.fused.matMul({
    a: rows,
    b: w as Tf.Tensor2D,
    ...(bias === undefined ? {} : { bias }),
    ...(fused === undefined ? {} : { activation: fused }),
  });
  return tf.reshape(fused === undefined ? activate(tf, y, a.act) : y, [...shape]);
}

function layerNorm(tf: Core, [x, gamma, beta]: readonly T[], { axis, epsilon }: Attrs): T {
  const axes = x!.shape.map((_, i) => i).slice(axis);
  const centred = tf.sub(x!, tf.mean(x!, axes, true));
  const variance = tf.mean(tf.square(centred), axes, true);
  const y = tf.mul(tf.mul(centred, tf.rsqrt(tf.add(variance, epsilon))), gamma!);
  return beta === undefined ? y : tf.add(y, beta);
}

function pool(tf: Core, x: T, a: Attrs, kind: "max" | "avg", shape: readonly number[]): T {
  const { kernel, stride } = a;
  // Windows that `ceil` adds read beyond the padding.
  const end = [0, 1].map((i) =>
    Math.max(
      a.padEnd[i]!,
      (shape[i + 1]! - 1) * stride[i]! + kernel[i]! - x.shape[i + 1]! - a.padBegin[i]!,
    ),
  );
  const pad = padsOf({ ...a, padEnd: end as [number, number] });
  return tf.pool(x as Tf.Tensor4D, [...kernel], kind, pad, [1, 1], [...stride]);
}

const TABLE: Readonly<Record<string, Call>> = {
  conv,
  linear,
  layer_norm: layerNorm,
  add: (tf, [a, b], { act }) => activate(tf, tf.add(a!, b!), act),
  sub: (tf, [a, b], { act }) => activate(tf, tf.sub(a!, b!), act),
  mul: (tf, [a, b], { act }) => activate(tf, tf.mul(a!, b!), act),
  matmul: (tf, [a, b], { transA = false, transB = false }) => tf.matMul(a!, b!, transA, transB),
  softmax: (tf, [x], { axis }) => tf.softmax(x!, axis),
  reduce_mean: (tf, [x], { axes, keepDims }) => tf.mean(x!, [...axes], keepDims),
  average_pool: (tf, [x], a, shape) => pool(tf, x!, a, "avg", shape),
  max_pool: (tf, [x], a, shape) => pool(tf, x!, a, "max", shape),
  reshape: (tf, [x], _, shape) => tf.reshape(x!, [...shape]),
  transpose: (tf, [x], { perm }) => tf.transpose(x!, [...perm]),
  concat: (tf, ins, { axis }) => tf.concat([...ins], axis),
  depth_to_space: (tf, [x], { block }) => tf.depthToSpace(x as Tf.Tensor4D, block, "NHWC"),
  resize: (tf, [x], { size }) => tf.image.resizeNearestNeighbor(x as Tf.Tensor4D, [...size]),
  ...Object.fromEntries(
    Object.entries(SCALARS).map(([name, call]): [string, Call] => [
      name,
      (tf, [x], attrs) => call(tf, x!, attrs),
    ]),
  ),
};

/** Why the node cannot be said in TensorFlow.js; null: it can. */
function refusal({ op, attrs, ins }: Node, typeOf: (v: Value) => Tensor["type"]): string | null {
  const a = attrs as Attrs;
  if (TABLE[op.name] === undefined) return `has no ${op.name}`;
  if (ins.some((v) => typeOf(v).quant !== undefined)) return "has no quantised operators";
  if (op.name === "conv" && a.groups > 1) {
    const [x, w] = [typeOf(ins[0]!), typeOf(ins[1]!)];
    if (a.groups !== x.shape.at(-1) || w.shape[0] !== a.groups) return "has no grouped convolution";
  }
  if (op.name === "resize" && a.mode !== "nearest") return `has no ${a.mode} resize of this kind`;
  if (op.name === "depth_to_space" && a.mode !== "dcr") return "orders depth another way";
  return null;
}

/** Filters in its order: [height, width, in, out], of depthwise layers [height, width, channels, 1]. */
function prepare(tf: Core, node: Node, index: number, t: Tensor): T {
  const plain = tf.tensor(t.data as Float32Array, [...t.type.shape], "float32");
  if (index !== 1) return plain;
  if (node.op.name === "linear") return tf.transpose(plain);
  if (node.op.name !== "conv") return plain;
  return tf.transpose(plain, (node.attrs as Attrs).groups > 1 ? [1, 2, 0, 3] : [1, 2, 3, 0]);
}

async function start(): Promise<Core> {
  const require = createRequire(import.meta.url);
  const tf = require("@tensorflow/tfjs-core") as Core;
  const path = require.resolve("@tensorflow/tfjs-backend-wasm");
  const wasm = require(path) as typeof import("@tensorflow/tfjs-backend-wasm");
  wasm.setWasmPaths(`${dirname(path)}/`);
  await tf.setBackend("wasm");
  return tf;
}

async function load({ graph, feeds }: EngineInput): Promise<Loaded> {
  const target = expandComposites(
    targetGraph(cleanGraph(graph)),
    (op) => TABLE[op.name] === undefined,
  );
  const typeOf = (v: Value): Tensor["type"] => target.values.get(v)!.type;
  for (const node of target.nodes) {
    const reason = refusal(node, typeOf);
    if (reason !== null) throw new UserError("E_UNSUPPORTED", `TensorFlow.js ${reason}`);
  }
  const tf = await start();
  const constants = target.nodes.map((node) =>
    node.ins.map((v, i) => {
      const t = target.constants.get(v);
      return t === undefined ? null : prepare(tf, node, i, t);
    }),
  );
  const infer = (): readonly T[] => {
    const values = new Map<Value, T>();
    target.inputs.forEach((v, i) => {
      const { data, type } = feeds[i]!;
      values.set(v, tf.tensor(data as Float32Array, [...type.shape], "float32"));
    });
    target.nodes.forEach((node, n) => {
      const ins = node.ins.map((v, i) => constants[n]![i] ?? values.get(v)!);
      const out = node.outs[0]!;
      const { shape } = typeOf(out);
      values.set(out, TABLE[node.op.name]!(tf, ins, node.attrs as Attrs, shape));
    });
    return target.outputs.map((v) => values.get(v)!);
  };
  const run = (): readonly ArrayLike<number>[] => {
    tf.engine().startScope();
    const results = infer().map((t) => t.dataSync());
    tf.engine().endScope();
    return results;
  };
  const close = (): void => {
    for (const t of constants.flat()) t?.dispose();
  };
  return { detail: tf.version_core, peakBytes: null, run, close };
}

export const tfjsEngine: Engine = { maxThreads: 1, load };
