/**
 * @file Program -> C source: a header, a source file and, if asked for, a weights file. The entry `tersor/c`.
 */
import type { Program } from "../../kernel/program.ts";
import { prepareKernel } from "../../kernel/transform.ts";
import { byteSize } from "../../tensor/tensor.ts";
import { alignUp } from "../../util/math.ts";
import { entriesText, placeOf, type Source } from "./entries.ts";
import { emitHeader, namePorts } from "./header.ts";
import { Helpers } from "./helpers.ts";
import { emitKernel, type KernelFacts } from "./kernel.ts";
import { callUses, planLayout } from "./layout.ts";
import { identifier, inComment, Names } from "./names.ts";
import type { Range } from "./range.ts";
import { typedefs } from "./types.ts";

export interface COptions {
  /** "file": weights go to `<name>_weights.bin`, which the caller passes in. Default "inline". */
  readonly weights?: "inline" | "file";
  /** Begins the names of files and, as an identifier, of functions and macros; default "model". */
  readonly name?: string;
}

export interface CSource {
  /** Contents by file name: `<name>.c`, `<name>.h` and `<name>_weights.bin`. */
  readonly files: ReadonlyMap<string, Uint8Array | string>;
  /** Memory the caller provides. */
  readonly arenaBytes: number;
  /** Constant bytes in the source or beside it. */
  readonly weightsBytes: number;
  /** Inputs, then outputs: in "arena", in "weights" (the file), or in a table of the source. */
  readonly places: readonly { readonly memory: string; readonly offset: number }[];
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
    if (a.type !== "i32" || calls.length === 0) return [];
    const values = calls.map((c) => (c.args[i] === "flip" ? 0 : Number(c.args[i]) | 0));
    return [[a.name, [Math.min(...values), Math.max(...values)]]];
  });
  return { apart: new Set(apart.map((b) => b.name)), args: new Map(args) };
}

function table(name: string, label: string, bytes: Uint8Array): string {
  const lines: string[] = [];
  for (let i = 0; i < bytes.length; i += 24) {
    lines.push(`  ${bytes.subarray(i, i + 24).join(", ")},\n`);
  }
  return (
    `/* ${inComment(label)} */\nstatic const uint8_t ${name}[${bytes.length}] ` +
    `__attribute__((aligned(16))) = {\n${lines.join("")}};\n`
  );
}

/** The weights file and where each used segment begins in it. */
function packWeights(program: Program, used: readonly number[]): [Uint8Array, Map<number, number>] {
  const offsets = new Map<number, number>();
  let end = 0;
  for (const i of used) {
    offsets.set(i, end);
    end = alignUp(end + program.constants[i]!.bytes.length, 16);
  }
  const out = new Uint8Array(end);
  for (const [i, offset] of offsets) out.set(program.constants[i]!.bytes, offset);
  return [out, offsets];
}

/** What the public functions' names end with. */
const ENTRIES = ["init", "run", "step"];

const HELPERS_OF_MEMORY = `
static inline void *arena_at(void *arena, size_t offset) {
  return (char *)arena + offset;
}

static inline const void *bytes_at(const void *memory, size_t offset) {
  return (const char *)memory + offset;
}
`;

/** C99 with GNU vectors that computes the program; no allocation, no writable globals, no libm. */
export function emitC(program: Program, options: COptions = {}): CSource {
  const file = options.name ?? "model";
  const prefix = identifier(file);
  const beside = options.weights === "file";
  const layout = planLayout(program);
  const names = new Names();
  for (const own of ENTRIES) names.reserve(`${prefix}_${own}`);
  names.reserve("step");
  const ports = namePorts(program, prefix, names);
  const calls = [...program.init, ...program.steps];
  const called = program.kernels.map((_, k) => calls.some((c) => c.kernel === k));
  const functions = program.kernels.map((k) => names.make(`run_${k.name}`, false));
  const [packed, offsets] = packWeights(program, layout.used);
  const label = (i: number): string => program.constants[i]!.name;
  const tables = new Map(
    layout.used.map((i) => [
      i,
      beside ? String(offsets.get(i)) : names.make(`data_${label(i)}`, false),
    ]),
  );
  const s: Source = { program, prefix, layout, beside, tables, functions };
  const h = new Helpers();
  const bodies = program.kernels.flatMap((k, i) =>
    called[i] ? [emitKernel(h, prepareKernel(k), functions[i]!, factsOf(program, i))] : [],
  );
  const code = [
    h.text(),
    ...(beside
      ? []
      : layout.used.map((i) => table(tables.get(i)!, label(i), program.constants[i]!.bytes))),
    ...bodies,
    entriesText(s, ports),
  ].join("\n");
  const weightsBytes = beside ? packed.length : null;
  const source =
    `/* ${inComment(program.name)}, compiled by tersor: see ${inComment(file)}.h. */\n` +
    `#include "${file}.h"\n\n#include <string.h>\n${PRELUDE}\n` +
    `${typedefs(code)}${HELPERS_OF_MEMORY}\n${code}`;
  const header = emitHeader({
    program,
    file,
    prefix,
    ports,
    arenaBytes: layout.arenaBytes,
    weightsBytes,
  });
  const files = new Map<string, Uint8Array | string>([
    [`${file}.c`, source],
    [`${file}.h`, header],
  ]);
  if (beside) files.set(`${file}_weights.bin`, packed);
  const places = ports.map(({ port }) => placeOf(s, port.offset, byteSize(port.type)));
  return { files, arenaBytes: layout.arenaBytes, weightsBytes: packed.length, places };
}
