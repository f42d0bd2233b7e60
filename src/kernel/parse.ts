/** @file Reads the text form of kernels and programs that print.ts writes. */
import { isDType } from "../tensor/dtype.ts";
import type { TensorType } from "../tensor/tensor.ts";
import type { Buffer, Expr, Kernel, KType, LoopTag, ScalarArg, ScalarType, Stmt } from "./ir.ts";
import { Lexer } from "./lexer.ts";
import { type Names, parseExpr } from "./parse-expr.ts";
import type { Call, Port, Program, Segment } from "./program.ts";

function parseBlock(lex: Lexer, names: Names): Stmt[] {
  lex.expect("{");
  const body: Stmt[] = [];
  while (!lex.take("}")) body.push(parseStmt(lex, names));
  return body;
}

/** A buffer element as the place a statement writes or reads. */
function place(lex: Lexer, names: Names): { readonly buffer: string; readonly index: Expr } {
  const buffer = lex.name();
  if (!names.buffers.has(buffer)) lex.fail("a buffer before this");
  lex.expect("[");
  const index = parseExpr(lex, names);
  lex.expect("]");
  return { buffer, index };
}

function parseFor(lex: Lexer, names: Names): Stmt {
  const name = lex.name();
  lex.expect("=");
  const begin = parseExpr(lex, names);
  lex.expect("to");
  const end = parseExpr(lex, names);
  const step = lex.take("step") ? lex.number() : 1;
  const tags: readonly LoopTag[] = ["unroll", "outline"];
  const tag = tags.find((t) => lex.take(t)) ?? "serial";
  const parallel = lex.take("parallel") ? { parallel: true as const } : {};
  names.types.set(name, "i32");
  const head = { kind: "for", var: name, begin, end, step, tag, ...parallel } as const;
  return { ...head, body: parseBlock(lex, names) };
}

function parseNamed(lex: Lexer, names: Names, kind: "let" | "reg" | "set"): Stmt {
  const name = lex.name();
  lex.expect("=");
  const value = parseExpr(lex, names);
  if (kind !== "set") names.types.set(name, value.type);
  return { kind, name, value };
}

function parseStore(lex: Lexer, names: Names): Stmt {
  const { buffer, index } = place(lex, names);
  const lanes = lex.take("/") ? lex.number() : null;
  lex.expect("=");
  const value = parseExpr(lex, names);
  const s = { kind: "store", buffer, index, value } as const;
  return lanes === null ? s : { ...s, lanes };
}

function parseCopy(lex: Lexer, names: Names): Stmt {
  const dst = place(lex, names);
  lex.expect("=");
  const src = place(lex, names);
  lex.expect("count");
  const count = parseExpr(lex, names);
  return {
    kind: "copy",
    dst: dst.buffer,
    dstIndex: dst.index,
    src: src.buffer,
    srcIndex: src.index,
    count,
  };
}

function parseFill(lex: Lexer, names: Names): Stmt {
  const { buffer, index } = place(lex, names);
  lex.expect("=");
  const value = lex.number();
  lex.expect("count");
  return { kind: "fill", buffer, index, value, count: parseExpr(lex, names) };
}

function parseStmt(lex: Lexer, names: Names): Stmt {
  if (lex.take("for")) return parseFor(lex, names);
  if (lex.take("store")) return parseStore(lex, names);
  if (lex.take("copy")) return parseCopy(lex, names);
  if (lex.take("fill")) return parseFill(lex, names);
  for (const kind of ["let", "reg", "set"] as const) {
    if (lex.take(kind)) return parseNamed(lex, names, kind);
  }
  if (!lex.take("if")) lex.fail("a statement");
  const cond = parseExpr(lex, names);
  const then = parseBlock(lex, names);
  return { kind: "if", cond, then, else: lex.take("else") ? parseBlock(lex, names) : [] };
}

function parseParams(lex: Lexer): { buffers: Buffer[]; args: ScalarArg[] } {
  const buffers: Buffer[] = [];
  const args: ScalarArg[] = [];
  lex.expect("(");
  while (!lex.take(")")) {
    if (buffers.length + args.length > 0) lex.expect(",");
    const role = (["in", "out", "const", "work", "arg"] as const).find((r) => lex.take(r));
    const name = lex.name();
    lex.expect(":");
    const type = lex.name();
    if (role === "arg") {
      args.push({ name, type: type as ScalarType });
      continue;
    }
    if (role === undefined || !isDType(type)) lex.fail("a role and an element type before this");
    lex.expect("[");
    buffers.push({ name, dtype: type, size: lex.number(), role });
    lex.expect("]");
  }
  return { buffers, args };
}

function kernelFrom(lex: Lexer): Kernel {
  lex.expect("kernel");
  const name = lex.nameOrString();
  const { buffers, args } = parseParams(lex);
  const names: Names = {
    buffers: new Map(buffers.map((b) => [b.name, b])),
    types: new Map<string, KType>(args.map((a) => [a.name, a.type])),
  };
  return { name, buffers, args, body: parseBlock(lex, names) };
}

/** Reads one kernel; throws UserError E_TEXT with the line of the first mistake. */
export function parseKernel(text: string): Kernel {
  const lex = new Lexer(text);
  const base = kernelFrom(lex);
  const fma = lex.take("fma") ? { fma: kernelFrom(lex) } : {};
  const dot8 = lex.take("dot8") ? { dot8: kernelFrom(lex) } : {};
  const forms = { ...fma, ...dot8 };
  const kernel = Object.keys(forms).length === 0 ? base : { ...base, forms };
  if (!lex.done) lex.fail("nothing more");
  return kernel;
}

const fromBase64 = (text: string): Uint8Array => {
  const decoded = atob(text);
  return Uint8Array.from({ length: decoded.length }, (_, i) => decoded.charCodeAt(i));
};

function segmentFrom(lex: Lexer): Segment {
  const name = lex.string();
  lex.expect("at");
  return { name, offset: lex.number(), bytes: fromBase64(lex.string()) };
}

function portFrom(lex: Lexer): Port {
  const name = lex.string();
  lex.expect("at");
  const offset = lex.number();
  return { name, type: lex.json() as TensorType, offset };
}

function callFrom(lex: Lexer): Call {
  const kernel = lex.number();
  const bases = lex.json() as number[];
  const args = lex.json() as (number | string)[];
  return {
    kernel,
    bases,
    args: args.map((a) => (a === "flip" ? a : Number(a))),
    label: lex.string(),
  };
}

/** Reads a program; throws UserError E_TEXT with the line of the first mistake. */
export function parseProgram(text: string): Program {
  const lex = new Lexer(text);
  lex.expect("program");
  const name = lex.string();
  lex.expect("memory");
  const memoryBytes = lex.number();
  lex.expect("arena");
  const arenaBytes = lex.number();
  lex.expect("meta");
  const meta = lex.json() as Record<string, string>;
  const inputs: Port[] = [];
  const outputs: Port[] = [];
  const constants: Segment[] = [];
  const init: Call[] = [];
  const steps: Call[] = [];
  const kernels: Kernel[] = [];
  while (!lex.done) {
    if (lex.take("input")) inputs.push(portFrom(lex));
    else if (lex.take("output")) outputs.push(portFrom(lex));
    else if (lex.take("segment")) constants.push(segmentFrom(lex));
    else if (lex.take("init")) init.push(callFrom(lex));
    else if (lex.take("step")) steps.push(callFrom(lex));
    else kernels.push(kernelFrom(lex));
  }
  const parts = { kernels, constants, init, steps, inputs, outputs };
  return { name, ...parts, memoryBytes, arenaBytes, meta };
}
