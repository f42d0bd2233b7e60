/**
 * @file Exports a graph to ONNX (operator set 21) as ONNX Runtime likes it: channels first, fused parts
 * spelled out, quantised operators as reals between DequantizeLinear and QuantizeLinear.
 */
import { expandComposites } from "../../graph/decompose.ts";
import { type Graph, type Node, typeOf, type Value } from "../../graph/graph.ts";
import type { Attrs } from "../../graph/op.ts";
import type { TensorType } from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { acdcExports, acdcFunctions } from "./export/acdc.ts";
import { ExportContext, type ExportEntry, Names, quantized } from "./export/context.ts";
import { elementwiseExports } from "./export/elementwise.ts";
import { hashedExports, hashedFunctions } from "./export/hashed.ts";
import { moveExports } from "./export/move.ts";
import { nnExports } from "./export/nn.ts";
import { OnnxWriter } from "./export/writer.ts";
import { ACDC_BIAS_FUNCTION, ACDC_FUNCTION, HASHED_FUNCTION, TERSOR_DOMAIN } from "./functions.ts";
import { MODEL, type ModelProto, type ValueInfoProto } from "./proto.ts";
import { DATA_TYPE } from "./tensors.ts";
import { type Draft, encodeMessage } from "./wire.ts";

export interface OnnxExportOptions {
  /** Written as the model's producer. */
  readonly producer?: string;
  /** "auto": initialisers are written without their zeros where that is smaller. Default: all of them dense. */
  readonly sparse?: "auto";
}

const OPSET = 21;
const IR_VERSION = 10;

const ENTRIES: Readonly<Record<string, ExportEntry<Attrs>>> = {
  ...elementwiseExports,
  ...moveExports,
  ...nnExports,
  ...hashedExports,
  ...acdcExports,
} as Readonly<Record<string, ExportEntry<Attrs>>>;

/** Functions that belong together, written into a model that calls one of them. */
const FUNCTIONS = [
  { of: [HASHED_FUNCTION], write: hashedFunctions },
  { of: [ACDC_FUNCTION, ACDC_BIAS_FUNCTION], write: acdcFunctions },
];

/** Encodes the graph as an ONNX model. Equal graphs give equal bytes. Throws E_UNSUPPORTED naming the node. */
export function exportOnnx(graph: Graph, options: OnnxExportOptions = {}): Uint8Array {
  const simple = expandComposites(
    graph,
    (op) => !Object.hasOwn(ENTRIES, op.name) && op.decompose !== undefined,
  );
  const w = new OnnxWriter();
  const names = new Names(simple, w);
  for (const v of simple.inputs) names.set(v, simple.values.get(v)!.name);
  for (const node of simple.nodes) exportNode(node, names);
  const chosen = chooseNames(simple, names);
  const { node, initializer, sparseInitializer } = w.finish(chosen, options.sparse === "auto");
  return encodeMessage(MODEL, {
    irVersion: IR_VERSION,
    opsetImport: [
      { domain: "", version: OPSET },
      ...(w.called.size > 0 ? [{ domain: TERSOR_DOMAIN, version: 1 }] : []),
    ],
    producerName: options.producer ?? "tersor",
    graph: {
      name: simple.name,
      node,
      initializer,
      sparseInitializer,
      input: simple.inputs.map((v) => valueInfo(simple.values.get(v)!.name, typeOf(simple, v))),
      output: simple.outputs.map((v, i) => valueInfo(simple.outputNames[i]!, typeOf(simple, v))),
    },
    functions: FUNCTIONS.flatMap((f) => (f.of.some((name) => w.called.has(name)) ? f.write() : [])),
    ...metaFields(simple),
  });
}

function metaFields(graph: Graph): Draft<ModelProto> {
  const { doc, ...rest } = graph.meta;
  const keys = Object.keys(rest).sort();
  return {
    ...(doc === undefined ? {} : { docString: doc }),
    metadataProps: keys.map((key) => ({ key, value: rest[key] ?? "" })),
  };
}

function valueInfo(name: string, type: TensorType): Draft<ValueInfoProto> {
  const dim = type.shape.map((value) => ({ value, param: "" }));
  const tensorType = { elemType: DATA_TYPE[type.dtype], shape: { dim } };
  return { name, type: { tensorType } };
}

function exportNode(node: Node, names: Names): void {
  const entry = ENTRIES[node.op.name];
  if (entry === undefined) {
    throw new UserError("E_UNSUPPORTED", `operator ${node.op.name} has no ONNX form`, {
      where: node.name || node.op.name,
      hint: "export another stage of the model",
    });
  }
  names.w.layer = node.name;
  const context = new ExportContext(names, node);
  const result = entry.run(context);
  const results = typeof result === "string" ? [result] : result;
  node.outs.forEach((v, i) => {
    const { quant, dtype } = context.outType(i);
    const isReal = entry.integers !== true && quant !== undefined;
    names.set(v, isReal ? quantized(names.w, results[i]!, { dtype, ...quant }) : results[i]!);
  });
}

/**
 * Final names by provisional ones: outputs keep theirs (a copy where the tensor is an input, a constant
 * or another output), other values the names they have, where unique.
 */
function chooseNames(graph: Graph, names: Names): ReadonlyMap<string, string> {
  const chosen = new Map<string, string>();
  const taken = new Set([
    ...graph.inputs.map((v) => graph.values.get(v)!.name),
    ...graph.outputNames,
  ]);
  const computed = new Set(graph.nodes.flatMap((n) => n.outs).map((v) => names.of(v)));
  graph.outputs.forEach((v, i) => {
    let name = names.of(v);
    const isFree = computed.has(name) && name.startsWith("\0") && !chosen.has(name);
    if (!isFree || graph.constants.has(v)) name = names.w.emit("Identity", [name]);
    chosen.set(name, graph.outputNames[i]!);
  });
  const settle = (v: Value): void => {
    const name = names.peek(v) ?? "";
    const wanted = graph.values.get(v)?.name ?? "";
    if (!name.startsWith("\0") || chosen.has(name) || wanted === "" || taken.has(wanted)) return;
    taken.add(wanted);
    chosen.set(name, wanted);
  };
  for (const node of graph.nodes) {
    for (const v of node.ins) if (graph.constants.has(v)) settle(v);
    for (const v of node.outs) settle(v);
  }
  return chosen;
}
