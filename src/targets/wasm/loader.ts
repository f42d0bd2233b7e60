/**
 * @file Brings a model module to life: probes the engine, builds the best variant, places the weights.
 * `instantiateModel` refers to nothing outside itself, so that its source can be pasted into artefacts.
 */

/** A model input or output. f16 and bf16 elements are Uint16Array bits; bool is a Uint8Array of 0 and 1. */
export interface ModelPort {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly quant?: {
    readonly scale: readonly number[];
    readonly zeroPoint: readonly number[];
    readonly axis: number | null;
  };
  /** Number of elements. */
  readonly length: number;
}

export type ModelArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array;

export type ModelFeeds = Readonly<Record<string, ModelArray>> | readonly ModelArray[];

export interface ModelInstance {
  /** "base", "fma" or "dot8": which instructions the engine allowed. */
  readonly variant: string;
  readonly memory: WebAssembly.Memory;
  readonly inputs: readonly ModelPort[];
  readonly outputs: readonly ModelPort[];
  /** Number of steps of one inference. */
  readonly steps: number;
  /** Runs one step on the memory as it is. */
  readonly step: (index: number) => void;
  /** Runs all steps on the memory as it is. */
  readonly execute: () => void;
  /** Copies inputs into memory. */
  readonly write: (feeds: ModelFeeds) => void;
  /** Copies outputs into new arrays, or into those given. */
  readonly read: (into?: Readonly<Record<string, ModelArray>>) => Record<string, ModelArray>;
  /** write, execute, read. */
  readonly run: (
    feeds: ModelFeeds,
    into?: Readonly<Record<string, ModelArray>>,
  ) => Record<string, ModelArray>;
}

/**
 * Instantiates a module written by `emitModule`. `weights`: the bytes of the weights file when they are
 * beside the module. `force`: the variant to use in place of the best exact one, for tests.
 */
export async function instantiateModel(
  wasm: Uint8Array,
  weights?: Uint8Array,
  force?: string,
): Promise<ModelInstance> {
  interface Description {
    readonly inputs: readonly (ModelPort & { readonly offset: number })[];
    readonly outputs: readonly (ModelPort & { readonly offset: number })[];
    readonly steps: number;
    readonly weights?: readonly (readonly [number, number])[];
  }
  interface Exports {
    readonly memory: WebAssembly.Memory;
    readonly flip: WebAssembly.Global;
    readonly init: () => void;
    readonly run: () => void;
    readonly step: (index: number) => void;
  }
  const arrays: Record<string, new (buffer: ArrayBuffer, at: number, n: number) => ModelArray> = {
    f32: Float32Array,
    f64: Float64Array,
    f16: Uint16Array,
    bf16: Uint16Array,
    i8: Int8Array,
    u8: Uint8Array,
    i16: Int16Array,
    u16: Uint16Array,
    i32: Int32Array,
    u32: Uint32Array,
    i64: BigInt64Array,
    u64: BigUint64Array,
    bool: Uint8Array,
  };

  // A function (i32, i32, i32) -> i32 of byte splats: dot(splat(a), splat(b), splat(c)), lane 0.
  const head = [0, 97, 115, 109, 1, 0, 0, 0];
  const probe = (op: number, splat: number): number[] => [
    ...head,
    ...[1, 8, 1, 96, 3, 127, 127, 127, 1, 127, 3, 2, 1, 0, 7, 5, 1, 1, 112, 0, 0],
    ...[10, 22, 1, 20, 0, 32, 0, 253, splat, 32, 1, 253, splat, 32, 2, 253, 17],
    ...[253, op, 2, 253, 27, 0, 11],
  ];
  let variant = force ?? "base";
  let flip = 0;
  if (force !== "base" && WebAssembly.validate(Uint8Array.from(probe(0x85, 17)))) {
    const bytes = Uint8Array.from(probe(0x93, 15));
    const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes));
    const dot = instance.exports["p"] as (a: number, b: number, c: number) => number;
    const one = dot(1, -128, 5);
    const signed = one === -507 && dot(-128, -128, 0) === 65536 && dot(127, -128, 1) === -65023;
    const unsigned = one === 517 && dot(-128, -1, 0) === -130560 && dot(127, -1, 1) === 129541;
    variant = force ?? (signed || unsigned ? "dot8" : "fma");
    flip = one > 0 ? 0x80808080 | 0 : 0;
  }

  let at = 8;
  const leb = (): number => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = wasm[at++] as number;
      value += (byte & 127) * 2 ** shift;
      if (byte < 128) return value;
    }
  };
  const custom = new Map<string, readonly [number, number]>();
  const kept: (readonly [number, number])[] = [];
  let code: readonly [number, number] = [0, 0];
  const utf8 = new TextDecoder();
  while (at < wasm.length) {
    const start = at;
    const id = wasm[at++];
    const size = leb();
    const end = at + size;
    if (id === 0) {
      const length = leb();
      custom.set(utf8.decode(wasm.subarray(at, at + length)), [at + length, end]);
    } else {
      const section = [start, end] as const;
      if (id === 10) code = section;
      kept.push(section);
    }
    at = end;
  }
  const described = custom.get("tersor");
  if (described === undefined) throw new Error("this WebAssembly module is not a tersor model");
  const about = JSON.parse(utf8.decode(wasm.subarray(...described))) as Description;

  // Variants replace single function bodies: [count, (index, body)...].
  while (variant !== "base" && !custom.has(`tersor.code.${variant}`)) {
    variant = variant === "dot8" ? "fma" : "base";
  }
  if (variant !== "dot8") flip = 0;
  let bytes = wasm;
  const patches = custom.get(`tersor.code.${variant}`);
  if (patches !== undefined) {
    const bodies = new Map<number, Uint8Array>();
    const body = (): Uint8Array => {
      const start = at;
      const size = leb();
      at += size;
      return wasm.subarray(start, at);
    };
    at = patches[0];
    for (let n = leb(); n > 0; n--) bodies.set(leb(), body());
    at = code[0] + 1;
    leb();
    const countAt = at;
    const count = leb();
    const parts = [wasm.subarray(countAt, at)];
    for (let i = 0; i < count; i++) {
      const original = body();
      parts.push(bodies.get(i) ?? original);
    }
    const size = parts.reduce((sum, p) => sum + p.length, 0);
    const sizeLeb = [10];
    for (let rest = size; ; rest >>>= 7) {
      sizeLeb.push(rest < 128 ? rest : (rest & 127) | 128);
      if (rest < 128) break;
    }
    const pieces: ArrayLike<number>[] = [head];
    for (const part of kept) {
      if (part === code) pieces.push(sizeLeb, ...parts);
      else pieces.push(wasm.subarray(...part));
    }
    bytes = new Uint8Array(pieces.reduce((sum, p) => sum + p.length, 0));
    let to = 0;
    for (const piece of pieces) {
      bytes.set(piece, to);
      to += piece.length;
    }
  }

  // Compiling the bytes as they are fails with a poor message on engines without SIMD.
  const simd = [1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 8, 1, 6, 0, 65, 0, 253, 15, 11];
  if (!WebAssembly.validate(Uint8Array.from([...head, ...simd]))) {
    throw new Error("this engine has no WebAssembly SIMD, which tersor models need");
  }
  const compiled = await WebAssembly.compile(bytes as Uint8Array<ArrayBuffer>);
  const instance = await WebAssembly.instantiate(compiled);
  const wasmExports = instance.exports as unknown as Exports;
  const { memory } = wasmExports;
  if (about.weights !== undefined) {
    const needed = about.weights.reduce((sum, [, length]) => sum + length, 0);
    if (weights === undefined || weights.length !== needed) {
      const got = weights === undefined ? "none" : `${weights.length} bytes`;
      throw new Error(`this model needs its weights file of ${needed} bytes, got ${got}`);
    }
    let from = 0;
    for (const [offset, length] of about.weights) {
      new Uint8Array(memory.buffer, offset, length).set(weights.subarray(from, from + length));
      from += length;
    }
  }
  wasmExports.flip.value = flip;
  wasmExports.init();

  const view = (port: ModelPort & { readonly offset: number }): ModelArray => {
    const array = arrays[port.dtype];
    if (array === undefined) throw new Error(`unknown element type ${port.dtype}`);
    return new array(memory.buffer, port.offset, port.length);
  };
  const nameOf = (x: unknown): string =>
    ArrayBuffer.isView(x)
      ? String((x as unknown as Record<symbol, unknown>)[Symbol.toStringTag])
      : x === null
        ? "null"
        : typeof x;
  const check = (kind: string, port: ModelPort, like: ModelArray, got: unknown): ModelArray => {
    const want = nameOf(like);
    const type = nameOf(got);
    const clamped = want === "Uint8Array" && type === "Uint8ClampedArray";
    if ((type === want || clamped) && (got as ModelArray).length === port.length) {
      return got as ModelArray;
    }
    const length = ArrayBuffer.isView(got) ? ` of length ${(got as ModelArray).length}` : "";
    const shape = `${port.dtype}[${port.shape.join(",")}]`;
    throw new TypeError(
      `${kind} "${port.name}" (${shape}): expected ${want} of length ${port.length}, ` +
        `got ${got === undefined ? "nothing" : type + length}`,
    );
  };
  const ins = about.inputs.map((port) => ({ port, at: view(port) }));
  const outs = about.outputs.map((port) => ({ port, at: view(port) }));
  const put = (to: ModelArray, from: ModelArray): void => {
    (to as Uint8Array).set(from as Uint8Array);
  };
  const write = (feeds: ModelFeeds): void => {
    const given = feeds as Record<string | number, ModelArray | undefined>;
    const list = Array.isArray(feeds);
    const names = list ? [] : Object.keys(feeds);
    const unknown = names.find((n) => !ins.some((x) => x.port.name === n));
    if (unknown !== undefined || (list && feeds.length !== ins.length)) {
      const what = unknown === undefined ? `${feeds.length} inputs` : `unknown input "${unknown}"`;
      const have = ins.map((x) => `"${x.port.name}"`).join(", ");
      throw new TypeError(`${what}: this model has ${ins.length} (${have})`);
    }
    const values = ins.map((x, i) => check("input", x.port, x.at, given[list ? i : x.port.name]));
    values.forEach((value, i) => {
      put((ins[i] as (typeof ins)[number]).at, value);
    });
  };
  const read = (into?: Readonly<Record<string, ModelArray>>): Record<string, ModelArray> => {
    const result: Record<string, ModelArray> = {};
    for (const { port, at: source } of outs) {
      const target = into?.[port.name];
      if (target === undefined) result[port.name] = source.slice();
      else {
        put(check("output", port, source, target), source);
        result[port.name] = target;
      }
    }
    return result;
  };
  const publish = (port: ModelPort): ModelPort => ({ ...port, shape: [...port.shape] });
  return {
    variant,
    memory,
    inputs: about.inputs.map(publish),
    outputs: about.outputs.map(publish),
    steps: about.steps,
    step: wasmExports.step,
    execute: wasmExports.run,
    write,
    read,
    run: (feeds, into) => {
      write(feeds);
      wasmExports.run();
      return read(into);
    },
  };
}
