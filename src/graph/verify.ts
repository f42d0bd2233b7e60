/** @file Checks that a graph is what its definition says; run between passes in tests and on demand. */
import { sameType } from "../tensor/tensor.ts";
import { invariant } from "../util/errors.ts";
import { inferTypes } from "./apply.ts";
import type { Graph, Value } from "./graph.ts";
import { printType } from "./print.ts";

/** Throws InternalError when values, order or types are inconsistent: a pass made a wrong graph. */
export function verifyGraph(g: Graph): void {
  const defined = new Set<Value>();
  const define = (v: Value, what: string): void => {
    invariant(g.values.has(v), () => `${what}: value %${v} has no type`);
    invariant(!defined.has(v), () => `${what}: value %${v} is defined twice`);
    defined.add(v);
  };
  for (const v of g.inputs) define(v, "input");
  for (const [v, t] of g.constants) {
    define(v, "constant");
    invariant(
      sameType(t.type, g.values.get(v)!.type),
      () => `constant %${v}: type differs from its tensor's`,
    );
  }
  for (const node of g.nodes) {
    const where = `${node.op.name} '${node.name}'`;
    for (const v of node.ins) {
      invariant(defined.has(v), () => `${where}: reads %${v} before it is defined`);
    }
    const inferred = inferTypes(
      node.op,
      node.ins.map((v) => g.values.get(v)!.type),
      node.attrs,
    );
    invariant(inferred.length === node.outs.length, () => `${where}: wrong number of results`);
    node.outs.forEach((v, i) => {
      define(v, where);
      const have = g.values.get(v)!.type;
      const want = inferred[i]!;
      invariant(
        sameType(have, want),
        () => `${where}: result is ${printType(have)}, inferred ${printType(want)}`,
      );
    });
  }
  for (const v of g.outputs) invariant(defined.has(v), () => `output %${v} is not defined`);
  invariant(
    g.outputs.length === g.outputNames.length,
    () => "outputs and their names differ in number",
  );
}
