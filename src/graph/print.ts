/** @file The graph's text form, one line a node; `parseGraph` reads it back exactly. */
import {
  bytesOf,
  type QuantParams,
  type Tensor,
  type TensorType,
  toNumbers,
} from "../tensor/tensor.ts";
import { hashBytes } from "../util/math.ts";
import type { Graph, Value } from "./graph.ts";
import type { AttrValue } from "./op.ts";

export function printNumber(x: number): string {
  if (Object.is(x, -0)) return "-0";
  if (Number.isNaN(x)) return "nan";
  if (x === Number.POSITIVE_INFINITY) return "inf";
  if (x === Number.NEGATIVE_INFINITY) return "-inf";
  return String(x);
}

export function printAttr(value: AttrValue): string {
  if (typeof value === "number") return printNumber(value);
  if (typeof value === "object" && value !== null) {
    if (Array.isArray(value)) return `[${value.map(printAttr).join(", ")}]`;
    const fields = Object.entries(value as { readonly [key: string]: AttrValue });
    return `{${fields.map(([k, v]) => `${k}: ${printAttr(v)}`).join(", ")}}`;
  }
  return JSON.stringify(value);
}

function printQuant(q: QuantParams): string {
  const list = (xs: readonly number[]): string =>
    xs.length === 1 ? printNumber(xs[0]!) : `[${xs.map(printNumber).join(", ")}]`;
  return q.axis === null
    ? `{${list(q.scale)}, ${list(q.zeroPoint)}}`
    : `{[${q.scale.map(printNumber).join(", ")}], [${q.zeroPoint.map(printNumber).join(", ")}], ${q.axis}}`;
}

/** For example "i8[1,8,8,16]{0.05, -3}"; the braces hold scale, zero point and, per channel, the axis. */
export const printType = (t: TensorType): string =>
  `${t.dtype}[${t.shape.join(",")}]${t.quant ? printQuant(t.quant) : ""}`;

/** The name under which `parseGraph` looks a constant up: a hash of its type and bytes. */
export const constantKey = (t: Tensor): string =>
  hashBytes(new TextEncoder().encode(printType(t.type))) + hashBytes(bytesOf(t));

export interface PrintOptions {
  /** Constants of at most this many elements are written out; longer ones by key. Default 8. */
  readonly inlineLimit?: number;
}

/** The text of a graph. Values are renumbered in order of appearance, so equal graphs print equal. */
export function printGraph(g: Graph, options: PrintOptions = {}): string {
  const limit = options.inlineLimit ?? 8;
  const ids = new Map<Value, number>();
  const ref = (v: Value): string => {
    if (!ids.has(v)) ids.set(v, ids.size);
    return `%${ids.get(v)}`;
  };
  const label = (text: string): string => (text === "" ? "" : ` ${JSON.stringify(text)}`);
  const lines = [`graph ${JSON.stringify(g.name)}`];
  for (const [key, value] of Object.entries(g.meta)) {
    lines.push(`meta ${JSON.stringify(key)} ${JSON.stringify(value)}`);
  }
  for (const v of g.inputs) {
    const info = g.values.get(v)!;
    lines.push(`input ${ref(v)}: ${printType(info.type)}${label(info.name)}`);
  }
  const constant = (v: Value): void => {
    if (ids.has(v)) return;
    const t = g.constants.get(v);
    if (t === undefined) return;
    const payload = t.data.length <= limit ? printValues(t) : `#${constantKey(t)}`;
    lines.push(`const ${ref(v)}: ${printType(t.type)} = ${payload}${label(g.values.get(v)!.name)}`);
  };
  for (const node of g.nodes) {
    node.ins.forEach(constant);
    const outs = node.outs.map((v) => `${ref(v)}: ${printType(g.values.get(v)!.type)}`).join(", ");
    const attrs = Object.entries(node.attrs as Record<string, AttrValue>).filter(
      ([, v]) => v !== undefined,
    );
    const tail = attrs.length === 0 ? "" : ` ${printAttr(Object.fromEntries(attrs))}`;
    lines.push(
      `${outs} = ${node.op.name}(${node.ins.map(ref).join(", ")})${tail}${label(node.name)}`,
    );
  }
  g.outputs.forEach((v, i) => {
    constant(v);
    lines.push(`output ${ref(v)} ${JSON.stringify(g.outputNames[i])}`);
  });
  return `${lines.join("\n")}\n`;
}

function printValues(t: Tensor): string {
  const big = t.type.dtype === "i64" || t.type.dtype === "u64";
  const items = big ? Array.from(t.data, String) : toNumbers(t).map(printNumber);
  return `[${items.join(", ")}]`;
}
