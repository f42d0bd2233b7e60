/**
 * @file Kills a short training run at random moments until it is through, again and again, and compares every run with
 * an undisturbed one: weights, averages and optimiser state bit for bit, the written model, the log but for times.
 *
 *   node test/train/kill.ts --kills 50 [--seed 1] [--epochs 10] [--workers 1] [--threads 1]
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { parseLog } from "../../cli/train-log.ts";
import { loadCheckpoint } from "../../src/train/node/checkpoints.ts";
import { makeRng } from "../../src/util/rng.ts";
import { writeDigits } from "../support/digits.ts";

const MAIN = resolve(import.meta.dirname, "../../cli/main.ts");

export interface KillOptions {
  readonly kills: number;
  readonly seed: number;
  /** Epochs of 25 steps. */
  readonly epochs: number;
  readonly workers: number;
  readonly threads: number;
  readonly print: (line: string) => void;
}

export interface KillSummary {
  readonly kills: number;
  readonly runs: number;
  /** Starts that went on from a checkpoint. */
  readonly resumed: number;
}

const CONFIG = {
  model: { build: "lenet5" },
  optimizer: { kind: "adamw", decay: 0.01, average: 0.99, clipNorm: 5 },
  schedule: { kind: "one-cycle", rate: 0.002 },
  evaluate: { every: 0.5, keep: "best" },
  checkpoint: { every: 3 },
  log: { every: 1 },
};

interface Ended {
  readonly code: number | null;
  readonly killed: boolean;
  readonly stdout: string;
  readonly stderr: string;
  readonly ms: number;
}

/** Runs the command; kills it after so many milliseconds if it is not through by then. */
function train(
  folder: string,
  config: string,
  out: string,
  killAfter: number | null,
): Promise<Ended> {
  return new Promise((done, fail) => {
    const begun = performance.now();
    const args = [MAIN, "train", config, "--out", out];
    const child = spawn(process.execPath, args, { cwd: folder });
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (d) => (stdout += d));
    child.stderr.on("data", (d) => (stderr += d));
    const timer = killAfter === null ? null : setTimeout(() => child.kill("SIGKILL"), killAfter);
    child.on("error", fail);
    child.on("close", (code, signal) => {
      if (timer !== null) clearTimeout(timer);
      const ms = performance.now() - begun;
      done({ code, killed: signal === "SIGKILL", stdout, stderr, ms });
    });
  });
}

/** All of a finished run that must not depend on how often it was killed. */
function resultOf(out: string) {
  const { checkpoint, skipped } = loadCheckpoint(join(out, "checkpoints"))!;
  assert.deepEqual(skipped, []);
  assert.ok(checkpoint.finished);
  const records = parseLog(readFileSync(join(out, "log.jsonl"), "utf8"));
  const log = records
    .filter((r) => r.kind !== "resume")
    .map(({ seconds: _s, samplesPerSecond: _p, ...rest }) => rest);
  const left = readdirSync(out).sort();
  const model = ["model.onnx", "model.wasm", "model.js"].map((f) => readFileSync(join(out, f)));
  return { loop: checkpoint.loop, log, model, left };
}

/** Kills and resumes until at least so many kills hit; throws AssertionError at the first difference. */
export async function killRuns(options: KillOptions): Promise<KillSummary> {
  const { kills, seed, epochs, workers, threads, print } = options;
  const folder = mkdtempSync(join(tmpdir(), "tersor-kill-"));
  try {
    const paths = writeDigits(join(folder, "data"), 500, 100);
    const data = {
      train: paths.train,
      eval: paths.test,
      batch: 20,
      workers,
      augment: { shift: 2 },
    };
    const config = join(folder, "config.json");
    writeFileSync(config, JSON.stringify({ ...CONFIG, data, epochs, threads }));
    const whole = await train(folder, config, "whole", null);
    assert.equal(whole.code, 0, whole.stderr);
    const want = resultOf(join(folder, "whole"));
    print(`undisturbed: ${want.loop.progress.step} steps in ${Math.round(whole.ms)} ms`);
    const rng = makeRng(seed);
    let [hit, runs, resumed] = [0, 0, 0];
    while (hit < kills) {
      const out = `run${++runs}`;
      for (;;) {
        const delay = Math.round(rng.next() * 1.1 * whole.ms);
        const ended = await train(folder, config, out, hit < kills ? delay : null);
        if (/going on from step/.test(ended.stdout)) resumed++;
        if (!ended.killed) {
          assert.equal(ended.code, 0, ended.stderr);
          break;
        }
        hit++;
        const found =
          existsSync(join(folder, out)) && loadCheckpoint(join(folder, out, "checkpoints"));
        const at = found ? `step ${found.checkpoint.loop.progress.step}` : "no checkpoint yet";
        print(`kill ${hit} after ${delay} ms: ${at}`);
      }
      assert.deepEqual(resultOf(join(folder, out)), want);
      print(`run ${runs}: the same bits`);
    }
    return { kills: hit, runs, resumed };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      kills: { type: "string", default: "50" },
      seed: { type: "string", default: "1" },
      epochs: { type: "string", default: "10" },
      workers: { type: "string", default: "1" },
      threads: { type: "string", default: "1" },
    },
  });
  const [kills, seed, epochs, workers, threads] = [
    values.kills,
    values.seed,
    values.epochs,
    values.workers,
    values.threads,
  ].map(Number) as [number, number, number, number, number];
  console.log(await killRuns({ kills, seed, epochs, workers, threads, print: console.log }));
}
