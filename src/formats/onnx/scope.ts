/** @file Names of one ONNX graph, function body or loop body while it is imported. */
import type { Value } from "../../graph/graph.ts";
import type { AttributeProto, OpsetImport } from "./proto.ts";

/** The result of a node that could not be imported: readers of it are skipped. */
export const FAILED = Symbol("failed");
export type Binding = Value | typeof FAILED | (() => Value);

export interface Scope {
  readonly parent: Scope | null;
  readonly names: Map<string, Binding>;
  /** Version of each operator set, by domain. */
  readonly opsets: ReadonlyMap<string, number>;
  /** Arguments of the enclosing function call, by attribute name; null outside functions. */
  readonly args: ReadonlyMap<string, AttributeProto> | null;
  readonly depth: number;
}

/** The value of a name in the scope or around it; undefined when there is none. */
export function lookUp(scope: Scope, name: string): Value | typeof FAILED | undefined {
  for (let s: Scope | null = scope; s !== null; s = s.parent) {
    const binding = s.names.get(name);
    if (typeof binding === "function") {
      const value = binding();
      s.names.set(name, value);
      return value;
    }
    if (binding !== undefined) return binding;
  }
  return undefined;
}

/** A scope for a subgraph: sees the names around it. */
export const childScope = (parent: Scope): Scope => ({
  parent,
  names: new Map(),
  opsets: parent.opsets,
  args: parent.args,
  depth: parent.depth + 1,
});

/** The attributes of a node with references to function arguments resolved. */
export function resolveAttributes(
  attributes: readonly AttributeProto[],
  scope: Scope,
): readonly AttributeProto[] {
  return attributes.flatMap((a) => {
    if (a.refAttrName === "") return [a];
    const given = scope.args?.get(a.refAttrName);
    return given === undefined ? [] : [{ ...given, name: a.name }];
  });
}

/** Version of each operator set, by domain; the default domain is "". */
export function opsetVersions(imports: readonly OpsetImport[]): Map<string, number> {
  return new Map(imports.map((o) => [o.domain === "ai.onnx" ? "" : o.domain, o.version]));
}
