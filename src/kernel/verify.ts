/** @file Checks that a kernel is well formed; run after every step that makes or changes kernels. */
import { sizeOf } from "../tensor/dtype.ts";
import { InternalError } from "../util/errors.ts";
import {
  type Buffer,
  type ByKind,
  type Expr,
  elemBytes,
  elemOf,
  isVector,
  type Kernel,
  type KType,
  lanesOf,
  type Stmt,
  scalarTypeOf,
  visit,
} from "./ir.ts";
import { checkExpr, fits, type Scope, storesLanes } from "./verify-expr.ts";

interface Name {
  readonly type: KType;
  readonly reg: boolean;
  /** Parallel loops around its definition. */
  readonly depth: number;
}

/** One walk over a kernel: the names in scope and the statement being checked. */
class Verifier {
  private readonly kernel: Kernel;
  private readonly buffers: ReadonlyMap<string, Buffer>;
  private readonly visible = new Map<string, Name>();
  private readonly used = new Set<string>();
  private path: string[] = [];
  private depth = 0;
  private readonly scope: Scope;

  constructor(kernel: Kernel) {
    this.kernel = kernel;
    this.buffers = new Map(kernel.buffers.map((b) => [b.name, b]));
    this.scope = {
      buffer: (name) => this.buffers.get(name) ?? this.fail(`no buffer ${name}`),
      typeOf: (name) => this.visible.get(name)?.type,
      fail: (message) => this.fail(message),
    };
  }

  private fail(message: string): never {
    const where = this.path.length === 0 ? "" : `, ${this.path.join(" > ")}`;
    throw new InternalError(`kernel ${this.kernel.name}${where}: ${message}`);
  }

  run(): void {
    for (const b of this.kernel.buffers) this.claim(b.name);
    for (const b of this.kernel.buffers) {
      if (!Number.isInteger(b.size) || b.size < 0) this.fail(`size ${b.size} of ${b.name}`);
    }
    for (const a of this.kernel.args) this.define(a.name, a.type, false);
    this.block(this.kernel.body);
  }

  private claim(name: string): void {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) this.fail(`${JSON.stringify(name)} is not a name`);
    if (this.used.has(name)) this.fail(`${name} is defined twice`);
    this.used.add(name);
  }

  private define(name: string, type: KType, reg: boolean): void {
    this.claim(name);
    this.visible.set(name, { type, reg, depth: this.depth });
  }

  private block(body: readonly Stmt[]): void {
    const before = [...this.visible.keys()];
    body.forEach((s, i) => {
      this.path.push(`${i} ${label(s)}`);
      this.statement(s);
      this.path.pop();
    });
    const keep = new Set(before);
    for (const name of [...this.visible.keys()]) if (!keep.has(name)) this.visible.delete(name);
  }

  private expr(e: Expr, type?: KType): void {
    checkExpr(this.scope, e);
    if (type !== undefined && e.type !== type) this.fail(`${e.type} where ${type} belongs`);
  }

  /** A constant index must lie inside; `count` elements are touched. */
  private index(b: Buffer, e: Expr, count: number): void {
    this.expr(e, "i32");
    if (e.kind !== "const") return;
    const i = Number(e.value);
    if (i < 0 || i + count > b.size) {
      this.fail(`elements ${i}..${i + count - 1} of ${b.name}, which has ${b.size}`);
    }
  }

  private parallel(s: Extract<Stmt, { readonly kind: "for" }>): void {
    if (s.parallel !== true) return;
    if (s.tag === "unroll") this.fail("a parallel loop cannot be unrolled");
    const never =
      s.begin.kind === "const" && s.end.kind === "const" && s.begin.value >= s.end.value;
    if (never) this.fail("a parallel loop runs at least once");
  }

  private store(s: Extract<Stmt, { readonly kind: "store" }>): void {
    const b = this.scope.buffer(s.buffer);
    const { type } = s.value;
    this.expr(s.value);
    if (!isVector(type)) {
      if (type !== scalarTypeOf(b.dtype)) this.fail(`store of ${type} into ${b.dtype} ${b.name}`);
      if (s.lanes !== undefined) this.fail("scalar store with lanes");
      this.index(b, s.index, 1);
      return;
    }
    if (!storesLanes(b, type)) this.fail(`store of ${type} into ${b.dtype} ${b.name}`);
    const lanes = s.lanes ?? lanesOf(type);
    const bytes = lanes * elemBytes(elemOf(type));
    const whole = lanes === lanesOf(type);
    const narrow = elemBytes(elemOf(type)) * lanesOf(type) <= 16;
    if (!whole && (lanes < 1 || lanes > lanesOf(type) || (narrow && ![4, 8].includes(bytes)))) {
      this.fail(`store of ${lanes} lanes of ${type}`);
    }
    this.index(b, s.index, lanes);
  }

  private statement(stmt: Stmt): void {
    const table: ByKind<Stmt, void> = {
      for: (s) => {
        this.expr(s.begin, "i32");
        this.expr(s.end, "i32");
        if (!Number.isInteger(s.step) || s.step < 1) this.fail(`step ${s.step}`);
        this.parallel(s);
        if (s.parallel === true) this.depth++;
        this.define(s.var, "i32", false);
        this.block(s.body);
        this.visible.delete(s.var);
        if (s.parallel === true) this.depth--;
      },
      if: (s) => {
        this.expr(s.cond, "i32");
        this.block(s.then);
        this.block(s.else);
      },
      let: (s) => {
        this.expr(s.value);
        this.define(s.name, s.value.type, false);
      },
      reg: (s) => {
        this.expr(s.value);
        this.define(s.name, s.value.type, true);
      },
      set: (s) => {
        const name = this.visible.get(s.name);
        if (name === undefined) this.fail(`${s.name} is not defined here`);
        if (!name.reg) this.fail(`${s.name} is not a register`);
        if (name.depth < this.depth) this.fail("set of a register outside the parallel loop");
        this.expr(s.value, name.type);
      },
      store: (s) => this.store(s),
      copy: (s) => {
        const dst = this.scope.buffer(s.dst);
        const src = this.scope.buffer(s.src);
        if (sizeOf(dst.dtype) !== sizeOf(src.dtype)) {
          this.fail(`copy from ${src.dtype} ${src.name} to ${dst.dtype} ${dst.name}`);
        }
        this.expr(s.count, "i32");
        const n = s.count.kind === "const" ? Number(s.count.value) : 0;
        this.index(dst, s.dstIndex, n);
        this.index(src, s.srcIndex, n);
      },
      fill: (s) => {
        const b = this.scope.buffer(s.buffer);
        if (!fits(b, s.value)) this.fail(`fill of ${b.dtype} ${b.name} with ${s.value}`);
        this.expr(s.count, "i32");
        this.index(b, s.index, s.count.kind === "const" ? Number(s.count.value) : 0);
      },
    };
    visit(table, stmt);
  }
}

function label(s: Stmt): string {
  if (s.kind === "for") return `for ${s.var}`;
  if (s.kind === "store" || s.kind === "fill") return `${s.kind} ${s.buffer}`;
  if (s.kind === "let" || s.kind === "reg" || s.kind === "set") return `${s.kind} ${s.name}`;
  return s.kind;
}

/**
 * Throws InternalError naming the kernel and the statement when something is not well typed, a name is
 * undefined or defined twice (names are unique in the whole kernel), `set` meets anything but a
 * register, or a constant index lies outside its buffer.
 */
export function verifyKernel(kernel: Kernel): void {
  new Verifier(kernel).run();
  const { fma, dot8 } = kernel.forms ?? {};
  if (fma !== undefined) verifyForm(kernel, fma, "fma");
  if (dot8 !== undefined) verifyForm(kernel, dot8, "dot8");
}

function verifyForm(kernel: Kernel, form: Kernel, name: string): void {
  new Verifier(form).run();
  const types = (k: Kernel): string => k.args.map((a) => a.type).join(", ");
  const fits = form.buffers.every((b, i) => {
    const own = kernel.buffers[i];
    return own !== undefined && own.role === b.role && bytesOf(b) <= bytesOf(own);
  });
  const same = form.buffers.length === kernel.buffers.length && types(form) === types(kernel);
  if (!same || !fits || form.forms !== undefined) {
    throw new InternalError(
      `kernel ${kernel.name}: its ${name} form has other buffers or arguments, or forms of its own`,
    );
  }
}

const bytesOf = (b: Buffer): number => b.size * sizeOf(b.dtype);
