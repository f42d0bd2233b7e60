/**
 * @file hashed_weights: a virtual tensor of few weights, v[i] = sign(i) * w[place(i)] (hash.ts); and hashed_gradient,
 * its adjoint: w[k] = sum over i with place(i) = k of sign(i) * v[i], in the order of i.
 */
import { defineOp } from "../../graph/op.ts";
import { add, KernelBuilder } from "../../kernel/build.ts";
import {
  elementCount,
  numberReader,
  numberWriter,
  type Tensor,
  type TensorType,
  tensorOf,
  tensorType,
  zeros,
} from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { mul } from "../elementwise/mul.ts";
import { declare } from "../lowering.ts";
import { gather } from "../shape/gather.ts";
import { checkCount } from "./access.ts";
import { emitPlace, emitSigned, emitVirtual, fixedHash, hashPlace, hashSign } from "./hash.ts";
import { f32t, typed } from "./samples.ts";

export interface HashedWeightsAttrs {
  /** Of the virtual tensor. */
  readonly shape: readonly number[];
  /** An integer: other seeds, other hashes. */
  readonly seed: number;
}

export interface HashedGradientAttrs {
  /** Number of weights. */
  readonly count: number;
  readonly seed: number;
}

const MOST = 2 ** 31;

function checkReal(ins: readonly TensorType[]): TensorType {
  checkCount(ins, 1, 1);
  const [t] = ins as [TensorType];
  if (t.dtype === "f32" || t.dtype === "f64") return t;
  throw new UserError("E_DTYPE", `hashed weights are f32 or f64, got ${t.dtype}`);
}

function checkSize(name: string, n: number): void {
  if (Number.isInteger(n) && n >= 1 && n < MOST) return;
  throw new UserError("E_SHAPE", `${name} of hashed weights must be at least 1, got ${n}`);
}

export const hashedWeights = defineOp<HashedWeightsAttrs>({
  name: "hashed_weights",
  parameters: [0],
  quant: "none",
  infer(ins, { shape }) {
    const w = checkReal(ins);
    if (w.shape.length !== 1) {
      throw new UserError("E_SHAPE", `expected a vector of weights, got [${w.shape}]`);
    }
    checkSize("the number", w.shape[0]!);
    checkSize("the virtual size", elementCount(shape));
    return [tensorType(w.dtype, shape)];
  },
  eval: ([w], { seed }, [type]) => {
    const out = zeros(type!);
    const [read, write] = [numberReader(w!), numberWriter(out)];
    const count = w!.data.length;
    for (let i = 0; i < out.data.length; i++) {
      write(i, hashSign(i, seed) * read(hashPlace(i, seed, count)));
    }
    return [out];
  },
  lower([w], { seed }, [type]) {
    const k = new KernelBuilder("hashed_weights");
    const { ins, outs } = declare(k, [w!], [type!]);
    const hash = fixedHash(seed, elementCount(w!.shape));
    k.forParallel("i", 0, elementCount(type!.shape), (i) => {
      k.store(outs[0]!, i, emitVirtual(k, ins[0]!, i, hash));
    });
    return k.build();
  },
  decompose(g, [w], { shape, seed }) {
    const { dtype, shape: own } = g.typeOf(w!);
    const size = elementCount(shape);
    const place = Int32Array.from({ length: size }, (_, i) => hashPlace(i, seed, own[0]!));
    const sign = Float64Array.from({ length: size }, (_, i) => hashSign(i, seed));
    const index: Tensor = { type: tensorType("i32", shape), data: place };
    const taken = g.apply(gather, [w!, g.constant(index)], { axis: 0 });
    return [g.apply(mul, [taken, g.constant(tensorOf(dtype, shape, sign))])];
  },
  samples: [
    { ins: [f32t(5)], attrs: { shape: [4, 6], seed: 1 } },
    { ins: [f32t(1)], attrs: { shape: [3], seed: -7 } },
    { ins: [typed("f64", 70)], attrs: { shape: [2, 3, 3, 4], seed: 123456789 } },
  ],
});

export const hashedGradient = defineOp<HashedGradientAttrs>({
  name: "hashed_gradient",
  quant: "none",
  infer(ins, { count }) {
    const ct = checkReal(ins);
    checkSize("the number", count);
    checkSize("the virtual size", elementCount(ct.shape));
    return [tensorType(ct.dtype, [count])];
  },
  eval: ([ct], { count, seed }, [type]) => {
    const out = zeros(type!);
    const read = numberReader(ct!);
    const sums = new Float64Array(count);
    for (let i = 0; i < ct!.data.length; i++) {
      sums[hashPlace(i, seed, count)]! += hashSign(i, seed) * read(i);
    }
    const write = numberWriter(out);
    sums.forEach((x, i) => write(i, x));
    return [out];
  },
  // One loop in order: any number of threads gives the same sums.
  lower([ct], { count, seed }, [type]) {
    const k = new KernelBuilder("hashed_gradient");
    const { ins, outs } = declare(k, [ct!], [type!]);
    const hash = fixedHash(seed, count);
    k.fill(outs[0]!, 0, 0, count);
    k.for("i", 0, elementCount(ct!.shape), (i) => {
      const at = emitPlace(k, i, hash);
      const signed = emitSigned(k, k.load(ins[0]!, i), i, hash);
      k.store(outs[0]!, at, add(k.load(outs[0]!, at), signed));
    });
    return k.build();
  },
  samples: [
    { ins: [f32t(4, 6)], attrs: { count: 5, seed: 1 } },
    { ins: [f32t(3)], attrs: { count: 1, seed: -7 } },
    { ins: [typed("f64", 2, 3, 3, 4)], attrs: { count: 70, seed: 123456789 } },
  ],
});
