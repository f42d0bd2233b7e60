import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { interpretProgram, smallFeeds, smallProgram } from "../../test/support/small-program.ts";
import { worstOutput } from "../../test/support/whole-models.ts";
import { GraphBuilder } from "../graph/graph.ts";
import { mul } from "../ops/elementwise/mul.ts";
import { compile } from "../pipeline.ts";
import { tensorOf, tensorType, toNumbers } from "../tensor/tensor.ts";
import { UserError } from "../util/errors.ts";
import { type Env, findCompiler } from "./compiler.ts";
import { createNativeSession } from "./index.ts";

/** Runs `use` with an empty cache folder; says so where there is no compiler. */
async function withCache(
  t: TestContext,
  use: (env: Env, folder: string) => Promise<void>,
): Promise<void> {
  try {
    findCompiler();
  } catch (error) {
    return t.diagnostic(`skipped: ${(error as UserError).message}`);
  }
  const folder = mkdtempSync(join(tmpdir(), "tersor-native-"));
  try {
    await use({ ...process.env, TERSOR_CACHE: folder }, folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

test("a native session gives the interpreter's results, on one thread and on several", (t) =>
  withCache(t, async (env) => {
    const program = smallProgram();
    let first: readonly number[] | null = null;
    for (const threads of [1, 2, 3]) {
      const session = await createNativeSession(program, { threads, env });
      for (const seed of [1, 2, 1]) {
        const feeds = smallFeeds(seed);
        const want = interpretProgram(program, feeds);
        const got = session.run(feeds);
        assert.ok(worstOutput([got[0]!], [want[0]!], "relative") <= 1e-6);
        assert.deepEqual(toNumbers(got[1]!), toNumbers(want[1]!));
        first = seed === 1 ? (first ?? toNumbers(got[0]!)) : first;
        if (seed === 1) assert.deepEqual(toNumbers(got[0]!), first, `${threads} threads`);
      }
      const profile = session.profile(3);
      assert.deepEqual(
        profile.map((s) => s.label),
        program.steps.map((s) => s.label),
      );
      session.close();
      assert.throws(() => session.run(smallFeeds()), /is closed/);
    }
  }));

test("subnormal numbers are zero where asked for, and nowhere else", (t) =>
  withCache(t, async (env) => {
    const g = new GraphBuilder("tiny");
    const x = g.input("x", tensorType("f32", [64]));
    const half = g.constant(tensorOf("f32", [1], [0.5]));
    g.output(g.apply(mul, [x, half], {}), "y");
    const { program } = compile(g.build());
    const feeds = [tensorOf("f32", [64], Array(64).fill(2 ** -126))];
    for (const threads of [1, 2]) {
      for (const flushSubnormals of [false, true, false]) {
        const session = await createNativeSession(program, { env, threads, flushSubnormals });
        const [got] = session.run(feeds).map(toNumbers);
        assert.deepEqual(new Set(got), new Set([flushSubnormals ? 0 : 2 ** -127]));
        assert.ok(
          feeds[0]!.data.every((v) => Number(v) * 2 ** -900 > 0),
          "JavaScript keeps its own",
        );
        session.close();
      }
    }
  }));

test("two sessions of one library do not share memory", (t) =>
  withCache(t, async (env) => {
    const program = smallProgram();
    const [a, b] = [
      await createNativeSession(program, { env, threads: 2 }),
      await createNativeSession(program, { env, threads: 2 }),
    ];
    const [x, y] = [smallFeeds(1), smallFeeds(2)];
    const alone = a.run(x).map(toNumbers);
    b.run(y);
    a.time(1);
    assert.deepEqual(a.run(x).map(toNumbers), alone);
    b.close();
    assert.deepEqual(a.run(x).map(toNumbers), alone);
    a.close();
  }));

test("a library is compiled once; a damaged compiler or flag is the user's mistake", (t) =>
  withCache(t, async (env, folder) => {
    const program = smallProgram();
    const native = (): string[] => readdirSync(join(folder, "native"));
    (await createNativeSession(program, { env })).close();
    const [only] = native();
    assert.match(only!, /^[0-9a-f]{32}\.so$/);
    (await createNativeSession(program, { env })).close();
    assert.deepEqual(native(), [only]);
    (await createNativeSession(program, { env, flags: ["-O1"] })).close();
    assert.equal(native().length, 2);
    const refused = createNativeSession(program, { env, flags: ["-fno-such-option"] });
    await assert.rejects(refused, /cannot compile the model: .*fno-such-option/);
    assert.equal(native().length, 2, "no rest of the failed build");
  }));

test("without a compiler the message says what to do", async () => {
  const env = { CC: "/no/such/cc" };
  await assert.rejects(createNativeSession(smallProgram(), { env }), (error: unknown) => {
    assert.ok(error instanceof UserError);
    assert.match(`${error.message} ${error.hint}`, /CC is '\/no\/such\/cc'|is not made on/);
    assert.ok(error.hint !== undefined);
    return true;
  });
});

test("a cache folder that others may write is not used", (t) =>
  withCache(t, async (env, folder) => {
    const { chmodSync, mkdirSync } = await import("node:fs");
    mkdirSync(join(folder, "native"));
    chmodSync(join(folder, "native"), 0o777);
    writeFileSync(join(folder, "native", "mine"), "");
    (await createNativeSession(smallProgram(), { env })).close();
    assert.deepEqual(readdirSync(join(folder, "native")), ["mine"]);
  }));

test("threads beyond the limits are refused", async () => {
  for (const threads of [0, 1.5, 257]) {
    await assert.rejects(createNativeSession(smallProgram(), { threads }), /expected 1 to 256/);
  }
});

test("the weights stay while the session does, whatever is collected", (t) =>
  withCache(t, async (env) => {
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void;
    const program = smallProgram();
    const session = await createNativeSession(program, { env });
    const want = session.run(smallFeeds()).map(toNumbers);
    for (let i = 0; i < 3; i++) {
      collect();
      await new Promise((done) => setTimeout(done, 5));
      new Uint8Array(1 << 16).fill(7);
      Array.from({ length: 64 }, () => new Uint8Array(new ArrayBuffer(1500)).fill(7));
      assert.deepEqual(session.run(smallFeeds()).map(toNumbers), want);
    }
    session.close();
  }));

test("a process or worker that leaves a session open ends all the same", (t) =>
  withCache(t, async (env) => {
    const url = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href);
    const code = `
      import { createNativeSession } from ${url("./index.ts")};
      import { smallFeeds, smallProgram } from ${url("../../test/support/small-program.ts")};
      const session = await createNativeSession(smallProgram(), { threads: 3 });
      console.log(session.run(smallFeeds()).length);`;
    const start = `
      import { Worker } from "node:worker_threads";
      const worker = new Worker(new URL("data:text/javascript," + encodeURIComponent(CODE)));
      worker.on("exit", (status) => console.log("exit", status));`;
    for (const script of [code, start.replace("CODE", JSON.stringify(code))]) {
      const args = ["--input-type=module", "-e", script];
      const { status, stdout, stderr } = spawnSync(process.execPath, args, {
        env,
        encoding: "utf8",
      });
      assert.equal(status, 0, stderr);
      assert.match(stdout, /^2$/m);
    }
  }));
