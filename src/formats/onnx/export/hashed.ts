/**
 * @file Hashed weights as a function of the model (ONNX's FunctionProto), written once and called by each layer: the
 * file has the vector of weights, and a runtime computes the virtual tensor from it, at load where it folds constants.
 * 32-bit products are made of halves, because integers of ONNX operators are wide and signed.
 */
import type { HashedWeightsAttrs } from "../../../ops/nn/hashed-weights.ts";
import { scalarOf } from "../../../tensor/tensor.ts";
import { HASHED_FUNCTION, TERSOR_DOMAIN } from "../hashed.ts";
import { ATTRIBUTE, type FunctionProto, type NodeProto } from "../proto.ts";
import { protoOfTensor } from "../tensors.ts";
import type { Draft } from "../wire.ts";
import type { ExportEntry } from "./context.ts";
import { type AttributeMap, int, ints } from "./writer.ts";

const MIX = "Mix32";
const WORD = 2 ** 32;

/** Nodes of a function body in order; a number stands for an i64 constant. */
class Body {
  readonly nodes: Draft<NodeProto>[] = [];
  private next = 0;
  private readonly numbers = new Map<number, string>();

  emit(opType: string, input: readonly (string | number)[], attributes: AttributeMap = {}): string {
    const names = input.map((x) => (typeof x === "number" ? this.number(x) : x));
    const output = `t${this.next++}`;
    this.nodes.push({
      ...{ opType, input: names, output: [output] },
      domain: opType === MIX ? TERSOR_DOMAIN : "",
      attribute: Object.entries(attributes).map(([name, a]) => ({ name, ...a })) as never,
    });
    return output;
  }

  private number(x: number): string {
    let name = this.numbers.get(x);
    if (name === undefined) {
      // A tensor: an attribute that is 0 would be left out.
      const t = protoOfTensor(scalarOf("i64", x), "");
      name = this.emit("Constant", [], { value: { type: ATTRIBUTE.tensor, t } });
      this.numbers.set(x, name);
    }
    return name;
  }

  /** A constant with the value of an attribute of the call. */
  argument(name: string, kind: "int" | "ints"): string {
    const value = { refAttrName: name, type: ATTRIBUTE[kind] };
    return this.emit("Constant", [], { [`value_${kind}`]: value });
  }

  build(name: string, input: string, attribute: readonly string[]): Draft<FunctionProto> {
    const opsetImport = [
      { domain: "", version: 21 },
      { domain: TERSOR_DOMAIN, version: 1 },
    ];
    const output = [this.nodes.at(-1)!.output![0]!];
    return {
      name,
      domain: TERSOR_DOMAIN,
      input: [input],
      output,
      attribute,
      node: this.nodes,
      opsetImport,
    };
  }
}

/** MurmurHash3's finaliser on i64 that hold 32 bits. */
function mixFunction(): Draft<FunctionProto> {
  const b = new Body();
  const folded = (h: string, shift: number): string =>
    b.emit("BitwiseXor", [h, b.emit("Div", [h, 2 ** shift])]);
  const times = (h: string, factor: number): string => {
    const low = b.emit("Mul", [h, factor & 0xffff]);
    const high = b.emit("Mod", [b.emit("Mul", [h, factor >>> 16]), 65536]);
    return b.emit("Mod", [b.emit("Add", [low, b.emit("Mul", [high, 65536])]), WORD]);
  };
  folded(times(folded(times(folded("x", 16), 0x85ebca6b), 13), 0xc2b2ae35), 16);
  return b.build(MIX, "x", []);
}

/** hashPlace and hashSign of src/ops/nn/hash.ts for all elements, and the weights there. */
function hashedFunction(): Draft<FunctionProto> {
  const b = new Body();
  const shape = b.argument("shape", "ints");
  const seed = b.emit("Mod", [b.argument("seed", "int"), WORD]);
  const mix = (x: string): string => b.emit(MIX, [x]);
  const size = b.emit("ReduceProd", [shape], { keepdims: int(false) });
  const i = b.emit("Range", [0, size, 1]);
  const hash = (own: string): string => mix(b.emit("BitwiseXor", [i, mix(own)]));
  const wide = b.emit("Mul", [hash(seed), b.emit("Size", ["w"])]);
  const taken = b.emit("Gather", ["w", b.emit("Div", [wide, WORD])]);
  const bit = b.emit("Mod", [hash(b.emit("BitwiseXor", [seed, 0x9e3779b9])), 2]);
  const sign = b.emit("Sub", [1, b.emit("Add", [bit, bit])]);
  const signed = b.emit("Mul", [taken, b.emit("CastLike", [sign, "w"])]);
  b.emit("Reshape", [signed, shape]);
  return b.build(HASHED_FUNCTION, "w", ["shape", "seed"]);
}

/** What the call of a hashed layer needs in the model. */
export const hashedFunctions = (): readonly Draft<FunctionProto>[] => [
  mixFunction(),
  hashedFunction(),
];

export const hashedExports = {
  hashed_weights: {
    run: (x) =>
      x.w.call(HASHED_FUNCTION, [x.raw(0)], {
        shape: ints(x.attrs.shape),
        seed: int(x.attrs.seed),
      }),
  } satisfies ExportEntry<HashedWeightsAttrs>,
};
