/** @file Replicates the bodies of loops tagged "unroll". */
import { i32, variable } from "./build.ts";
import type { Expr, Kernel, KType, Stmt } from "./ir.ts";
import { simplifyExpr } from "./simplify.ts";
import { constI32, freshNames, mapBlocks, mapStmt } from "./walk.ts";

interface Copying {
  readonly fresh: (hint: string) => string;
  readonly names: Map<string, Expr>;
}

/** A copy of a block: names replaced, and those it defines renamed. */
function copyBlock(c: Copying, body: readonly Stmt[]): Stmt[] {
  return body.flatMap((stmt) => {
    const s = mapStmt(stmt, (e) => simplifyExpr(e, c.names));
    const rename = (name: string, type: KType): string => {
      const unique = c.fresh(name.replace(/_\d+$/, ""));
      c.names.set(name, variable(unique, type));
      return unique;
    };
    if (s.kind === "let" || s.kind === "reg") return [{ ...s, name: rename(s.name, s.value.type) }];
    if (s.kind === "set") {
      const target = c.names.get(s.name);
      return [target?.kind === "var" ? { ...s, name: target.name } : s];
    }
    if (s.kind === "for" && s.tag === "unroll") {
      const copies = replicate(c, s);
      if (copies !== null) return copies;
    }
    if (s.kind === "for") {
      const name = rename(s.var, "i32");
      const tag = s.tag === "unroll" ? "serial" : s.tag;
      return [{ ...s, var: name, tag, body: copyBlock(c, s.body) }];
    }
    return [mapBlocks(s, (inner) => copyBlock(c, inner))];
  });
}

/** The bodies of a loop one after the other, or null when its bounds are not constant. */
function replicate(c: Copying, s: Extract<Stmt, { readonly kind: "for" }>): Stmt[] | null {
  const begin = constI32(s.begin);
  const end = constI32(s.end);
  if (begin === null || end === null) return null;
  const out: Stmt[] = [];
  for (let i = begin; i < end; i += s.step) {
    const names = new Map(c.names).set(s.var, i32(i));
    out.push(...copyBlock({ ...c, names }, s.body));
  }
  return out;
}

function unrollBlock(fresh: (hint: string) => string, body: readonly Stmt[]): Stmt[] {
  return body.flatMap((s) => {
    if (s.kind === "for" && s.tag === "unroll") {
      const copies = replicate({ fresh, names: new Map() }, s);
      if (copies !== null) return copies;
      return [{ ...s, tag: "serial" as const, body: unrollBlock(fresh, s.body) }];
    }
    return [mapBlocks(s, (inner) => unrollBlock(fresh, inner))];
  });
}

/** Replicates loops tagged "unroll" that have constant bounds; the others become serial. */
export const unrollLoops = (kernel: Kernel): Kernel => ({
  ...kernel,
  body: unrollBlock(freshNames(kernel), kernel.body),
});
