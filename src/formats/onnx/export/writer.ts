/** @file Collects nodes and initialisers of an ONNX graph; names are settled when it is finished. */
import { type DType, isBig } from "../../../tensor/dtype.ts";
import { scalarOf, type Tensor, tensorOf } from "../../../tensor/tensor.ts";
import { TERSOR_DOMAIN } from "../functions.ts";
import {
  ATTRIBUTE,
  type AttributeProto,
  type NodeProto,
  type SparseTensorProto,
  type TensorProto,
} from "../proto.ts";
import { protoOfTensor, sparseProtoOfTensor } from "../tensors.ts";
import type { Draft } from "../wire.ts";

/** An attribute without its name. */
export type AttributeValue = Omit<Draft<AttributeProto>, "name"> & { readonly type: number };

const utf8 = new TextEncoder();
export const int = (i: number | boolean): AttributeValue => ({
  type: ATTRIBUTE.int,
  i: Number(i),
});
export const float = (f: number): AttributeValue => ({ type: ATTRIBUTE.float, f: Math.fround(f) });
export const ints = (list: readonly number[]): AttributeValue => ({
  type: ATTRIBUTE.ints,
  ints: list,
});
export const text = (s: string): AttributeValue => ({
  type: ATTRIBUTE.string,
  s: utf8.encode(s),
});

export type AttributeMap = Readonly<Record<string, AttributeValue>>;

interface DraftNode {
  readonly opType: string;
  readonly domain: string;
  readonly input: readonly string[];
  readonly output: readonly string[];
  readonly attributes: AttributeMap;
  readonly layer: string;
}

export class OnnxWriter {
  private readonly nodes: DraftNode[] = [];
  private readonly initializers = new Map<string, Tensor>();
  private readonly shared = new Map<string, string>();
  private next = 0;
  /** Name of the layer the nodes emitted next belong to. */
  layer = "";

  private fresh(): string {
    return `\0${this.next++}`;
  }

  /** Emits a node; returns the names of its results. */
  emitAll(
    opType: string,
    input: readonly string[],
    attributes: AttributeMap,
    results: number,
  ): readonly string[] {
    const output = Array.from({ length: results }, () => this.fresh());
    this.nodes.push({ opType, domain: "", input, output, attributes, layer: this.layer });
    return output;
  }

  /** Calls a function of tersor's domain; returns the name of its result. */
  call(name: string, input: readonly string[], attributes: AttributeMap): string {
    const output = this.fresh();
    const node = { opType: name, input, output: [output], attributes, layer: this.layer };
    this.nodes.push({ ...node, domain: TERSOR_DOMAIN });
    return output;
  }

  /** The functions that nodes call. */
  get called(): ReadonlySet<string> {
    return new Set(this.nodes.filter((n) => n.domain !== "").map((n) => n.opType));
  }

  emit(opType: string, input: readonly string[], attributes: AttributeMap = {}): string {
    return this.emitAll(opType, input, attributes, 1)[0]!;
  }

  initializer(t: Tensor): string {
    const name = this.fresh();
    this.initializers.set(name, t);
    return name;
  }

  private sharedConstant(key: string, make: () => Tensor): string {
    let name = this.shared.get(key);
    if (name === undefined) {
      name = this.initializer(make());
      this.shared.set(key, name);
    }
    return name;
  }

  /** A vector of i64: shapes, axes, pads. */
  vector(values: readonly number[]): string {
    return this.sharedConstant(`i64[] ${values}`, () => tensorOf("i64", [values.length], values));
  }

  scalar(dtype: DType, x: number): string {
    const value = isBig(dtype) ? Math.trunc(x) : x;
    return this.sharedConstant(`${dtype} ${Object.is(x, -0) ? "-0" : x}`, () =>
      scalarOf(dtype, value),
    );
  }

  /**
   * The graph's parts with every provisional name replaced: those in `chosen` as given there, the
   * others by node and number. `sparse`: initialisers without their zeros where that is smaller.
   */
  finish(
    chosen: ReadonlyMap<string, string>,
    sparse: boolean,
  ): {
    readonly node: readonly Draft<NodeProto>[];
    readonly initializer: readonly Draft<TensorProto>[];
    readonly sparseInitializer: readonly Draft<SparseTensorProto>[];
  } {
    const taken = new Set(chosen.values());
    const names = new Map(chosen);
    const settle = (name: string, base: string): void => {
      if (!name.startsWith("\0") || names.has(name)) return;
      let candidate = base;
      for (let i = 1; taken.has(candidate); i++) candidate = `${base}_${i}`;
      taken.add(candidate);
      names.set(name, candidate);
    };
    for (const name of this.initializers.keys()) settle(name, "constant");
    for (const n of this.nodes) for (const o of n.output) settle(o, n.layer || n.opType);
    const resolve = (name: string): string => names.get(name) ?? name;
    const used = new Set<string>();
    const unique = (base: string): string => {
      let candidate = base;
      for (let i = 1; used.has(candidate); i++) candidate = `${base}_${i}`;
      used.add(candidate);
      return candidate;
    };
    const initializer: Draft<TensorProto>[] = [];
    const sparseInitializer: Draft<SparseTensorProto>[] = [];
    for (const [provisional, t] of this.initializers) {
      const name = resolve(provisional);
      const short = sparse ? sparseProtoOfTensor(t, name) : null;
      if (short === null) initializer.push(protoOfTensor(t, name));
      else sparseInitializer.push(short);
    }
    return {
      node: this.nodes.map((n) => ({
        opType: n.opType,
        domain: n.domain,
        name: unique(n.layer || n.opType),
        input: n.input.map(resolve),
        output: n.output.map(resolve),
        attribute: Object.entries(n.attributes).map(
          ([name, a]) => ({ name, ...a }) as AttributeProto,
        ),
      })),
      initializer,
      sparseInitializer,
    };
  }
}
