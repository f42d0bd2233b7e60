/** @file What a convolution may become, by name, and the sizes that takes for one layer. */
import { UserError } from "../../util/errors.ts";
import type { Kernel } from "../factorise/layer.ts";
import { type BlockType, blockType, groupsOf } from "./block.ts";

/** A block of Moonshine, or DW, DW(m), GC(g). */
export interface SubstituteType {
  readonly name: string;
  readonly kind: "pointwise" | "bottleneck" | "alone";
  readonly type: BlockType;
  /** Channels between for every input of DW(m). */
  readonly multiplier: number;
}

/** The sizes of a substitute. */
export type Form =
  /** k x k in groups to `between` channels, 1 x 1. */
  | { readonly kind: "pointwise"; readonly groups: number; readonly between: number }
  /** 1 x 1 to `between`, k x k in groups to `behind`, 1 x 1. */
  | {
      readonly kind: "bottleneck";
      readonly groups: number;
      readonly between: number;
      readonly behind: number;
    }
  /** k x k in groups. */
  | { readonly kind: "alone"; readonly groups: number };

/**
 * A substitute as written: G(4), G(N/4), G(N), B(2), BG(2,4), BG(2,M/4), BG(2,M) as in block.ts; DW, the same as G(N);
 * DW(2), two channels between for every input; GC(4), GC(N/4), GC(N), the grouped convolution alone. Throws UserError.
 */
export function substituteType(text: string): SubstituteType {
  const name = text.replace(/\s+/g, "");
  const depth = /^DW(?:\((\d+)\))?$/.exec(name);
  const multiplier = Number(depth?.[1] ?? 1);
  const alone = /^GC(\(.*\))$/.exec(name);
  const inner = depth !== null ? "G(N)" : alone !== null ? `G${alone[1]}` : name;
  try {
    const type = blockType(inner);
    const kind = alone !== null ? "alone" : type.bottleneck === null ? "pointwise" : "bottleneck";
    if (type.name !== "S" && multiplier >= 1) return { name, kind, type, multiplier };
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
  }
  throw new UserError("E_ARGUMENT", `there is no substitute '${text}'`, {
    hint: "write G(4), G(N/4), G(N), DW, DW(2), GC(4), B(2), BG(2,4), BG(2,M/4) or BG(2,M)",
  });
}

/** The form for a layer, or why there is none. A 1 x 1 in groups stands alone: another behind it would save nothing. */
export function formOf({ kind, type, multiplier }: SubstituteType, k: Kernel): Form | string {
  const single = k.height * k.width === 1;
  try {
    if (kind === "bottleneck") return bottleneckForm(type, k);
    const groups = groupsOf(type, k.inputs);
    if (kind === "pointwise" && !single) {
      return { kind, groups, between: k.inputs * multiplier };
    }
    if (k.outputs % groups === 0) return { kind: "alone", groups };
    return `${groups} groups do not divide its ${k.outputs} outputs`;
  } catch (error) {
    if (error instanceof UserError) return error.message;
    throw error;
  }
}

function bottleneckForm(type: BlockType, k: Kernel): Form | string {
  const inner = Math.floor(k.outputs / type.bottleneck!);
  if (inner < 1) return `${type.name} leaves nothing of its ${k.outputs} outputs`;
  const groups = groupsOf(type, inner);
  const each = inner / groups;
  if (groups === 1) {
    // What is linear gains nothing by more channels than there are.
    const taps = k.height * k.width;
    const between = Math.min(inner, k.inputs, k.outputs * taps);
    return { kind: "bottleneck", groups, between, behind: Math.min(inner, k.inputs * taps) };
  }
  if (each > k.inputs) return `groups of ${each} channels are wider than its ${k.inputs} inputs`;
  return { kind: "bottleneck", groups, between: inner, behind: inner };
}
