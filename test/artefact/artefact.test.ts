/** @file Artefacts in Node: written to disk, imported, typed, bundled. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { type ArtefactOptions, writeArtefact } from "../../src/targets/wasm/artefact.ts";
import type { ModelArray, ModelInstance } from "../../src/targets/wasm/loader.ts";
import { interpretProgram, smallFeeds, smallProgram } from "../support/small-program.ts";
import { writeFiles } from "../support/write-files.ts";

type Module = { readonly load: (...sources: unknown[]) => Promise<ModelInstance> };

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const importFrom = (directory: string, file = "model.js"): Promise<Module> =>
  import(pathToFileURL(join(directory, file)).href) as Promise<Module>;

function inputs(seed = 1): Record<string, ModelArray> {
  const [x, q] = smallFeeds(seed);
  return { x: x.data as ModelArray, 'a-b "q"': q.data as ModelArray };
}

function assertRuns(model: ModelInstance): void {
  const [y, z] = interpretProgram(smallProgram(), smallFeeds());
  const got = model.run(inputs());
  assert.deepEqual(got["z"], z!.data);
  for (let i = 0; i < 16; i++) {
    assert.ok(Math.abs(Number(got["y"]![i]) - Number(y!.data[i])) < 1e-5);
  }
}

async function loadWritten(t: TestContext, options: ArtefactOptions): Promise<ModelInstance> {
  const directory = writeFiles(t, writeArtefact(smallProgram(), options).files);
  const { load } = await importFrom(directory, `${options.fileName ?? "model"}.js`);
  return load();
}

test("artefacts load from their own directory in every form", async (t) => {
  assertRuns(await loadWritten(t, {}));
  assertRuns(await loadWritten(t, { inline: true }));
  assertRuns(await loadWritten(t, { weights: "file", fileName: "kws" }));
});

test("the set of files depends on the options, and the bytes on nothing else", () => {
  const names = (options: ArtefactOptions): string[] => [
    ...writeArtefact(smallProgram(), options).files.keys(),
  ];
  assert.deepEqual(names({}), ["model.wasm", "model.js", "model.d.ts"]);
  assert.deepEqual(names({ inline: true }), ["model.js", "model.d.ts"]);
  assert.deepEqual(names({ weights: "file", fileName: "a" }), [
    "a.wasm",
    "a.js",
    "a.d.ts",
    "a.bin",
  ]);
  assert.deepEqual(writeArtefact(smallProgram()).files, writeArtefact(smallProgram()).files);
});

test("load takes bytes, responses, URLs and promises of them", async (t) => {
  const { files } = writeArtefact(smallProgram());
  const directory = writeFiles(t, files);
  const { load } = await importFrom(directory);
  const wasm = files.get("model.wasm") as Uint8Array<ArrayBuffer>;
  const url = pathToFileURL(join(directory, "model.wasm"));
  for (const source of [
    wasm,
    wasm.buffer.slice(wasm.byteOffset, wasm.byteOffset + wasm.length),
    new DataView(wasm.buffer, wasm.byteOffset, wasm.length),
    new Response(wasm),
    Promise.resolve(new Response(wasm)),
    url,
    url.href,
    "./model.wasm",
  ]) {
    assertRuns(await load(source));
  }
  await assert.rejects(load(new Response("", { status: 404 })), /HTTP status 404/);
  await assert.rejects(load(new Response("<html>")), Error);
});

test("the JavaScript needs no eval and survives bundling and minification", async (t) => {
  const { files } = writeArtefact(smallProgram(), { inline: true });
  const source = files.get("model.js") as string;
  assert.doesNotMatch(source, /\beval\b|new Function|Function\(/);
  for (const keepNames of [false, true]) {
    const bundled = await build({
      stdin: { contents: source, loader: "js" },
      bundle: true,
      minify: true,
      keepNames,
      write: false,
      format: "esm",
      platform: "browser",
    });
    const directory = writeFiles(t, [["model.js", bundled.outputFiles[0]!.text]]);
    assertRuns(await (await importFrom(directory)).load());
  }
});

test("a bundled and minified tersor writes working artefacts", async (t) => {
  for (const keepNames of [false, true]) {
    const bundled = await build({
      entryPoints: [join(ROOT, "src/targets/wasm/artefact.ts")],
      bundle: true,
      minify: true,
      keepNames,
      write: false,
      format: "esm",
      platform: "browser",
    });
    const directory = writeFiles(t, [["tersor.js", bundled.outputFiles[0]!.text]]);
    const tersor = (await import(pathToFileURL(join(directory, "tersor.js")).href)) as {
      writeArtefact: typeof writeArtefact;
    };
    const written = writeFiles(t, tersor.writeArtefact(smallProgram()).files);
    assertRuns(await (await importFrom(written)).load());
  }
});

test("the declarations type the model's inputs and outputs", (t) => {
  const { files } = writeArtefact(smallProgram());
  const usage = (line: string): string => `import { load } from "./model.js";
const model = await load(fetch("model.wasm"));
const outputs = model.run({ x: new Float32Array(16), 'a-b "q"': new Uint8Array(16) });
const y: Float32Array = outputs.y;
${line}
export { y };
`;
  const directory = writeFiles(t, [
    ["package.json", '{ "type": "module" }'],
    ["model.d.ts", files.get("model.d.ts")!],
    ["good.ts", usage("const z: Int32Array = outputs.z; export { z };")],
    ["wrong-output.ts", usage("const z: Float32Array = outputs.z; export { z };")],
    ["wrong-input.ts", usage("model.run({ x: new Float64Array(16) });")],
  ]);
  const check = (file: string): string => {
    const options = ["--noEmit", "--strict", "--module", "nodenext", "--lib", "es2022,dom"];
    const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
    const args = [tsc, ...options, "--target", "es2022", "--types", "", join(directory, file)];
    return spawnSync(process.execPath, args, { encoding: "utf8", cwd: directory }).stdout;
  };
  assert.equal(check("good.ts"), "");
  assert.match(check("wrong-output.ts"), /wrong-output\.ts.*Int32Array/);
  assert.match(check("wrong-input.ts"), /wrong-input\.ts.*Float64Array|wrong-input/);
});

test("the loader is small", () => {
  const { files, module } = writeArtefact(smallProgram());
  const size = (files.get("model.js") as string).length;
  assert.ok(size < 8900, `model.js has ${size} characters`);
  assert.ok(module.wasm.length < 3800, `model.wasm has ${module.wasm.length} bytes`);
  assert.ok(readFileSync(join(ROOT, "src/targets/wasm/loader.ts")).length > size);
});
