/** @file A worker thread that makes batches ahead. */
import { parentPort, workerData } from "node:worker_threads";
import { UserError } from "../../util/errors.ts";
import { batchMaker } from "../data/maker.ts";
import { type RingReply, serveRing } from "../data/ring.ts";
import type { WorkerTask } from "./prefetch.ts";

const { set, options, ring, worker } = workerData as WorkerTask;
const reply = (message: RingReply): void => parentPort!.postMessage(message);
try {
  serveRing(ring, worker, batchMaker(set, options), reply);
} catch (error) {
  const user = error instanceof UserError;
  const { code, where, hint } = user ? error : { code: "", where: undefined, hint: undefined };
  reply({
    kind: "failed",
    user,
    code,
    message: error instanceof Error ? error.message : String(error),
    ...(where !== undefined && { where }),
    ...(hint !== undefined && { hint }),
  });
}
