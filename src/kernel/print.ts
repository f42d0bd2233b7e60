/** @file The text form of kernels and programs, for reading and for tests; parse.ts reads it back. */
import { type ByKind, type Expr, type Kernel, type Stmt, scalarTypeOf, visit } from "./ir.ts";
import type { Call, Port, Program, Segment } from "./program.ts";

const INFIX: Readonly<Record<string, string>> = { add: "+", sub: "-", mul: "*" };

/** -0, infinities and NaN keep their spelling. */
const number = (x: number | bigint): string => (Object.is(x, -0) ? "-0" : String(x));

type BufferTypes = ReadonlyMap<string, string>;

/** One expression on one line. Types are written where the operands do not imply them. */
function expression(buffers: BufferTypes, e: Expr): string {
  const p = (x: Expr): string => expression(buffers, x);
  const list = (...xs: readonly Expr[]): string => xs.map(p).join(", ");
  const table: ByKind<Expr, string> = {
    const: (n) => (n.type === "i32" ? number(n.value) : `${number(n.value)}:${n.type}`),
    lanes: (n) => `[${n.values.map(number).join(", ")}]:${n.type}`,
    var: (n) => n.name,
    load: (n) => {
      const type = buffers.get(n.buffer) === n.type ? "" : `:${n.type}`;
      return `${n.buffer}[${p(n.index)}]${type}${n.group === undefined ? "" : `/${n.group}`}`;
    },
    unary: (n) => `${n.op}(${p(n.a)})`,
    binary: (n) => {
      const infix = INFIX[n.op];
      return infix === undefined ? `${n.op}(${list(n.a, n.b)})` : `(${p(n.a)} ${infix} ${p(n.b)})`;
    },
    fma: (n) => `fma(${list(n.a, n.b, n.c)})`,
    select: (n) => `select(${list(n.cond, n.a, n.b)})`,
    cast: (n) => `${n.op}:${n.type}(${p(n.a)})`,
    splat: (n) => `splat:${n.type}(${p(n.a)})`,
    extract: (n) => `extract/${n.lane}(${p(n.a)})`,
    shuffle: (n) => `shuffle/${n.indices.join(".")}(${list(n.a, n.b)})`,
    narrow: (n) => `narrow_${n.signed ? "s" : "u"}:${n.type}(${list(n.a, n.b)})`,
    extmul: (n) => `extmul_${n.half}:${n.type}(${list(n.a, n.b)})`,
    dot16: (n) => `dot16(${list(n.a, n.b)})`,
    dot8: (n) => `dot8(${list(n.a, n.b, n.acc)})`,
    call: (n) => `@${n.fn}(${list(...n.args)})`,
  };
  return visit(table, e);
}

function block(buffers: BufferTypes, body: readonly Stmt[], indent: string): string {
  return body.map((s) => statement(buffers, s, indent)).join("");
}

function statement(buffers: BufferTypes, stmt: Stmt, indent: string): string {
  const p = (x: Expr): string => expression(buffers, x);
  const inner = `${indent}  `;
  const line = (text: string): string => `${indent}${text}\n`;
  const table: ByKind<Stmt, string> = {
    for: (s) => {
      const step = s.step === 1 ? "" : ` step ${s.step}`;
      const tag = s.tag === "serial" ? "" : ` ${s.tag}`;
      const flags = `${step}${tag}${s.parallel === true ? " parallel" : ""}`;
      const head = line(`for ${s.var} = ${p(s.begin)} to ${p(s.end)}${flags} {`);
      return head + block(buffers, s.body, inner) + line("}");
    },
    if: (s) => {
      const head = line(`if ${p(s.cond)} {`) + block(buffers, s.then, inner);
      if (s.else.length === 0) return head + line("}");
      return head + line("} else {") + block(buffers, s.else, inner) + line("}");
    },
    let: (s) => line(`let ${s.name} = ${p(s.value)}`),
    reg: (s) => line(`reg ${s.name} = ${p(s.value)}`),
    set: (s) => line(`set ${s.name} = ${p(s.value)}`),
    store: (s) => {
      const lanes = s.lanes === undefined ? "" : `/${s.lanes}`;
      return line(`store ${s.buffer}[${p(s.index)}]${lanes} = ${p(s.value)}`);
    },
    copy: (s) => {
      const to = `${s.dst}[${p(s.dstIndex)}]`;
      return line(`copy ${to} = ${s.src}[${p(s.srcIndex)}] count ${p(s.count)}`);
    },
    fill: (s) => {
      return line(`fill ${s.buffer}[${p(s.index)}] = ${number(s.value)} count ${p(s.count)}`);
    },
  };
  return visit(table, stmt);
}

/** Names outside the grammar (layers' names, say) are written as JSON strings. */
const quoted = (name: string): string =>
  /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) ? name : JSON.stringify(name);

/** The kernel as text; `parseKernel` gives an equal kernel. */
export function printKernel(kernel: Kernel): string {
  const types = new Map(kernel.buffers.map((b) => [b.name, scalarTypeOf(b.dtype)]));
  const params = [
    ...kernel.buffers.map((b) => `${b.role} ${b.name}: ${b.dtype}[${b.size}]`),
    ...kernel.args.map((a) => `arg ${a.name}: ${a.type}`),
  ];
  const body = block(types, kernel.body, "  ");
  const text = `kernel ${quoted(kernel.name)}(${params.join(", ")}) {\n${body}}\n`;
  const { fma, dot8 } = kernel.forms ?? {};
  const form = (name: string, k?: Kernel): string => (k ? `${name} ${printKernel(k)}` : "");
  return text + form("fma", fma) + form("dot8", dot8);
}

/** Bytes as base64, without help from the platform's string conversions. */
export function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) {
    text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  }
  return btoa(text);
}

const segmentLine = (s: Segment): string =>
  `segment ${JSON.stringify(s.name)} at ${s.offset} ${JSON.stringify(toBase64(s.bytes))}\n`;

const portLine = (kind: string, p: Port): string =>
  `${kind} ${JSON.stringify(p.name)} at ${p.offset} ${JSON.stringify(p.type)}\n`;

/** Arguments are JSON; numbers JSON cannot spell are strings. */
const argument = (a: number | "flip"): string =>
  typeof a === "number" && (!Number.isFinite(a) || Object.is(a, -0))
    ? JSON.stringify(number(a))
    : JSON.stringify(a);

const callLine = (kind: string, c: Call): string =>
  `${kind} ${c.kernel} [${c.bases.join(", ")}] [${c.args.map(argument).join(", ")}] ` +
  `${JSON.stringify(c.label)}\n`;

/** The program as text: sizes, ports, constants (base64), calls, then the kernels. */
export function printProgram(p: Program): string {
  return [
    `program ${JSON.stringify(p.name)} memory ${p.memoryBytes} arena ${p.arenaBytes}\n`,
    `meta ${JSON.stringify(p.meta)}\n`,
    ...p.inputs.map((x) => portLine("input", x)),
    ...p.outputs.map((x) => portLine("output", x)),
    ...p.constants.map(segmentLine),
    ...p.init.map((c) => callLine("init", c)),
    ...p.steps.map((c) => callLine("step", c)),
    ...p.kernels.map(printKernel),
  ].join("");
}
