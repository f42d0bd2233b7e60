/** @file Early exits: branches, training, the threshold, stages that run only as far as needed. */
export { type ExitArtefactOptions, writeExitArtefact } from "./artefact.ts";
export { type Exit, type ExitOptions, exitsOf, isOfExit, withExits } from "./branches.ts";
export {
  calibrateExits,
  type ExitOutcome,
  type ExitPoint,
  type ExitTarget,
  exitCurve,
  exitOutcomes,
  exitPoint,
  exitTaken,
  NEVER,
} from "./calibrate.ts";
export {
  type CascadeAbout,
  type Confidence,
  cascade,
  type Exited,
  type OpenCascade,
  openCascade,
  type StageModel,
} from "./cascade.ts";
export { type ExitLossOptions, exitLoss } from "./loss.ts";
export { exitStages, type Stage, type Stages } from "./stages.ts";
