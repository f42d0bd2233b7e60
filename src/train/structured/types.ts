/** @file Structured layers as written: ACDC(12), Hashed(0.1), TT(0.25), Tucker(0.25), LowRank(0.1), Shuffle(4). */
import { UserError } from "../../util/errors.ts";
import { acdcStack, linearAcdcStack } from "./acdc.ts";
import { hashedLinear } from "./hashed.ts";
import { linearShuffle } from "./shuffle.ts";
import { type Pointwise, type Substitute, separable } from "./site.ts";
import { lowRank, ttLinear, ttTensor, tuckerTensor } from "./tensors.ts";

interface Kind {
  /** An integer of at least 1, or a share above 0 and at most 1. */
  readonly takes: "count" | "share";
  readonly layer?: (n: number) => Pointwise;
  readonly block?: (n: number) => Substitute;
}

const KINDS: Readonly<Record<string, Kind>> = {
  ACDC: {
    takes: "count",
    layer: (layers) => acdcStack({ layers }),
    block: (layers) => separable(linearAcdcStack({ layers })),
  },
  Hashed: { takes: "share", layer: (share) => hashedLinear({ weights: { share }, bias: false }) },
  TT: { takes: "share", layer: (share) => ttLinear({ ranks: { share } }) },
  TTTensor: { takes: "share", layer: (share) => ttTensor({ share }) },
  Tucker: { takes: "share", layer: (share) => tuckerTensor({ share }) },
  LowRank: { takes: "share", layer: (share) => lowRank({ share }) },
  Shuffle: { takes: "count", block: (groups) => linearShuffle({ groups }) },
};

const examples =
  "ACDC(12), Hashed(0.1), TT(0.25), TTTensor(0.25), Tucker(0.25), LowRank(0.1) or Shuffle(4)";

interface Found {
  readonly kind: Kind;
  readonly number: number;
}

/** Null: it names no structured layer. */
function parse(text: string): Found | null {
  const [, name = "", number = ""] = /^(\w+)\(([\d.]+)\)$/.exec(text.replace(/\s+/g, "")) ?? [];
  const kind = Object.hasOwn(KINDS, name) ? KINDS[name] : undefined;
  if (kind === undefined) return null;
  const n = Number(number);
  const fits = kind.takes === "count" ? Number.isInteger(n) && n >= 1 : n > 0 && n <= 1;
  if (fits) return { kind, number: n };
  const want = kind.takes === "count" ? "a whole number" : "a share above 0 and at most 1";
  throw new UserError("E_ARGUMENT", `${name} takes ${want}, got ${number}`, {
    hint: `write ${examples}`,
  });
}

/** What stands for a k x k convolution; null: no structured layer. Throws UserError for a wrong number. */
export function structuredBlock(text: string): Substitute | null {
  const found = parse(text);
  if (found === null) return null;
  const { kind, number } = found;
  return kind.block?.(number) ?? separable(kind.layer!(number));
}

/** What stands for a fully connected layer. Throws UserError when there is no such layer. */
export function structuredLinear(text: string): Pointwise {
  const found = parse(text);
  const layer = found?.kind.layer?.(found.number);
  if (layer !== undefined) return layer;
  throw new UserError(
    "E_ARGUMENT",
    `no structured layer '${text}' stands for a fully connected one`,
    {
      hint: `write ${examples}; Shuffle is for convolutions`,
    },
  );
}
