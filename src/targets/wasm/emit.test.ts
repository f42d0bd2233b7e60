import { test } from "node:test";
import { assertSame } from "../../../test/support/wasm-kernel.ts";
import {
  add,
  binary,
  cast,
  constant,
  dot8,
  dot16,
  extract,
  f32,
  fma,
  KernelBuilder,
  lanes,
  max,
  mul,
  narrow,
  select,
  shuffle,
  splat,
  sub,
  unary,
} from "../../kernel/build.ts";
import type { BinaryOp, KType, UnaryOp } from "../../kernel/ir.ts";
import { DTYPES, type DType, type TypedArray } from "../../tensor/dtype.ts";
import { makeRng } from "../../util/rng.ts";

const SPECIAL = [0, -0, 1, -1, 0.5, 1.5, 2.5, -2.5, Number.NaN, Infinity, -Infinity, 3e38, 1e-40];

function values(dtype: DType, n: number, seed = 1): TypedArray {
  const rng = makeRng(seed);
  const data = DTYPES[dtype].alloc(n);
  for (let i = 0; i < n; i++) {
    if (dtype === "f32" || dtype === "f64") data[i] = SPECIAL[i] ?? rng.normal() * 100;
    else if (dtype === "i64" || dtype === "u64") data[i] = BigInt(rng.int(2 ** 32)) * 0x9e3779b97n;
    else data[i] = rng.int(2 ** 32);
  }
  return data;
}

const INT_BINARY: readonly BinaryOp[] = [
  ...(["add", "sub", "mul", "min", "min_u", "max", "max_u", "and", "or", "xor"] as const),
  ...(["eq", "ne", "lt", "lt_u", "le", "le_u", "gt", "gt_u", "ge", "ge_u"] as const),
];
const FLOAT_BINARY: readonly BinaryOp[] = [
  ...(["add", "sub", "mul", "div", "min", "max", "copysign"] as const),
  ...(["eq", "ne", "lt", "le", "gt", "ge"] as const),
];

/** Applies every operator to all pairs of rows of two vectors or scalars. */
function binaryKernel(dtype: DType, type: KType, ops: readonly BinaryOp[], n: number) {
  const b = new KernelBuilder(`binary_${type}`);
  const width = type.includes("x") ? 16 / DTYPES[dtype].sizeBytes : 1;
  const x = b.buffer("x", dtype, n, "in");
  const y = b.buffer("y", dtype, n, "in");
  const isFloat = type.startsWith("f");
  const mask = (isFloat ? `i${DTYPES[dtype].sizeBytes * 8}` : dtype) as DType;
  ops.forEach((op, k) => {
    const compare = binary(
      op,
      constant(type, dtype === "i64" ? 0n : 0),
      constant(type, dtype === "i64" ? 0n : 0),
    );
    const result: DType = compare.type === type ? dtype : type.includes("x") ? mask : "i32";
    const out = b.buffer(`o${k}`, result, n, "out");
    b.for("i", 0, n, (i) => b.store(out, i, binary(op, b.load(x, i, type), b.load(y, i, type))), {
      step: width,
    });
  });
  return b.build();
}

for (const [dtype, type] of [
  ["i32", "i32"],
  ["i64", "i64"],
  ["i8", "i8x16"],
  ["i16", "i16x8"],
  ["i32", "i32x4"],
  ["i64", "i64x2"],
] as const) {
  test(`integer operators on ${type}`, async () => {
    const contents = { x: values(dtype, 64, 1), y: values(dtype, 64, 2) };
    contents.y.set(contents.x.slice(0, 8) as never, 0);
    await assertSame(binaryKernel(dtype, type, INT_BINARY, 64), contents);
  });
}

for (const [dtype, type] of [
  ["f32", "f32"],
  ["f64", "f64"],
  ["f32", "f32x4"],
  ["f64", "f64x2"],
] as const) {
  test(`float operators on ${type}`, async () => {
    const x = values(dtype, 208, 1);
    const y = values(dtype, 208, 2);
    for (let i = 0; i < 169; i++) {
      x[i] = SPECIAL[i % 13]!;
      y[i] = SPECIAL[Math.floor(i / 13)]!;
    }
    await assertSame(binaryKernel(dtype, type, FLOAT_BINARY, 208), { x, y });
    const b = new KernelBuilder("unary");
    const a = b.buffer("x", dtype, 208, "in");
    const ops: UnaryOp[] = ["neg", "abs", "sqrt", "floor", "ceil", "trunc", "nearest"];
    ops.forEach((op, k) => {
      const o = b.buffer(`o${k}`, dtype, 208, "out");
      const step = type.includes("x") ? 16 / DTYPES[dtype].sizeBytes : 1;
      b.for("i", 0, 208, (i) => b.store(o, i, unary(op, b.load(a, i, type))), { step });
    });
    await assertSame(b.build(), { x });
  });
}

test("division wraps and truncates; shifts take the count modulo the width", async () => {
  const b = new KernelBuilder("divide");
  const x = b.buffer("x", "i32", 6, "in");
  const y = b.buffer("y", "i32", 6, "in");
  for (const [k, op] of (
    ["div", "rem", "div_u", "rem_u", "shl", "shr", "shr_u"] as const
  ).entries()) {
    const out = b.buffer(`o${k}`, "i32", 6, "out");
    b.for("i", 0, 6, (i) => b.store(out, i, binary(op, b.load(x, i), b.load(y, i))));
  }
  const x64 = b.buffer("x64", "i64", 6, "in");
  const w = b.buffer("w", "i64", 6, "out");
  b.for("i", 0, 6, (i) => b.store(w, i, binary("shl", b.load(x64, i), b.load(y, i))));
  await assertSame(b.build(), {
    x: Int32Array.of(-2147483648, 7, -7, 7, -7, 100),
    y: Int32Array.of(-1, 2, 2, -2, 35, 33),
    x64: values("i64", 6),
  });
});

test("every element type loads and stores", async () => {
  const dtypes = Object.keys(DTYPES) as DType[];
  const b = new KernelBuilder("types");
  const contents: Record<string, TypedArray> = {};
  for (const dtype of dtypes) {
    const x = b.buffer(`x_${dtype}`, dtype, 37, "in");
    const y = b.buffer(`y_${dtype}`, dtype, 37, "out");
    b.for("i", 0, 37, (i) => b.store(y, sub(36, i), b.load(x, i)));
    contents[x.name] = values(dtype, 37, 3);
  }
  await assertSame(b.build(), contents);
});

test("half precision rounds like the interpreter, for every bit pattern", async () => {
  for (const dtype of ["f16", "bf16"] as const) {
    const b = new KernelBuilder(`half_${dtype}`);
    const x = b.buffer("x", dtype, 65536, "in");
    const y = b.buffer("y", "f32", 65536, "out");
    const z = b.buffer("z", dtype, 65536, "out");
    b.for("i", 0, 65536, (i) => b.store(y, i, b.load(x, i, "f32x4")), { step: 4 });
    b.for("i", 0, 65536, (i) => {
      b.store(z, i, mul(b.load(x, i), f32(1.0009765625 + 2 ** -12)));
    });
    const infinity = dtype === "f16" ? 0x7c00 : 0x7f80;
    const notNan = (i: number): number => ((i & 0x7fff) > infinity ? infinity : i);
    await assertSame(b.build(), { x: Uint16Array.from({ length: 65536 }, (_, i) => notNan(i)) });
  }
});

test("vector loads widen, splat and repeat", async () => {
  const b = new KernelBuilder("loads");
  const x = b.buffer("x", "i8", 64, "in");
  const u = b.buffer("u", "u8", 64, "in");
  const s = b.buffer("s", "i16", 64, "in");
  const f = b.buffer("f", "f32", 64, "in");
  const outs = (["i8", "i16", "i32", "i64"] as const).map((d) => b.buffer(d, d, 256, "out"));
  const g = b.buffer("g", "f32", 256, "out");
  let at = 0;
  for (const source of [x, u]) {
    for (const [k, type] of (["i8x16", "i16x8", "i32x4", "i64x2"] as const).entries()) {
      const n = 16 >> k;
      for (let group = n; group >= 1; group >>= 1) {
        const index = (at++ * n) % 256;
        b.store(outs[k]!, index, b.loadGroup(source, 3, type, group));
      }
      b.store(outs[k]!, 0, b.load(source, 5, type));
    }
  }
  b.store(outs[2]!, 0, b.load(s, 1, "i32x4"));
  for (const [i, group] of [1, 2, 4].entries())
    b.store(g, 4 * i, b.loadGroup(f, 7, "f32x4", group));
  b.store(g, 32, b.load(f, 9, "f32x4"), 2);
  b.store(g, 36, b.load(f, 9, "f32x4"), 1);
  await assertSame(b.build(), {
    x: values("i8", 64),
    u: values("u8", 64),
    s: values("i16", 64),
    f: values("f32", 64),
  });
});

test("casts", async () => {
  const b = new KernelBuilder("casts");
  const x = b.buffer("x", "f32", 32, "in");
  const d = b.buffer("d", "f64", 32, "in");
  const n = b.buffer("n", "i32", 32, "in");
  const l = b.buffer("l", "i64", 32, "in");
  const o = b.buffer("o", "i32", 512, "out");
  const ol = b.buffer("ol", "i64", 512, "out");
  const of = b.buffer("of", "f32", 512, "out");
  const od = b.buffer("od", "f64", 512, "out");
  b.for("i", 0, 32, (i) => {
    const [fx, dx, nx, lx] = [b.load(x, i), b.load(d, i), b.load(n, i), b.load(l, i)];
    b.store(o, i, cast("i32", "trunc_sat_s", fx));
    b.store(o, add(i, 32), cast("i32", "trunc_sat_u", dx));
    b.store(o, add(i, 64), cast("i32", "wrap", lx));
    b.store(o, add(i, 96), cast("i32", "extend8_s", nx));
    b.store(o, add(i, 128), cast("i32", "extend16_s", nx));
    b.store(o, add(i, 160), cast("i32", "bits", fx));
    b.store(ol, i, cast("i64", "trunc_sat_s", dx));
    b.store(ol, add(i, 32), cast("i64", "trunc_sat_u", fx));
    b.store(ol, add(i, 64), cast("i64", "extend_u", nx));
    b.store(of, i, cast("f32", "convert_s", lx));
    b.store(of, add(i, 32), cast("f32", "convert_u", nx));
    b.store(of, add(i, 64), cast("f32", "demote", dx));
    b.store(od, i, cast("f64", "convert_u", lx));
    b.store(od, add(i, 32), cast("f64", "promote", fx));
  });
  b.for(
    "i",
    0,
    32,
    (i) => {
      b.store(o, add(i, 256), cast("i32x4", "trunc_sat_s", b.load(x, i, "f32x4")));
      b.store(o, add(i, 288), cast("i32x4", "trunc_sat_u", b.load(x, i, "f32x4")));
      b.store(of, add(i, 256), cast("f32x4", "convert_u", b.load(n, i, "i32x4")));
    },
    { step: 4 },
  );
  b.for(
    "i",
    0,
    32,
    (i) => {
      b.store(ol, add(i, 256), cast("i64x2", "trunc_sat_s", b.load(d, i, "f64x2")));
      b.store(
        ol,
        add(i, 288),
        cast(
          "i64x2",
          "extend_high_u",
          b.load(n, mul(binary("div", i, constant("i32", 8)), 4), "i32x4"),
        ),
      );
      b.store(od, add(i, 256), cast("f64x2", "convert_s", b.load(l, i, "i64x2")));
    },
    { step: 2 },
  );
  const xs = values("f32", 32) as Float32Array;
  xs.set([2147483648, -2147483904, 4294967296, 9.3e18, -9.3e18], 14);
  const ds = values("f64", 32) as Float64Array;
  ds.set([2147483648, -2147483904, 4294967296, 9.3e18, -9.3e18, 1.9e19], 14);
  await assertSame(b.build(), { x: xs, d: ds, n: values("i32", 32), l: values("i64", 32) });
});

test("vector rearrangements and dot products", async () => {
  const b = new KernelBuilder("vectors");
  const x = b.buffer("x", "i8", 64, "in");
  const h = b.buffer("h", "i16", 64, "in");
  const o = b.buffer("o", "i32", 64, "out");
  const o8 = b.buffer("o8", "i8", 64, "out");
  const o16 = b.buffer("o16", "i16", 64, "out");
  const v = (i: number) => b.load(x, i * 16, "i8x16");
  const w = (i: number) => b.load(h, i * 8, "i16x8");
  const acc = b.reg("acc", splat("i32x4", b.load(o, 0)));
  b.for("i", 0, 3, (i) => {
    b.set(acc, dot8(b.load(x, mul(i, 16), "i8x16"), v(3), acc));
  });
  b.store(o, 0, acc);
  b.store(o, 4, dot16(w(0), w(1)));
  b.store(o, 8, { kind: "extmul", type: "i32x4", half: "high", a: w(0), b: w(1) });
  b.store(o8, 0, narrow("i8x16", true, w(0), w(1)));
  b.store(o8, 16, narrow("i8x16", false, w(2), w(3)));
  b.store(o8, 32, shuffle(v(0), v(1), [0, 31, 2, 17, 4, 5, 6, 7, 8, 9, 10, 11, 16, 16, 1, 1]));
  b.store(o16, 0, shuffle(w(0), w(1), [0, 15, 2, 9, 4, 5, 6, 7]));
  b.store(
    o16,
    8,
    select(binary("lt", w(0), w(1)), w(0), lanes("i16x8", [1, -2, 3, -4, 5, 6, 7, 8])),
  );
  b.store(o16, 16, binary("shr", w(2), constant("i32", 19)));
  b.store(o, 12, extract(v(2), 3));
  await assertSame(b.build(), { x: values("i8", 64), h: values("i16", 64) });
});

test("loops: zero trips, steps, moving bounds, registers as pointers", async () => {
  const b = new KernelBuilder("loops");
  const n = b.arg("n", "i32");
  const x = b.buffer("x", "f32", 400, "in");
  const y = b.buffer("y", "f32", 400, "out");
  b.for("i", 0, n, (i) => {
    b.for("j", i, 10, (j) => b.store(y, add(mul(i, 20), j), b.load(x, add(mul(j, 20), i))), {
      step: 3,
    });
  });
  const p = b.reg("p", 200);
  const limit = b.reg("limit", 5);
  b.for("k", 0, limit, () => {
    b.set(limit, 100);
    b.store(y, add(p, 3), b.load(x, sub(p, 2)));
    b.set(p, sub(p, 7));
  });
  b.if(
    binary("gt", n, constant("i32", 3)),
    () => b.store(y, 399, f32(1)),
    () => b.store(y, 398, f32(2)),
  );
  for (const count of [0, 1, 7]) await assertSame(b.build(), { x: values("f32", 400) }, [count]);
});

test("guarded accesses below the start of a buffer do not disturb the others", async () => {
  const b = new KernelBuilder("border");
  const x = b.buffer("x", "f32", 64, "in");
  const y = b.buffer("y", "f32", 64, "out");
  b.for("r", 0, 8, (r) => {
    b.for("c", 0, 8, (c) => {
      const sum = b.reg("sum", f32(0));
      for (const d of [-1, 0, 1]) {
        const row = add(r, d);
        b.if(binary("lt_u", row, constant("i32", 8)), () => {
          b.set(sum, add(sum, b.load(x, add(mul(row, 8), c))));
        });
      }
      b.store(y, add(mul(r, 8), c), max(sum, f32(0)));
    });
  });
  await assertSame(b.build(), { x: Float32Array.from({ length: 64 }, (_, i) => (i * 7) % 11) });
});

test("outlined loops, copies and fills", async () => {
  const b = new KernelBuilder("outline");
  const x = b.buffer("x", "f32", 256, "in");
  const y = b.buffer("y", "f32", 256, "out");
  const z = b.buffer("z", "i16", 64, "out");
  const scale = b.let("scale", splat("f32x4", b.load(x, 20)));
  b.for(
    "r",
    0,
    16,
    (r) => {
      const row = b.let("row", mul(r, 16));
      b.for(
        "c",
        0,
        16,
        (c) => {
          const at = add(row, c);
          b.store(y, at, fma(b.load(x, at, "f32x4"), scale, constant("f32x4", 0.25)));
        },
        { step: 4 },
      );
    },
    { tag: "outline" },
  );
  b.copy(y, 100, x, 40, 17);
  b.fill(y, 200, -0, 5);
  b.fill(y, 210, 0, 7);
  b.fill(z, 3, -300, 9);
  b.fill(z, 30, 257, b.reg("count", 11));
  await assertSame(b.build(), { x: values("f32", 256) });
});
