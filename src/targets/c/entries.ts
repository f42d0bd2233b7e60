/** @file The functions a model's user calls, as C text: init, run, step and an accessor for each port. */
import type { Kernel } from "../../kernel/ir.ts";
import type { Call, Program } from "../../kernel/program.ts";
import { sizeOf } from "../../tensor/dtype.ts";
import { byteSize } from "../../tensor/tensor.ts";
import { invariant } from "../../util/errors.ts";
import { alignUp } from "../../util/math.ts";
import type { Cpu } from "./cpu.ts";
import type { CPort } from "./header.ts";
import { flipText } from "./intrinsics.ts";
import type { Layout } from "./layout.ts";
import { inComment } from "./names.ts";
import { literal, PORT_TYPES } from "./types.ts";

/** Threads do not write to each other's lines of the cache. */
const LINE = 64;

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
  /** Functions that compute one of several parts of a kernel: those of kernels whose steps threads share. */
  readonly parts: ReadonlyMap<number, string>;
  /** Scratch of every thread but the first, behind the arena; null: for one thread only. */
  readonly threadBytes: number | null;
  readonly cpu: Cpu;
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

/** The call of a kernel's function, without a semicolon. `shared`: this thread's part of it. */
function callText(s: Source, call: Call, shared = false): string {
  const kernel: Kernel = s.program.kernels[call.kernel]!;
  let scratch = 0;
  const bases = kernel.buffers.map((b, i) => {
    const bytes = b.size * sizeOf(b.dtype);
    if (!shared || b.role !== "work") return pointer(s, call.bases[i]!, bytes);
    const { offset } = placeOf(s, call.bases[i]!, bytes);
    const at = scratch;
    scratch += alignUp(bytes, LINE);
    return `scratch_at(arena, thread, ${offset}, ${at})`;
  });
  const args = kernel.args.map((a, i) => {
    const value = call.args[i]!;
    return value === "flip"
      ? flipText(s.cpu)
      : literal(a.type, a.type === "i64" ? BigInt(value) : value);
  });
  const name = shared ? s.parts.get(call.kernel)! : s.functions[call.kernel];
  const own = shared ? ["thread", "threads"] : [];
  return `${name}(${[...bases, ...args, ...own].join(", ")})`;
}

/** Bytes of the scratch of one call of the kernel. */
export const scratchBytes = (kernel: Kernel): number =>
  kernel.buffers
    .filter((b) => b.role === "work")
    .reduce((sum, b) => sum + alignUp(b.size * sizeOf(b.dtype), LINE), 0);

const SCRATCH_AT = (
  P: string,
): string => `/* Scratch of the first thread is planned; that of others lies behind the arena. */
static inline void *scratch_at(char *arena, int thread, size_t planned, size_t other) {
  if (thread == 0) return arena + planned;
  return arena + ${P}_ARENA_BYTES + (size_t)(thread - 1) * ${P}_THREAD_BYTES + other;
}

`;

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
  const team = s.threadBytes !== null;
  const cases = s.program.steps.map((c, i) => {
    const shared = s.parts.has(c.kernel);
    const first = team && !shared ? "if (thread == 0) " : "";
    return (
      `    case ${i}: /* ${inComment(c.label)} */\n` +
      `      ${first}${callText(s, c, shared)};\n      break;\n`
    );
  });
  const memory = s.beside ? "char *arena, const char *weights" : "char *arena";
  const unused = [...memories(s), ...(team ? ["thread", "threads"] : [])];
  const scratch = cases.some((text) => text.includes("scratch_at("));
  return (
    (scratch ? SCRATCH_AT(s.prefix.toUpperCase()) : "") +
    `static void step(${memory}, int index${team ? ", int thread, int threads" : ""}) {\n` +
    `${unused.map((name) => `  (void)${name};\n`).join("")}` +
    `  switch (index) {\n${cases.join("")}    default:\n      break;\n  }\n}\n`
  );
}

function runText(s: Source): string {
  const { prefix } = s;
  const P = prefix.toUpperCase();
  const list = memories(s).join(", ");
  const team = s.threadBytes !== null;
  const thread = `  if (thread < 0 || thread >= threads || threads > 256) return ${P}_NO_SUCH_THREAD;\n`;
  return (
    `int ${prefix}_step(${memoryParams(s)}, int index${team ? ", int thread, int threads" : ""}) {\n` +
    `${checks(s)}  if (index < 0 || index >= ${P}_STEPS) return ${P}_NO_SUCH_STEP;\n` +
    `${team ? thread : ""}` +
    `  step(${list}, index${team ? ", thread, threads" : ""});\n  return ${P}_OK;\n}\n\n` +
    `int ${prefix}_run(${memoryParams(s)}) {\n${checks(s)}` +
    `  for (int i = 0; i < ${P}_STEPS; i++) step(${list}, i${team ? ", 0, 1" : ""});\n` +
    `  return ${P}_OK;\n}\n`
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
