/** @file Bodies of the functions that an exported model brings along (ONNX's FunctionProto). */
import { scalarOf, type Tensor } from "../../../tensor/tensor.ts";
import { TERSOR_DOMAIN } from "../functions.ts";
import { ATTRIBUTE, type FunctionProto, type NodeProto } from "../proto.ts";
import { protoOfTensor } from "../tensors.ts";
import type { Draft } from "../wire.ts";
import type { AttributeMap } from "./writer.ts";

/** Nodes of a function body in order; a number stands for an i64 constant. */
export class Body {
  readonly nodes: Draft<NodeProto>[] = [];
  private next = 0;
  private readonly numbers = new Map<number, string>();

  emit(opType: string, input: readonly (string | number)[], attributes: AttributeMap = {}): string {
    return this.node("", opType, input, attributes);
  }

  /** Calls another function of the model. */
  call(name: string, input: readonly string[]): string {
    return this.node(TERSOR_DOMAIN, name, input, {});
  }

  private node(
    domain: string,
    opType: string,
    input: readonly (string | number)[],
    attributes: AttributeMap,
  ): string {
    const names = input.map((x) => (typeof x === "number" ? this.number(x) : x));
    const output = `t${this.next++}`;
    this.nodes.push({
      ...{ opType, input: names, output: [output] },
      domain,
      attribute: Object.entries(attributes).map(([name, a]) => ({ name, ...a })) as never,
    });
    return output;
  }

  private number(x: number): string {
    let name = this.numbers.get(x);
    if (name === undefined) {
      // A tensor: an attribute that is 0 would be left out.
      name = this.constant(scalarOf("i64", x));
      this.numbers.set(x, name);
    }
    return name;
  }

  constant(tensor: Tensor): string {
    const t = protoOfTensor(tensor, "");
    return this.emit("Constant", [], { value: { type: ATTRIBUTE.tensor, t } });
  }

  /** A constant with the value of an attribute of the call. */
  argument(name: string, kind: "int" | "ints"): string {
    const value = { refAttrName: name, type: ATTRIBUTE[kind] };
    return this.emit("Constant", [], { [`value_${kind}`]: value });
  }

  build(
    name: string,
    input: readonly string[],
    attribute: readonly string[] = [],
  ): Draft<FunctionProto> {
    const opsetImport = [
      { domain: "", version: 21 },
      { domain: TERSOR_DOMAIN, version: 1 },
    ];
    const output = [this.nodes.at(-1)!.output![0]!];
    return {
      name,
      domain: TERSOR_DOMAIN,
      input,
      output,
      attribute,
      node: this.nodes,
      opsetImport,
    };
  }
}
