/** @file Control flow: If takes one branch or selects, Loop and Scan are unrolled. */
import type { Value } from "../../graph/graph.ts";
import { sameType } from "../../tensor/tensor.ts";
import { checkLimit, LIMITS } from "../limits.ts";
import { constantOf, malformed, type OpContext, unsupported } from "./context.ts";
import type { Emitter } from "./emit.ts";
import type { GraphProto, NodeProto } from "./proto.ts";
import { childScope, FAILED, type Scope } from "./scope.ts";

/** Imports a subgraph within a scope: its results, or FAILED. */
export interface BodyImporter {
  body(proto: GraphProto, scope: Scope): readonly Value[] | typeof FAILED;
}
type Results = readonly Value[] | typeof FAILED;

/** The operators with subgraphs. */
export const CONTROL: ReadonlySet<string> = new Set(["If", "Loop", "Scan"]);
export const isControl = (node: NodeProto): boolean =>
  (node.domain === "" || node.domain === "ai.onnx") && CONTROL.has(node.opType);

export function importControl(c: OpContext, scope: Scope, walker: BodyImporter): Results {
  if (c.node.opType === "If") return importIf(c, scope, walker);
  return c.node.opType === "Loop" ? importLoop(c, scope, walker) : importScan(c, scope, walker);
}

function importIf(c: OpContext, scope: Scope, walker: BodyImporter): Results {
  const run = (name: string): Results => walker.body(c.attrs.graph(name), childScope(scope));
  const condition = c.in(0);
  const known = c.e.known(condition);
  if (known !== undefined) return run(known.data[0] ? "then_branch" : "else_branch");
  const yes = run("then_branch");
  const no = run("else_branch");
  if (yes === FAILED || no === FAILED) return FAILED;
  const alike = yes.every((v, i) => no[i] !== undefined && sameType(c.e.type(v), c.e.type(no[i])));
  // Branches of different shapes cannot be selected between: the condition has to be known.
  if (!alike) constantOf(c.e, condition, "the condition (its branches differ in shape)");
  const scalar = c.e.reshape(condition, []);
  return yes.map((v, i) => c.e.where(scalar, v, no[i]!));
}

function importLoop(c: OpContext, scope: Scope, walker: BodyImporter): Results {
  const { e } = c;
  const proto = c.attrs.graph("body");
  const limit = c.has(0) ? Number(c.tensor(0).data[0]) : Number.POSITIVE_INFINITY;
  let go = c.has(1) ? Number(c.tensor(1).data[0]) !== 0 : true;
  let carried = c.operands.slice(2).map((_, i) => c.in(i + 2));
  const scans: Value[][] = proto.output.slice(1 + carried.length).map(() => []);
  for (let i = 0; i < limit && go; i++) {
    checkLimit("iterations of a loop", i + 1, LIMITS.iterations, c.node.name);
    e.countStep();
    const inner = childScope(scope);
    const ins = [e.scalar("i64", i), e.scalar("bool", 1), ...carried];
    proto.input.forEach((p, k) => inner.names.set(p.name, ins[k]!));
    const outs = walker.body(proto, inner);
    if (outs === FAILED) return FAILED;
    go = Number(constantOf(e, outs[0]!, "the loop's condition").data[0]) !== 0;
    carried = outs.slice(1, 1 + carried.length).map((v) => e.plain(v));
    outs.slice(1 + carried.length).forEach((v, k) => scans[k]!.push(e.unsqueeze(e.plain(v), [0])));
  }
  if (scans.some((s) => s.length === 0)) throw unsupported("a loop without iterations");
  return [...carried, ...scans.map((s) => e.concat(s, 0))];
}

/** Index i of an axis, the axis dropped. */
function pick(e: Emitter, x: Value, axis: number, i: number): Value {
  const shape = e.shape(x).filter((_, k) => k !== axis);
  return e.reshape(e.sliceAxis(x, axis, i, i + 1), shape);
}

function importScan(c: OpContext, scope: Scope, walker: BodyImporter): Results {
  const { e } = c;
  if (c.opset < 9) throw unsupported("Scan before opset 9");
  const proto = c.attrs.graph("body");
  const scanned = c.attrs.int("num_scan_inputs", 1);
  const states = c.operands.length - scanned;
  const xs = c.operands.slice(states).map((_, i) => c.in(states + i));
  const axes = xs.map((x, i) => c.axis(c.attrs.ints("scan_input_axes")?.[i] ?? 0, e.rank(x)));
  const reversed = c.attrs.ints("scan_input_directions") ?? [];
  const length = xs.length === 0 ? 0 : e.shape(xs[0]!)[axes[0]!]!;
  checkLimit("iterations of a scan", length, LIMITS.iterations, c.node.name);
  let carried = c.operands.slice(0, states).map((_, i) => c.in(i));
  const outs: Value[][] = proto.output.slice(states).map(() => []);
  for (let i = 0; i < length; i++) {
    e.countStep();
    const inner = childScope(scope);
    const slices = xs.map((x, k) => pick(e, x, axes[k]!, reversed[k] === 1 ? length - 1 - i : i));
    [...carried, ...slices].forEach((v, k) => {
      const name = proto.input[k]?.name;
      if (name === undefined) throw malformed("the body has too few inputs");
      inner.names.set(name, v);
    });
    const results = walker.body(proto, inner);
    if (results === FAILED) return FAILED;
    carried = results.slice(0, states).map((v) => e.plain(v));
    results.slice(states).forEach((v, k) => outs[k]!.push(e.plain(v)));
  }
  if (length === 0) throw unsupported("a scan without iterations");
  const backwards = c.attrs.ints("scan_output_directions") ?? [];
  const outAxes = c.attrs.ints("scan_output_axes") ?? [];
  const stacked = outs.map((list, k) => {
    const axis = c.axis(outAxes[k] ?? 0, e.rank(list[0]!) + 1);
    const order = backwards[k] === 1 ? [...list].reverse() : list;
    return e.concat(
      order.map((v) => e.unsqueeze(v, [axis])),
      axis,
    );
  });
  return [...carried, ...stacked];
}
