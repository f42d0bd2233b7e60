/** @file An artefact in headless Chromium, under a strict content security policy, equals Node's. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { delimiter, join } from "node:path";
import { test } from "node:test";
import { chromium, type Page } from "playwright-core";
import { type ArtefactOptions, writeArtefact } from "../../src/targets/wasm/artefact.ts";
import { instantiateModel, type ModelArray } from "../../src/targets/wasm/loader.ts";
import { smallFeeds, smallProgram } from "../support/small-program.ts";
import { threadedProgram } from "../support/threaded-model.ts";

const POLICY = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'";

const TYPES: Readonly<Record<string, string>> = {
  html: "text/html",
  js: "text/javascript",
  wasm: "application/wasm",
  bin: "application/octet-stream",
};

/** Full path of a program on the search path. */
const findProgram = (name: string): string | undefined =>
  (process.env["PATH"] ?? "")
    .split(delimiter)
    .map((directory) => join(directory, name))
    .find((path) => existsSync(path));

/** Loads the model, runs it on the inputs in the page's address, and puts the results into the title. */
const PAGE_SCRIPT = `import { load } from "./model.js";
try {
  const feeds = JSON.parse(decodeURIComponent(location.hash.slice(1)));
  const model = await load();
  const evalIsBlocked = (() => { try { (0, eval)("1"); return false; } catch { return true; } })();
  const out = model.run({ x: Float32Array.from(feeds.x), 'a-b "q"': Uint8Array.from(feeds.q) });
  document.title = JSON.stringify({
    y: [...out.y], z: [...out.z], variant: model.variant, evalIsBlocked,
  });
} catch (error) {
  document.title = JSON.stringify({ error: String(error) });
}
`;

async function serve(
  files: ReadonlyMap<string, Uint8Array | string>,
  more: Readonly<Record<string, string>> = {},
): Promise<Server> {
  const server = createServer((request, response) => {
    const name = (request.url ?? "/").slice(1).split("?")[0] || "index.html";
    const contents = files.get(name);
    const type = TYPES[name.split(".").pop() ?? ""] ?? "text/plain";
    response.writeHead(contents === undefined ? 404 : 200, {
      "content-type": type,
      "content-security-policy": POLICY,
      ...more,
    });
    response.end(contents);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}

const list = (a: ModelArray): number[] => Array.from(a as Uint8Array);

interface PageResult {
  readonly y: readonly number[];
  readonly z: readonly number[];
  readonly variant: string;
  readonly evalIsBlocked: boolean;
}

/** The title once the page's script has set it; asked for from outside, since the policy forbids evaluation. */
async function titleOf(page: Page): Promise<string> {
  for (let waited = 0; waited < 20000; waited += 50) {
    const title = await page.title();
    if (title !== "") return title;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return assert.fail("the page did not set its title");
}

test("artefacts run in Chromium as in Node", async (t) => {
  const executablePath = findProgram("chromium");
  if (executablePath === undefined) {
    t.diagnostic("skipped: no chromium on the search path");
    return;
  }
  const program = smallProgram();
  const [x, q] = smallFeeds().map((tensor) => tensor.data as ModelArray);
  const hash = encodeURIComponent(JSON.stringify({ x: list(x!), q: list(q!) }));
  const args = ["--no-sandbox", "--disable-gpu"];
  const browser = await chromium.launch({ executablePath, args });
  t.after(() => browser.close());
  const forms: readonly ArtefactOptions[] = [{}, { inline: true }, { weights: "file" }];
  for (const options of forms) {
    const { files } = writeArtefact(program, options);
    const html = '<!doctype html><script type="module" src="page.js"></script>';
    const server = await serve(new Map([...files, ["index.html", html], ["page.js", PAGE_SCRIPT]]));
    t.after(() => {
      server.close();
      server.closeAllConnections();
    });
    const page = await browser.newPage();
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/#${hash}`);
    const got = JSON.parse(await titleOf(page)) as PageResult;
    await page.close();
    const node = await instantiateModel(writeArtefact(program).module.wasm, undefined, got.variant);
    const want = node.run([x!, q!]);
    const expected = {
      y: Array.from(want["y"] as Float32Array),
      z: Array.from(want["z"] as Int32Array),
      variant: got.variant,
      evalIsBlocked: true,
    };
    assert.deepEqual(got, expected, JSON.stringify(options));
    t.diagnostic(`${JSON.stringify(options)}: variant ${got.variant}`);
  }
});

/** Runs the model on one thread and on the number in the page's address; the results must be equal. */
const THREADS_SCRIPT = `import { load } from "./model.js";
try {
  const x = new Float32Array(48 * 48 * 16).map((_, i) => (i % 17) / 8 - 1);
  const one = (await load()).run({ x }).y;
  const model = await load(undefined, undefined, { threads: Number(location.hash.slice(1)) });
  let equal = true;
  for (let i = 0; i < 300; i++) equal &&= model.run({ x }).y.every((v, k) => Object.is(v, one[k]));
  const { threads, note } = model;
  model.close();
  document.title = JSON.stringify({ threads, note, equal, isolated: crossOriginIsolated });
} catch (error) {
  document.title = JSON.stringify({ error: String(error) });
}
`;

const ISOLATED = {
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
};

test("artefacts run on threads in an isolated page, and on one elsewhere", async (t) => {
  const executablePath = findProgram("chromium");
  if (executablePath === undefined) {
    t.diagnostic("skipped: no chromium on the search path");
    return;
  }
  const args = ["--no-sandbox", "--disable-gpu"];
  const browser = await chromium.launch({ executablePath, args });
  t.after(() => browser.close());
  const program = threadedProgram();
  const html = '<!doctype html><script type="module" src="page.js"></script>';
  const run = async (
    options: ArtefactOptions,
    headers: Readonly<Record<string, string>>,
    threads: number,
  ): Promise<Record<string, unknown>> => {
    const { files } = writeArtefact(program, { threads: true, ...options });
    const page = new Map([...files, ["index.html", html], ["page.js", THREADS_SCRIPT]]);
    const server = await serve(page, headers);
    t.after(() => {
      server.close();
      server.closeAllConnections();
    });
    const tab = await browser.newPage();
    await tab.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/#${threads}`);
    const title = await titleOf(tab);
    await tab.close();
    return JSON.parse(title) as Record<string, unknown>;
  };
  for (const options of [{}, { inline: true }] as const) {
    const got = await run(options, ISOLATED, 2);
    assert.deepEqual(got, { threads: 2, equal: true, isolated: true }, JSON.stringify(options));
  }
  const open = await run({}, {}, 2);
  assert.deepEqual([open["threads"], open["equal"], open["isolated"]], [1, true, false]);
  assert.match(String(open["note"]), /not cross-origin isolated.*Cross-Origin-Embedder-Policy/);
  const strict = { ...ISOLATED, "content-security-policy": `${POLICY}; worker-src 'none'` };
  const refused = await run({}, strict, 2);
  assert.deepEqual([refused["threads"], refused["equal"]], [1, true]);
  assert.match(String(refused["note"]), /workers could not be started/);
});
