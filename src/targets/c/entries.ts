/** @file The functions a model's user calls, as C text: init, run, step and an accessor for each port. */
import type { Kernel } from "../../kernel/ir.ts";
import type { Call, Program } from "../../kernel/program.ts";
import { sizeOf } from "../../tensor/dtype.ts";
import { byteSize } from "../../tensor/tensor.ts";
import { invariant } from "../../util/errors.ts";
import type { CPort } from "./header.ts";
import type { Layout } from "./layout.ts";
import { inComment } from "./names.ts";
import { literal, PORT_TYPES } from "./types.ts";

/** What the functions refer to. */
export interface Source {
  readonly program: Program;
  readonly prefix: string;
  readonly layout: Layout;
  /** Whether the caller passes the weights. */
  readonly beside: boolean;
  /** Table of each used segment, or its offset in the weights file. */
  readonly tables: ReadonlyMap<number, string>;
  /** The C function of each kernel. */
  readonly functions: readonly string[];
}

/** The memory that holds these bytes ("arena", "weights" or a table's name), and where they begin in it. */
export function placeOf(
  s: Source,
  address: number,
  bytes: number,
): { readonly memory: string; readonly offset: number } {
  const place = s.layout.place(address, bytes);
  if (place.segment === null) return { memory: "arena", offset: place.offset };
  const table = s.tables.get(place.segment);
  invariant(table !== undefined, () => `C: segment ${place.segment} is not placed`);
  if (s.beside) return { memory: "weights", offset: Number(table) + place.offset };
  return { memory: table, offset: place.offset };
}

function pointer(s: Source, address: number, bytes: number): string {
  const { memory, offset } = placeOf(s, address, bytes);
  return `${memory === "arena" ? "arena_at" : "bytes_at"}(${memory}, ${offset})`;
}

/** The call of a kernel's function, without a semicolon. */
function callText(s: Source, call: Call): string {
  const kernel: Kernel = s.program.kernels[call.kernel]!;
  const bases = kernel.buffers.map((b, i) => pointer(s, call.bases[i]!, b.size * sizeOf(b.dtype)));
  const args = kernel.args.map((a, i) => {
    const value = call.args[i]!;
    return value === "flip" ? "0" : literal(a.type, a.type === "i64" ? BigInt(value) : value);
  });
  return `${s.functions[call.kernel]}(${[...bases, ...args].join(", ")})`;
}

const memories = (s: Source): string[] => ["arena", ...(s.beside ? ["weights"] : [])];
const memoryParams = (s: Source): string => `void *arena${s.beside ? ", const void *weights" : ""}`;

/** Refuses pointers that kernels could not use. */
function checks(s: Source): string {
  const P = s.prefix.toUpperCase();
  const test = (of: (pointer: string) => string): string => memories(s).map(of).join(" || ");
  const aligned = (p: string): string => `(uintptr_t)${p} % ${P}_ALIGNMENT != 0`;
  return (
    `  if (${test((p) => `${p} == NULL`)}) return ${P}_NULL_POINTER;\n` +
    `  if (${test(aligned)}) return ${P}_NOT_ALIGNED;\n`
  );
}

function initText(s: Source): string {
  const copies = s.layout.copied.map(({ segment, offset }) => {
    const table = s.tables.get(segment);
    const source = s.beside ? `bytes_at(weights, ${table})` : table;
    const size = s.program.constants[segment]!.bytes.length;
    return `  memcpy(arena_at(arena, ${offset}), ${source}, ${size});\n`;
  });
  const calls = s.program.init.map((c) => `  /* ${inComment(c.label)} */\n  ${callText(s, c)};\n`);
  const body = [checks(s), ...copies, ...calls].join("");
  const P = s.prefix.toUpperCase();
  return `int ${s.prefix}_init(${memoryParams(s)}) {\n${body}  return ${P}_OK;\n}\n`;
}

/** One case a step; `run` walks them, so that each call is written once. */
function stepText(s: Source): string {
  const cases = s.program.steps.map(
    (c, i) =>
      `    case ${i}: /* ${inComment(c.label)} */\n` +
      `      if (thread == 0) ${callText(s, c)};\n      break;\n`,
  );
  const memory = s.beside ? "char *arena, const char *weights" : "char *arena";
  return (
    `static void step(${memory}, int index, int thread) {\n` +
    `${[...memories(s), "thread"].map((name) => `  (void)${name};\n`).join("")}` +
    `  switch (index) {\n${cases.join("")}    default:\n      break;\n  }\n}\n`
  );
}

function runText(s: Source): string {
  const { prefix } = s;
  const P = prefix.toUpperCase();
  const list = memories(s).join(", ");
  return (
    `int ${prefix}_step(${memoryParams(s)}, int index, int thread, int threads) {\n${checks(s)}` +
    `  if (index < 0 || index >= ${P}_STEPS) return ${P}_NO_SUCH_STEP;\n` +
    `  if (thread < 0 || thread >= threads) return ${P}_NO_SUCH_THREAD;\n` +
    `  step(${list}, index, thread);\n  return ${P}_OK;\n}\n\n` +
    `int ${prefix}_run(${memoryParams(s)}) {\n${checks(s)}` +
    `  for (int i = 0; i < ${P}_STEPS; i++) step(${list}, i, 0);\n  return ${P}_OK;\n}\n`
  );
}

function accessorText(s: Source, p: CPort): string {
  const where = pointer(s, p.port.offset, byteSize(p.port.type));
  const c = PORT_TYPES[p.port.type.dtype];
  if (p.direction === "input") {
    return `${c} *${p.accessor}(void *arena) {\n  return ${where};\n}\n`;
  }
  const weights = s.beside ? ", const void *weights" : "";
  const text = where.replace(/^arena_at/, "bytes_at");
  const unused = memories(s)
    .filter((name) => !text.startsWith(`bytes_at(${name},`))
    .map((name) => `  (void)${name};\n`);
  return (
    `const ${c} *${p.accessor}(const void *arena${weights}) {\n` +
    `${unused.join("")}  return ${text};\n}\n`
  );
}

/** All public functions of the model. */
export const entriesText = (s: Source, ports: readonly CPort[]): string =>
  [initText(s), stepText(s), runText(s), ...ports.map((p) => accessorText(s, p))].join("\n");
