/** @file A trained network inside the step of another: in evaluation mode, its weights constants. */
import { inlineGraph } from "../autodiff/inline.ts";
import type { Graph, GraphBuilder, Value } from "../graph/graph.ts";
import { eliminateDead } from "../graph/rewrite.ts";
import { transpose } from "../ops/shape/transpose.ts";
import { cleanGraph } from "../pipeline.ts";
import { sameShape } from "../tensor/tensor.ts";
import { UserError } from "../util/errors.ts";
import { type Network, valueNamed } from "./network.ts";
import { withBatch } from "./with-batch.ts";

export interface TeacherOptions {
  readonly graph: Graph;
  /**
   * Values a loss asks for by name that the clean-up may otherwise fold away, such as a convolution's result before
   * its batch normalisation.
   */
  readonly keep?: readonly string[];
}

/** An input of the step, which teacher and student share. */
export interface SharedInput {
  readonly name: string;
  readonly value: Value;
}

const PERMUTATIONS: readonly (readonly number[])[] = [
  [0, 3, 1, 2],
  [0, 2, 3, 1],
];

/** The step's input as the teacher wants it: pictures may have to be transposed. */
function fitted(g: GraphBuilder, input: SharedInput, want: readonly number[]): Value {
  const { shape } = g.typeOf(input.value);
  if (sameShape(shape, want)) return input.value;
  const permuted = (perm: readonly number[]): number[] => perm.map((p) => shape[p] ?? 0);
  const perm = PERMUTATIONS.find((p) => want.length === 4 && sameShape(permuted(p), want));
  if (perm !== undefined) return g.apply(transpose, [input.value], { perm });
  throw new UserError("E_SHAPE", `the teacher wants [${want}], the student [${shape}]`, {
    where: input.name,
    hint: "teacher and student see the same input; expected the same sizes",
  });
}

/** The teacher's inputs: the student's of the same names, or in the same order. */
function teacherInputs(
  g: GraphBuilder,
  teacher: Graph,
  inputs: readonly SharedInput[],
): readonly Value[] {
  return teacher.inputs.map((v, i) => {
    const { name, type } = teacher.values.get(v)!;
    const input = inputs.find((s) => s.name === name) ?? inputs[i];
    if (input === undefined) {
      throw new UserError("E_ARGUMENT", `the student has no input for the teacher's '${name}'`, {
        where: name,
        hint: `the student's inputs: ${inputs.map((s) => s.name).join(", ")}`,
      });
    }
    return fitted(g, input, type.shape);
  });
}

/** The teacher without training-time structure, its outputs as they were, then the values to keep. */
function prepared({ graph, keep = [] }: TeacherOptions, rows: number): Graph {
  const values = keep.map((name) => valueNamed(graph, name));
  const outputs = [...graph.outputs, ...values];
  const outputNames = [...graph.outputNames, ...keep];
  return cleanGraph(eliminateDead(withBatch({ ...graph, outputs, outputNames }, rows)));
}

/** Adds the teacher to the step. Its nodes get names that begin with "teacher/". */
export function addTeacher(
  g: GraphBuilder,
  teacher: Graph | TeacherOptions,
  inputs: readonly SharedInput[],
): Network {
  const rows = g.typeOf(inputs[0]!.value).shape[0] ?? 1;
  const graph = prepared("graph" in teacher ? teacher : { graph: teacher }, rows);
  const labelled = {
    ...graph,
    nodes: graph.nodes.map((n) => ({ ...n, name: `teacher/${n.name || n.op.name}` })),
  };
  const { value } = inlineGraph(g, labelled, teacherInputs(g, graph, inputs));
  return { graph, at: value };
}
