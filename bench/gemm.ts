/**
 * @file The matrix kernel at 256 x 256 x 256 against what a core can do at best: fused multiply-adds on registers,
 * measured in the same run. `npm run bench:gemm`
 */
import { machineInfo } from "../cli/measure.ts";
import { openTarget, type Target } from "../cli/target.ts";
import { compile } from "../src/pipeline.ts";
import type { Session } from "../src/runtime/session.ts";
import { UserError } from "../src/util/errors.ts";
import { layerGraph } from "./layer-text.ts";
import { peakFlops, peakProgram } from "./peak.ts";
import type { GemmFigure } from "./results.ts";

const N = 256;
const LINE = `f32[${N},${N}] = linear(f32[${N},${N}] =f32[${N},${N}])`;
const ROUNDS = 12;
const RUNS = 20;

interface Measurement {
  readonly what: string;
  readonly flops: number;
  readonly session: Session;
  leastMs: number;
}

const measurement = (what: string, flops: number, session: Session): Measurement => ({
  what,
  flops,
  session,
  leastMs: Number.POSITIVE_INFINITY,
});

async function peakOf(target: Target, lanes: number): Promise<Measurement> {
  const what = `${32 * lanes}-bit peak, ${target.name}`;
  return measurement(what, peakFlops(lanes), await target.open(peakProgram(lanes)));
}

async function gemmOf(target: Target): Promise<Measurement> {
  const { program, nodes } = compile(layerGraph(LINE), { caps: target.caps });
  const what = nodes.map(({ candidate }) => candidate.name).join(", ");
  return measurement(what, 2 * N ** 3, await target.open(program));
}

/** Times all in turns; the least counts, as noise only adds. */
function measureAll(all: readonly Measurement[]): void {
  for (let round = 0; round < ROUNDS; round++) {
    for (const one of all) {
      const ms = one.session.profile(RUNS).reduce((sum, step) => sum + step.ms, 0);
      one.leastMs = Math.min(one.leastMs, ms);
    }
  }
}

const figure = ({ what, flops, leastMs }: Measurement) => ({ what, gflops: flops / leastMs / 1e6 });

/** Lanes of the vectors whose rates a target is measured against: 128 bits for WebAssembly, native its own. */
const lanesFor = ({ name, caps }: Target): number[] =>
  name === "native" ? [4, 8, 16].filter((lanes) => 4 * lanes <= caps.vectorBytes) : [4];

/** `beside`: targets whose 128-bit rate counts as well. */
async function figureOf(target: Target, beside: readonly Target[]): Promise<GemmFigure> {
  const gemm = await gemmOf(target);
  const peaks: Measurement[] = [];
  for (const lanes of lanesFor(target)) peaks.push(await peakOf(target, lanes));
  for (const other of beside) peaks.push(await peakOf(other, 4));
  measureAll([gemm, ...peaks]);
  for (const { session } of [gemm, ...peaks]) session.close();
  return { target: target.name, kernel: figure(gemm), peaks: peaks.map(figure) };
}

/** WebAssembly, and native code where this machine can make it. */
export async function measureGemm(): Promise<GemmFigure[]> {
  const wasm = await openTarget("wasm");
  try {
    const native = await openTarget("native");
    return [await figureOf(wasm, [native]), await figureOf(native, [])];
  } catch (error) {
    if (!(error instanceof UserError) || error.code !== "E_TARGET") throw error;
    return [await figureOf(wasm, [])];
  }
}

if (import.meta.main) {
  const { cpu, node } = machineInfo();
  console.log(`${cpu}, Node ${node}, one thread, GFLOP/s\n`);
  for (const { target, kernel, peaks } of await measureGemm()) {
    const most = Math.max(...peaks.map((p) => p.gflops));
    console.log(`${target}: ${kernel.what} ${kernel.gflops.toFixed(1)}`);
    for (const { what, gflops } of peaks) console.log(`  ${what} ${gflops.toFixed(1)}`);
    console.log(`  ${((100 * kernel.gflops) / most).toFixed(1)} % of the highest\n`);
  }
}
