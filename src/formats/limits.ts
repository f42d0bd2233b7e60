/**
 * @file Safety limits of every model reader, and the checks that enforce them. A model file is
 * hostile input.
 */
import type { Shape } from "../tensor/tensor.ts";
import { UserError } from "../util/errors.ts";

export const LIMITS = {
  /** Largest file, in bytes: beyond it 32-bit offsets stop working. */
  fileBytes: 2 ** 31 - 1,
  /** Values of one graph: activations and constants. */
  tensors: 1_000_000,
  nodes: 200_000,
  rank: 16,
  /** Elements of one tensor, declared or inferred. */
  elements: 2 ** 31 - 1,
  /** Elements up to which constants are folded at import: shape arithmetic, not weights. */
  foldElements: 4096,
  /** Elements, multiply-accumulates spent at most on one constant that a model computes. */
  computedElements: 2 ** 22,
  computedMacs: 2 ** 28,
  /** Iterations of an unrolled loop. */
  iterations: 10_000,
  /** Nesting of messages, subgraphs and functions. */
  depth: 64,
  /** Bytes of one name or text. */
  textBytes: 2 ** 20,
  /** Entries of one list of small things: attributes, names, metadata. */
  entries: 1_000_000,
  /** Bytes of one file beside the model that holds tensors. */
  externalBytes: 2 ** 33,
} as const;

const beyond = (what: string, got: number, limit: number, where?: string): UserError =>
  new UserError(
    "E_LIMIT",
    `${what}: ${got} is beyond the limit of ${limit}`,
    where ? { where } : {},
  );

/** Throws E_LIMIT when `got` exceeds `limit`. */
export function checkLimit(what: string, got: number, limit: number, where?: string): void {
  if (!(got <= limit)) throw beyond(what, got, limit, where);
}

/** Throws E_FORMAT for impossible dimensions, E_LIMIT for too many of them or too many elements. */
export function checkShape(shape: Shape, where: string): void {
  checkLimit("rank of a tensor", shape.length, LIMITS.rank, where);
  let n = 1;
  for (const d of shape) {
    if (!Number.isSafeInteger(d) || d < 0) {
      throw new UserError("E_FORMAT", `[${shape}] is not a shape`, { where });
    }
    n *= Math.max(d, 1);
  }
  checkLimit("elements of a tensor", n, LIMITS.elements, where);
}
