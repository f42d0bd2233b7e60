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

async function serve(files: ReadonlyMap<string, Uint8Array | string>): Promise<Server> {
  const server = createServer((request, response) => {
    const name = (request.url ?? "/").slice(1).split("?")[0] || "index.html";
    const contents = files.get(name);
    const type = TYPES[name.split(".").pop() ?? ""] ?? "text/plain";
    response.writeHead(contents === undefined ? 404 : 200, {
      "content-type": type,
      "content-security-policy": POLICY,
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
