/** @file The parent's end of the engines' processes. */
import { type ChildProcess, fork } from "node:child_process";
import type { LoadedAnswer, Order } from "./host.ts";
import type { Run } from "./runs.ts";

const HOST = new URL("./host.ts", import.meta.url);

/** Loading, or a turn, that takes longer than this means that the engine hangs. */
const LIMIT_MS = 120_000;

/** The process ended or hangs: another one is needed. */
class EndedError extends Error {}

interface Answer {
  readonly answer?: unknown;
  readonly error?: string;
}

const start = (run: Run): ChildProcess =>
  fork(HOST, [run.id], {
    serialization: "advanced",
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  });

/** One engine in its process. An engine that crashes or hangs gets a new process for the next model. */
export class Host {
  readonly run: Run;
  private child: ChildProcess;
  /** Why the present model cannot be timed any further. */
  failure: string | null = null;

  constructor(run: Run) {
    this.run = run;
    this.child = start(run);
  }

  private ask(order: Order): Promise<unknown> {
    const { child } = this;
    return new Promise((resolve, reject) => {
      const done = (settle: () => void): void => {
        clearTimeout(timer);
        child.off("message", onMessage);
        child.off("exit", onExit);
        settle();
      };
      const onMessage = ({ answer, error }: Answer): void =>
        done(() => (error === undefined ? resolve(answer) : reject(new Error(error))));
      const onExit = (code: number | null, signal: string | null): void =>
        done(() => reject(new EndedError(`its process ended (${signal ?? code})`)));
      const timer = setTimeout(
        () => done(() => reject(new EndedError(`no answer within ${LIMIT_MS / 1000} s`))),
        LIMIT_MS,
      );
      child.on("message", onMessage);
      child.on("exit", onExit);
      if (!child.connected) onExit(child.exitCode, child.signalCode);
      else child.send(order);
    });
  }

  /** Loads a handed-over model and gives its first results. Throws what keeps the engine from it. */
  async load(path: string): Promise<LoadedAnswer> {
    this.failure = null;
    if (!this.child.connected) this.child = start(this.run);
    try {
      return (await this.ask({ kind: "load", path })) as LoadedAnswer;
    } catch (error) {
      this.fail(error);
      throw error;
    }
  }

  /** Milliseconds of each inference; none once something failed. */
  async turn(milliseconds: number): Promise<readonly number[]> {
    if (this.failure !== null) return [];
    try {
      return (await this.ask({ kind: "turn", milliseconds })) as readonly number[];
    } catch (error) {
      this.fail(error);
      return [];
    }
  }

  async unload(): Promise<void> {
    if (this.failure === null) await this.ask({ kind: "close" }).catch((e) => this.fail(e));
  }

  private fail(error: unknown): void {
    this.failure = error instanceof Error ? error.message : String(error);
    if (error instanceof EndedError) this.end();
  }

  end(): void {
    if (this.child.connected) this.child.disconnect();
    this.child.kill("SIGKILL");
  }
}
