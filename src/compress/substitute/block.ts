/**
 * @file Names of the cheap blocks of Moonshine (Crowley, Gray, Storkey, arXiv:1711.02613). S: the convolution itself.
 * G(g): k x k in groups, then 1 x 1. B(b): 1 x 1 to M = outputs / b channels, k x k, 1 x 1. BG(b,g): B(b), its k x k in
 * groups. Groups: a number, N/k (or M/k): k channels a group, N (or M): one channel a group.
 */
import { UserError } from "../../util/errors.ts";

export interface BlockType {
  /** As written: S, G(4), G(N/4), G(N), B(2), BG(2,4), BG(2,M/4), BG(2,M). */
  readonly name: string;
  /** Outputs over inner channels; null: no bottleneck, and a residual block has two such parts. */
  readonly bottleneck: number | null;
  /** Either the number of groups or the channels of one; null: no grouped part. */
  readonly grouping: { readonly groups: number } | { readonly channels: number } | null;
}

const PATTERN = /^(?:S|G\((\d+|N(?:\/(\d+))?)\)|B\((\d+)\)|BG\((\d+),(\d+|M(?:\/(\d+))?)\))$/;

const hint = "write S, G(4), G(N/4), G(N), B(2), BG(2,4), BG(2,M/4) or BG(2,M)";

/** A block type as written. Throws UserError E_ARGUMENT. */
export function blockType(text: string): BlockType {
  const name = text.replace(/\s+/g, "");
  const found = PATTERN.exec(name);
  const [, g, perGroup, b, bg, inner, perInner] = found ?? [];
  const group = g ?? inner;
  const bottleneck = b ?? bg;
  const channels = perGroup ?? perInner;
  const numbers = [group, bottleneck, channels].filter((n) => n !== undefined && /^\d/.test(n));
  if (found === null || numbers.some((n) => Number(n) < 1)) {
    throw new UserError("E_ARGUMENT", `there is no block type '${text}'`, { hint });
  }
  const alone = group === "N" || group === "M";
  return {
    name,
    bottleneck: bottleneck === undefined ? null : Number(bottleneck),
    grouping:
      group === undefined
        ? null
        : alone || channels !== undefined
          ? { channels: alone ? 1 : Number(channels) }
          : { groups: Number(group) },
  };
}

/** The number of groups of a block's k x k part. Throws UserError when they do not divide its channels. */
export function groupsOf(type: BlockType, channels: number): number {
  const { grouping } = type;
  if (grouping === null) return 1;
  const groups = "groups" in grouping ? grouping.groups : Math.floor(channels / grouping.channels);
  if (groups >= 1 && channels % groups === 0) return groups;
  throw new UserError("E_ARGUMENT", `${type.name}: ${channels} channels do not split evenly`, {
    hint: "take groups that divide the channels of every layer",
  });
}
