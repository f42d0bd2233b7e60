/** @file Assembles one WebAssembly function body; locals are numbered when it is finished. */
import { invariant } from "../../util/errors.ts";
import { ByteSink, floatBytes, leb, sized, sleb, VAL_TYPES, type ValType } from "./encoder.ts";
import { opcode } from "./opcodes.ts";

/** A local variable or parameter of the function being built. */
export interface Local {
  readonly id: number;
  readonly type: ValType;
}

const LOCAL_ORDER: readonly ValType[] = ["i32", "i64", "f32", "f64", "v128"];

/** Instructions are bytes; -1 - id stands for the index of local `id` until `finish`. */
export class FunctionBuilder {
  readonly params: readonly Local[];
  private readonly code: number[] = [];
  private readonly locals: Local[] = [];
  private zero: Local | undefined;
  private readonly idle = new Map<ValType, Local[]>();

  constructor(params: readonly ValType[]) {
    this.params = params.map((type, id) => ({ id, type }));
    this.locals.push(...this.params);
  }

  /** A local whose contents are undefined: one that was released, or a new one. */
  local(type: ValType, fresh = false): Local {
    const reused = fresh ? undefined : this.idle.get(type)?.pop();
    if (reused !== undefined) return reused;
    const local = { id: this.locals.length, type };
    this.locals.push(local);
    return local;
  }

  release(local: Local): void {
    const list = this.idle.get(local.type);
    if (list === undefined) this.idle.set(local.type, [local]);
    else list.push(local);
  }

  /** A local for the time of `body`. */
  withLocal(type: ValType, body: (local: Local) => void): void {
    const local = this.local(type);
    body(local);
    this.release(local);
  }

  /** Pushes a zero vector: a local that is never set, which engines treat as the constant. */
  zeroVector(): this {
    this.zero ??= this.local("v128", true);
    return this.get(this.zero);
  }

  /** An instruction with immediate bytes. */
  op(name: string, ...immediate: readonly number[]): this {
    const code = opcode(name);
    if (code < 0x10000) this.code.push(code);
    else this.code.push(code >>> 16, ...leb(code & 0xffff));
    this.code.push(...immediate);
    return this;
  }

  ops(...names: readonly string[]): this {
    for (const name of names) this.op(name);
    return this;
  }

  /** A get right after the set of the same local becomes one tee. */
  get(local: Local): this {
    const { code } = this;
    const last = code.length - 1;
    if (code[last] === -1 - local.id && code[last - 1] === opcode("local.set")) {
      code[last - 1] = opcode("local.tee");
      return this;
    }
    this.op("local.get").code.push(-1 - local.id);
    return this;
  }

  set(local: Local): this {
    this.op("local.set").code.push(-1 - local.id);
    return this;
  }

  tee(local: Local): this {
    this.op("local.tee").code.push(-1 - local.id);
    return this;
  }

  i32(value: number): this {
    return this.op("i32.const", ...sleb(value));
  }

  i64(value: bigint): this {
    return this.op("i64.const", ...sleb(value));
  }

  f32(value: number): this {
    return this.op("f32.const", ...floatBytes(value, 4));
  }

  f64(value: number): this {
    return this.op("f64.const", ...floatBytes(value, 8));
  }

  call(index: number): this {
    return this.op("call", ...leb(index));
  }

  /** A load or store; `align` is the log2 of an alignment that is known to hold. */
  memory(name: string, align: number, offset: number, ...lane: readonly number[]): this {
    invariant(offset >= 0 && offset < 2 ** 32, () => `memory offset ${offset} out of range`);
    return this.op(name, ...leb(align), ...leb(offset), ...lane);
  }

  /** Opens block, loop or if, runs `body` and closes it. */
  block(kind: "block" | "loop" | "if", body: () => void, result?: ValType): this {
    this.op(kind, result === undefined ? 0x40 : VAL_TYPES[result]);
    body();
    return this.op("end");
  }

  /** The encoded body: its size, local declarations and instructions. */
  finish(): Uint8Array {
    const own = this.locals.slice(this.params.length);
    const index = new Map<number, number>(this.params.map((p) => [p.id, p.id]));
    const sink = new ByteSink();
    const groups = LOCAL_ORDER.map((type) => own.filter((l) => l.type === type)).filter(
      (group) => group.length > 0,
    );
    sink.leb(groups.length);
    for (const group of groups) {
      sink.leb(group.length).byte(VAL_TYPES[group[0]!.type]);
      for (const local of group) index.set(local.id, index.size);
    }
    for (const item of this.code) {
      if (item >= 0) sink.byte(item);
      else sink.leb(index.get(-1 - item)!);
    }
    sink.byte(0x0b);
    return sized(sink.take());
  }
}
