/** @file Statements of the kernel IR, loops with their pointers, and outlined loop bodies. */

import { type ByKind, type Expr, type Stmt, visit } from "../../kernel/ir.ts";
import { eachStmt, operandsOf } from "../../kernel/walk.ts";
import { sizeOf } from "../../tensor/dtype.ts";
import { affineOf, expressionsOf, substitute, withConstant } from "./affine.ts";
import { valTypeOf } from "./arithmetic.ts";
import { emitExpr, pushConstant, vectorConstantKey } from "./emit-expr.ts";
import { emitCopy, emitFill, emitStore } from "./emit-memory.ts";
import { baseOf, type Emitter, localOf, type Pointer, pushFullAddress } from "./emitter.ts";
import { FunctionBuilder, type Local } from "./function-builder.ts";
import {
  type Loop,
  type PointerPlan,
  planBlockPointers,
  planPointers,
  runsAtLeastOnce,
} from "./pointers.ts";

/** Emits a block; its names end with it. `tail` runs while they are still in scope. */
export function emitBlock(e: Emitter, body: readonly Stmt[], tail: () => void = () => {}): void {
  const own: Local[] = [];
  const plans = planBlockPointers(body, e.facts);
  const outer = e.pointers.length;
  for (const s of body) {
    for (const plan of plans.get(s) ?? []) {
      if (e.pointers.some((p) => p.key === plan.key)) continue;
      pushFullAddress(e, plan.buffer, withConstant(plan.index, plan.anchor));
      const local = e.f.local("i32");
      e.f.set(local);
      e.pointers.push({ key: plan.key, anchor: plan.anchor, offsets: plan.offsets, local });
      own.push(local);
    }
    if (s.kind !== "let" && s.kind !== "reg") {
      emitStmt(e, s);
      continue;
    }
    if (s.kind === "let" && e.facts.affines.has(s.name) && !e.facts.read.has(s.name)) continue;
    emitExpr(e, s.value);
    const local = e.f.local(valTypeOf(s.value.type));
    e.f.set(local);
    e.names.set(s.name, local);
    own.push(local);
  }
  tail();
  e.pointers.length = outer;
  for (const local of own) e.f.release(local);
}

function emitStmt(e: Emitter, stmt: Stmt): void {
  const table: ByKind<Stmt, void> = {
    for: (s) => emitFor(e, s),
    if: (s) => {
      emitExpr(e, s.cond);
      e.f.block("if", () => {
        emitBlock(e, s.then);
        if (s.else.length === 0) return;
        e.f.op("else");
        emitBlock(e, s.else);
      });
    },
    let: (s) => emitBlock(e, [s]),
    reg: (s) => emitBlock(e, [s]),
    set: (s) => {
      emitExpr(e, s.value);
      e.f.set(localOf(e, s.name));
    },
    store: (s) => emitStore(e, s),
    copy: (s) => emitCopy(e, s),
    fill: (s) => emitFill(e, s),
  };
  visit(table, stmt);
}

/** Pushes the end of a loop, which was evaluated before it if it can change. */
interface Bound {
  readonly push: () => void;
  readonly release: () => void;
}

function loopEnd(e: Emitter, s: Loop): Bound {
  const fixed = s.end.kind === "const" || (s.end.kind === "var" && !e.facts.regs.has(s.end.name));
  if (fixed) return { push: () => emitExpr(e, s.end), release: () => {} };
  const local = e.f.local("i32");
  emitExpr(e, s.end);
  e.f.set(local);
  return { push: () => void e.f.get(local), release: () => e.f.release(local) };
}

/** Counts at the bottom; a guard on top unless the loop certainly runs. */
function emitFor(e: Emitter, s: Loop): void {
  const { f } = e;
  if (s.begin.kind === "const" && s.end.kind === "const" && !runsAtLeastOnce(s)) return;
  const end = loopEnd(e, s);
  const v = f.local("i32");
  emitExpr(e, s.begin);
  f.set(v);
  e.names.set(s.var, v);
  const loop = (): void => {
    const constants = s.tag === "outline" ? [] : hoistConstants(e, s);
    const plans = s.tag === "outline" ? [] : planPointers(s, e.facts);
    const pointers = plans.map((p) => openPointer(e, s, p));
    f.block("loop", () => {
      if (s.tag !== "outline" || !emitOutlined(e, s)) emitBlock(e, s.body);
      plans.forEach((p, i) => {
        advancePointer(e, s, p, pointers[i]!);
      });
      f.get(v).i32(s.step).op("i32.add").tee(v);
      end.push();
      f.op("i32.lt_s").op("br_if", 0);
    });
    for (const p of pointers) f.release(p.local);
    e.pointers.length -= pointers.length;
    for (const key of constants) {
      f.release(e.constants.get(key)!);
      e.constants.delete(key);
    }
  };
  if (runsAtLeastOnce(s)) loop();
  else {
    f.get(v);
    end.push();
    f.op("i32.lt_s").block("if", loop);
  }
  f.release(v);
  end.release();
}

function openPointer(e: Emitter, s: Loop, plan: PointerPlan): Pointer {
  const start = withConstant(plan.index, plan.anchor);
  pushFullAddress(e, plan.buffer, substitute(start, s.var, affineOf(s.begin, e.facts.affines)));
  const local = e.f.local("i32");
  e.f.set(local);
  const pointer = { key: plan.key, anchor: plan.anchor, offsets: plan.offsets, local };
  e.pointers.push(pointer);
  return pointer;
}

function advancePointer(e: Emitter, s: Loop, plan: PointerPlan, pointer: Pointer): void {
  const size = sizeOf(baseOf(e, plan.buffer).buffer.dtype);
  const step = Math.imul(plan.factor * s.step, size);
  e.f.get(pointer.local).i32(step).op("i32.add").set(pointer.local);
}

/**
 * Vector constants an innermost loop keeps in locals. Engines spill those that do not fit the registers, and a
 * reload is cheaper than making the constant anew from its halves.
 */
const MAX_CONSTANTS = 24;

function hoistConstants(e: Emitter, s: Loop): string[] {
  const found = new Map<string, Expr>();
  let innermost = true;
  const scan = (x: Expr): void => {
    const key = vectorConstantKey(x);
    if (key !== null && !e.constants.has(key)) found.set(key, x);
    operandsOf(x).forEach(scan);
  };
  eachStmt(s.body, (inner) => {
    if (inner.kind === "for") innermost = false;
    expressionsOf(inner).forEach(scan);
  });
  if (!innermost) return [];
  const kept = [...found].slice(0, MAX_CONSTANTS);
  for (const [key, x] of kept) {
    const local = e.f.local("v128");
    pushConstant(e.f, x as Extract<Expr, { readonly kind: "const" | "lanes" }>);
    e.f.set(local);
    e.constants.set(key, local);
  }
  return kept.map(([key]) => key);
}

interface FreeNames {
  readonly names: readonly string[];
  readonly buffers: readonly string[];
}

/** What a loop body uses from outside; null when it assigns an outer register. */
function freeNames(s: Loop): FreeNames | null {
  const defined = new Set<string>();
  const used = new Set<string>();
  const assigned = new Set<string>();
  const buffers = new Set<string>();
  const scan = (x: Expr): void => {
    if (x.kind === "var") used.add(x.name);
    if (x.kind === "load") buffers.add(x.buffer);
    operandsOf(x).forEach(scan);
  };
  eachStmt(s.body, (inner) => {
    expressionsOf(inner).forEach(scan);
    if (inner.kind === "for") defined.add(inner.var);
    if (inner.kind === "let" || inner.kind === "reg") defined.add(inner.name);
    if (inner.kind === "set") assigned.add(inner.name);
    if (inner.kind === "store" || inner.kind === "fill") buffers.add(inner.buffer);
    if (inner.kind === "copy") buffers.add(inner.dst).add(inner.src);
  });
  if ([...assigned].some((name) => !defined.has(name))) return null;
  return { names: [...used].filter((n) => !defined.has(n)), buffers: [...buffers] };
}

/** The names to pass: addresses look through affine lets, to the names those are made of. */
function closeOver(e: Emitter, names: readonly string[]): string[] {
  const all = new Set(names);
  const scan = (x: Expr): void => {
    if (x.kind === "var") all.add(x.name);
    operandsOf(x).forEach(scan);
  };
  for (const name of names) {
    for (const term of e.facts.affines.get(name)?.terms.values() ?? []) scan(term.expr);
  }
  return [...all].filter((name) => e.names.has(name));
}

/** The body as a function of its own, called here; false when that is not possible. */
function emitOutlined(e: Emitter, s: Loop): boolean {
  const free = freeNames(s);
  if (free === null) return false;
  const names = closeOver(e, free.names);
  const inner = names.map((n) => localOf(e, n).type);
  const params = [...free.buffers.map(() => "i32" as const), ...inner];
  const index = e.pool.once(s, () =>
    e.pool.add(`${e.kernel.name}.${s.var}`, { params, results: [] }, (features) => {
      const f = new FunctionBuilder(params);
      const at = (i: number): Local => f.params[i]!;
      if (!e.usedBy(features)) return f.op("unreachable").finish();
      const bases = free.buffers.map((b, i) => {
        return [b, { buffer: baseOf(e, b).buffer, local: at(i) }] as const;
      });
      const scope = {
        f,
        features,
        bases: new Map(bases),
        names: new Map(names.map((n, i) => [n, at(bases.length + i)])),
      };
      emitBlock(e.derive(scope), s.body);
      return f.finish();
    }),
  );
  for (const b of free.buffers) e.f.get(baseOf(e, b).local);
  for (const n of names) e.f.get(localOf(e, n));
  e.f.call(index);
  return true;
}
