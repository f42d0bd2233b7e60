/** @file For tests: a small program with every feature a target must carry, and its interpretation. */
import {
  add,
  binary,
  cast,
  constant,
  dot8,
  f32,
  fma,
  KernelBuilder,
  max,
  mul,
  splat,
} from "../../src/kernel/build.ts";
import { makeProgramRunner, readOutput, writeInput } from "../../src/kernel/interpret-program.ts";
import type { Kernel } from "../../src/kernel/ir.ts";
import type { Program } from "../../src/kernel/program.ts";
import { bytesOf, type Tensor, tensorOf } from "../../src/tensor/tensor.ts";
import { makeRng } from "../../src/util/rng.ts";

/** y[16] = relu(w[16,16] x + b), with w transposed; fused or not. */
function denseKernel(): Kernel {
  const k = new KernelBuilder("dense");
  const x = k.buffer("x", "f32", 16, "in");
  const w = k.buffer("w", "f32", 256, "const");
  const b = k.buffer("b", "f32", 16, "const");
  const y = k.buffer("y", "f32", 16, "out");
  const low = k.arg("low", "f32");
  k.for(
    "o",
    0,
    16,
    (o) => {
      const acc = k.reg("acc", k.load(b, o, "f32x4"));
      k.for("i", 0, 16, (i) => {
        const v = k.loadGroup(x, i, "f32x4");
        k.set(acc, fma(v, k.load(w, add(mul(i, 16), o), "f32x4"), acc));
      });
      k.store(y, o, max(acc, splat("f32x4", low)));
    },
    { step: 4 },
  );
  return k.build();
}

/** z[4] += sums of four products of bytes; the second operand is presented in the engine's reading. */
function bytesKernel(): Kernel {
  const k = new KernelBuilder("bytes");
  const a = k.buffer("a", "i8", 16, "const");
  const q = k.buffer("q", "u8", 16, "in");
  const z = k.buffer("z", "i32", 4, "out");
  const bias = k.buffer("bias", "i32", 4, "work");
  const flip = k.arg("flip", "i32");
  // Stored bytes are q - 128; engines that read unsigned see q, and the bias differs accordingly.
  const centred = binary("xor", k.load(q, 0, "i8x16"), constant("i8x16", -128));
  const seen = binary("xor", cast("i32x4", "bits", centred), splat("i32x4", flip));
  const acc = dot8(k.load(a, 0, "i8x16"), cast("i8x16", "bits", seen), k.load(bias, 0, "i32x4"));
  k.store(z, 0, acc);
  return k.build();
}

/** bias[4] = -128 * sum of four weights where the engine reads unsigned, else 0. */
function biasKernel(): Kernel {
  const k = new KernelBuilder("bias");
  const a = k.buffer("a", "i8", 16, "const");
  const bias = k.buffer("bias", "i32", 4, "work");
  const flip = k.arg("flip", "i32");
  const factor = k.let("factor", binary("and", flip, constant("i32", 128)));
  k.for("o", 0, 4, (o) => {
    const sum = k.reg("sum", 0);
    k.for("i", 0, 4, (i) => k.set(sum, add(sum, k.load(a, add(mul(o, 4), i)))));
    k.store(bias, o, mul(mul(sum, factor), -1));
  });
  return k.build();
}

/** y /= 2, in place. */
function scaleKernel(): Kernel {
  const k = new KernelBuilder("scale");
  const y = k.buffer("y", "f32", 16, "in");
  k.for("i", 0, 16, (i) => k.store(y, i, mul(k.load(y, i), f32(0.5))));
  return k.build();
}

/** Inputs "x" f32[16] and "a-b \"q\"" u8[16]; outputs "y" f32[16] and "z" i32[4]. */
export function smallProgram(): Program {
  const rng = makeRng(5);
  const w = tensorOf(
    "f32",
    [256],
    Float32Array.from({ length: 256 }, () => rng.normal()),
  );
  const b = tensorOf(
    "f32",
    [16],
    Float32Array.from({ length: 16 }, () => rng.normal()),
  );
  // Bytes of either sign, small enough for every engine's dot8.
  const a = tensorOf(
    "i8",
    [16],
    Int8Array.from({ length: 16 }, () => rng.int(101) - 50),
  );
  const at = { x: 64, q: 128, y: 144, z: 208, bias: 224, b: 256, a: 320, w: 352 };
  return {
    name: "small */ program",
    kernels: [denseKernel(), bytesKernel(), biasKernel(), scaleKernel(), scaleKernel()],
    constants: [
      { name: "w", offset: at.w, bytes: bytesOf(w) },
      { name: "b", offset: at.b, bytes: bytesOf(b) },
      { name: "a", offset: at.a, bytes: bytesOf(a) },
      { name: "zeros", offset: 1376, bytes: new Uint8Array(100) },
    ],
    init: [{ kernel: 2, bases: [at.a, at.bias], args: ["flip"], label: "bias" }],
    steps: [
      { kernel: 0, bases: [at.x, at.w, at.b, at.y], args: [0], label: "dense" },
      { kernel: 1, bases: [at.a, at.q, at.z, at.bias], args: ["flip"], label: "bytes" },
      { kernel: 3, bases: [at.y], args: [], label: "scale" },
      { kernel: 4, bases: [at.y], args: [], label: "scale again" },
    ],
    inputs: [
      { name: "x", type: { dtype: "f32", shape: [1, 16] }, offset: at.x },
      {
        name: 'a-b "q"',
        type: {
          dtype: "u8",
          shape: [16],
          quant: { scale: [0.5], zeroPoint: [128], axis: null },
        },
        offset: at.q,
      },
    ],
    outputs: [
      { name: "y", type: { dtype: "f32", shape: [16] }, offset: at.y },
      { name: "z", type: { dtype: "i32", shape: [4] }, offset: at.z },
    ],
    memoryBytes: 1536,
    arenaBytes: 256,
    meta: {},
  };
}

export function smallFeeds(seed = 1): [Tensor, Tensor] {
  const rng = makeRng(seed);
  return [
    tensorOf(
      "f32",
      [1, 16],
      Float32Array.from({ length: 16 }, () => rng.normal()),
    ),
    {
      ...tensorOf(
        "u8",
        [16],
        Uint8Array.from({ length: 16 }, () => rng.int(256)),
      ),
    },
  ];
}

/** The outputs for these inputs by the interpreter. */
export function interpretProgram(program: Program, feeds: readonly Tensor[]): Tensor[] {
  const runner = makeProgramRunner(program);
  runner.init();
  feeds.forEach((t, i) => {
    writeInput(runner, i, t);
  });
  runner.run();
  return program.outputs.map((_, i) => readOutput(runner, i));
}
