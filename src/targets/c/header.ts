/** @file The public header of a model in C: sizes, accessors and an example. Valid C99 and C++. */
import type { Port, Program } from "../../kernel/program.ts";
import { byteSize, elementCount } from "../../tensor/tensor.ts";
import type { Cpu } from "./cpu.ts";
import { identifier, inComment, type Names } from "./names.ts";
import { literal, PORT_TYPES } from "./types.ts";

/** A port with its names in C. */
export interface CPort {
  readonly port: Port;
  readonly direction: "input" | "output";
  /** The accessor function. */
  readonly accessor: string;
  /** What its macros begin with. */
  readonly macro: string;
}

export interface HeaderFacts {
  readonly cpu: Cpu;
  readonly program: Program;
  /** File name without extension. */
  readonly file: string;
  readonly prefix: string;
  readonly ports: readonly CPort[];
  readonly arenaBytes: number;
  /** Bytes of the weights file, or null when the weights are in the source. */
  readonly weightsBytes: number | null;
  /** Memory of each thread but the first, or null when the model is for one thread. */
  readonly threadBytes: number | null;
}

export function namePorts(program: Program, prefix: string, names: Names): CPort[] {
  const make = (port: Port, direction: "input" | "output"): CPort => {
    const accessor = names.make(`${prefix}_${direction}_${identifier(port.name)}`, false);
    return { port, direction, accessor, macro: accessor.toUpperCase() };
  };
  return [
    ...program.inputs.map((p) => make(p, "input")),
    ...program.outputs.map((p) => make(p, "output")),
  ];
}

/** `weights`: the parameter that outputs take besides the arena, or nothing. */
function describePort({ port, direction, accessor, macro }: CPort, weights: string): string {
  const { dtype, shape, quant } = port.type;
  const dims = shape.length === 0 ? "1" : shape.join(", ");
  const lines = [
    `/* ${direction} ${inComment(JSON.stringify(port.name))}: ${dtype}[${shape.join(",")}] */`,
    `#define ${macro}_LENGTH ${elementCount(shape)}`,
    `#define ${macro}_BYTES ${byteSize(port.type)}`,
    `#define ${macro}_RANK ${shape.length}`,
    `#define ${macro}_SHAPE {${dims}}`,
    `#define ${macro}_DTYPE "${dtype}"`,
  ];
  if (quant !== undefined && quant.axis === null) {
    lines.push(
      "/* elements stand for SCALE * (element - ZERO_POINT) */",
      `#define ${macro}_SCALE ${literal("f32", quant.scale[0]!)}`,
      `#define ${macro}_ZERO_POINT ${quant.zeroPoint[0]}`,
    );
  } else if (quant !== undefined) {
    lines.push(
      `/* elements stand for SCALES[i] * (element - ZERO_POINTS[i]), i along AXIS */`,
      `#define ${macro}_AXIS ${quant.axis}`,
      `#define ${macro}_SCALES {${quant.scale.map((s) => literal("f32", s)).join(", ")}}`,
      `#define ${macro}_ZERO_POINTS {${quant.zeroPoint.join(", ")}}`,
    );
  }
  const c = PORT_TYPES[dtype];
  lines.push(
    direction === "input"
      ? `${c} *${accessor}(void *arena);`
      : `const ${c} *${accessor}(const void *arena${weights});`,
  );
  return lines.join("\n");
}

function example(facts: HeaderFacts): string {
  const { prefix, ports } = facts;
  const P = prefix.toUpperCase();
  const beside = facts.weightsBytes !== null;
  const input = ports.find((p) => p.direction === "input");
  const output = ports.find((p) => p.direction === "output");
  const weights = beside ? ", weights" : "";
  const lines = [
    `static unsigned char arena[${P}_ARENA_BYTES] __attribute__((aligned(${P}_ALIGNMENT)));`,
    `${prefix}_init(arena${weights});                      once`,
    ...(input === undefined
      ? []
      : [`memcpy(${input.accessor}(arena), data, ${input.macro}_BYTES);`]),
    `${prefix}_run(arena${weights});                       for each inference`,
    ...(output === undefined ? [] : [`use(${output.accessor}(arena${weights}));`]),
  ];
  return lines.map((l) => ` *   ${l}\n`).join("");
}

function stepText({ program, prefix, weightsBytes, threadBytes }: HeaderFacts): string {
  const P = prefix.toUpperCase();
  const memory = `void *arena${weightsBytes === null ? "" : ", const void *weights"}`;
  const steps = `#define ${P}_STEPS ${program.steps.length}\n`;
  if (threadBytes === null) {
    return (
      `/* One inference is steps 0 to ${P}_STEPS - 1, which may be run one by one. */\n` +
      `${steps}int ${prefix}_step(${memory}, int index);\n`
    );
  }
  return `/* One inference is steps 0 to ${P}_STEPS - 1, in which several threads may share the work: each calls every
   step with its number, 0 to threads - 1, and all return from a step before one begins the next. The
   results are those of one thread, bit for bit. The arena then has ${P}_ARENA_BYTES and
   ${P}_THREAD_BYTES for every thread but the first. */
${steps}#define ${P}_THREAD_BYTES ((size_t)${threadBytes})
int ${prefix}_step(${memory}, int index, int thread, int threads);
`;
}

const march = ({ flags }: Cpu): string =>
  flags.length === 0 ? "-march=native or your chip's" : `\n * ${flags.join(" ")}`;

/** The text of the header. */
export function emitHeader(facts: HeaderFacts): string {
  const { program, prefix, ports, arenaBytes, weightsBytes } = facts;
  const file = inComment(facts.file);
  const P = prefix.toUpperCase();
  const weights = weightsBytes === null ? "" : ", const void *weights";
  const about =
    weightsBytes === null
      ? ""
      : `\n/* Contents of ${file}_weights.bin, aligned as the arena; must stay while the model is used. */\n` +
        `#define ${P}_WEIGHTS_BYTES ${weightsBytes}\n`;
  return `/*
 * ${inComment(program.name)}, compiled by tersor.
 *
${example(facts)} *
 * Compile ${file}.c as gnu99 or later with GCC 9 or Clang 10 or later, for a little-endian
 * machine. Useful flags: -O3 -fno-math-errno (else link with -lm), ${march(facts.cpu)}.
 * Sums of products may use fused multiply-add: GCC 12 or later does so with -ffp-contract=fast, its
 * default, Clang with -ffp-contract=on, its default. With -ffp-contract=off, which older GCC needs,
 * the bits are the same on every machine. Never -ffast-math.
 */
#ifndef ${P}_H
#define ${P}_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What functions return. */
enum {
  ${P}_OK = 0,
  ${P}_NULL_POINTER = 1,
  ${P}_NOT_ALIGNED = 2,
  ${P}_NO_SUCH_STEP = 3${facts.threadBytes === null ? "" : `,\n  ${P}_NO_SUCH_THREAD = 4`}
};

/* Memory for one instance; it need not be cleared. Addresses are multiples of the alignment. */
#define ${P}_ARENA_BYTES ((size_t)${arenaBytes})
#define ${P}_ALIGNMENT ${facts.cpu.vectorBytes}
${about}
/* Call once per arena. */
int ${prefix}_init(void *arena${weights});

/* One inference; inputs may be overwritten. */
int ${prefix}_run(void *arena${weights});

${stepText(facts)}
${ports.map((p) => describePort(p, weights)).join("\n\n")}

#ifdef __cplusplus
}
#endif

#endif
`;
}
