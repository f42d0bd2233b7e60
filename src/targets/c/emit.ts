/**
 * @file Program -> C source: a header, a source file and, if asked for, a weights file. The entry `tersor/c`.
 */
import { worthSharing } from "../../kernel/effort.ts";
import { formOf, type Kernel } from "../../kernel/ir.ts";
import type { Program } from "../../kernel/program.ts";
import { splitKernel } from "../../kernel/split.ts";
import { prepareKernel } from "../../kernel/transform.ts";
import { byteSize } from "../../tensor/tensor.ts";
import { alignUp } from "../../util/math.ts";
import { type CpuName, cpuOf } from "./cpu.ts";
import { entriesText, placeOf, type Source, scratchBytes } from "./entries.ts";
import { type CPort, emitHeader, namePorts } from "./header.ts";
import { Helpers } from "./helpers.ts";
import { intrinsicsPrelude } from "./intrinsics.ts";
import { emitKernel, type KernelFacts } from "./kernel.ts";
import { callUses, planLayout } from "./layout.ts";
import { identifier, inComment, Names } from "./names.ts";
import type { Range } from "./range.ts";
import { typedefs } from "./types.ts";
import { spread } from "./units.ts";

export interface COptions {
  /** "file": weights go to `<name>_weights.bin`, which the caller passes in. Default "inline". */
  readonly weights?: "inline" | "file";
  /** Steps take a thread's number, and threads share them: those worth it, or all that can be; default false. */
  readonly threads?: boolean | "all";
  /** Begins the names of files and, as an identifier, of functions and macros; default "model". */
  readonly name?: string;
  /** Most files to spread the kernels over, for compilers side by side; they become one library. Default 1. */
  readonly files?: number;
  /** The processor it is for, for which the kernels must be made; default "portable". */
  readonly cpu?: CpuName;
}

export interface CSource {
  /** Contents by file name: `<name>.c`, `<name>.h` and `<name>_weights.bin`. */
  readonly files: ReadonlyMap<string, Uint8Array | string>;
  /** Memory the caller provides. */
  readonly arenaBytes: number;
  /** Constant bytes in the source or beside it. */
  readonly weightsBytes: number;
  /** Inputs, then outputs, then state: in "arena", in "weights" (the file), or in a table of the source. */
  readonly places: readonly { readonly memory: string; readonly offset: number }[];
  /** Memory behind the arena for every thread but the first; 0 without threads. */
  readonly threadBytes: number;
  /** For each step whether threads share it; the first runs the others alone. */
  readonly shared: readonly boolean[];
}

const PRELUDE = `
#if !defined(__GNUC__)
#error "needs GCC or Clang: vectors are written in the GNU extensions"
#endif
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "weights are little-endian"
#endif
#if defined(__FAST_MATH__)
#error "results would change under -ffast-math"
#endif

/* Functions that instructions of the processor stand for may stay unused. */
#if defined(__clang__)
#pragma clang diagnostic ignored "-Wunused-function"
#endif

/* A product that no addition may be fused with. */
#if defined(__clang__)
#define ROUNDED(...) __extension__({ __typeof__(__VA_ARGS__) rounded_value = (__VA_ARGS__); rounded_value; })
#elif __GNUC__ >= 12
#define ROUNDED(...) __builtin_assoc_barrier((__VA_ARGS__))
#else
#define ROUNDED(...) (__VA_ARGS__)
#endif
`;

/** What all calls of kernel `k` have in common. */
function factsOf(program: Program, k: number): KernelFacts {
  const kernel = program.kernels[k]!;
  const calls = [...program.init, ...program.steps].filter((c) => c.kernel === k);
  const uses = calls.map((c) => callUses(program, c));
  const apart = kernel.buffers.filter((_, i) =>
    uses.every((list) => {
      const a = list[i]!;
      return list.every(
        (b, j) => i === j || (!a.written && !b.written) || a.begin >= b.end || b.begin >= a.end,
      );
    }),
  );
  const args = kernel.args.flatMap((a, i): [string, Range][] => {
    const fixed = calls.length > 0 && calls.every((c) => c.args[i] !== "flip");
    if (a.type !== "i32" || !fixed) return [];
    const values = calls.map((c) => Number(c.args[i]) | 0);
    return [[a.name, [Math.min(...values), Math.max(...values)]]];
  });
  return { apart: new Set(apart.map((b) => b.name)), args: new Map(args) };
}

function table(name: string, label: string, bytes: Uint8Array, align: number): string {
  const lines: string[] = [];
  for (let i = 0; i < bytes.length; i += 24) {
    lines.push(`  ${bytes.subarray(i, i + 24).join(", ")},\n`);
  }
  return (
    `/* ${inComment(label)} */\nstatic const uint8_t ${name}[${bytes.length}] ` +
    `__attribute__((aligned(${align}))) = {\n${lines.join("")}};\n`
  );
}

/** Where each used segment begins in the weights file. */
function packedOffsets(
  program: Program,
  used: readonly number[],
  align: number,
): ReadonlyMap<number, number> {
  const offsets = new Map<number, number>();
  let end = 0;
  for (const i of used) {
    offsets.set(i, end);
    end = alignUp(end + program.constants[i]!.bytes.length, align);
  }
  return offsets;
}

/** The weights file. */
function packWeights(program: Program, used: readonly number[], align: number): Uint8Array {
  const offsets = packedOffsets(program, used, align);
  const ends = used.map((i) => offsets.get(i)! + program.constants[i]!.bytes.length);
  const out = new Uint8Array(alignUp(Math.max(0, ...ends), align));
  for (const [i, offset] of offsets) out.set(program.constants[i]!.bytes, offset);
  return out;
}

/** What the public functions' names end with. */
const ENTRIES = ["init", "run", "step"];

/** Most threads that may share a step. */
export const MOST_THREADS = 256;

const HELPERS_OF_MEMORY = `
static inline void *arena_at(void *arena, size_t offset) {
  return (char *)arena + offset;
}

static inline const void *bytes_at(const void *memory, size_t offset) {
  return (const char *)memory + offset;
}
`;

/** Kernels that run in parts: those of steps which threads share. */
const sharedKernels = (program: Program, all: boolean): number[] =>
  [...new Set(program.steps.map((c) => c.kernel))].filter((k) => {
    const kernel = program.kernels[k]!;
    return (all || worthSharing(kernel)) && splitKernel(kernel) !== null;
  });

/** Bounds of the arguments that a split kernel has besides its own. */
const PARTS: readonly Range[] = [
  [0, MOST_THREADS - 1],
  [1, MOST_THREADS],
];

/** The functions of all kernels that are called, whole or in parts. */
function kernelTexts(h: Helpers, s: Source, split: ReadonlyMap<number, Kernel>): string[] {
  const { program } = s;
  const whole = new Set([
    ...program.init.map((c) => c.kernel),
    ...program.steps.map((c) => c.kernel).filter((k) => !split.has(k)),
  ]);
  return program.kernels.flatMap((kernel, k) => {
    const facts = factsOf(program, k);
    const texts = whole.has(k)
      ? [emitKernel(h, prepareKernel(kernel), s.functions[k]!, facts)]
      : [];
    const parts = split.get(k);
    if (parts === undefined) return texts;
    const own = parts.args.slice(-2).map((a, i): [string, Range] => [a.name, PARTS[i]!]);
    const more = { ...facts, args: new Map([...facts.args, ...own]) };
    return [...texts, emitKernel(h, prepareKernel(parts), s.parts.get(k)!, more)];
  });
}

/** Names, places and tables of a program's C. */
function plan(program: Program, options: COptions, names: Names, split: Iterable<number>): Source {
  const prefix = identifier(options.name ?? "model");
  const beside = options.weights === "file";
  const cpu = cpuOf(options.cpu ?? "portable");
  const layout = planLayout(program, cpu.vectorBytes);
  const functions = program.kernels.map((k) => names.make(`run_${k.name}`, false));
  const parts = new Map(
    [...split].map((k) => [k, names.make(`run_part_of_${program.kernels[k]!.name}`, false)]),
  );
  const offsets = packedOffsets(program, layout.used, cpu.vectorBytes);
  const tables = new Map(
    layout.used.map((i) => [
      i,
      beside ? String(offsets.get(i)) : names.make(`data_${program.constants[i]!.name}`, false),
    ]),
  );
  const scratch = [...parts.keys()].map((k) => scratchBytes(program.kernels[k]!));
  const threadBytes = (options.threads ?? false) ? Math.max(0, ...scratch) : null;
  return { program, prefix, layout, beside, tables, functions, parts, threadBytes, cpu };
}

/** The program with the forms of its kernels that suit the processor. */
function chooseForms(program: Program, { cpu = "portable" }: COptions): Program {
  const variant = cpuOf(cpu).dot8 ? "dot8" : cpu === "portable" ? "base" : "fma";
  return { ...program, kernels: program.kernels.map((k) => formOf(k, variant)) };
}

/** A C file: what `main` needs, and `main`. */
function unitText(h: Helpers, about: string, file: string, tables: string, main: string): string {
  const code = [h.textFor(main), tables, main].join("\n");
  return (
    `/* ${about} */\n#include "${file}.h"\n\n#include <string.h>\n` +
    `${intrinsicsPrelude(h.cpu, code)}${PRELUDE}\n${typedefs(code)}${HELPERS_OF_MEMORY}\n${code}`
  );
}

/** The C files: one, or several with the kernels spread over them. */
function sources(
  s: Source,
  options: COptions,
  h: Helpers,
  ports: readonly CPort[],
): [string, string][] {
  const file = options.name ?? "model";
  const about = `${inComment(s.program.name)}, compiled by tersor: see ${inComment(file)}.h.`;
  const split = new Map([...s.parts.keys()].map((k) => [k, splitKernel(s.program.kernels[k]!)!]));
  const bodies = kernelTexts(h, s, split);
  const tables = (s.beside ? [] : s.layout.used).map((i) => {
    const { name, bytes } = s.program.constants[i]!;
    return table(s.tables.get(i)!, name, bytes, s.cpu.vectorBytes);
  });
  const entries = entriesText(s, ports);
  const units = spread(bodies, options.files ?? 1);
  const first = units === null ? bodies : [units.prototypes.join("")];
  const main = unitText(h, about, file, tables.join("\n"), [...first, entries].join("\n"));
  const more = (units?.bodies ?? []).map((own, i): [string, string] => [
    `${file}_${i + 1}.c`,
    unitText(h, about, file, "", own.join("\n")),
  ]);
  return [[`${file}.c`, main], ...more];
}

/** C99 with GNU vectors that computes the program; no allocation, no writable globals, no libm. */
export function emitC(given: Program, options: COptions = {}): CSource {
  const program = chooseForms(given, options);
  const file = options.name ?? "model";
  const prefix = identifier(file);
  const names = new Names();
  for (const own of ENTRIES) names.reserve(`${prefix}_${own}`);
  for (const own of ["step", "thread", "threads"]) names.reserve(own);
  const ports = namePorts(program, prefix, names);
  const { threads = false } = options;
  const shared = threads ? sharedKernels(program, threads === "all") : [];
  const s = plan(program, options, names, shared);
  const { layout, threadBytes, beside, cpu } = s;
  const packed = packWeights(program, layout.used, cpu.vectorBytes);
  const texts = sources(s, options, new Helpers(cpu), ports);
  const weightsBytes = beside ? packed.length : null;
  const { arenaBytes } = layout;
  const facts = { program, file, prefix, ports, arenaBytes, weightsBytes, threadBytes, cpu };
  const files = new Map<string, Uint8Array | string>(texts);
  files.set(`${file}.h`, emitHeader(facts));
  if (beside) files.set(`${file}_weights.bin`, packed);
  return {
    files,
    arenaBytes,
    weightsBytes: packed.length,
    places: [...ports.map(({ port }) => port), ...(program.state ?? [])].map((port) =>
      placeOf(s, port.offset, byteSize(port.type)),
    ),
    threadBytes: threadBytes ?? 0,
    shared: program.steps.map((c) => s.parts.has(c.kernel)),
  };
}
