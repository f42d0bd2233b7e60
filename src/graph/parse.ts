/** @file Reads the graph's text form (see print.ts). */
import { isBig, isDType } from "../tensor/dtype.ts";
import {
  elementCount,
  makeTensor,
  numberWriter,
  type QuantParams,
  sameType,
  type Tensor,
  type TensorType,
  zeros,
} from "../tensor/tensor.ts";
import { UserError } from "../util/errors.ts";
import { type Graph, GraphBuilder, type Value } from "./graph.ts";
import type { Attrs, AttrValue, Op } from "./op.ts";
import { printType } from "./print.ts";

const TOKEN =
  /\s*(?:(\/\/[^\n]*)|("(?:[^"\\]|\\.)*")|(#[0-9a-f]+)|(%\d+)|(-?(?:inf|nan)\b|-?\d+(?:\.\d+)?(?:e[+-]?\d+)?n?)|([A-Za-z_]\w*)|([[\]{}(),:=]))/y;

interface Token {
  readonly text: string;
  readonly line: number;
}

function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  let line = 1;
  TOKEN.lastIndex = 0;
  let at = 0;
  while (at < text.length) {
    if (/^\s*$/.test(text.slice(at, at + 4096)) && text.slice(at).trim() === "") break;
    TOKEN.lastIndex = at;
    const m = TOKEN.exec(text);
    if (m === null) {
      throw new UserError(
        "E_TEXT",
        `line ${line}: cannot read '${text.slice(at, at + 20).trim()}'`,
      );
    }
    line += (m[0].match(/\n/g) ?? []).length;
    at = TOKEN.lastIndex;
    if (m[1] === undefined) tokens.push({ text: m[0].trim(), line });
  }
  return tokens;
}

export interface ParseOptions {
  /** Operators by name. */
  readonly ops: Readonly<Record<string, Op>>;
  /** Constants by `constantKey`, for those the text does not write out. */
  readonly constants?: ReadonlyMap<string, Tensor>;
}

/** The graph of a text. Throws UserError E_TEXT with the line, or what building the graph throws. */
export function parseGraph(text: string, options: ParseOptions): Graph {
  return new Parser(tokenize(text), options).graph();
}

class Parser {
  private readonly tokens: readonly Token[];
  private readonly options: ParseOptions;
  private at = 0;
  private readonly known = new Map<string, Value>();

  constructor(tokens: readonly Token[], options: ParseOptions) {
    this.tokens = tokens;
    this.options = options;
  }

  private peek(): string {
    return this.tokens[this.at]?.text ?? "";
  }

  private fail(message: string): never {
    const line = this.tokens[Math.min(this.at, this.tokens.length - 1)]?.line ?? 1;
    throw new UserError("E_TEXT", `line ${line}: ${message}`);
  }

  private take(expected?: string): string {
    const text = this.peek();
    if (expected !== undefined && text !== expected) {
      this.fail(`expected '${expected}', got '${text || "end of text"}'`);
    }
    this.at++;
    return text;
  }

  private accept(text: string): boolean {
    if (this.peek() !== text) return false;
    this.at++;
    return true;
  }

  private string(): string {
    const t = this.take();
    if (!t.startsWith('"')) this.fail(`expected a string, got '${t}'`);
    return JSON.parse(t) as string;
  }

  private optionalString(): string {
    return this.peek().startsWith('"') ? this.string() : "";
  }

  private number(): number {
    const t = this.take();
    if (t === "inf") return Number.POSITIVE_INFINITY;
    if (t === "-inf") return Number.NEGATIVE_INFINITY;
    if (t === "nan") return Number.NaN;
    const x = Number(t);
    if (t === "" || Number.isNaN(x)) this.fail(`expected a number, got '${t}'`);
    return x;
  }

  private list<T>(open: string, close: string, item: () => T): T[] {
    this.take(open);
    const out: T[] = [];
    while (!this.accept(close)) {
      if (out.length > 0) this.take(",");
      out.push(item());
    }
    return out;
  }

  private type(): TensorType {
    const dtype = this.take();
    if (!isDType(dtype)) this.fail(`unknown element type '${dtype}'`);
    const shape = this.list("[", "]", () => this.number());
    if (this.peek() !== "{") return { dtype, shape };
    return { dtype, shape, quant: this.quant() };
  }

  private quant(): QuantParams {
    const item = (): number[] =>
      this.peek() === "[" ? this.list("[", "]", () => this.number()) : [this.number()];
    this.take("{");
    const scale = item();
    this.take(",");
    const zeroPoint = item();
    const axis = this.accept(",") ? this.number() : null;
    this.take("}");
    return { scale, zeroPoint, axis };
  }

  private attr(): AttrValue {
    const t = this.peek();
    if (t === "[") return this.list("[", "]", () => this.attr());
    if (t === "{") {
      return Object.fromEntries(
        this.list("{", "}", () => {
          const key = this.take();
          this.take(":");
          return [key, this.attr()] as const;
        }),
      );
    }
    if (t.startsWith('"')) return this.string();
    if (t === "true" || t === "false") return this.take() === "true";
    if (t === "null") {
      this.take();
      return null;
    }
    return this.number();
  }

  private ref(): Value {
    const t = this.take();
    const v = this.known.get(t);
    if (v === undefined) this.fail(`unknown value '${t}'`);
    return v;
  }

  private define(name: string, v: Value): void {
    if (!name.startsWith("%")) this.fail(`expected a value name, got '${name}'`);
    if (this.known.has(name)) this.fail(`value '${name}' is defined twice`);
    this.known.set(name, v);
  }

  graph(): Graph {
    this.take("graph");
    const g = new GraphBuilder(this.string());
    while (this.at < this.tokens.length) this.statement(g);
    return g.build();
  }

  private statement(g: GraphBuilder): void {
    if (this.accept("meta")) {
      const key = this.string();
      g.meta[key] = this.string();
    } else if (this.accept("input")) {
      const name = this.take();
      this.take(":");
      const type = this.type();
      this.define(name, g.input(this.optionalString(), type));
    } else if (this.accept("const")) {
      const name = this.take();
      this.take(":");
      const type = this.type();
      this.take("=");
      const tensor = this.payload(type);
      this.define(name, g.constant(tensor, this.optionalString()));
    } else if (this.accept("output")) {
      const v = this.ref();
      g.output(v, this.string());
    } else {
      this.node(g);
    }
  }

  private payload(type: TensorType): Tensor {
    if (this.peek().startsWith("#")) {
      const key = this.take().slice(1);
      const tensor = this.options.constants?.get(key);
      if (tensor === undefined) this.fail(`constant #${key} was not given`);
      return makeTensor(type, tensor.data);
    }
    const tensor = zeros(type);
    const write = numberWriter(tensor);
    const items = this.list("[", "]", () => (isBig(type.dtype) ? this.take() : this.number()));
    if (items.length !== elementCount(type.shape)) {
      this.fail(`${elementCount(type.shape)} values expected, got ${items.length}`);
    }
    items.forEach((x, i) => {
      if (typeof x === "number") write(i, x);
      else tensor.data[i] = BigInt(x);
    });
    return tensor;
  }

  private node(g: GraphBuilder): void {
    const outs: { readonly name: string; readonly type: TensorType }[] = [];
    do {
      const name = this.take();
      this.take(":");
      outs.push({ name, type: this.type() });
    } while (this.accept(","));
    this.take("=");
    const opName = this.take();
    const op = Object.hasOwn(this.options.ops, opName) ? this.options.ops[opName] : undefined;
    if (op === undefined) this.fail(`unknown operator '${opName}'`);
    const ins = this.list("(", ")", () => this.ref());
    const attrs = this.peek() === "{" ? (this.attr() as Attrs) : {};
    const results = g.applyAll(op, ins, attrs, this.optionalString());
    if (results.length !== outs.length) {
      this.fail(`${opName} has ${results.length} results, ${outs.length} are named`);
    }
    outs.forEach((o, i) => {
      const inferred = g.typeOf(results[i]!);
      if (!sameType(inferred, o.type)) {
        this.fail(`${opName}: written type ${printType(o.type)}, inferred ${printType(inferred)}`);
      }
      this.define(o.name, results[i]!);
    });
  }
}
