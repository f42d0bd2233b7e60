/**
 * @file A kernel as one of several parts that threads compute together: its parallel loops are cut into
 * ranges. Any number of parts gives the same bytes. What `parallel` promises: docs/ir.md.
 */
import { add, binary, i32, lt, max, min, mul, sub, variable } from "./build.ts";
import type { Expr, Kernel, Stmt } from "./ir.ts";
import { constI32, eachStmt, freshNames } from "./walk.ts";

type For = Extract<Stmt, { readonly kind: "for" }>;

/** Loops are cut together with those inside them until there are this many iterations to share out. */
const ENOUGH_TRIPS = 64;

/** Iterations of a loop with constant bounds, or null. */
function tripsOf(s: For): number | null {
  const begin = constI32(s.begin);
  const end = constI32(s.end);
  return begin === null || end === null ? null : Math.ceil(Math.max(0, end - begin) / s.step);
}

/** A statement that every thread may run for itself: it changes names and its own scratch only. */
function isSetUp(kernel: Kernel, stmt: Stmt): boolean {
  const scratch = new Set(kernel.buffers.filter((b) => b.role === "work").map((b) => b.name));
  let own = true;
  eachStmt([stmt], (s) => {
    if (s.kind === "store" || s.kind === "fill") own &&= scratch.has(s.buffer);
    if (s.kind === "copy") own &&= scratch.has(s.dst);
  });
  return own;
}

const isParallel = (s: Stmt): s is For => s.kind === "for" && s.parallel === true;

/** The one parallel loop in the body of `s` that may be cut together with it, or null. */
function nested(kernel: Kernel, s: For): { readonly loop: For; readonly trips: number } | null {
  const loops = s.body.filter(isParallel);
  const [loop] = loops;
  if (loop === undefined || loops.length > 1) return null;
  const trips = tripsOf(loop);
  if (trips === null || trips < 2) return null;
  return s.body.every((x) => x === loop || isSetUp(kernel, x)) ? { loop, trips } : null;
}

interface Nest {
  /** Loops to cut, outermost first, each in the body of the one before. */
  readonly loops: readonly { readonly loop: For; readonly trips: number }[];
  /** Iterations of all together. */
  readonly trips: number;
}

function nestOf(kernel: Kernel, outer: For): Nest | null {
  const first = tripsOf(outer);
  if (first === null) return null;
  const loops = [{ loop: outer, trips: first }];
  let trips = first;
  while (trips < ENOUGH_TRIPS) {
    const inner = nested(kernel, loops.at(-1)!.loop);
    if (inner === null) break;
    loops.push(inner);
    trips *= inner.trips;
  }
  return { loops, trips };
}

/** The nests to cut by their outermost loop, or null when the kernel has to run as a whole. */
function nestsOf(kernel: Kernel): ReadonlyMap<Stmt, Nest> | null {
  const nests = new Map<Stmt, Nest>();
  for (const s of kernel.body) {
    if (isParallel(s)) {
      const nest = nestOf(kernel, s);
      if (nest === null) return null;
      nests.set(s, nest);
    } else if (!isSetUp(kernel, s)) return null;
  }
  return nests.size === 0 ? null : nests;
}

/** The most parts of a kernel that have something to do; 1 for one that cannot be split. */
export function parallelTrips(kernel: Kernel): number {
  const nests = nestsOf(kernel);
  return nests === null ? 1 : Math.max(...[...nests.values()].map((n) => n.trips));
}

interface Splitting {
  readonly fresh: (hint: string) => string;
  readonly part: Expr;
  readonly parts: Expr;
}

/** The loops of a nest over the iterations lo <= n < hi, counted over the whole nest; lo < hi. */
function cutLoops(s: Splitting, { loops, trips }: Nest, lo: Expr, hi: Expr): Stmt {
  const [{ loop, trips: own } = { loop: null, trips: 1 }, ...rest] = loops;
  if (loop === null) throw new RangeError("a nest without loops");
  const each = trips / own;
  const at = (n: Expr): Expr => add(loop.begin, mul(n, loop.step));
  const inner = rest[0]?.loop;
  if (inner === undefined) return { ...loop, begin: at(lo), end: at(hi) };
  const first = binary("div", lo, i32(each));
  const last = binary("div", add(hi, each - 1), i32(each));
  const steps = sub(variable(loop.var, "i32"), loop.begin);
  const done = s.fresh("done");
  const name = variable(done, "i32");
  const before = mul(loop.step === 1 ? steps : binary("div", steps, i32(loop.step)), each);
  const from = max(sub(lo, name), 0);
  const to = min(sub(hi, name), each);
  const cut = cutLoops(s, { loops: rest, trips: each }, from, to);
  const body = loop.body.map((x) => (x === inner ? cut : x));
  return {
    ...loop,
    begin: at(first),
    end: at(last),
    body: [{ kind: "let", name: done, value: before }, ...body],
  };
}

/** One nest, cut: iterations are shared out in order, the first parts getting one more if need be. */
function cutNest(s: Splitting, nest: Nest): Stmt[] {
  const total = i32(nest.trips);
  const each = s.fresh("each");
  const lo = s.fresh("lo");
  const hi = s.fresh("hi");
  const name = (n: string): Expr => variable(n, "i32");
  const rest = binary("rem", total, s.parts);
  // The minima change nothing; they tell targets how large indices get.
  const begin = min(add(mul(s.part, name(each)), min(s.part, rest)), total);
  const end = min(add(add(name(lo), name(each)), lt(s.part, rest)), total);
  return [
    { kind: "let", name: each, value: binary("div", total, s.parts) },
    { kind: "let", name: lo, value: begin },
    { kind: "let", name: hi, value: end },
    {
      kind: "if",
      cond: lt(name(lo), name(hi)),
      then: [cutLoops(s, nest, name(lo), name(hi))],
      else: [],
    },
  ];
}

/** The kernel with two more i32 arguments; a form that cannot be split is computed by part 0 alone. */
function splitForm(kernel: Kernel): Kernel {
  const fresh = freshNames(kernel);
  const [part, parts] = [fresh("part"), fresh("parts")];
  const args = [...kernel.args, ...[part, parts].map((name) => ({ name, type: "i32" as const }))];
  const s: Splitting = { fresh, part: variable(part, "i32"), parts: variable(parts, "i32") };
  const nests = nestsOf(kernel);
  const body: Stmt[] = [];
  if (nests === null) {
    body.push({ kind: "if", cond: binary("eq", s.part, i32(0)), then: kernel.body, else: [] });
  } else {
    for (const stmt of kernel.body) {
      const nest = nests.get(stmt);
      body.push(...(nest === undefined ? [stmt] : cutNest(s, nest)));
    }
  }
  return { name: kernel.name, buffers: kernel.buffers, args, body };
}

/**
 * The kernel with two more arguments, `part` and `parts` (0 <= part < parts): it computes its share, and
 * all parts together, in any order or at the same time, what the kernel computes, provided that each has
 * "work" buffers of its own. Null when the kernel has no parallel loop to cut.
 */
export function splitKernel(kernel: Kernel): Kernel | null {
  if (nestsOf(kernel) === null) return null;
  const split = splitForm(kernel);
  if (kernel.forms === undefined) return split;
  const forms = Object.entries(kernel.forms).map(([name, form]) => [name, splitForm(form)]);
  return { ...split, forms: Object.fromEntries(forms) as Kernel["forms"] & object };
}
