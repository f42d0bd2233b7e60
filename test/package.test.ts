import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { suite, test } from "node:test";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { VERSION } from "../src/version.ts";
import { smallClassifier } from "./support/models.ts";

const ROOT = resolve(import.meta.dirname, "..");
const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as {
  readonly version: string;
  readonly dependencies: Readonly<Record<string, string>>;
};

test("the version is the package's", () => {
  assert.equal(VERSION, manifest.version);
});

/** A minified browser bundle of these exports. */
async function bundle(names: string): Promise<Uint8Array> {
  const result = await build({
    stdin: { contents: `export ${names} from "./src/browser.ts";`, resolveDir: ROOT, loader: "ts" },
    bundle: true,
    minify: true,
    write: false,
    format: "esm",
    platform: "browser",
    logLevel: "silent",
  });
  return result.outputFiles[0]!.contents;
}

const bundleSize = async (names: string): Promise<number> =>
  gzipSync(await bundle(names), { level: 9 }).length;

const importBytes = (code: Uint8Array): Promise<unknown> =>
  import(`data:text/javascript;base64,${Buffer.from(code).toString("base64")}`);

test("the browser bundle is small: import, clean up, quantise, compile, run", async (t) => {
  const size = await bundleSize(
    "{ loadModel, cleanGraph, collectStats, quantizeGraph, compiledExecutor, compile, createSession }",
  );
  const all = await bundleSize("*");
  t.diagnostic(`gzip: ${size} bytes; with optimiser and report ${all}`);
  assert.ok(size <= 245_000, `${size} bytes`);
  assert.ok(all <= 328_000, `${all} bytes with optimiser and report`);
});

test("the minified bundle works, and so do the artefacts it writes", async () => {
  type Library = typeof import("../src/browser.ts");
  const names = "{ loadModel, cleanGraph, compile, createSession, randomFeed, writeArtefact }";
  const lib = (await importBytes(await bundle(names))) as Library;
  const { program } = lib.compile(lib.cleanGraph(lib.loadModel(smallClassifier()).graph));
  const x = lib.randomFeed(program.inputs[0]!.type, 1);
  const [y] = (await lib.createSession(program)).run([x]);
  const { files } = lib.writeArtefact(program, { inline: true });
  const code = new TextEncoder().encode(String(files.get("model.js")));
  const artefact = (await importBytes(code)) as {
    load(): Promise<{ run(inputs: object): { readonly y: Float32Array } }>;
  };
  const model = await artefact.load();
  assert.deepEqual([...model.run({ x: x.data }).y], [...y!.data]);
});

/** Package folders below node_modules. */
function packages(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((e) => {
    if (!e.isDirectory() || e.name.startsWith(".")) return [];
    const path = join(folder, e.name);
    if (e.name.startsWith("@")) return packages(path);
    const inner = join(path, "node_modules");
    return [path, ...(statSync(inner, { throwIfNoEntry: false }) ? packages(inner) : [])];
  });
}

const CONSUMER = `import { type Graph, loadModel, openModel, defineConfig } from "tersor";
export const config = defineConfig({ metric: "top1", maxDrop: 1 });
export const graph: Graph = openModel("model.onnx").graph;
export const bytes: Uint8Array = new Uint8Array(loadModel(new Uint8Array()).graph.nodes.length);
`;

const asked = process.env["CI"] === "true" || process.env["TERSOR_PACK_TEST"] === "1";

suite("the npm package", () => {
  test("packs, installs and runs in an empty folder", (t) => {
    if (!asked) {
      t.diagnostic("not run: installs from the registry; set TERSOR_PACK_TEST=1");
      return;
    }
    const folder = mkdtempSync(join(tmpdir(), "tersor-pack-"));
    const npm = (args: readonly string[], cwd: string): string =>
      execFileSync("npm", args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
    try {
      const packed = npm(["pack", "--json", "--pack-destination", folder], ROOT);
      const start = packed.indexOf("[\n");
      const [info] = JSON.parse(packed.slice(start)) as { filename: string; size: number }[];
      assert.ok(info!.size <= 2_000_000, `${info!.size} bytes`);
      writeFileSync(join(folder, "package.json"), '{ "private": true, "type": "module" }');
      npm(["install", "--ignore-scripts", "--no-audit", "--no-fund", info!.filename], folder);
      const count = packages(join(folder, "node_modules")).length;
      t.diagnostic(`tarball ${info!.size} bytes, ${count} packages installed`);
      assert.ok(count <= 40, `${count} packages`);
      writeFileSync(join(folder, "model.onnx"), smallClassifier());
      const shown = npm(
        ["exec", "--no", "--", "tersor", "inspect", "model.onnx", "--json"],
        folder,
      );
      assert.equal((JSON.parse(shown) as { macs: number }).macs, 4640);
      checkTypes(folder);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

/** The declarations resolve and are sound for a strict consumer. */
function checkTypes(folder: string): void {
  writeFileSync(join(folder, "consumer.ts"), CONSUMER);
  const options = ["--noEmit", "--strict", "--module", "nodenext", "--target", "es2022"];
  const lib = ["--lib", "es2023,dom,dom.iterable", "--types", ""];
  try {
    execFileSync(join(ROOT, "node_modules/.bin/tsc"), [...options, ...lib, "consumer.ts"], {
      cwd: folder,
      encoding: "utf8",
      stdio: "pipe",
    });
  } catch (error) {
    assert.fail(String((error as { stdout?: string }).stdout).slice(0, 2000));
  }
}
