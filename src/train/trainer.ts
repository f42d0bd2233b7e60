/** @file Runs training steps: one compiled program whose memory holds parameters and optimiser state. */
import type { Graph, Value } from "../graph/graph.ts";
import type { Port, Program } from "../kernel/program.ts";
import { compile } from "../pipeline.ts";
import type { ModelArray } from "../targets/wasm/model.ts";
import type { TypedArray } from "../tensor/dtype.ts";
import { type Tensor, withType } from "../tensor/tensor.ts";
import { invariant, UserError } from "../util/errors.ts";
import { type EngineModel, type TrainingEngine, wasmEngine } from "./engine.ts";
import { maskedTensor } from "./masks.ts";
import type { Optimizer } from "./optimizers.ts";
import type { StateTensor, TrainingStep } from "./step.ts";

export interface TrainerOptions {
  readonly threads?: number;
  /** Default WebAssembly; `nativeEngine()` of "tersor/native" compiles for this machine. */
  readonly engine?: TrainingEngine;
}

export interface TrainedModelOptions {
  /** With the averages over the steps, which the option `average` of the step keeps; default false. */
  readonly averaged?: boolean;
}

export interface StepResult {
  readonly loss: number;
  /** The model's outputs of this batch by name; valid until the next step. */
  readonly outputs: Readonly<Record<string, ModelArray>>;
}

/** A model in training. */
export interface Trainer {
  /** The compiled step, for profiles. */
  readonly program: Program;
  readonly threads: number;
  /** What computes, for example "wasm fma". */
  readonly engine: string;
  /** Steps done. */
  readonly steps: number;
  /** One step on a batch, by the names of the step's inputs. */
  step(feeds: Readonly<Record<string, ModelArray>>, rate: number): StepResult;
  /** All that lasts: parameters, running averages, optimiser state; copies. */
  state(): ReadonlyMap<string, TypedArray>;
  /** Goes back to a state, after that many steps. Throws UserError when it does not belong to this model. */
  restore(state: ReadonlyMap<string, TypedArray>, steps: number): void;
  /** The model with its present parameters and running averages. */
  model(options?: TrainedModelOptions): Graph;
  /** Milliseconds of each step of the program, medians of `runs` repetitions on the last batch. */
  profile(
    runs: number,
  ): readonly { readonly label: string; readonly kernel: string; readonly ms: number }[];
  close(): void;
}

/** Compiles a training step of `source` and puts the initial state into its memory. */
export async function createTrainer(
  source: Graph,
  training: TrainingStep,
  optimizer: Optimizer,
  { threads = 1, engine = wasmEngine }: TrainerOptions = {},
): Promise<Trainer> {
  const caps = engine.caps === undefined ? {} : { caps: engine.caps };
  const { program } = compile(training.graph, { state: training.pairs, ...caps });
  const instance = await engine.load(program, threads);
  const trainer = new RunningTrainer(source, training, optimizer, program, instance, engine.name);
  trainer.restore(new Map(training.state.map((s) => [s.name, s.initial.data])), 0);
  return trainer;
}

class RunningTrainer implements Trainer {
  readonly program: Program;
  readonly threads: number;
  readonly engine: string;
  steps = 0;
  private readonly source: Graph;
  private readonly training: TrainingStep;
  private readonly optimizer: Optimizer;
  private readonly instance: EngineModel;
  private readonly ports: ReadonlyMap<string, Port>;

  constructor(
    source: Graph,
    training: TrainingStep,
    optimizer: Optimizer,
    program: Program,
    instance: EngineModel,
    engine: string,
  ) {
    this.source = source;
    this.training = training;
    this.optimizer = optimizer;
    this.program = program;
    this.instance = instance;
    this.threads = instance.threads;
    this.engine = `${engine} ${instance.variant}`;
    this.ports = new Map((program.state ?? []).map((p) => [p.name, p]));
  }

  step(feeds: Readonly<Record<string, ModelArray>>, rate: number): StepResult {
    const n = this.steps + 1;
    const scalars = Object.entries({ ...this.optimizer.scalars, ...this.training.given }).map(
      ([name, f]) => [name, Float32Array.of(f(n))],
    );
    const all = { ...feeds, rate: Float32Array.of(rate), ...Object.fromEntries(scalars) };
    this.instance.write(all);
    this.instance.execute();
    this.steps = n;
    const { loss, ...outputs } = this.instance.read();
    return { loss: Number(loss![0]), outputs };
  }

  private view(s: StateTensor): TypedArray {
    const port = this.ports.get(s.name);
    invariant(port !== undefined, () => `no memory for state '${s.name}'`);
    return this.instance.view(port);
  }

  state(): ReadonlyMap<string, TypedArray> {
    return new Map(this.training.state.map((s) => [s.name, this.view(s).slice() as TypedArray]));
  }

  restore(state: ReadonlyMap<string, TypedArray>, steps: number): void {
    for (const s of this.training.state) {
      const data = state.get(s.name);
      const want = s.initial.data.length;
      if (data === undefined || data.length !== want) {
        const got = data === undefined ? "nothing" : `${data.length} elements`;
        throw new UserError("E_DATA", `state '${s.name}': expected ${want} elements, got ${got}`, {
          where: s.name,
          hint: "the checkpoint belongs to another model or optimiser",
        });
      }
      (this.view(s) as Float32Array).set(data as Float32Array);
    }
    this.steps = steps;
  }

  model(options: TrainedModelOptions = {}): Graph {
    return trainedModel(this.source, this.training, (s) => this.view(s).slice(), options);
  }

  profile(runs: number): { label: string; kernel: string; ms: number }[] {
    const saved = this.state();
    const times = this.program.steps.map((): number[] => []);
    for (let r = 0; r < runs; r++) {
      times.forEach((list, i) => {
        const start = performance.now();
        this.instance.step(i);
        list.push(performance.now() - start);
      });
    }
    this.restore(saved, this.steps);
    return this.program.steps.map((call, i) => ({
      label: call.label,
      kernel: this.program.kernels[call.kernel]!.name,
      ms: times[i]!.sort((a, b) => a - b)[runs >> 1]!,
    }));
  }

  close(): void {
    this.instance.close();
  }
}

/** The model with what was learned: parameters and running averages; `dataOf`: the elements of a state, a copy. */
export function trainedModel(
  source: Graph,
  { model, state }: TrainingStep,
  dataOf: (s: StateTensor) => TypedArray,
  { averaged = false }: TrainedModelOptions = {},
): Graph {
  if (averaged && !state.some((s) => s.averageOf !== undefined)) {
    throw new UserError("E_ARGUMENT", `${model.name} has no averages of its weights`, {
      hint: "give the training step the option `average`",
    });
  }
  const constants = new Map<Value, Tensor>(model.constants);
  for (const s of state) {
    const constant = averaged ? (s.averageOf ?? s.constant) : s.constant;
    if (constant === undefined) continue;
    const { type } = s.initial;
    constants.set(constant, withType({ type, data: dataOf(s) as never }, type));
  }
  // Weights that are masked may have values of their own in training.
  for (const s of state) {
    const own = s.maskOf === undefined ? undefined : constants.get(s.maskOf);
    if (own === undefined) continue;
    const mask = dataOf(s) as Float32Array;
    constants.set(s.maskOf!, maskedTensor(own, { type: own.type, data: mask }));
  }
  return { ...source, nodes: model.nodes, values: model.values, constants };
}
