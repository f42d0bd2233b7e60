/** @file Convolutions by `@jax-js/jax` on WebAssembly: forward, and both gradients of a sum weighted by dy. */
import { defaultDevice, grad, init, jit, lax, numpy as np } from "@jax-js/jax";

/** Same padding, stride 1, square pictures and kernels; channels first, as it computes. */
export interface ConvShape {
  readonly batch: number;
  readonly side: number;
  readonly inputs: number;
  readonly outputs: number;
  readonly kernel: number;
}

export interface ConvTimes {
  readonly forwardMs: number;
  readonly backwardMs: number;
}

const wave = (shape: number[]) =>
  np.array(
    Float32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => Math.sin(i)),
    { shape },
  );

/** The shortest of `runs` compiled calls after one to warm up. */
export async function jaxConv(s: ConvShape, runs: number): Promise<ConvTimes> {
  await init("wasm");
  defaultDevice("wasm");
  const x = wave([s.batch, s.inputs, s.side, s.side]);
  const w = wave([s.outputs, s.inputs, s.kernel, s.kernel]);
  const dy = wave([s.batch, s.outputs, s.side, s.side]);
  const conv = (a: np.Array, b: np.Array) => lax.conv(a, b, [1, 1], "SAME");
  const weighted = (a: np.Array, b: np.Array, c: np.Array) => np.sum(conv(a, b).mul(c));
  const forward = jit(conv);
  const backward = jit(grad(weighted, { argnums: [0, 1] }));
  const least = async (call: () => readonly np.Array[]): Promise<number> => {
    let best = Number.POSITIVE_INFINITY;
    for (let i = 0; i <= runs; i++) {
      const start = performance.now();
      for (const result of call()) await result.data();
      if (i > 0) best = Math.min(best, performance.now() - start);
    }
    return best;
  };
  return {
    forwardMs: await least(() => [forward(x.ref, w.ref)]),
    backwardMs: await least(() => backward(x.ref, w.ref, dy.ref) as unknown as np.Array[]),
  };
}
