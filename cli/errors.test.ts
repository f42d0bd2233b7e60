import assert from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { InternalError, UserError } from "../src/util/errors.ts";
import { tersor } from "../test/support/cli.ts";
import { modelFolder } from "../test/support/models.ts";
import { describeError } from "./errors.ts";

const folder = modelFolder();
after(() => rmSync(folder, { recursive: true, force: true }));

const model = readFileSync(join(folder, "model.onnx"));
const write = (name: string, content: Uint8Array | string): void =>
  writeFileSync(join(folder, name), content);
write("empty.onnx", "");
write("cut.onnx", model.subarray(0, model.length >> 1));
write("text.onnx", "this is not a model\n");
write("cut.npy", readFileSync(join(folder, "data.npy")).subarray(0, 500));
write("unknown.onnx", Buffer.from(model.toString("latin1").replace("Relu", "Rexu"), "latin1"));

/** Arguments, and what the one line on stderr must say. */
const MISTAKES: readonly (readonly [string, RegExp])[] = [
  ["inspect missing.onnx", /^tersor: missing\.onnx: no such file/],
  ["inspect .", /^tersor: \.: is a folder/],
  ["inspect empty.onnx", /^tersor: empty\.onnx: the file is empty/],
  ["inspect cut.onnx", /^tersor: cut\.onnx: .*truncated/],
  ["inspect text.onnx", /^tersor: text\.onnx: .*not a valid message/],
  ["inspect data.npy", /^tersor: data\.npy: /],
  ["inspect", /^tersor: missing required argument 'model'; see tersor inspect --help$/],
  ["inspct model.onnx", /^tersor: unknown command 'inspct' \(did you mean inspect\?\)/],
  ["inspect model.onnx --sed 1", /^tersor: unknown option '--sed' \(did you mean --seed\?\)/],
  ["inspect model.onnx --seed x", /^tersor: option '--seed <n>' argument 'x' is invalid/],
  ["inspect model.onnx --stage nowhere", /^tersor: .*Allowed choices are source, clean/],
  ["run model.onnx --shape z=1,2", /^tersor: model\.onnx: the model has no input 'z'/],
  ["run model.onnx --shape 1,1,9,9", /^tersor: model\.onnx: .*does not fit the declared/],
  ["run model.onnx --shape 1,b", /^tersor: --shape: '1,b' is not a shape/],
  ["run model.onnx --input z=zeros", /names no input of the model/],
  ["run model.onnx --input x=data.npy", /takes \[1,1,8,8\], the array is \[60,1,8,8\]/],
  ["run model.onnx --input cut.npy", /^tersor: cut\.npy: .*needs .* bytes/],
  ["run unknown.onnx", /^tersor: unknown\.onnx: .*cannot be imported/],
  ["compile model.onnx", /^tersor: required option '--out <folder>' not specified/],
  ["compile model.onnx --out model.onnx", /^tersor: model\.onnx: cannot be written/],
  ["compile model.onnx --out o --cpu neon", /--cpu: a module runs on every processor/],
  ["compare model.onnx --stages source,sauce", /stages are source, clean/],
  ["bench model.onnx --engine tensor", /engines are tersor/],
  ["optimize model.onnx --out o", /^tersor: --data is missing; for example: tersor optimize/],
  ["optimize model.onnx --data data.npy --metric top1 --out o", /--max-drop is missing/],
  ["optimize model.onnx --data data.npy --metric top1 --max-drop 1 --out o", /needs labels/],
  ["optimize model.onnx --data gone --metric mse --max-drop 1 --out o", /^tersor: gone: no such/],
  ["optimize model.onnx --data cut.npy --metric mse --max-drop 1 --out o", /^tersor: cut\.npy: /],
];

suite("the user's mistakes", { concurrency: 4 }, () => {
  for (const [args, expected] of MISTAKES) {
    test(args, async () => {
      const { code, stdout, stderr } = await tersor(args.split(" "), folder);
      assert.equal(code, 1, stderr);
      assert.equal(stdout, "");
      assert.match(
        stderr.trimEnd().split("\n").at(-1) === "" ? "" : stderr.split("\n")[0]!,
        expected,
      );
      assert.ok(!/^\s+at /m.test(stderr), `stack trace: ${stderr}`);
    });
  }

  test("an unknown operator is listed, also as JSON, and exits with 1", async () => {
    const { code, stdout, stderr } = await tersor(["inspect", "unknown.onnx", "--json"], folder);
    assert.equal(code, 1);
    const info = JSON.parse(stdout) as { unsupported: { op: string; count: number }[] };
    assert.deepEqual(
      info.unsupported.map((u) => [u.op, u.count]),
      [["Rexu", 1]],
    );
    assert.match(stderr, /1 operator not supported/);
  });

  test("--json gives one object for errors too", async () => {
    const { code, stdout } = await tersor(["run", "missing.onnx", "--json"], folder);
    assert.equal(code, 1);
    assert.equal(JSON.parse(stdout).error.code, "E_FILE");
  });
});

test("a bug of ours is 70, without a stack unless asked", () => {
  const quiet = describeError(new InternalError("value %3 is missing"), false);
  assert.equal(quiet.code, 70);
  assert.match(quiet.text, /^tersor: value %3 is missing; this is a bug in tersor/);
  assert.ok(!quiet.text.includes("\n"));
  assert.match(describeError(new TypeError("x"), true).text, /\n\s+at /);
});

test("limits that cannot be met are 2", () => {
  assert.equal(describeError(new UserError("E_UNMET", "too small"), false).code, 2);
});
