/** @file The parent's end of the engines' processes. */
import { type ChildProcess, fork } from "node:child_process";
import type { LoadedAnswer, Order } from "./host.ts";
import type { Run } from "./runs.ts";

const HOST = new URL("./host.ts", import.meta.url);

/** Loading, or a turn, that takes longer than this means that the engine hangs. */
const LIMIT_MS = 120_000;

interface Answer {
  readonly answer?: unknown;
  readonly error?: string;
}

/** One engine in its process. */
export class Host {
  readonly run: Run;
  private readonly child: ChildProcess;

  constructor(run: Run) {
    this.run = run;
    this.child = fork(HOST, [run.id], {
      serialization: "advanced",
      stdio: ["ignore", "ignore", "pipe", "ipc"],
    });
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
        done(() => reject(new Error(`its process ended (${signal ?? code})`)));
      const timer = setTimeout(
        () => done(() => reject(new Error(`no answer within ${LIMIT_MS / 1000} s`))),
        LIMIT_MS,
      );
      child.on("message", onMessage);
      child.on("exit", onExit);
      if (!child.connected) onExit(child.exitCode, child.signalCode);
      else child.send(order);
    });
  }

  /** Loads a handed-over model and gives its first results. */
  load = (path: string): Promise<LoadedAnswer> =>
    this.ask({ kind: "load", path }) as Promise<LoadedAnswer>;

  turn = (milliseconds: number): Promise<readonly number[]> =>
    this.ask({ kind: "turn", milliseconds }) as Promise<readonly number[]>;

  unload = (): Promise<unknown> => this.ask({ kind: "close" });

  end(): void {
    this.child.kill();
  }
}
