import assert from "node:assert/strict";
import { test } from "node:test";
import { ByteSink, dataSegment, leb, MODULE_HEADER, section, sleb, vector } from "./encoder.ts";
import { FunctionBuilder } from "./function-builder.ts";
import { opcode } from "./opcodes.ts";

test("LEB128 follows the specification's examples and limits", () => {
  assert.deepEqual(leb(0), [0]);
  assert.deepEqual(leb(624485), [0xe5, 0x8e, 0x26]);
  assert.deepEqual(leb(2 ** 32 - 1), [255, 255, 255, 255, 15]);
  assert.deepEqual(sleb(-123456), [0xc0, 0xbb, 0x78]);
  assert.deepEqual(sleb(63), [63]);
  assert.deepEqual(sleb(64), [0xc0, 0]);
  assert.deepEqual(sleb(-64), [0x40]);
  assert.deepEqual(sleb(-(2 ** 31)), [0x80, 0x80, 0x80, 0x80, 0x78]);
  assert.deepEqual(sleb(-(1n << 63n)), [...new Array<number>(9).fill(0x80), 0x7f]);
});

test("opcodes at the ends of the table's runs match the specification", () => {
  const expected: Readonly<Record<string, number>> = {
    br_table: 0x0e,
    "local.tee": 0x22,
    "f64.load": 0x2b,
    "i32.store16": 0x3b,
    "i64.ge_u": 0x5a,
    "f64.ge": 0x66,
    "i64.rotr": 0x8a,
    "f64.copysign": 0xa6,
    "f64.promote_f32": 0xbb,
    "i64.extend16_s": 0xc3,
    "memory.fill": 0xfc000b,
    "v128.load64_splat": 0xfd000a,
    "f64x2.replace_lane": 0xfd0022,
    "f64x2.ge": 0xfd004c,
    "v128.load64_zero": 0xfd005d,
    "i16x8.narrow_i32x4_u": 0xfd0086,
    "i16x8.extmul_high_i8x16_u": 0xfd009f,
    "i32x4.dot_i16x8_s": 0xfd00ba,
    "i64x2.ge_s": 0xfd00db,
    "i64x2.mul": 0xfd00d5,
    "f64x2.pmax": 0xfd00f7,
    "f64x2.convert_low_i32x4_u": 0xfd00ff,
    "f32x4.relaxed_madd": 0xfd0105,
    "f64x2.relaxed_nmadd": 0xfd0108,
    "i32x4.relaxed_dot_i8x16_i7x16_add_s": 0xfd0113,
  };
  for (const [name, code] of Object.entries(expected)) assert.equal(opcode(name), code, name);
  assert.throws(() => opcode("i32.nonsense"), /no instruction/);
});

test("a function's locals are grouped by type, and a module around it validates", () => {
  const f = new FunctionBuilder(["i32"]);
  const [a, b, c] = [f.local("f32"), f.local("i32"), f.local("f32")];
  f.f32(1.5).set(a).get(a).set(c).i32(7).set(b);
  f.release(b);
  assert.equal(f.local("i32"), b);
  f.get(b).get(f.params[0]!).op("i32.add");
  const body = f.finish();
  assert.deepEqual([...body.subarray(0, 6)], [body.length - 1, 2, 1, 0x7f, 2, 0x7d]);
  const module = new ByteSink()
    .bytes(MODULE_HEADER)
    .bytes(section(1, Uint8Array.of(1, 0x60, 1, 0x7f, 1, 0x7f)))
    .bytes(section(3, Uint8Array.of(1, 0)))
    .bytes(section(5, Uint8Array.of(1, 0, 1)))
    .bytes(section(10, vector([body])))
    .bytes(section(11, vector([dataSegment(65530, Uint8Array.of(1, 2, 3))])))
    .take();
  assert.ok(WebAssembly.validate(module as Uint8Array<ArrayBuffer>));
});
