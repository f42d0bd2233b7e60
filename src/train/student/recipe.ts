/**
 * @file A student as written: blocks=BG(2,4), tucker=0.5, acdc=12, hashed=1/8, made from the teacher's graph. Factors
 * start from the teacher's weights, blocks and structured layers from fresh ones unless asked.
 */
import { factorise, METHODS, rankRule, shareOf } from "../../compress/factorise/index.ts";
import type { Graph } from "../../graph/graph.ts";
import { UserError } from "../../util/errors.ts";
import { structuredBlock } from "../structured/types.ts";
import { type Student, studentOf } from "./student.ts";

export interface RecipeOptions {
  /** Of fresh weights; default 1. */
  readonly seed?: number;
  /** Of layers that stay, under blocks and structured layers; default "fresh". */
  readonly weights?: "fresh" | "teacher";
}

export interface MadeStudent {
  readonly graph: Graph;
  /** factors: of the teacher's weights. teacher: layers that stay keep them. */
  readonly start: "fresh" | "teacher" | "factors";
  /** Layers of the teacher, and what stands for them. */
  readonly replaced: readonly { readonly layers: readonly string[]; readonly by: string }[];
  readonly kept: readonly { readonly name: string; readonly reason: string }[];
  /** Weight decay of its compressed layers goes by the compression ratio (CRS); it hurts hashed layers. */
  readonly crs: boolean;
}

/** Structured layers by their short names; `count`: a whole number, else a share. */
const STRUCTURED: Readonly<Record<string, { readonly name: string; readonly count: boolean }>> = {
  acdc: { name: "ACDC", count: true },
  hashed: { name: "Hashed", count: false },
  lowrank: { name: "LowRank", count: false },
  shuffle: { name: "Shuffle", count: true },
  tttensor: { name: "TTTensor", count: false },
};

/** For messages. */
export const STUDENT_FORMS =
  "blocks=BG(2,4), tucker=0.5, svd=0.5, tt=0.5, cp=0.5, spatial=0.5, acdc=12, hashed=1/8, lowrank=0.25, shuffle=4, blockswap=params=20%";

function structuredText(kind: string, value: string): string | null {
  const found = Object.hasOwn(STRUCTURED, kind) ? STRUCTURED[kind] : undefined;
  if (found === undefined) return null;
  const n = shareOf(value);
  const fits = found.count ? Number.isInteger(n) && n >= 1 : n > 0 && n <= 1;
  if (fits) return `${found.name}(${n})`;
  const want = found.count ? "a whole number" : "a share above 0 and at most 1";
  throw new UserError("E_ARGUMENT", `${kind} takes ${want}, got '${value}'`, {
    hint: `write ${STUDENT_FORMS}`,
  });
}

/** A student with blocks as one made from a text. */
export const madeOfBlocks = (
  { graph, blocks, kept }: Student,
  start: "fresh" | "teacher" = "fresh",
): MadeStudent => ({
  ...{ graph, start, kept, crs: false },
  replaced: blocks.map(({ layers, type }) => ({ layers, by: type })),
});

/** Blocks in place of convolutions; structured layers also in place of linear ones, where they can. */
function ofBlocks(teacher: Graph, blocks: string, options: RecipeOptions): MadeStudent {
  const structured = structuredBlock(blocks) !== null;
  const linears = structured && !blocks.startsWith("Shuffle") ? blocks : "S";
  const made = studentOf(teacher, { blocks, linears, ...options });
  return {
    ...madeOfBlocks(made, options.weights),
    crs: structured && !blocks.startsWith("Hashed"),
  };
}

function ofFactors(teacher: Graph, method: string, value: string): MadeStudent {
  const { graph, layers, kept } = factorise(teacher, { method, ranks: rankRule(value) });
  if (layers.length === 0) {
    const [one] = kept;
    throw new UserError("E_ARGUMENT", `${method}=${value} replaces no layer of ${teacher.name}`, {
      ...(one !== undefined && { hint: `${one.name}: ${one.reason}` }),
    });
  }
  return {
    graph: { ...graph, name: `${teacher.name}-student` },
    start: "factors",
    replaced: layers.map((l) => ({ layers: [l.name], by: `${l.method}(${l.ranks})` })),
    kept,
    crs: false,
  };
}

/** The student of a float teacher as written. Throws UserError for another text, or when nothing is replaced. */
export function studentFromText(
  teacher: Graph,
  text: string,
  options: RecipeOptions = {},
): MadeStudent {
  const [, kind = "", value = ""] = /^(\w+)=(.+)$/.exec(text.replace(/\s+/g, "")) ?? [];
  if (kind === "blocks") return ofBlocks(teacher, value, options);
  if (Object.hasOwn(METHODS, kind)) return ofFactors(teacher, kind, value);
  if (kind === "blockswap") {
    throw new UserError(
      "E_ARGUMENT",
      "blockswap chooses by data: the text alone makes no student",
      {
        hint: "give it to tersor distill, or call blockSwap",
      },
    );
  }
  const structured = structuredText(kind, value);
  if (structured !== null) return ofBlocks(teacher, structured, options);
  throw new UserError("E_ARGUMENT", `'${text}' names no student`, {
    hint: `write ${STUDENT_FORMS}, or a model's file`,
  });
}
