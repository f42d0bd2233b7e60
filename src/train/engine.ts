/** @file What runs a compiled training step: WebAssembly by default, native code where it is asked for. */
import type { Port, Program } from "../kernel/program.ts";
import type { Capabilities } from "../primitives/capabilities.ts";
import { instantiateModel } from "../targets/wasm/loader.ts";
import type { ModelInstance } from "../targets/wasm/model.ts";
import { emitModule } from "../targets/wasm/module.ts";
import type { TypedArray } from "../tensor/dtype.ts";
import { DTYPES } from "../tensor/dtype.ts";
import { elementCount } from "../tensor/tensor.ts";

/** A loaded program whose memory can be looked into. */
export interface EngineModel
  extends Pick<ModelInstance, "variant" | "threads" | "step" | "execute" | "write" | "read"> {
  /** Why there are fewer threads than asked for. */
  readonly note?: string;
  /** The memory of a port of the program's state; valid until `close`. */
  readonly view: (port: Port) => TypedArray;
  readonly close: () => void;
}

export interface TrainingEngine {
  readonly name: string;
  /** What kernels are written for; default WebAssembly. */
  readonly caps?: Capabilities;
  readonly load: (program: Program, threads: number) => Promise<EngineModel>;
}

/** WebAssembly in this process, in Node and in browsers. */
export const wasmEngine: TrainingEngine = {
  name: "wasm",
  load: async (program, threads) => {
    const { wasm } = emitModule(program, { threads: threads > 1 });
    const model = await instantiateModel(wasm, undefined, undefined, { threads });
    return {
      ...model,
      view: ({ type, offset }) =>
        DTYPES[type.dtype].view(
          model.memory.buffer as ArrayBuffer,
          offset,
          elementCount(type.shape),
        ),
    };
  },
};
