/** @file Compiled execution for everything that takes an Executor: calibration, sensitivity, bias correction. */
import type { Executor, Graph } from "../graph/graph.ts";
import { compile } from "../pipeline.ts";
import { createSession, type Session } from "../runtime/session.ts";

/** Graphs kept compiled at a time: a model and the one it is compared with. */
const KEPT = 2;

/** An executor that compiles each graph it sees and keeps the last few. */
export function compiledExecutor(): Executor {
  const sessions = new Map<Graph, Session>();
  return async (graph, feeds) => {
    let session = sessions.get(graph);
    if (session === undefined) {
      session = await createSession(compile(graph).program);
      const oldest = sessions.size >= KEPT ? [...sessions.keys()][0] : undefined;
      if (oldest !== undefined) {
        sessions.get(oldest)?.close();
        sessions.delete(oldest);
      }
      sessions.set(graph, session);
    }
    return session.run(feeds);
  };
}
