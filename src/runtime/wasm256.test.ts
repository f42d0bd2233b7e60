/** @file The wide session: equal results, a fall-back where they are not, and a reason where V8 does not help. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { GraphBuilder } from "../graph/graph.ts";
import { linear } from "../ops/nn/linear.ts";
import { compileGraph } from "../plan/compile.ts";
import { WASM256 } from "../primitives/capabilities.ts";
import { primitives } from "../primitives/index.ts";
import { tensorOf, tensorType } from "../tensor/tensor.ts";
import { UserError } from "../util/errors.ts";
import { checkWide, createWideSession } from "./wasm256.ts";

function tinyProgram() {
  const g = new GraphBuilder("tiny");
  const x = g.input("x", tensorType("f32", [2, 3]));
  const w = g.constant(
    tensorOf(
      "f32",
      [17, 3],
      Array.from({ length: 51 }, (_, i) => i % 5),
    ),
  );
  g.output(g.apply(linear, [x, w], {}), "y");
  return compileGraph(g.build(), { primitives, caps: WASM256 }).program;
}

test("a wide session computes what the graph says and leaves the flags as they were", async () => {
  const flags: string[] = [];
  const session = await createWideSession(tinyProgram(), (f) => {
    flags.push(f);
    setFlagsFromString(f);
  });
  assert.match(session.variant, /\+256$/);
  assert.equal(session.note, undefined);
  assert.deepEqual(flags.slice(-2), ["--no-experimental-wasm-revectorize", "--liftoff"]);
  const x = tensorOf("f32", [2, 3], [1, 2, 3, 0, 0, 1]);
  const [y] = session.run([x]);
  assert.deepEqual([...(y!.data as Float32Array)].slice(0, 4), [8, 11, 14, 7]);
  assert.equal(y!.data[17], 2);
  session.close();
});

test("an engine that ignores the flag is refused with what to do", async () => {
  await assert.rejects(
    checkWide(() => {}),
    (e: unknown) => e instanceof UserError && e.code === "E_TARGET" && /factor/.test(e.message),
  );
});
