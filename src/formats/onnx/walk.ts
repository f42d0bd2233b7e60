/** @file Walks the nodes of ONNX graphs and function bodies, gathering what cannot be imported. */
import type { Value } from "../../graph/graph.ts";
import { type Diagnostic, UserError } from "../../util/errors.ts";
import { checkLimit, LIMITS } from "../limits.ts";
import { Attributes, malformed, NeedsConstant, OpContext } from "./context.ts";
import { importControl, isControl } from "./control.ts";
import type { Emitter } from "./emit.ts";
import { TERSOR_DOMAIN } from "./functions.ts";
import { ImportError } from "./import-error.ts";
import { IMPORTERS } from "./ops/index.ts";
import type { AttributeProto, FunctionProto, GraphProto, NodeProto } from "./proto.ts";
import { FAILED, lookUp, opsetVersions, resolveAttributes, type Scope } from "./scope.ts";
import { denseTensor, type ExternalData, tensorOfProto } from "./tensors.ts";

const functionKey = (domain: string, name: string, overload: string): string =>
  `${domain === "ai.onnx" ? "" : domain}:${name}:${overload}`;

/** What a node is called in messages. */
const labelOf = (node: NodeProto): string =>
  node.name || node.output.find((o) => o !== "") || node.opType;

export class Walker {
  readonly e: Emitter;
  private readonly functions: ReadonlyMap<string, FunctionProto>;
  private readonly external: ExternalData | undefined;
  private readonly problems: Diagnostic[] = [];
  private readonly freeze = new Set<string>();
  /** Nodes by operator that has no importer. */
  private readonly missing = new Map<string, string[]>();

  constructor(e: Emitter, functions: readonly FunctionProto[], external: ExternalData | undefined) {
    this.e = e;
    this.external = external;
    this.functions = new Map(functions.map((f) => [functionKey(f.domain, f.name, f.overload), f]));
  }

  /** Binds the initialisers of a graph; each is decoded when it is first read. */
  defineConstants(proto: GraphProto, scope: Scope): void {
    for (const t of proto.initializer) {
      scope.names.set(t.name, () => this.e.constant(tensorOfProto(t, this.external), t.name));
    }
    for (const t of proto.sparseInitializer) {
      const name = t.values?.name ?? "";
      scope.names.set(name, () => this.e.constant(denseTensor(t, this.external), name));
    }
  }

  walk(nodes: readonly NodeProto[], scope: Scope): void {
    checkLimit("nesting of subgraphs and functions", scope.depth, LIMITS.depth, "graph");
    for (const node of nodes) {
      const results = this.node(node, scope);
      node.output.forEach((name, i) => {
        if (name === "") return;
        const v = results === FAILED ? FAILED : results[i];
        if (v === undefined) throw malformed(`node '${labelOf(node)}' has no result ${i}`);
        scope.names.set(name, v);
        if (v !== FAILED) this.e.nameResult(v, name);
      });
    }
  }

  /** Runs a subgraph in its scope: its results, or FAILED. */
  body(proto: GraphProto, scope: Scope): readonly Value[] | typeof FAILED {
    this.defineConstants(proto, scope);
    this.walk(proto.node, scope);
    const results = proto.output.map((o) => this.read(o.name, scope));
    return results.includes(FAILED) ? FAILED : (results as Value[]);
  }

  private read(name: string, scope: Scope): Value | typeof FAILED {
    const v = lookUp(scope, name);
    if (v === undefined) throw malformed(`nothing computes '${name}'`);
    return v;
  }

  private node(node: NodeProto, scope: Scope): readonly Value[] | typeof FAILED {
    const label = labelOf(node);
    const domain = node.domain === "ai.onnx" ? "" : node.domain;
    const importer = IMPORTERS[domain === "" ? node.opType : `${domain}.${node.opType}`];
    // Functions that tersor wrote are taken as its operators.
    const own = domain === TERSOR_DOMAIN && importer !== undefined;
    const fn = own
      ? undefined
      : this.functions.get(functionKey(domain, node.opType, node.overload));
    if (fn === undefined && importer === undefined && !isControl(node)) {
      const op = domain === "" ? node.opType : `${domain}.${node.opType}`;
      const nodes = this.missing.get(op);
      if (nodes === undefined) this.missing.set(op, [label]);
      else nodes.push(label);
      return FAILED;
    }
    try {
      const operands = node.input.map((name) => (name === "" ? null : this.read(name, scope)));
      if (operands.includes(FAILED)) return FAILED;
      const values = operands as (Value | null)[];
      const attributes = resolveAttributes(node.attribute, scope);
      if (fn !== undefined) return this.call(fn, attributes, values, scope);
      const opset = scope.opsets.get(domain) ?? 1;
      this.e.name = label;
      const attrs = new Attributes(attributes, this.external);
      const context = new OpContext(this.e, node, attrs, opset, values);
      if (isControl(node)) return importControl(context, scope, this);
      const results = importer!(context);
      return typeof results === "number" ? [results] : results;
    } catch (error) {
      this.note(error, node, label);
      return FAILED;
    }
  }

  private call(
    fn: FunctionProto,
    attributes: readonly AttributeProto[],
    operands: readonly (Value | null)[],
    caller: Scope,
  ): readonly Value[] | typeof FAILED {
    const args = new Map(fn.attributeProto.map((a) => [a.name, a]));
    for (const a of attributes) args.set(a.name, a);
    const names = new Map<string, Value>();
    fn.input.forEach((name, i) => {
      const v = operands[i] ?? null;
      if (v !== null) names.set(name, v);
    });
    const opsets = new Map([...caller.opsets, ...opsetVersions(fn.opsetImport)]);
    const scope: Scope = { parent: null, names, opsets, args, depth: caller.depth + 1 };
    this.walk(fn.node, scope);
    const results = fn.output.map((name) => lookUp(scope, name) ?? FAILED);
    return results.includes(FAILED) ? FAILED : (results as Value[]);
  }

  /** Keeps a user's error for the final report; anything else is rethrown. */
  private note(error: unknown, node: NodeProto, label: string): void {
    if (!(error instanceof UserError) || error.code === "E_LIMIT") throw error;
    if (error instanceof NeedsConstant) for (const name of error.freeze) this.freeze.add(name);
    this.problems.push({
      code: error.code,
      message: error.message,
      where: `${node.opType} '${label}'`,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    });
  }

  /** Throws one ImportError when anything could not be imported. */
  throwProblems(name: string): void {
    const missing = [...this.missing].map(([op, nodes]): Diagnostic => {
      const shown = nodes.slice(0, 3).join("', '");
      const more = nodes.length > 3 ? " …" : "";
      return {
        code: "E_UNSUPPORTED",
        message: `operator ${op} is not supported (${nodes.length} nodes: '${shown}'${more})`,
      };
    });
    const all = [...missing, ...this.problems];
    if (all.length > 0) throw new ImportError(all, [...this.freeze], name);
  }
}
