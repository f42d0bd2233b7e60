/**
 * @file From a model with trained fake quantisers to the integer model that computes the same: the fake quantisers are
 * taken out, and their scales and zero points given to the quantiser.
 */
import { layerName } from "../../compress/quantize/calibrate.ts";
import { quantizeLayerTo, type WeightGrid } from "../../compress/quantize/params.ts";
import { type Parameters, quantizeWith } from "../../compress/quantize/quantize-graph.ts";
import {
  type SelectionOptions,
  selectNodes,
  sharedParams,
} from "../../compress/quantize/selection.ts";
import { type Graph, isOp, type Node, type Value } from "../../graph/graph.ts";
import { evalNode } from "../../graph/interpret.ts";
import type { OutQuant } from "../../graph/op.ts";
import { rewrite, usesOf } from "../../graph/rewrite.ts";
import type { GridAttrs } from "../../ops/quant/grid.ts";
import { fakeQuantize, lsqQuantize } from "../../ops/quant/index.ts";
import { DTYPES } from "../../tensor/dtype.ts";
import { elementCount, type Tensor, toNumbers } from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { ceilDiv } from "../../util/math.ts";

/** The integers of one value. */
interface Grid extends GridAttrs {
  readonly scale: readonly number[];
  readonly zero: readonly number[];
}

export interface ConvertedLayer {
  readonly name: string;
  /** Bits of each weight. */
  readonly bits: number;
  readonly weights: number;
}

export interface Converted {
  /** The integer model; inputs and outputs keep their types. */
  readonly graph: Graph;
  readonly layers: readonly ConvertedLayer[];
  /** What the weights take when each has no more than its bits; in memory they have 8. */
  readonly packedBytes: number;
}

/** The tensor of a value that depends on constants alone. */
function constantOf(g: Graph, v: Value, producer: (v: Value) => Node | undefined): Tensor {
  const known = g.constants.get(v);
  if (known !== undefined) return known;
  const node = producer(v);
  if (node === undefined) {
    throw new UserError("E_MODEL", `the scale '${g.values.get(v)!.name}' is not constant`);
  }
  const ins = node.ins.map((i) => constantOf(g, i, producer));
  return evalNode(node, ins, g)[node.outs.indexOf(v)]!;
}

const isFake = (node: Node): node is Node<GridAttrs> =>
  isOp(node, fakeQuantize) || isOp(node, lsqQuantize);

function scalesOf(t: Tensor, name: string): number[] {
  const scales = toNumbers(t);
  const bad = scales.find((s) => !(s > 0));
  if (bad === undefined) return scales;
  throw new UserError("E_DATA", `'${name}' has a scale of ${bad}, expected positive ones`, {
    where: name,
    hint: "train with a lower learning rate",
  });
}

interface Stripped {
  readonly graph: Graph;
  /** By values of the graph without fake quantisers. */
  readonly grids: ReadonlyMap<Value, Grid>;
}

/** The float model, and what was rounded where. */
function strip(model: Graph): Stripped {
  const { producer } = usesOf(model);
  const grids = new Map<Value, Grid>();
  const graph = rewrite(model, (node, ctx) => {
    if (!isFake(node)) return null;
    const [x, scale, zero] = node.ins as readonly [Value, Value, Value];
    const to = ctx.value(x);
    grids.set(to, {
      min: node.attrs.min,
      max: node.attrs.max,
      axis: node.attrs.axis,
      scale: scalesOf(constantOf(model, scale, producer), node.name),
      zero: toNumbers(constantOf(model, zero, producer)),
    });
    if (!model.constants.has(x)) ctx.builder.setName(to, model.values.get(node.outs[0]!)!.name);
    return [to];
  });
  return { graph, grids };
}

function outQuant(grid: Grid, name: string): OutQuant {
  const { min, max } = DTYPES.i8;
  if (grid.axis === null && grid.min === min && grid.max === max) {
    return { dtype: "i8", scale: grid.scale, zeroPoint: grid.zero, axis: null };
  }
  throw new UserError(
    "E_UNSUPPORTED",
    `'${name}' has integers from ${grid.min} to ${grid.max}: integer models compute on ${min} to ${max}`,
    { where: name, hint: "train with activations of 8 bits; weights may have fewer" },
  );
}

/** Parameters by value, and which of them were asked for. */
class Given implements Parameters {
  private readonly g: Graph;
  private readonly grids: ReadonlyMap<Value, Grid>;
  private readonly root: (v: Value) => Value;
  private readonly shared = new Map<Value, Value>();
  private readonly used = new Set<Value>();
  readonly layers: ConvertedLayer[] = [];

  constructor({ graph, grids }: Stripped, root: (v: Value) => Value) {
    this.g = graph;
    this.grids = grids;
    this.root = root;
    for (const v of grids.keys()) if (!graph.constants.has(v)) this.shared.set(root(v), v);
  }

  private missing(name: string): never {
    throw new UserError("E_MODEL", `'${name}' has no fake quantiser`, {
      where: name,
      hint: "give the options that the model was prepared with",
    });
  }

  private name(v: Value): string {
    return this.g.values.get(v)!.name || `value${v}`;
  }

  private grid(v: Value | undefined, name: string): Grid {
    const grid = v === undefined ? undefined : this.grids.get(v);
    if (v === undefined || grid === undefined) return this.missing(name);
    this.used.add(v);
    return grid;
  }

  value(v: Value): OutQuant {
    return outQuant(this.grid(this.shared.get(this.root(v)), this.name(v)), this.name(v));
  }

  constant(v: Value): OutQuant {
    return outQuant(this.grid(v, this.name(v)), this.name(v));
  }

  layer(node: Node, bias: readonly number[] | null, inputScale: number) {
    const name = layerName(this.g, node);
    const w = node.ins[1]!;
    const { scale, min, max } = this.grid(w, name);
    const weight = this.g.constants.get(w)!;
    const bits = Math.ceil(Math.log2(max - min + 1));
    this.layers.push({ name, bits, weights: elementCount(weight.type.shape) });
    const grid: WeightGrid = { scale, min, max };
    return quantizeLayerTo(weight, bias, inputScale, grid);
  }

  /** A fake quantiser without a place in the integer model would be lost silently. */
  checkAllUsed(): void {
    const places = new Set([...this.used].map(this.root));
    const left = [...this.grids.keys()].find(
      (v) => !places.has(this.root(v)) && !this.g.constants.has(v),
    );
    if (left === undefined) return;
    throw new UserError("E_MODEL", `the integer model has no place for '${this.name(left)}'`, {
      where: this.name(left),
      hint: "give the options that the model was prepared with",
    });
  }
}

/**
 * The integer model of a trained one from `prepareQat`, with its scales and zero points. `options`: those it was
 * prepared with. Throws UserError E_MODEL for a model without fake quantisers, E_UNSUPPORTED for activations of
 * fewer than 8 bits.
 */
export function convertQat(model: Graph, options: SelectionOptions = {}): Converted {
  const stripped = strip(model);
  if (stripped.grids.size === 0) {
    throw new UserError("E_MODEL", `${model.name} has no fake quantisers`, {
      hint: "make it with prepareQat, train it, then convert it",
    });
  }
  const { graph } = stripped;
  const selection = selectNodes(graph, options);
  const root = sharedParams(selection, (v) => graph.constants.has(v));
  const given = new Given(stripped, root);
  const integer = quantizeWith(graph, selection, given);
  given.checkAllUsed();
  const packedBytes = given.layers.reduce((a, l) => a + ceilDiv(l.bits * l.weights, 8), 0);
  return { graph: integer, layers: given.layers, packedBytes };
}
