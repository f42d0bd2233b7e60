/** @file Static types for the inputs of an ONNX model: bound, defaulted or refused with advice. */
import { type TensorType, tensorType } from "../../tensor/tensor.ts";
import { type Diagnostic, UserError } from "../../util/errors.ts";
import { checkShape } from "../limits.ts";
import type { DimProto, ValueInfoProto } from "./proto.ts";
import { dtypeOf } from "./tensors.ts";

export interface BoundInputs {
  readonly types: ReadonlyMap<string, TensorType>;
  /** One for every dimension that was given a default. */
  readonly notes: readonly Diagnostic[];
}

const dimText = (d: DimProto): string =>
  d.param || d.value === undefined ? d.param || "?" : `${d.value}`;
const isFixed = (d: DimProto): d is DimProto & { readonly value: number } => d.value !== undefined;

/**
 * Types of the inputs. Shapes given by the caller bind named dimensions everywhere; an unbound leading
 * dimension is 1; any other is an error that shows what to add.
 */
export function bindInputs(
  inputs: readonly ValueInfoProto[],
  shapes: Readonly<Record<string, readonly number[]>>,
): BoundInputs {
  const unknown = Object.keys(shapes).filter((name) => !inputs.some((i) => i.name === name));
  if (unknown.length > 0) {
    throw new UserError("E_ARGUMENT", `the model has no input '${unknown[0]}'`, {
      hint: `its inputs: ${inputs.map((i) => i.name).join(", ")}`,
    });
  }
  const names = new Map<string, number>();
  for (const input of inputs) bindNames(input, shapes[input.name], names);
  const notes: Diagnostic[] = [];
  for (const input of inputs) {
    const first = input.type?.tensorType?.shape?.dim[0];
    if (first === undefined || shapes[input.name] !== undefined || isFixed(first)) continue;
    if (first.param !== "" && names.has(first.param)) continue;
    if (first.param !== "") names.set(first.param, 1);
    notes.push({
      code: "E_SHAPE",
      message: `dimension 0 (${dimText(first)}) is open and was set to 1`,
      where: `input '${input.name}'`,
    });
  }
  const types = new Map<string, TensorType>();
  const open: string[] = [];
  for (const input of inputs) {
    const shape = shapes[input.name] ?? resolve(input, names);
    if (shape === null) open.push(advice(input, names));
    else types.set(input.name, typeOfInput(input, shape));
  }
  if (open.length > 0) {
    throw new UserError("E_SHAPE", `inputs with open dimensions:\n  ${open.join("\n  ")}`, {
      hint: "give each a shape as shown",
    });
  }
  return { types, notes };
}

function typeOfInput(input: ValueInfoProto, shape: readonly number[]): TensorType {
  const where = `input '${input.name}'`;
  const type = input.type?.tensorType;
  if (type === undefined) {
    throw new UserError("E_UNSUPPORTED", "only tensors can be inputs", { where });
  }
  checkShape(shape, where);
  return tensorType(dtypeOf(type.elemType, where), shape);
}

function bindNames(
  input: ValueInfoProto,
  given: readonly number[] | undefined,
  names: Map<string, number>,
): void {
  const dims = input.type?.tensorType?.shape?.dim;
  if (given === undefined || dims === undefined) return;
  const fits =
    dims.length === given.length && dims.every((d, i) => !isFixed(d) || d.value === given[i]);
  if (!fits) {
    throw new UserError(
      "E_SHAPE",
      `shape [${given}] does not fit the declared [${dims.map(dimText)}]`,
      { where: `input '${input.name}'` },
    );
  }
  dims.forEach((d, i) => {
    if (d.param !== "" && !isFixed(d)) names.set(d.param, given[i]!);
  });
}

const extent = (d: DimProto, i: number, names: ReadonlyMap<string, number>): number | undefined =>
  d.value ?? names.get(d.param) ?? (i === 0 ? 1 : undefined);

function resolve(input: ValueInfoProto, names: ReadonlyMap<string, number>): number[] | null {
  const type = input.type?.tensorType;
  if (type === undefined) return [];
  if (type.shape === undefined) return null;
  const dims = type.shape.dim.map((d, i) => extent(d, i, names));
  return dims.every((d) => d !== undefined) ? dims : null;
}

/** The option that would bind the input, with plausible numbers for what is open. */
function advice(input: ValueInfoProto, names: ReadonlyMap<string, number>): string {
  const dims = input.type?.tensorType?.shape?.dim;
  if (dims === undefined)
    return `'${input.name}' has no shape: add --shape ${input.name}=1,3,224,224`;
  const filled = dims.map((d, i) => extent(d, i, names) ?? (dims.length === 4 ? 224 : 1));
  return `'${input.name}' is [${dims.map(dimText)}]: add --shape ${input.name}=${filled}`;
}
