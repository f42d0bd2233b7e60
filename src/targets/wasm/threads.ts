/**
 * @file What a model needs to run on several threads: other bodies for `init` and `step`, three more
 * functions, and the sections that go with them. Kernels are the same. The loader puts them into the
 * module when threads are asked for (loader.ts); threads agree by numbers in shared memory, see WORDS.
 */
import type { Call } from "../../kernel/program.ts";
import type { SharedProgram } from "../../kernel/threads.ts";
import { alignUp } from "../../util/math.ts";
import { chosenCall, type Driver, emitCall, pushArgument, straightLine } from "./driver.ts";
import {
  ByteSink,
  EXPORT_KIND,
  type Export,
  exportSection,
  leb,
  SECTION,
  section,
  sleb,
  VAL_TYPES,
  vector,
} from "./encoder.ts";
import { FunctionBuilder, type Local } from "./function-builder.ts";
import type { FunctionPool } from "./pool.ts";

/**
 * i32 words behind the program's memory, as byte offsets; those that different threads write lie in
 * different cache lines. The loader (loader.ts) and the worker (worker.ts) know them too.
 */
export const WORDS = {
  /** Raised for each job; waiting workers are woken through it. */
  ticket: 0,
  /** The job to do: the number of a shared call, or -1 to end. */
  job: 4,
  /** Workers that are done with the job; a waiting leader is woken through it. */
  arrived: 128,
  leaderSleeps: 132,
  /** Workers that wait for the ticket asleep. */
  sleepers: 256,
  /** A worker failed; text of this many bytes follows. */
  failed: 260,
} as const;

/** Bytes of the words and of the text of a failure. */
export const CONTROL_BYTES = 1024;

/** Globals of the module for threads, behind `flip`. */
const GLOBALS = { thread: 1, threads: 2, scratch: 3, mayWait: 4 } as const;

/** Looks at a word before a thread goes to sleep: tens of microseconds. */
const SPINS = 1 << 15;
/** Rounds of waiting, of a second each (or of SPINS where a thread may not sleep), before giving up. */
const ROUNDS = 120;
const SPIN_ROUNDS = 1 << 21;
const SECOND = 1_000_000_000n;

/** Where threads find each other: byte offsets of the words and of the first thread's scratch. */
export interface ThreadPlaces {
  readonly control: number;
  readonly scratch: number;
  readonly scratchBytes: number;
}

export const threadPlaces = ({ program, scratchBytes }: SharedProgram): ThreadPlaces => {
  const control = alignUp(program.memoryBytes, 128);
  return { control, scratch: control + CONTROL_BYTES, scratchBytes };
};

/** Emits accesses to the words. */
class Words {
  private readonly f: FunctionBuilder;
  private readonly control: number;

  constructor(f: FunctionBuilder, control: number) {
    this.f = f;
    this.control = control;
  }

  private access(name: string, word: keyof typeof WORDS, push: () => void): FunctionBuilder {
    this.f.i32(this.control);
    push();
    return this.f.memory(name, 2, WORDS[word]);
  }

  load(word: keyof typeof WORDS): FunctionBuilder {
    return this.access("i32.atomic.load", word, () => {});
  }

  store(word: keyof typeof WORDS, push: () => void): void {
    this.access("i32.atomic.store", word, push);
  }

  /** Adds and leaves the former value. */
  add(word: keyof typeof WORDS, n: number): FunctionBuilder {
    return this.access("i32.atomic.rmw.add", word, () => void this.f.i32(n));
  }

  /** Wakes all that wait for the word. */
  notify(word: keyof typeof WORDS): void {
    this.access("memory.atomic.notify", word, () => void this.f.i32(-1)).op("drop");
  }

  /** Sleeps until woken while the word is `value`, at most `nanoseconds` (-1: for ever). */
  wait(word: keyof typeof WORDS, value: Local, nanoseconds: bigint): void {
    const push = (): void => void this.f.get(value).i64(nanoseconds);
    this.access("memory.atomic.wait32", word, push).op("drop");
  }
}

/** part(job): this thread's part of a shared call, with scratch of its own. */
function partBody(shared: SharedProgram, driver: Driver, jobs: readonly Call[]): Uint8Array {
  return chosenCall(jobs, (f, call) => {
    const kernel = driver.program.kernels[call.kernel]!;
    shared.scratch[call.kernel]!.forEach((offset, i) => {
      if (offset === null) f.i32(call.bases[i]! | 0);
      else f.op("global.get", GLOBALS.scratch).i32(offset).op("i32.add");
    });
    kernel.args.slice(0, -2).forEach((arg, i) => {
      pushArgument(f, arg.type, call.args[i]!);
    });
    f.op("global.get", GLOBALS.thread).op("global.get", GLOBALS.threads);
    f.call(driver.functions[call.kernel]!);
  });
}

/** Emits a loop that leaves the block around it once `test`, which pushes an i32, is not 0. */
function spin(f: FunctionBuilder, test: () => void): void {
  f.withLocal("i32", (count) => {
    f.i32(0).set(count);
    f.block("loop", () => {
      test();
      f.op("br_if", 1);
      f.get(count).i32(1).op("i32.add").tee(count);
      f.i32(SPINS).op("i32.lt_u").op("br_if", 0);
    });
  });
}

/** fork(job): has all threads do their parts, this one included, and returns when all are done. */
function forkBody(control: number, part: number): Uint8Array {
  const f = new FunctionBuilder(["i32"]);
  const job = f.params[0]!;
  const w = new Words(f, control);
  const [others, seen, rounds] = [f.local("i32", true), f.local("i32", true), f.local("i32", true)];
  f.op("global.get", GLOBALS.threads).i32(1).op("i32.sub").set(others);
  w.store("job", () => void f.get(job));
  w.store("arrived", () => void f.i32(0));
  w.add("ticket", 1).op("drop");
  w.load("sleepers").block("if", () => w.notify("ticket"));
  f.get(job).call(part);
  const allDone = (): void => void w.load("arrived").tee(seen).get(others).op("i32.eq");
  f.block("block", () => {
    spin(f, allDone);
    f.block("loop", () => {
      w.load("failed").block("if", () => void f.op("unreachable"));
      f.get(rounds).i32(1).op("i32.add").tee(rounds);
      f.i32(ROUNDS).i32(SPIN_ROUNDS).op("global.get", GLOBALS.mayWait).op("select");
      f.op("i32.gt_u").block("if", () => void f.op("unreachable"));
      f.op("global.get", GLOBALS.mayWait);
      f.op("if", 0x40);
      w.store("leaderSleeps", () => void f.i32(1));
      allDone();
      f.op("i32.eqz").block("if", () => w.wait("arrived", seen, SECOND));
      w.store("leaderSleeps", () => void f.i32(0));
      f.op("else");
      f.block("block", () => spin(f, allDone));
      f.op("end");
      allDone();
      f.op("i32.eqz").op("br_if", 0);
    });
  });
  return f.finish();
}

/** work(): does jobs until told to end; sleeps when there has been none for a while. */
function workBody(control: number, part: number): Uint8Array {
  const f = new FunctionBuilder([]);
  const w = new Words(f, control);
  const [seen, job] = [f.local("i32", true), f.local("i32", true)];
  const isNew = (): void => void w.load("ticket").get(seen).op("i32.ne");
  f.block("block", () => {
    f.block("loop", () => {
      f.block("block", () => {
        spin(f, isNew);
        w.add("sleepers", 1).op("drop");
        f.block("loop", () => {
          w.wait("ticket", seen, -1n);
          isNew();
          f.op("i32.eqz").op("br_if", 0);
        });
        w.add("sleepers", -1).op("drop");
      });
      f.get(seen).i32(1).op("i32.add").set(seen);
      w.load("job").tee(job).i32(0).op("i32.lt_s").op("br_if", 1);
      f.get(job).call(part);
      w.add("arrived", 1).i32(2).op("i32.add");
      f.op("global.get", GLOBALS.threads)
        .op("i32.eq")
        .block("if", () => {
          w.load("leaderSleeps").block("if", () => w.notify("arrived"));
        });
      f.op("br", 0);
    });
  });
  return f.finish();
}

export interface ThreadSection {
  readonly shared: SharedProgram;
  readonly driver: Driver;
  readonly pool: FunctionPool;
  /** Function indices of `init` and `step`, which are replaced. */
  readonly init: number;
  readonly step: number;
  /** What the plain module exports, memory included. */
  readonly exports: readonly Export[];
}

const importSection = (pages: number): Uint8Array => {
  const memory = new ByteSink().text("tersor").text("memory").byte(EXPORT_KIND.memory);
  return section(SECTION.import, vector([memory.bytes([3, ...leb(pages), ...leb(65536)]).take()]));
};

const i32Global = (): number[] => [VAL_TYPES.i32, 1, 0x41, ...sleb(0), 0x0b];

/** The payload of the section "tersor.threads": whole sections, then bodies after their function index. */
export function threadSection(s: ThreadSection): Uint8Array {
  const { shared, driver, pool } = s;
  const { program } = shared;
  const places = threadPlaces(shared);
  const isShared = (c: Call): boolean => shared.scratch[c.kernel] !== null;
  const jobs = [...program.init, ...program.steps].filter(isShared);
  const count = pool.functions.length;
  const [part, fork, work] = [count, count + 1, count + 2];
  const emit = (f: FunctionBuilder, call: Call): void => {
    if (isShared(call)) f.i32(jobs.indexOf(call)).call(fork);
    else emitCall(f, driver, call);
  };
  const typeOf = (...params: readonly "i32"[]): number =>
    pool.types.findIndex((t) => `${t.params}` === `${params}` && t.results.length === 0);
  const types = [...pool.functions.map((fn) => fn.type), typeOf("i32"), typeOf("i32"), typeOf()];
  const globals = Object.keys(GLOBALS) as (keyof typeof GLOBALS)[];
  const sections = [
    importSection(Math.ceil((places.scratch + places.scratchBytes) / 65536)),
    section(SECTION.function, vector(types.map((t) => leb(t)))),
    section(SECTION.global, vector([null, ...globals].map(i32Global))),
    exportSection([
      ...s.exports,
      { name: "work", kind: "function", index: work },
      ...globals.map((name) => ({ name, kind: "global" as const, index: GLOBALS[name] })),
    ]),
  ];
  const bodies: readonly (readonly [number, Uint8Array])[] = [
    [s.init, straightLine(program.init, emit)],
    [s.step, chosenCall(program.steps, emit)],
    [part, partBody(shared, driver, jobs)],
    [fork, forkBody(places.control, part)],
    [work, workBody(places.control, part)],
  ];
  const patches = bodies.map(([index, body]) => new ByteSink().leb(index).bytes(body).take());
  return new ByteSink().bytes(vector(sections)).bytes(vector(patches)).take();
}
