/** @file Kernel -> one static C function: a pointer per buffer, then the scalar arguments. */
import {
  type Buffer,
  type ByKind,
  COMPARISONS,
  type Expr,
  elemOf,
  isFloatElem,
  isVector,
  type Kernel,
  type KType,
  lanesOf,
  type Stmt,
  visit,
} from "../../kernel/ir.ts";
import { mathInstance } from "../../kernel/math/index.ts";
import { writesOf } from "../../kernel/walk.ts";
import { invariant } from "../../util/errors.ts";
import { fillText, loadText, storeText } from "./access.ts";
import { binaryText, clampText, selectText, unaryText } from "./arithmetic.ts";
import {
  addDot16Text,
  castText,
  dot8Text,
  dot16Text,
  extmulText,
  narrowText,
  shuffleText,
  splatText,
} from "./casts.ts";
import type { Helpers } from "./helpers.ts";
import { constantKey, fillsRegisters, lateText, vectorConstants } from "./late.ts";
import { Names } from "./names.ts";
import { FULL, isPlain, type Range, rangeOf } from "./range.ts";
import { bare, byteCount, cType, literal, memoryType } from "./types.ts";

/** The state of one function being written. */
interface Writer {
  readonly h: Helpers;
  readonly buffers: ReadonlyMap<string, Buffer>;
  readonly names: Names;
  readonly nameOf: Map<string, string>;
  readonly ranges: Map<string, Range>;
  readonly dtypeOf: (buffer: string) => Buffer["dtype"];
  readonly lines: string[];
  /** C names of constants in scope that are to be used instead of new ones, by `constantKey`. */
  late: ReadonlyMap<string, string>;
  depth: number;
}

function makeWriter(h: Helpers, buffers: readonly Buffer[]): Writer {
  const byName = new Map(buffers.map((b) => [b.name, b]));
  return {
    h,
    buffers: byName,
    names: new Names(),
    nameOf: new Map(),
    ranges: new Map(),
    dtypeOf: (name) => byName.get(name)!.dtype,
    lines: [],
    late: new Map(),
    depth: 1,
  };
}

function declare(w: Writer, name: string): string {
  const c = w.names.make(name);
  w.nameOf.set(name, c);
  return c;
}

function named(w: Writer, name: string): string {
  const c = w.nameOf.get(name);
  invariant(c !== undefined, () => `C: ${name} is not in scope`);
  return c;
}

function line(w: Writer, text: string): void {
  w.lines.push(`${"  ".repeat(w.depth)}${text}`);
}

function constantText(w: Writer, x: Extract<Expr, { kind: "const" }>): string {
  const { h } = w;
  const late = w.late.get(constantKey(x));
  if (late !== undefined) return late;
  const text = literal(elemOf(x.type), x.value);
  if (!isVector(x.type)) return text;
  if (Object.is(x.value, 0) || x.value === 0n) return `(${x.type}){0}`;
  return splatText(h, x.type, text);
}

/** A product that must be rounded before an addition uses it is marked, so that no compiler fuses the two. */
function product(w: Writer, x: Extract<Expr, { kind: "binary" }>, rounded: boolean): string {
  const text = binaryText(w.h, x.op, x.a.type, expr(w, x.a, false), expr(w, x.b, false));
  return rounded ? `ROUNDED(${bare(text)})` : text;
}

/** i32 arithmetic that cannot overflow, with no more parentheses than C needs. */
function plain(w: Writer, x: Extract<Expr, { kind: "binary" }>): string {
  const { op } = x;
  if (op === "mul") return `(${expr(w, x.a)} * ${expr(w, x.b)})`;
  const term = (e: Expr, first: boolean): string => {
    const text = expr(w, e);
    if (e.kind !== "binary" || !isPlain(w, e)) return text;
    return first || e.op === "mul" ? bare(text) : text;
  };
  const b = x.b.kind === "const" ? Number(x.b.value) : 0;
  if (op === "add" && b < 0) return `(${term(x.a, true)} - ${-b})`;
  return `(${term(x.a, true)} ${op === "add" ? "+" : "-"} ${term(x.b, false)})`;
}

/** The smaller or larger of a value and a constant. */
function clamp(w: Writer, x: Extract<Expr, { kind: "binary" }>): string | null {
  const { op, type, a, b } = x;
  if ((op !== "min" && op !== "max") || !isFloatElem(elemOf(type)) || b.kind !== "const")
    return null;
  const value = Number(b.value);
  if (Number.isNaN(value)) return null;
  return clampText(w.h, op, type, expr(w, a), { text: expr(w, b), value });
}

function binary(w: Writer, x: Extract<Expr, { kind: "binary" }>, rounded: boolean): string {
  const { op } = x;
  if (op === "mul" && isFloatElem(elemOf(x.type))) return product(w, x, rounded);
  if (isPlain(w, x)) return plain(w, x);
  if (op === "add" && x.b.kind === "dot16") {
    const { a: p, b: q } = x.b;
    return addDot16Text(w.h, p.type, expr(w, x.a), expr(w, p), expr(w, q));
  }
  const clamped = clamp(w, x);
  if (clamped !== null) return clamped;
  const keeps = !COMPARISONS.has(op) && op !== "div";
  return binaryText(w.h, op, x.a.type, expr(w, x.a, keeps), expr(w, x.b, keeps), x.b.type);
}

/** A call of the maths library, whose functions become C functions. */
function callMath(h: Helpers, fn: string, type: KType): string {
  const name = `math_${fn}_${type}`;
  return h.once(name, () => {
    const instance = mathInstance(fn, type);
    const w = makeWriter(h, []);
    const params = instance.params.map((p) => `${cType(p.type)} ${declare(w, p.name)}`);
    for (const s of instance.body) statement(w, s);
    line(w, `return ${bare(expr(w, instance.result))};`);
    const body = w.lines.join("\n");
    return `static ${cType(type)} ${name}(${params.join(", ")}) {\n${body}\n}\n`;
  });
}

/** C text that binds tighter than any infix operator. `rounded`: an addition may use the value. */
function expr(w: Writer, e: Expr, rounded = true): string {
  const { h } = w;
  const table: ByKind<Expr, string> = {
    const: (x) => constantText(w, x),
    lanes: (x) => {
      const elem = elemOf(x.type);
      return `(${x.type}){${x.values.map((v) => literal(elem, v)).join(", ")}}`;
    },
    var: (x) => named(w, x.name),
    load: (x) => {
      const index = bare(expr(w, x.index));
      return loadText(h, w.buffers.get(x.buffer)!, named(w, x.buffer), index, x.type, x.group);
    },
    unary: (x) => unaryText(h, x.op, x.type, expr(w, x.a)),
    binary: (x) => binary(w, x, rounded),
    fma: (x) => `(${expr(w, x.a, false)} * ${expr(w, x.b, false)} + ${expr(w, x.c)})`,
    select: (x) => selectText(h, x.type, expr(w, x.cond), expr(w, x.a), expr(w, x.b)),
    cast: (x) => castText(h, x.op, x.a.type, x.type, expr(w, x.a)),
    splat: (x) => splatText(h, x.type, bare(expr(w, x.a))),
    extract: (x) => `${expr(w, x.a)}[${x.lane}]`,
    shuffle: (x) => shuffleText(h, x.type, x.indices, expr(w, x.a), expr(w, x.b)),
    narrow: (x) => narrowText(h, x.a.type, x.type, x.signed, expr(w, x.a), expr(w, x.b)),
    extmul: (x) => extmulText(h, x.a.type, x.type, x.half, expr(w, x.a), expr(w, x.b)),
    dot16: (x) => dot16Text(h, x.a.type, expr(w, x.a), expr(w, x.b)),
    dot8: (x) => dot8Text(h, x.a.type, expr(w, x.a), expr(w, x.b), expr(w, x.acc)),
    call: (x) => `${callMath(h, x.fn, x.type)}(${x.args.map((a) => expr(w, a)).join(", ")})`,
  };
  return visit(table, e);
}

function block(w: Writer, body: readonly Stmt[]): void {
  w.depth++;
  const outer = w.late;
  const made: string[] = [];
  body.forEach((s, i) => {
    statement(w, s);
    if (w.h.cpu.isa !== null && fillsRegisters(s)) made.push(...makeLate(w, body.slice(i + 1)));
  });
  dropUnused(w, made);
  w.late = outer;
  w.depth--;
}

/** Removes definitions that nothing came to use: some constants are part of instructions. */
function dropUnused(w: Writer, names: readonly string[]): void {
  for (const name of names) {
    const word = new RegExp(`\\b${name}\\b`);
    const [first, ...more] = w.lines.flatMap((text, i) => (word.test(text) ? [i] : []));
    if (first !== undefined && more.length === 0) w.lines.splice(first, 1);
  }
}

/** Names the vector constants of what follows a loop that fills the registers; gives the new names. */
function makeLate(w: Writer, rest: readonly Stmt[]): string[] {
  const late = new Map(w.late);
  const made: string[] = [];
  for (const [key, x] of vectorConstants(rest)) {
    const name = w.names.make("late");
    line(w, `const ${x.type} ${name} = ${lateText(w.h, x)};`);
    late.set(key, name);
    made.push(name);
  }
  w.late = late;
  return made;
}

function loop(w: Writer, s: Extract<Stmt, { kind: "for" }>): void {
  const begin = rangeOf(w, s.begin);
  const end = rangeOf(w, s.end);
  const from = bare(expr(w, s.begin));
  let to = bare(expr(w, s.end));
  if (s.end.kind !== "const") {
    const limit = w.names.make(`${s.var}_end`);
    line(w, `const int32_t ${limit} = ${to};`);
    to = limit;
  }
  const i = declare(w, s.var);
  w.ranges.set(s.var, [begin[0], Math.max(begin[0], end[1] - 1)]);
  const step = s.step === 1 ? `${i}++` : `${i} += ${s.step}`;
  line(w, `for (int32_t ${i} = ${from}; ${i} < ${to}; ${step}) {`);
  block(w, s.body);
  line(w, "}");
}

function define(w: Writer, name: string, value: Expr, constant: boolean): void {
  const text = bare(expr(w, value));
  if (constant && value.type === "i32") w.ranges.set(name, rangeOf(w, value));
  line(w, `${constant ? "const " : ""}${cType(value.type)} ${declare(w, name)} = ${text};`);
}

function element(w: Writer, buffer: string, index: Expr): string {
  return `${named(w, buffer)}[${bare(expr(w, index))}]`;
}

function statement(w: Writer, stmt: Stmt): void {
  const table: ByKind<Stmt, void> = {
    for: (s) => loop(w, s),
    if: (s) => {
      line(w, `if (${bare(expr(w, s.cond))}) {`);
      block(w, s.then);
      if (s.else.length > 0) {
        line(w, "} else {");
        block(w, s.else);
      }
      line(w, "}");
    },
    let: (s) => define(w, s.name, s.value, true),
    reg: (s) => define(w, s.name, s.value, false),
    set: (s) => line(w, `${named(w, s.name)} = ${bare(expr(w, s.value))};`),
    store: (s) => {
      const value = bare(expr(w, s.value, false));
      const target = element(w, s.buffer, s.index);
      const { type } = s.value;
      const lanes = s.lanes ?? lanesOf(type);
      line(w, storeText(w.h, w.buffers.get(s.buffer)!, target, type, value, lanes));
    },
    copy: (s) => {
      const [to, from] = [element(w, s.dst, s.dstIndex), element(w, s.src, s.srcIndex)];
      const bytes = byteCount(expr(w, s.count), w.dtypeOf(s.dst));
      line(w, `memcpy(&${to}, &${from}, ${bytes});`);
    },
    fill: (s) => {
      const dtype = w.dtypeOf(s.buffer);
      const target = element(w, s.buffer, s.index);
      const count = expr(w, s.count);
      line(w, fillText(w.h, dtype, target, s.value, bare(count), byteCount(count, dtype)));
    },
  };
  visit(table, stmt);
}

/** What calls of a kernel have in common. */
export interface KernelFacts {
  /** Buffers that share no byte with others in any call. */
  readonly apart: ReadonlySet<string>;
  /** Bounds of scalar arguments. */
  readonly args: ReadonlyMap<string, Range>;
}

/** The definition of a function for a prepared kernel. */
export function emitKernel(
  h: Helpers,
  kernel: Kernel,
  name: string,
  facts: KernelFacts = { apart: new Set(), args: new Map() },
): string {
  const w = makeWriter(h, kernel.buffers);
  const written = writtenBuffers(kernel);
  const params = [
    ...kernel.buffers.map((b) => {
      const pointer = `${written.has(b.name) ? "" : "const "}${memoryType(b.dtype)} *`;
      return `${pointer}${facts.apart.has(b.name) ? "restrict " : ""}${declare(w, b.name)}`;
    }),
    ...kernel.args.map((a) => {
      w.ranges.set(a.name, facts.args.get(a.name) ?? FULL);
      return `${cType(a.type)} ${declare(w, a.name)}`;
    }),
  ];
  for (const s of kernel.body) statement(w, s);
  const used = w.lines.join("\n");
  const unused = [...kernel.buffers, ...kernel.args]
    .map((p) => named(w, p.name))
    .filter((c) => !new RegExp(`\\b${c}\\b`).test(used))
    .map((c) => `  (void)${c};\n`);
  const one = params.length === 0 ? "void" : params.join(", ");
  const list = one.length + name.length > 80 ? `\n    ${params.join(",\n    ")}` : one;
  return `static void ${name}(${list}) {\n${unused.join("")}${used}${used === "" ? "" : "\n"}}\n`;
}

/** Buffers some statement writes by name. */
export function writtenBuffers(kernel: Kernel): ReadonlySet<string> {
  // Every buffer gets a role of its own: aliases do not count here.
  const alone = {
    ...kernel,
    buffers: kernel.buffers.map((b) => ({ ...b, role: "work" as const })),
  };
  return writesOf(alone, kernel.body).buffers;
}
