/**
 * @file The functions of a module, each with one body per variant. Equal functions are stored once.
 * Indices are final when handed out: the module imports no functions.
 */
import type { FuncType } from "./encoder.ts";

/** Instructions a variant may use beyond WebAssembly SIMD. */
export interface WasmFeatures {
  /** f32x4.relaxed_madd and f64x2.relaxed_madd. */
  readonly fma: boolean;
  /** i32x4.relaxed_dot_i8x16_i7x16_add_s, on engines where it is exact. */
  readonly dot8: boolean;
}

export interface PooledFunction {
  readonly type: number;
  /** The encoded body (with its size) for each variant of the pool. */
  readonly bodies: readonly Uint8Array[];
  readonly name: string;
}

export class FunctionPool {
  readonly variants: readonly WasmFeatures[];
  readonly types: FuncType[] = [];
  readonly functions: PooledFunction[] = [];
  private readonly typeIndex = new Map<string, number>();
  private readonly byContent = new Map<string, number>();
  private readonly byKey = new Map<string | object, number>();

  constructor(variants: readonly WasmFeatures[]) {
    this.variants = variants;
  }

  private typeOf(type: FuncType): number {
    const key = `${type.params}>${type.results}`;
    let index = this.typeIndex.get(key);
    if (index === undefined) {
      index = this.types.push(type) - 1;
      this.typeIndex.set(key, index);
    }
    return index;
  }

  /** Adds a function, or finds an equal one. Gives its index. */
  add(name: string, type: FuncType, body: (features: WasmFeatures) => Uint8Array): number {
    const bodies = this.variants.map(body);
    const typeIndex = this.typeOf(type);
    const content = `${typeIndex}:${bodies.map((b) => b.join()).join(";")}`;
    let index = this.byContent.get(content);
    if (index === undefined) {
      index = this.functions.push({ type: typeIndex, bodies, name }) - 1;
      this.byContent.set(content, index);
    }
    return index;
  }

  /** The function of `key`, added by `make` the first time. */
  once(key: string | object, make: () => number): number {
    let index = this.byKey.get(key);
    if (index === undefined) {
      index = make();
      this.byKey.set(key, index);
    }
    return index;
  }
}
