/** @file The wide target is accepted on x64. In a file of its own: V8 keeps code it has compiled for equal bytes. */
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { checkWide } from "./wasm256.ts";

test("products gain from it on x64", async (t) => {
  if (process.arch !== "x64") {
    t.diagnostic(`not run: the re-vectoriser is for x64, this is ${process.arch}`);
    return;
  }
  await checkWide(setFlagsFromString);
});
