/** @file Moves what a loop does not change in front of it, as far out as it may go. */
import { type Expr, isVector, type Kernel, type Stmt } from "./ir.ts";
import {
  constI32,
  freshNames,
  mapBlocks,
  mapOperands,
  mapStmt,
  readsOf,
  type Writes,
  writesOf,
} from "./walk.ts";

type For = Extract<Stmt, { readonly kind: "for" }>;

interface Hoisting {
  readonly kernel: Kernel;
  readonly fresh: (hint: string) => string;
}

/** Moving constants, names and `name + constant` (an address offset) gains nothing. */
function worthMoving(e: Expr): boolean {
  if (e.kind === "const" || e.kind === "lanes" || e.kind === "var") return false;
  if (e.kind === "splat" && e.a.kind === "const") return false;
  return !(e.kind === "binary" && e.op === "add" && e.type === "i32" && e.b.kind === "const");
}

/** How surely an expression is computed when its loop is reached. */
type Place = "always" | "maybe";

/** Values loaded ahead of one loop stay in registers only while they are few. */
const MOST_LOADS = 12;

/** One loop's worth of moving: collects `let`s for the place in front of it. */
class LoopMover {
  readonly outside: Stmt[] = [];
  private loads = 0;
  /** Vectors from memory would become parameters of an outlined body. */
  private readonly keepsVectors: boolean;
  private readonly writes: Writes;
  private readonly names = new Map<string, string>();
  private readonly fresh: (hint: string) => string;

  constructor(h: Hoisting, loop: For) {
    this.writes = writesOf(h.kernel, loop.body);
    this.writes.names.add(loop.var);
    this.fresh = h.fresh;
    this.keepsVectors = loop.tag === "outline";
  }

  private canMove(e: Expr, place: Place): boolean {
    const r = readsOf(e);
    if (place === "maybe" && (r.mayFail || r.calls)) return false;
    if (this.keepsVectors && r.buffers.size > 0 && isVector(e.type)) return false;
    if (r.buffers.size > 0 && this.loads >= MOST_LOADS) return false;
    for (const n of r.names) if (this.writes.names.has(n)) return false;
    for (const b of r.buffers) if (this.writes.buffers.has(b)) return false;
    return true;
  }

  private emit(s: Extract<Stmt, { readonly kind: "let" }>): void {
    if (readsOf(s.value).buffers.size > 0) this.loads++;
    this.outside.push(s);
  }

  private move(e: Expr, place: Place): Expr {
    if (!worthMoving(e) || !this.canMove(e, place)) {
      return mapOperands(e, (x) => this.move(x, place));
    }
    const key = keyOf(e);
    let name = this.names.get(key);
    if (name === undefined) {
      name = this.fresh("h");
      this.names.set(key, name);
      this.emit({ kind: "let", name, value: e });
    }
    return { kind: "var", type: e.type, name };
  }

  /** The block without what was moved. `top`: its statements run once in each iteration. */
  block(body: readonly Stmt[], place: Place, top: boolean): Stmt[] {
    const out: Stmt[] = [];
    for (const s of body) {
      if (top && s.kind === "let" && this.canMove(s.value, place)) {
        this.emit(s);
        this.writes.names.delete(s.name);
        continue;
      }
      const moved = mapStmt(s, (e) => this.move(e, place));
      const inner = s.kind === "for" && runsAtLeastOnce(s) ? place : "maybe";
      out.push(mapBlocks(moved, (b) => this.block(b, inner, false)));
    }
    return out;
  }
}

const keyOf = (e: Expr): string =>
  JSON.stringify(e, (_, v: unknown) => {
    if (typeof v === "bigint") return `${v}n`;
    return typeof v === "number" && (Object.is(v, -0) || !Number.isFinite(v))
      ? `number ${Object.is(v, -0) ? "-0" : v}`
      : v;
  });

function runsAtLeastOnce(s: For): boolean {
  const begin = constI32(s.begin);
  const end = constI32(s.end);
  return s.parallel === true || (begin !== null && end !== null && begin < end);
}

function hoistBlock(h: Hoisting, body: readonly Stmt[]): Stmt[] {
  return body.flatMap((stmt) => {
    const s = mapBlocks(stmt, (inner) => hoistBlock(h, inner));
    if (s.kind !== "for") return [s];
    const mover = new LoopMover(h, s);
    const inside = mover.block(s.body, runsAtLeastOnce(s) ? "always" : "maybe", true);
    return [...mover.outside, { ...s, body: inside }];
  });
}

/** Loop-invariant code motion. Loads and divisions move only where they were certain to run. */
export function hoist(kernel: Kernel): Kernel {
  const h: Hoisting = { kernel, fresh: freshNames(kernel) };
  return { ...kernel, body: hoistBlock(h, kernel.body) };
}
