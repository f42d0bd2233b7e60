/** @file Properties of the solver on random problems, against brute force and dynamic programming. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { makeRng, type Rng } from "../../util/rng.ts";
import { eliminate, minFillOrder, miniBucketBound } from "./eliminate.ts";
import { costOf, type Pbqp } from "./problem.ts";
import { solvePbqp } from "./solve.ts";

interface Shape {
  readonly nodes: number;
  readonly choices: number;
  /** Probability of each possible edge; edges to the next node are always there when `chain`. */
  readonly density: number;
  readonly chain?: boolean;
  /** Probability that a cost is infinite. */
  readonly forbidden?: number;
}

function randomProblem(rng: Rng, { nodes, choices, density, ...rest }: Shape): Pbqp {
  const cost = (): number =>
    rng.next() < (rest.forbidden ?? 0) ? Number.POSITIVE_INFINITY : rng.int(1000);
  const sizes = Array.from({ length: nodes }, () => 1 + rng.int(choices));
  const edges = sizes.flatMap((_, a) =>
    sizes.flatMap((_, b) => {
      const wanted = (rest.chain === true && b === a + 1) || rng.next() < density;
      if (a >= b || !wanted) return [];
      const costs = Float64Array.from({ length: sizes[a]! * sizes[b]! }, cost);
      if (rng.next() < 0.5) return [{ a, b, costs }];
      const [m, n] = [sizes[a]!, sizes[b]!];
      const turned = Float64Array.from(
        { length: m * n },
        (_, i) => costs[(i % m) * n + Math.floor(i / m)]!,
      );
      return [{ a: b, b: a, costs: turned }];
    }),
  );
  return { nodes: sizes.map((n) => Float64Array.from({ length: n }, cost)), edges };
}

function bruteForce(problem: Pbqp): number {
  const sizes = problem.nodes.map((c) => c.length);
  const choices = sizes.map(() => 0);
  let best = Number.POSITIVE_INFINITY;
  for (;;) {
    best = Math.min(best, costOf(problem, choices));
    let i = 0;
    while (i < sizes.length && ++choices[i]! === sizes[i]) choices[i++] = 0;
    if (i === sizes.length) return best;
  }
}

const SHAPES: readonly Shape[] = [
  { nodes: 8, choices: 4, density: 0.15, chain: true },
  { nodes: 8, choices: 4, density: 0.4 },
  { nodes: 7, choices: 4, density: 1 },
  { nodes: 8, choices: 3, density: 0.5, forbidden: 0.2 },
  { nodes: 7, choices: 3, density: 0.6, forbidden: 0.6 },
  { nodes: 3, choices: 4, density: 0.5, forbidden: 0.3 },
];

test("finds what brute force finds, by elimination and by branch and bound", () => {
  let infeasible = 0;
  let branched = 0;
  for (let seed = 0; seed < 240; seed++) {
    const problem = randomProblem(makeRng(seed), SHAPES[seed % SHAPES.length]!);
    const least = bruteForce(problem);
    for (const options of [{}, { maxTable: 5 }]) {
      const solution = solvePbqp(problem, options);
      assert.equal(solution.cost, least, `seed ${seed}`);
      assert.equal(solution.lowerBound, least, `seed ${seed}`);
      if (least < Number.POSITIVE_INFINITY) {
        assert.equal(costOf(problem, solution.choices), least, `seed ${seed}`);
      } else infeasible++;
      branched += solution.branches;
    }
  }
  assert.ok(infeasible > 20, `${infeasible} problems without a solution`);
  assert.ok(branched > 20, `${branched} branches`);
});

test("bounds the optimum when the budget runs out", () => {
  let open = 0;
  for (let seed = 0; seed < 60; seed++) {
    const problem = randomProblem(makeRng(seed), { nodes: 8, choices: 4, density: 1 });
    const least = bruteForce(problem);
    const solution = solvePbqp(problem, { maxTable: 5, maxBranches: 1 });
    assert.ok(solution.lowerBound <= least + 1e-9 && least <= solution.cost, `seed ${seed}`);
    if (solution.lowerBound < solution.cost) open++;
    const { order } = minFillOrder(problem);
    for (const limit of [1, 16, 64]) {
      assert.ok(miniBucketBound(problem, order, limit) <= least + 1e-9, `seed ${seed}`);
    }
    assert.equal(miniBucketBound(problem, order, 1e6), least);
    assert.equal(costOf(problem, eliminate(problem, order)), least);
  }
  assert.ok(open > 10, `${open} left open`);
});

test("equals dynamic programming on chains", () => {
  for (let seed = 0; seed < 20; seed++) {
    const problem = randomProblem(makeRng(seed), {
      nodes: 60,
      choices: 12,
      density: 0,
      chain: true,
    });
    let best = [...problem.nodes[0]!];
    for (const { a, b, costs } of problem.edges) {
      const [lo, hi] = [Math.min(a, b), Math.max(a, b)];
      const [m, n] = [problem.nodes[lo]!.length, problem.nodes[hi]!.length];
      best = Array.from({ length: n }, (_, j) => {
        const sums = best.map((c, i) => c + costs[a === lo ? i * n + j : j * m + i]!);
        return Math.min(...sums) + problem.nodes[hi]![j]!;
      });
    }
    assert.equal(solvePbqp(problem).cost, Math.min(...best), `seed ${seed}`);
  }
});

test("one more choice never costs more", () => {
  for (let seed = 0; seed < 60; seed++) {
    const problem = randomProblem(makeRng(seed), { nodes: 9, choices: 4, density: 0.5 });
    const node = seed % problem.nodes.length;
    const kept = problem.nodes[node]!.length - 1;
    if (kept === 0) continue;
    const fewer: Pbqp = {
      nodes: problem.nodes.map((c, i) => (i === node ? c.slice(0, kept) : c)),
      edges: problem.edges.map((e) => {
        if (e.a === node) {
          return { ...e, costs: e.costs.slice(0, kept * problem.nodes[e.b]!.length) };
        }
        if (e.b === node) return { ...e, costs: e.costs.filter((_, i) => i % (kept + 1) < kept) };
        return e;
      }),
    };
    assert.ok(solvePbqp(problem).cost <= solvePbqp(fewer).cost, `seed ${seed}`);
  }
});

test("the choice does not depend on the unit of cost", () => {
  for (let seed = 0; seed < 40; seed++) {
    const problem = randomProblem(makeRng(seed), { nodes: 9, choices: 4, density: 0.5 });
    const scaled: Pbqp = {
      nodes: problem.nodes.map((c) => c.map((x) => 1024 * x)),
      edges: problem.edges.map((e) => ({ ...e, costs: e.costs.map((x) => 1024 * x) })),
    };
    const [p, q] = [solvePbqp(problem), solvePbqp(scaled)];
    assert.deepEqual(q.choices, p.choices);
    assert.equal(q.cost, 1024 * p.cost);
  }
});

test("parallel edges add up, whichever way they point", () => {
  const problem: Pbqp = {
    nodes: [new Float64Array([0, 0]), new Float64Array([0, 0])],
    edges: [
      { a: 0, b: 1, costs: new Float64Array([5, 1, 4, 9]) },
      { a: 1, b: 0, costs: new Float64Array([0, 2, 8, 0]) },
    ],
  };
  const { choices, cost } = solvePbqp(problem);
  assert.deepEqual([[...choices], cost], [[0, 0], 5]);
});

test("solves 200 layers of 20 choices with skip connections in less than 100 ms", (t) => {
  const rng = makeRng(5);
  const cost = (): number => rng.int(100_000);
  const nodes = Array.from({ length: 200 }, () => Float64Array.from({ length: 20 }, cost));
  const edge = (a: number, b: number) => ({
    a,
    b,
    costs: Float64Array.from({ length: 400 }, cost),
  });
  const edges = nodes.flatMap((_, i) => [
    ...(i + 1 < 200 ? [edge(i, i + 1)] : []),
    ...(i % 4 === 0 && i + 3 < 200 ? [edge(i, i + 3)] : []),
    ...(i % 12 === 0 && i + 6 < 200 ? [edge(i, i + 6)] : []),
  ]);
  const times = [0, 1, 2].map(() => {
    const start = performance.now();
    const solution = solvePbqp({ nodes, edges });
    assert.equal(solution.lowerBound, solution.cost);
    return performance.now() - start;
  });
  t.diagnostic(`${Math.min(...times).toFixed(1)} ms`);
  assert.ok(Math.min(...times) < 100, `${times.map(Math.round)} ms`);
});

test("refuses what is no problem", () => {
  const node = new Float64Array([0, 1]);
  const edge = (costs: number[]) => ({ a: 0, b: 1, costs: new Float64Array(costs) });
  assert.throws(() => solvePbqp({ nodes: [new Float64Array(0)], edges: [] }), /no choice/);
  assert.throws(() => solvePbqp({ nodes: [node, node], edges: [edge([1])] }), /1 costs, not 4/);
  assert.throws(
    () => solvePbqp({ nodes: [node, node], edges: [edge([0, 0, 0, Number.NaN])] }),
    /not a number/,
  );
});
