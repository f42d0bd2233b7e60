/** @file Which parameters of a graph are those of compressed layers: a tag that travels with the graph, by name. */
import type { Graph } from "../graph/graph.ts";
import { UserError } from "../util/errors.ts";

const KEY = "tersor.compressed";

const parsed = (text: string | undefined): readonly string[] => {
  if (text === undefined) return [];
  try {
    const list: unknown = JSON.parse(text);
    if (Array.isArray(list) && list.every((x) => typeof x === "string")) return list;
  } catch {
    // Reported below.
  }
  throw new UserError("E_MODEL", `metadata '${KEY}' is no list of names`, {
    hint: "remove it from the model; weight decay then treats all layers alike",
  });
};

/** Tags parameters in the metadata of a graph under construction. */
export function tagCompressed(meta: Record<string, string>, names: readonly string[]): void {
  meta[KEY] = JSON.stringify([...new Set([...parsed(meta[KEY]), ...names])]);
}

/** Names of the tagged parameters. Throws UserError E_MODEL when the metadata is damaged. */
export const compressedNames = (graph: Graph): ReadonlySet<string> =>
  new Set(parsed(graph.meta[KEY]));
