/** @file Which flags of `tersor prune` with data make sense together. */
import { UserError } from "../src/util/errors.ts";
import type { AnyMethod, PruneFlags } from "./prune-options.ts";
import { mayRegrow } from "./train-sparsity.ts";

const refuse = (flag: string, why: string, hint: string): never => {
  throw new UserError("E_ARGUMENT", why, { where: flag, hint });
};

const TRAIN = "add --finetune epochs=5,rate=0.02";

function checkTraining(flags: PruneFlags, method: AnyMethod): void {
  const needTraining: readonly (readonly [unknown, string])[] = [
    [flags.gradual, "--gradual"],
    [flags.srste, "--srste"],
    [flags.regrow, "--regrow"],
    [flags.scratch, "--scratch"],
    [flags.thinner, "--thinner"],
    [(flags.rounds ?? 1) > 1 || undefined, "--rounds"],
  ];
  for (const [given, flag] of needTraining) {
    if (given === undefined) continue;
    refuse(flag, "it says how to train, and nothing is trained", TRAIN);
  }
  if (method.kind === "movement") refuse("--method", "movement is found by training", TRAIN);
}

/** Flags of single weights that are trained. */
function checkSparsity(flags: PruneFlags, method: AnyMethod): void {
  const name = flags.method;
  if (flags.gradual !== undefined && method.kind !== "weights" && method.kind !== "movement") {
    const hint = "use --method magnitude, lamp, blocks or movement, or --rounds";
    refuse("--gradual", `${name} does not go bit by bit`, hint);
  }
  if (flags.srste !== undefined && method.kind !== "nm") {
    refuse("--srste", `${name} keeps no n of m`, "use --method nm=2:4");
  }
  if (flags.regrow !== undefined && (method.kind === "channels" || !mayRegrow(method))) {
    const hint = "use --method magnitude, magnitude-layer, lamp or snip";
    refuse("--regrow", `what ${name} removes does not come back by it`, hint);
  }
  const inRounds = flags.rounds !== undefined;
  if (inRounds && (flags.gradual !== undefined || method.kind === "movement")) {
    refuse("--rounds", "weights go either gradually or in rounds", "leave out one of them");
  }
  if (inRounds && flags.regrow !== undefined) {
    refuse("--rounds", "weights come back in one training", "leave out --rounds or --regrow");
  }
  if (method.kind === "nm" && (flags.rounds ?? 1) > 1) {
    refuse("--rounds", "n:m is one fixed share", "leave out --rounds");
  }
}

/** Throws UserError that says what is missing, or does not belong to the method. */
export function checkFlags(flags: PruneFlags, method: AnyMethod, trains: boolean): void {
  if (!trains) checkTraining(flags, method);
  checkSparsity(flags, method);
  for (const [given, flag] of [
    [flags.thinner, "--thinner"],
    [flags.ratios, "--ratios"],
    [flags.sensitivity, "--sensitivity"],
    [flags.perCost, "--per-cost"],
  ] as const) {
    if (given === undefined || method.kind === "channels") continue;
    const hint = "use l1, l2, bn, fpgm, taylor or fisher";
    refuse(flag, `${flags.method} removes no channels`, hint);
  }
}
