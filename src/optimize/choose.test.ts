import assert from "node:assert/strict";
import { test } from "node:test";
import { describeFindings, judge } from "./choose.ts";
import type { BaselineReport, CandidateReport, Latency } from "./types.ts";

const latency = (p50Ms: number): Latency => ({ p50Ms, lowMs: p50Ms * 0.99, highMs: p50Ms * 1.01 });

const bytes = (total: number) => ({ code: 1000, weights: total - 1000, total, gzip: total });

function candidate(recipe: string, ms: number, size: number, drop: number): CandidateReport {
  const measured = {
    recipe,
    description: "",
    metric: "top1" as const,
    value: 90 - drop,
    low: 88 - drop,
    high: 92 - drop,
    drop: { value: drop, low: drop - 0.5, high: drop + 0.5 },
    bytes: bytes(size),
    latencyMs: ms,
    latency: latency(ms),
    arenaBytes: 1,
  };
  return { ...measured, ...judge(measured, LIMITS) };
}

const LIMITS = { maxDrop: 1, maxBytes: 50_000, maxLatencyMs: 2 };

const BASE: BaselineReport = {
  metric: "top1",
  value: 90,
  low: 88,
  high: 92,
  weightBytes: 99_000,
  bytes: bytes(100_000),
  latencyMs: 1.5,
  latency: latency(1.5),
  arenaBytes: 1,
};

test("every broken limit is named", () => {
  const { accepted, remark } = candidate("big", 3, 60_000, 2);
  assert.equal(accepted, false);
  assert.match(
    remark,
    /drops 2 points, allowed 1; 60000 bytes, allowed 50000; takes 3 ms, allowed 2/,
  );
});

test("a drop whose interval passes the limit is remarked, and a drop that is not a number refused", () => {
  assert.match(candidate("near", 1, 40_000, 0.8).remark, /95 % interval reaches 1.3 points/);
  assert.equal(candidate("none", 1, 40_000, Number.NaN).accepted, false);
});

test("findings claim only what the measurement supports", () => {
  const same = candidate("same", 1.49, 25_000, 0);
  const text = describeFindings(BASE, same, [same], LIMITS).join(" ");
  assert.match(text, /4 times smaller/);
  assert.match(text, /No difference in latency/);
  assert.match(text, /No change of accuracy is supported/);
  const worse = candidate("worse", 1.8, 25_000, 0.9);
  assert.match(
    describeFindings(BASE, worse, [worse], LIMITS).join(" "),
    /1.2 times slower.*drops by 0.9 points/,
  );
});

test("a faster candidate within the limits is named", () => {
  const small = candidate("small", 1.2, 20_000, 0);
  const quick = candidate("quick", 0.8, 40_000, 0);
  const findings = describeFindings(BASE, small, [small, quick], LIMITS);
  assert.match(findings.at(-1)!, /quick is 1.5 times faster than small and takes 40 kB/);
  assert.equal(describeFindings(BASE, quick, [small, quick], LIMITS).length, 3);
});

test("nothing within the limits is said as such", () => {
  assert.match(describeFindings(BASE, null, [], LIMITS)[0]!, /No candidate is within the limits/);
});
