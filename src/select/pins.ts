/** @file Candidates fixed by the user, by the layer's name. */
import type { Candidate } from "../primitives/primitive.ts";
import { UserError } from "../util/errors.ts";
import type { Network, NetworkNode } from "./network.ts";

/** "this layer is computed by that": a candidate's name, or that of a family. */
export interface Pin {
  readonly layer: string;
  readonly primitive: string;
}

const FLAG = "--primitive";

/** The name of a node as users know it. */
export const layerName = ({ node }: NetworkNode): string => node.name || node.op.name;

const fits = (candidate: Candidate, name: string): boolean =>
  candidate.name === name || candidate.family === name;

/** For every node the candidates that the pins leave; a later pin of the same layer replaces an earlier one. */
export function pinned(
  network: Network,
  pins: readonly Pin[],
): (node: NetworkNode, candidate: Candidate) => boolean {
  const wanted = new Map(pins.map((p) => [p.layer, p.primitive]));
  for (const [layer, primitive] of wanted) checkPin(network, layer, primitive);
  return (node, candidate) => {
    const name = wanted.get(layerName(node));
    return name === undefined || fits(candidate, name);
  };
}

function checkPin(network: Network, layer: string, primitive: string): void {
  const nodes = network.nodes.filter((n) => layerName(n) === layer);
  if (nodes.length === 0) {
    throw new UserError("E_ARGUMENT", `no layer is named '${layer}'`, {
      where: FLAG,
      hint: `layers with a choice: ${someOf(layersWithChoice(network))}`,
    });
  }
  for (const { candidates } of nodes) {
    if (candidates.some((c) => fits(c, primitive))) continue;
    throw new UserError("E_ARGUMENT", `layer '${layer}' cannot be computed by '${primitive}'`, {
      where: FLAG,
      hint: `it can be by ${candidates.map((c) => c.name).join(", ")}`,
    });
  }
}

const layersWithChoice = ({ nodes }: Network): string[] => [
  ...new Set(nodes.filter((n) => n.candidates.length > 1).map(layerName)),
];

const SHOWN = 12;

const someOf = (names: readonly string[]): string =>
  names.length > SHOWN
    ? `${names.slice(0, SHOWN).join(", ")} and ${names.length - SHOWN} more`
    : names.join(", ") || "none";
