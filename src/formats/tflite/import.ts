/**
 * @file Imports a TensorFlow Lite model: binds input shapes, translates the operators in order,
 * folds shape arithmetic, and reports everything unsupported at once.
 */
import { type Graph, GraphBuilder, type Value } from "../../graph/graph.ts";
import type { Arith } from "../../graph/op.ts";
import { eliminateDead } from "../../graph/rewrite.ts";
import {
  elementCount,
  sameQuant,
  sameShape,
  type Tensor,
  type TensorType,
  zeros,
} from "../../tensor/tensor.ts";
import { type Diagnostic, throwDiagnostics, UserError } from "../../util/errors.ts";
import { core } from "../core.ts";
import { checkLimit, LIMITS } from "../limits.ts";
import { type Handlers, OpContext, outQuantOf } from "./context.ts";
import { customHandlers } from "./ops-custom.ts";
import { elementwiseHandlers } from "./ops-elementwise.ts";
import { nnHandlers } from "./ops-nn.ts";
import { recurrentHandlers } from "./ops-recurrent.ts";
import { reduceHandlers } from "./ops-reduce.ts";
import { shapeHandlers } from "./ops-shape.ts";
import { sliceHandlers } from "./ops-slice.ts";
import { readTflite, type TfliteModel, type TfliteOperator } from "./read.ts";
import { constantOf, declaredType } from "./tensors.ts";

export interface TfliteImportOptions {
  /** Shapes of inputs, by name; default: those in the file. */
  readonly shapes?: Readonly<Record<string, readonly number[]>>;
  /** Inputs frozen to constants, by name: same dtype and element count as the input. */
  readonly fix?: Readonly<Record<string, Tensor>>;
  /** The graph's name; default: the one in the file. */
  readonly name?: string;
  /**
   * Arithmetic of operators on quantised values (docs/ir.md). "tflite" (default): TensorFlow Lite's
   * built-in kernels. "float": rescaling in f32, which its XNNPACK delegate uses too.
   */
  readonly arith?: Arith;
}

export interface Imported {
  readonly graph: Graph;
  /** Notes: choices made for the user. */
  readonly diagnostics: readonly Diagnostic[];
}

const HANDLERS: Handlers = {
  ...nnHandlers,
  ...elementwiseHandlers,
  ...shapeHandlers,
  ...sliceHandlers,
  ...reduceHandlers,
  ...recurrentHandlers,
};

const handlerOf = (op: TfliteOperator) =>
  op.isCustom ? own(customHandlers, op.name) : own(HANDLERS, op.name);
/** Converters join the names of everything they fused with ";"; the first names the layer. */
const layerName = (name: string): string => name.split(";", 1)[0]!;
const own = (handlers: Handlers, name: string) =>
  Object.hasOwn(handlers, name) ? handlers[name] : undefined;

/** Names of the built-in and custom operators that can be imported. */
export const tfliteOperators = (): readonly string[] =>
  [...Object.keys(HANDLERS), ...Object.keys(customHandlers)].sort();

/**
 * Imports a model. Pure: reads nothing but the bytes. Throws UserError for anything it cannot take.
 */
export function importTflite(bytes: Uint8Array, options: TfliteImportOptions = {}): Imported {
  const model = readTflite(bytes);
  refuseUnknown(model.operators);
  return new Importer(model, options).run();
}

/** Throws E_UNSUPPORTED that names every operator without a translation. */
function refuseUnknown(operators: readonly TfliteOperator[]): void {
  const counts = new Map<string, number>();
  for (const op of operators) {
    if (handlerOf(op) === undefined) counts.set(op.name, (counts.get(op.name) ?? 0) + 1);
  }
  if (counts.size === 0) return;
  const names = [...counts]
    .map(([name, n]) => (n === 1 ? name : `${name} (${n} times)`))
    .slice(0, 50);
  throw new UserError("E_UNSUPPORTED", `operators that are not supported: ${names.join(", ")}`, {
    hint: "replace them before conversion to TensorFlow Lite, or cut the model before them",
  });
}

/** Walks the operators of one model. */
class Importer {
  private readonly model: TfliteModel;
  private readonly options: TfliteImportOptions;
  private readonly g: GraphBuilder;
  /** Values by tensor number; null where the producer failed. */
  private readonly values = new Map<number, Value | null>();
  private readonly problems: Diagnostic[] = [];
  private readonly notes: Diagnostic[] = [];
  private readonly names = new Set<string>();
  private readonly named = new Set<Value>();
  private emitted = 0;

  constructor(model: TfliteModel, options: TfliteImportOptions) {
    this.model = model;
    this.options = options;
    this.g = new GraphBuilder(options.name ?? (model.name || "model"));
  }

  run(): Imported {
    this.defineInputs();
    for (const op of this.model.operators) this.translate(op);
    throwDiagnostics(this.problems, `model '${this.g.name}' cannot be imported:`);
    for (const t of this.model.outputs) {
      this.g.output(this.valueOf(t)!, this.unique(this.tensor(t).name || `output${t}`));
    }
    const { description, metadata } = this.model;
    if (description !== "") this.g.meta["description"] = description;
    Object.assign(this.g.meta, metadata);
    return { graph: eliminateDead(this.g.build()), diagnostics: this.notes };
  }

  private tensor(index: number) {
    return this.model.tensors[index]!;
  }

  /** The name, with a number where it is taken: inputs and outputs have distinct names. */
  private unique(name: string): string {
    let candidate = name;
    for (let i = 1; this.names.has(candidate); i++) candidate = `${name}_${i}`;
    this.names.add(candidate);
    return candidate;
  }

  private defineInputs(): void {
    const { shapes = {}, fix = {} } = this.options;
    const known = this.model.inputs.map((t) => this.tensor(t).name);
    for (const name of [...Object.keys(shapes), ...Object.keys(fix)]) {
      if (known.includes(name)) continue;
      throw new UserError("E_ARGUMENT", `the model has no input '${name}'`, {
        hint: `its inputs: ${known.join(", ")}`,
      });
    }
    for (const index of this.model.inputs) {
      const t = this.tensor(index);
      const type = declaredType(t, entryOf(shapes, t.name) ?? t.shape);
      const fixed = entryOf(fix, t.name);
      this.noteOpenShape(t.name, t.shapeSignature, type, entryOf(shapes, t.name) !== undefined);
      const value =
        fixed === undefined
          ? this.g.input(this.unique(t.name || `input${index}`), type)
          : this.g.constant(frozen(t.name, fixed, type), t.name);
      this.values.set(index, value);
      this.named.add(value);
    }
  }

  private noteOpenShape(
    name: string,
    signature: readonly number[],
    type: TensorType,
    given: boolean,
  ): void {
    if (given || !signature.includes(-1)) return;
    const shown = signature.map((d) => (d === -1 ? "?" : d)).join(", ");
    this.notes.push({
      code: "E_SHAPE",
      message: `the shape [${shown}] is open; [${type.shape.join(", ")}] is taken`,
      where: `input '${name}'`,
      hint: "give the shape of the input to change it",
    });
  }

  /** The value of a tensor; constants are made when first read. null: its producer failed. */
  private valueOf(index: number): Value | null {
    const known = this.values.get(index);
    if (known !== undefined) return known;
    const t = this.tensor(index);
    if (t.isVariable) return this.startOfState(index);
    const empty = t.data === null && elementCount(t.shape) === 0;
    if ((t.data === null && !empty) || t.isExternal) {
      throw new UserError("E_FORMAT", `tensor '${t.name}' is read before anything computes it`);
    }
    const v = this.g.constant(constantOf(this.model.reader, t), layerName(t.name));
    this.values.set(index, v);
    this.named.add(v);
    return v;
  }

  /** A variable starts at zero in every run: state does not pass from one run to the next. */
  private startOfState(index: number): Value {
    const t = this.tensor(index);
    const v = this.g.constant(zeros(declaredType(t)), t.name);
    this.values.set(index, v);
    const known = this.notes.some((n) => n.where === "state");
    if (!known) {
      this.notes.push({
        code: "E_MODEL",
        message: "the model keeps state between runs; here every run starts from zeros",
        where: "state",
      });
    }
    return v;
  }

  private translate(op: TfliteOperator): void {
    const first = op.outputs[0];
    const name = first === undefined || first < 0 ? op.name : layerName(this.tensor(first).name);
    try {
      this.translateInto(op, name);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      for (const t of op.outputs) if (t >= 0) this.values.set(t, null);
      const { code, message, where, hint } = error;
      const text = where === undefined || where === name ? message : `${where}: ${message}`;
      const diagnostic = { code, message: text, where: `${op.name} '${name}'` };
      this.problems.push(hint === undefined ? diagnostic : { ...diagnostic, hint });
      if (this.problems.length >= 100) throwDiagnostics(this.problems, "too many problems:");
    }
  }

  private translateInto(op: TfliteOperator, name: string): void {
    const operands = op.inputs.map((t) => (t === -1 ? undefined : this.valueOf(t)));
    if (operands.includes(null)) {
      for (const t of op.outputs) if (t >= 0) this.values.set(t, null);
      return;
    }
    const c = new OpContext(
      this.g,
      this.model,
      op,
      name,
      this.options.arith ?? "tflite",
      operands as (Value | undefined)[],
    );
    const result = handlerOf(op)!(c);
    const values = typeof result === "number" ? [result] : result;
    this.emitted += c.emitted;
    checkLimit("nodes", this.emitted, LIMITS.nodes);
    op.outputs.forEach((t, i) => {
      if (t < 0) return;
      const v = values[i];
      if (v === undefined) {
        throw new UserError("E_FORMAT", `${op.outputs.length} outputs, expected ${values.length}`);
      }
      const typed = this.asDeclared(c, v, i);
      if (!this.named.has(typed)) this.g.setName(typed, this.tensor(t).name);
      this.named.add(typed);
      this.values.set(t, typed);
    });
  }

  /** The value under the quantised type the file declares; the bytes stay. */
  private asDeclared(c: OpContext, v: Value, output: number): Value {
    const want = c.declared(output);
    const have = this.g.typeOf(v);
    if (have.dtype !== want.dtype) {
      throw new UserError(
        "E_FORMAT",
        `the result is ${have.dtype}, the file declares ${want.dtype}`,
      );
    }
    this.noteShape(c, have, want);
    if (sameQuant(have.quant, want.quant)) return v;
    const raw = have.quant === undefined ? v : c.emit(core.strip_quant, [v]);
    const out = outQuantOf(want);
    return out === undefined ? raw : c.emit(core.assume_quant, [raw], { out });
  }

  /**
   * Shapes are inferred; a declared one that differs is worth a note unless shapes were overridden.
   */
  private noteShape(c: OpContext, have: TensorType, want: TensorType): void {
    if (sameShape(have.shape, want.shape) || want.shape.length === 0) return;
    if (this.options.shapes !== undefined || this.notes.length >= 100) return;
    this.notes.push({
      code: "E_SHAPE",
      message: `the file declares [${want.shape}], the operands give [${have.shape}]`,
      where: `${c.op.name} '${c.name}'`,
    });
  }
}

const entryOf = <T>(record: Readonly<Record<string, T>>, key: string): T | undefined =>
  Object.hasOwn(record, key) ? record[key] : undefined;

/** The tensor an input is frozen to, under the input's type. */
function frozen(name: string, t: Tensor, type: TensorType): Tensor {
  if (t.type.dtype !== type.dtype || elementCount(t.type.shape) !== elementCount(type.shape)) {
    const want = `${type.dtype} [${type.shape}]`;
    throw new UserError(
      "E_DATA",
      `input '${name}' is ${want}, got ${t.type.dtype} [${t.type.shape}]`,
    );
  }
  return { type, data: t.data };
}
