/**
 * @file One layer as one line of text, and back: its operator, operand and result types (constants have a "=" in
 * front) and attributes. Scales are replaced by common ones, so that equal layers have equal lines; weights
 * are gone: reading a line back gives random ones.
 */
import { randomFeed } from "../src/feeds.ts";
import { type Graph, type Node, typeOf, type Value } from "../src/graph/graph.ts";
import type { Attrs, AttrValue, OutQuant } from "../src/graph/op.ts";
import { parseGraph } from "../src/graph/parse.ts";
import { printAttr, printType } from "../src/graph/print.ts";
import { ops } from "../src/ops/index.ts";
import type { QuantParams, Tensor, TensorType } from "../src/tensor/tensor.ts";

const VALUE_SCALE = 0.05;
const WEIGHT_SCALE = 0.01;
const ZERO_POINT = 10;

const commonQuant = ({ axis }: Pick<QuantParams, "axis">, constant: boolean): QuantParams =>
  constant
    ? { scale: [WEIGHT_SCALE], zeroPoint: [0], axis }
    : { scale: [VALUE_SCALE], zeroPoint: [ZERO_POINT], axis };

const commonType = (t: TensorType, constant: boolean): TensorType =>
  t.quant === undefined ? t : { ...t, quant: commonQuant(t.quant, constant) };

function commonAttrs(attrs: Attrs): AttrValue {
  const { out, ...rest } = attrs as { readonly out?: OutQuant } & Record<string, AttrValue>;
  if (out === undefined) return rest;
  return { ...rest, out: { dtype: out.dtype, ...commonQuant(out, false) } as unknown as AttrValue };
}

/** The line of a node with one result. */
export function layerLine(graph: Graph, node: Node): string {
  const operands = node.ins.map((v) => {
    const constant = graph.constants.has(v);
    return `${constant ? "=" : ""}${printType(commonType(typeOf(graph, v), constant))}`;
  });
  const result = printType(commonType(typeOf(graph, node.outs[0]!), false));
  const attrs = printAttr(commonAttrs(node.attrs));
  const tail = attrs === "{}" ? "" : ` ${attrs}`;
  return `${result} = ${node.op.name}(${operands.join(" ")})${tail}`;
}

/** Parameters of one channel repeated for all: "i8[8,3]{[0.01], [0], 0}" has eight. */
const repeatChannels = (type: string): string =>
  type.replace(
    /^(\w+\[([\d,]*)\])\{\[([^\],]*)\], \[([^\],]*)\], (\d+)\}$/,
    (_, head: string, shape: string, scale: string, zero: string, axis: string) => {
      const all = (x: string): string =>
        Array(Number(shape.split(",")[Number(axis)]))
          .fill(x)
          .join(", ");
      return `${head}{[${all(scale)}], [${all(zero)}], ${axis}}`;
    },
  );

/** The types of an operand list; spaces within braces do not part them. */
const splitTypes = (text: string): string[] => text.match(/=?\w+\[[\d,]*\](?:\{[^}]*\})?/g) ?? [];

/** A graph of the layer alone, its constants seeded random numbers. Throws where the line is no layer. */
export function layerGraph(line: string): Graph {
  const match = /^(\S.*?) = (\w+)\((.*?)\)(?: (\{.*\}))?$/.exec(line);
  if (match === null) throw new Error(`not a layer: ${line}`);
  const [, result = "", op = "", operands = "", attrs = ""] = match;
  const types = splitTypes(operands);
  const inputs = types.map((t, i) => `input %${i}: ${repeatChannels(t.replace(/^=/, ""))} "x${i}"`);
  const ins = types.map((_, i) => `%${i}`).join(", ");
  const y = `%${types.length}`;
  const text = `graph "layer"\n${inputs.join("\n")}\n${y}: ${repeatChannels(result)} = ${op}(${ins}) ${attrs} "layer"\noutput ${y} "y"\n`;
  const graph = parseGraph(text, { ops });
  const constants = new Map<Value, Tensor>();
  graph.inputs.forEach((v, i) => {
    if (types[i]!.startsWith("=")) constants.set(v, randomFeed(typeOf(graph, v), i + 1));
  });
  return { ...graph, inputs: graph.inputs.filter((v) => !constants.has(v)), constants };
}
