import assert from "node:assert/strict";
import { test } from "node:test";
import { UserError } from "../../util/errors.ts";
import { makeRng } from "../../util/rng.ts";
import { MODEL, TENSOR } from "./proto.ts";
import { tensorOfProto } from "./tensors.ts";
import { decodeMessage, encodeMessage } from "./wire.ts";

const floats = Float32Array.of(1, -2, 3.5);
const rawData = new Uint8Array(floats.buffer);

test("a message survives encoding and decoding, defaults included", () => {
  const bytes = encodeMessage(TENSOR, { dims: [3], dataType: 1, name: "w", rawData });
  const p = decodeMessage(TENSOR, bytes, "tensor");
  assert.deepEqual([...p.dims], [3]);
  assert.equal(p.name, "w");
  assert.deepEqual([...p.rawData!], [...rawData]);
  assert.equal(p.dataLocation, 0);
  assert.equal(p.floatData, undefined);
});

test("raw data is a view of the file where it is aligned", () => {
  const bytes = encodeMessage(TENSOR, { dims: [12], dataType: 3, rawData });
  const t = tensorOfProto(decodeMessage(TENSOR, bytes, "tensor"), undefined);
  assert.equal(t.data.buffer, bytes.buffer);
});

test("misaligned data and Node buffers are read right", () => {
  const shifted = Buffer.concat([
    Buffer.from([0]),
    Buffer.from(encodeMessage(TENSOR, { dims: [3], dataType: 1, rawData })),
  ]).subarray(1);
  const t = tensorOfProto(decodeMessage(TENSOR, shifted, "tensor"), undefined);
  assert.deepEqual([...t.data], [1, -2, 3.5]);
});

test("packed and unpacked numbers read the same; unknown fields are ignored", () => {
  // dims as three varints, then unknown field 50 (text), then float_data unpacked and packed.
  const unpacked = [8, 1, 8, 2, 8, 2, 16, 1, 0x92, 3, 2, 65, 66];
  const one = [0x25, 0, 0, 0x80, 0x3f];
  const packed = [0x22, 12, 0, 0, 0x80, 0x3f, 0, 0, 0, 0x40, 0, 0, 0x40, 0x40];
  const p = decodeMessage(TENSOR, Uint8Array.from([...unpacked, ...one, ...packed]), "tensor");
  assert.deepEqual([...p.dims], [1, 2, 2]);
  assert.deepEqual([...p.floatData!], [1, 1, 2, 3]);
});

test("every truncation is refused or reads as a shorter message, never anything else", () => {
  const bytes = encodeMessage(TENSOR, { dims: [3], dataType: 1, name: "weight", rawData });
  for (let n = 0; n < bytes.length; n++) {
    try {
      tensorOfProto(decodeMessage(TENSOR, bytes.subarray(0, n), "tensor"), undefined);
    } catch (error) {
      assert.ok(error instanceof UserError, `${n}: ${error}`);
    }
  }
});

test("nesting is limited", () => {
  let inner = new Uint8Array(0);
  for (let i = 0; i < 300; i++) {
    // graph -> node -> attribute -> graph …
    for (const tag of [0x32, 0x2a, 0x0a]) inner = wrap(tag, inner);
  }
  assert.throws(() => decodeMessage(MODEL, wrap(0x3a, inner), "model"), { code: "E_LIMIT" });
});

function wrap(tag: number, body: Uint8Array): Uint8Array<ArrayBuffer> {
  const length: number[] = [];
  for (let n = body.length; ; n >>>= 7) {
    length.push(n > 127 ? (n & 127) | 128 : n);
    if (n <= 127) break;
  }
  return Uint8Array.from([tag, ...length, ...body]);
}

test("sizes that do not fit the shape are refused", () => {
  const message = { dims: [4], dataType: 1, rawData };
  const p = decodeMessage(TENSOR, encodeMessage(TENSOR, message), "tensor");
  assert.throws(() => tensorOfProto(p, undefined), { code: "E_FORMAT" });
  const huge = { dims: [2 ** 20, 2 ** 20, 2 ** 20], dataType: 1 };
  const q = decodeMessage(TENSOR, encodeMessage(TENSOR, huge), "tensor");
  assert.throws(() => tensorOfProto(q, undefined), { code: "E_LIMIT" });
});

test("damaged bytes end in a value or a user's error", () => {
  const seed = 11;
  const rng = makeRng(seed);
  const bytes = encodeMessage(TENSOR, { dims: [3], dataType: 1, name: "weight", rawData });
  for (let i = 0; i < 2000; i++) {
    const copy = bytes.slice();
    copy[rng.int(copy.length)] = rng.int(256);
    try {
      tensorOfProto(decodeMessage(TENSOR, copy, "tensor"), undefined);
    } catch (error) {
      assert.ok(error instanceof UserError, `seed ${seed}, case ${i}: ${error}`);
    }
  }
});

test("four-bit integers are widened, low half first", () => {
  const p = { dims: [3], dataType: 22, rawData: Uint8Array.of(0xf1, 0x08) };
  const t = tensorOfProto(decodeMessage(TENSOR, encodeMessage(TENSOR, p), "tensor"), undefined);
  assert.equal(t.type.dtype, "i8");
  assert.deepEqual([...t.data], [1, -1, -8]);
});
