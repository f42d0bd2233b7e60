/** @file What the configuration file of `tersor train` says. */
import type { Preprocess } from "../data/preprocess.ts";
import type { Graph } from "../graph/graph.ts";
import type { PointNames } from "./distil.ts";
import type { TrainingMetric } from "./evaluate.ts";

/** What a function that builds a model is given. */
export interface BuildInput {
  readonly batch: number;
  /** Of the data; 0 without labels. */
  readonly classes: number;
  readonly seed: number;
}

/** A model of tersor, by name. */
export interface BuiltModel {
  readonly build: string;
  /** Default: those of the data. */
  readonly classes?: number;
  /** Options of single builders. */
  readonly depth?: number;
  readonly width?: number;
  readonly side?: number;
  readonly frames?: number;
  readonly features?: number;
  readonly blocks?: number;
  readonly inputs?: number;
  readonly hidden?: number | readonly number[];
  readonly patch?: number;
  readonly channels?: number;
  readonly tokens?: number;
  readonly heads?: number;
  readonly layers?: number;
}

/** A float model in a file, trained on from its weights. */
export interface ModelFile {
  /** .onnx or .tflite, relative to the configuration file. */
  readonly file: string;
  /** Parameters that stay as they are: names, in which * stands for anything. */
  readonly freeze?: readonly string[];
  /** Shapes of open inputs by name. */
  readonly shapes?: Readonly<Record<string, readonly number[]>>;
  /** Normalise by the batch, by the averages there are, or by the batch where the scale learns; default "batch". */
  readonly batchNorm?: "batch" | "frozen" | "trained";
}

export interface AugmentConfig {
  /** Pictures: pixels of shift each way, mirroring, side of a square cut out. */
  readonly shift?: number;
  readonly mirror?: boolean;
  readonly cutout?: number;
  /** Sounds: samples of shift each way, decibels of gain, deviation of noise. */
  readonly timeShift?: number;
  readonly gain?: number;
  readonly noise?: number;
  /** Parameter of mixup's distribution. */
  readonly mixup?: number;
  /**
   * Every example is altered in so many ways only, one an epoch in turn; default 0: anew each time. A teacher whose
   * outputs are all that is learned from it then runs once for each of them, before the first step.
   */
  readonly views?: number;
}

export interface DataConfig {
  /** Paths as for `tersor optimize --data`, relative to the configuration file. */
  readonly train: string;
  readonly eval?: string;
  readonly column?: string;
  readonly labelColumn?: string | null;
  /** Only the first examples; default all. */
  readonly rows?: number;
  readonly evalRows?: number;
  /** Rows of a batch. */
  readonly batch: number;
  /** Threads that make batches ahead; default 1. */
  readonly workers?: number;
  /** Default: what the data knows, or the highest label and one. */
  readonly classes?: number;
  /** Pictures: [height, width] to stretch to, and channels. */
  readonly size?: readonly [number, number];
  readonly channels?: 1 | 3;
  /** Pictures, per channel, of values from 0 to 1. */
  readonly mean?: readonly number[];
  readonly std?: readonly number[];
  /** Sounds: samples of every row. */
  readonly length?: number;
  /** Arrays: the shape of an example, and what its elements mean. */
  readonly shape?: readonly number[];
  readonly preprocess?: Preprocess;
  readonly augment?: AugmentConfig;
}

export type LossConfig =
  | { readonly kind: "cross-entropy"; readonly smoothing?: number }
  /** Against one-hot classes, or against the input (auto-encoders). */
  | { readonly kind: "mse"; readonly target?: "classes" | "input" }
  /** Of a model with early exits: `ExitLossOptions`. */
  | {
      readonly kind: "exits";
      readonly mode?: "joint" | "self";
      readonly weights?: number | readonly number[];
      readonly temperature?: number;
      readonly alpha?: number;
      readonly smoothing?: number;
    }
  | {
      readonly kind: "distillation";
      /** A trained model's file, relative to the configuration file. */
      readonly teacher: string;
      readonly temperature?: number;
      /** Share of the softened outputs; the labels' is the rest. */
      readonly alpha?: number;
      /** Weight of attention transfer, and where it is taken. */
      readonly beta?: number;
      readonly points?: readonly PointNames[];
      /** Weight of hints. */
      readonly hint?: number;
      /** Shapes of the teacher's open inputs by name. */
      readonly shapes?: Readonly<Record<string, readonly number[]>>;
      readonly smoothing?: number;
    };

export interface OptimizerConfig {
  readonly kind: "sgd" | "momentum" | "nesterov" | "adam" | "adamw";
  readonly momentum?: number;
  readonly beta1?: number;
  readonly beta2?: number;
  readonly epsilon?: number;
  /**
   * Decay of the weights of convolutions and matrix products; or of parameters by name, in which * stands for
   * anything, the first that fits.
   */
  readonly decay?: number | Readonly<Record<string, number>>;
  /** Largest norm of all gradients together, and largest magnitude of an element. */
  readonly clipNorm?: number;
  readonly clipValue?: number;
  /** Share that averages of the weights over the steps keep; they are then what is evaluated and written. */
  readonly average?: number;
}

/** Training of a float model for integers: its normalisations are folded first. */
export interface QuantizeConfig {
  /** "minmax": ranges are observed; "lsq": scales are learned (for few bits). Default "minmax". */
  readonly scheme?: "minmax" | "lsq";
  /** Bits of weights, 2 to 8, and of those of the first and the last layer; default 8. */
  readonly weightBits?: number;
  readonly edgeBits?: number;
  /** Epochs in which ranges follow the data before they stay; default half of the run, at most one. */
  readonly observe?: number;
  /** Layers that stay in float. */
  readonly keepFloat?: readonly string[];
}

/** Single weights that are 0. */
export interface SparsityConfig {
  /**
   * magnitude, magnitude-layer, lamp, blocks: the smallest go. nm=2:4: two of each four inputs stay. snip, snip-layer: those
   * go to which the loss is least sensitive on the first batches. movement, movement-layer: those go that move towards 0,
   * bit by bit. zeros: what is 0 stays 0.
   */
  readonly method: string;
  /** Share of the weights that go, 0 to 1; not for n:m and zeros, which say it themselves. */
  readonly ratio?: number;
  /**
   * Weights go bit by bit (Zhu & Gupta), from epoch `begin` (0) to `end` (two thirds of the run), every so many steps
   * (default: 20 times). Default: all at once, before the first step; movement always goes bit by bit.
   */
  readonly gradual?: { readonly begin?: number; readonly end?: number; readonly every?: number };
  /**
   * Of n:m: the weights that stay are chosen anew in every step (SR-STE), and those that are out decay by this factor of
   * the rate; 2e-4 is usual. Default: chosen once, before the first step.
   */
  readonly srste?: number;
  /**
   * Masks that move: of each layer a share (0.3) of the weights that stay goes, the smallest, and as many come where the
   * gradient is largest (RigL) or at random (SET), every so many steps (default: that of `gradual`, or 20 times), less and
   * less until epoch `end` (three quarters of the run).
   */
  readonly regrow?: {
    readonly share?: number;
    readonly every?: number;
    readonly end?: number;
    readonly grow?: "gradient" | "random";
  };
}

/** Times are in epochs, and may be fractions. */
export interface ScheduleConfig {
  readonly kind: "constant" | "step" | "cosine" | "one-cycle";
  /** The highest. */
  readonly rate: number;
  /** cosine: where it ends. */
  readonly last?: number;
  /** step: when the rate is multiplied by `factor` (0.1). */
  readonly milestones?: readonly number[];
  readonly factor?: number;
  /** one-cycle: share of the run in which the rate rises. */
  readonly rising?: number;
  readonly warmUp?: number;
}

export interface TrainConfig {
  readonly model: BuiltModel | ModelFile | ((input: BuildInput) => Graph);
  readonly data: DataConfig;
  /** Default cross-entropy. */
  readonly loss?: LossConfig;
  /** Default Nesterov's momentum of 0.9, no decay. */
  readonly optimizer?: OptimizerConfig;
  readonly schedule: ScheduleConfig;
  readonly epochs: number;
  /** Trains with fake quantisers; what is written is the integer model. */
  readonly quantize?: QuantizeConfig;
  /** Trains with single weights at 0. */
  readonly sparsity?: SparsityConfig;
  /** Default 1. */
  readonly seed?: number;
  /** Default 1. */
  readonly threads?: number;
  /** Default "wasm". */
  readonly engine?: "wasm" | "native";
  readonly evaluate?: {
    /** Epochs; default 1. */
    readonly every?: number;
    readonly metric?: TrainingMetric;
    /** Which model is written; default "last", with early stopping "best". */
    readonly keep?: "best" | "last";
  };
  /** Ends after `patience` evaluations without a better one. */
  readonly earlyStopping?: { readonly patience: number; readonly minDelta?: number };
  /** Steps between checkpoints, default those of an epoch; how many are kept, default 2. */
  readonly checkpoint?: { readonly every?: number; readonly keep?: number };
  /** Steps between lines of the log; default about 400 lines a run. */
  readonly log?: { readonly every?: number };
  /** Folder of results, relative to the configuration file. */
  readonly out?: string;
}

/** Gives a configuration its type: `export default defineTraining({ … })`. */
export const defineTraining = (config: TrainConfig): TrainConfig => config;
