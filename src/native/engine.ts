/** @file Training by native code: the engine that `createTrainer` takes. */
import type { TypedArray } from "../tensor/dtype.ts";
import type { TrainingEngine } from "../train/engine.ts";
import { invariant } from "../util/errors.ts";
import { loadNative, type NativeOptions } from "./session.ts";
import { nativeTarget } from "./target.ts";

/**
 * C of each training step compiled for this machine. Subnormal numbers are zero: momentum and decayed weights that
 * nothing drives end there, and slow a step many times. Throws UserError E_TARGET as `nativeTarget`.
 */
export async function nativeEngine(
  options: Omit<NativeOptions, "threads" | "flushSubnormals"> = {},
): Promise<TrainingEngine> {
  const { caps } = await nativeTarget(options.env);
  return {
    name: "native",
    caps,
    load: async (program, threads) => {
      const model = await loadNative(program, { ...options, threads, flushSubnormals: true });
      const before = program.inputs.length + program.outputs.length;
      return {
        ...model,
        view: (port) => {
          const i = (program.state ?? []).indexOf(port);
          invariant(i >= 0, () => `'${port.name}' is no state of ${program.name}`);
          return model.views[before + i] as TypedArray;
        },
      };
    },
  };
}
