/**
 * @file Random damage: to bytes (blind), and to plain data (a model's fields before they are
 * written).
 */
import type { Rng } from "../../src/util/rng.ts";

const pick = <T>(rng: Rng, xs: readonly T[]): T => xs[rng.int(xs.length)]!;

const BYTES = [0, 1, 0x7f, 0x80, 0xff, 0x0a, 0x12, 0x22];
const WORDS = [0, 1, 2, 4, 0xff, 0xffff, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff];
const NUMBERS = [0, 1, -1, 2, 3, 7, 127, -128, 255, 65536, 2 ** 31 - 1, -(2 ** 31), 2 ** 31, 1e9];
const ODD = [0.5, -0.5, Number.NaN, Number.POSITIVE_INFINITY, 1e-40, 2 ** 53, -(2 ** 53), 1e38];

type Damage = (rng: Rng, b: Uint8Array, other: Uint8Array) => Uint8Array;

const at = (rng: Rng, b: Uint8Array, size = 1): number => rng.int(Math.max(1, b.length - size + 1));

function splice(b: Uint8Array, from: number, drop: number, insert: Uint8Array): Uint8Array {
  const tail = b.subarray(Math.min(b.length, from + drop));
  const out = new Uint8Array(from + insert.length + tail.length);
  out.set(b.subarray(0, from));
  out.set(insert, from);
  out.set(tail, from + insert.length);
  return out;
}

/** A copy with `n` bytes at `p` set from a little-endian number. */
function poke(b: Uint8Array, p: number, n: number, value: number): Uint8Array {
  const out = b.slice();
  for (let i = 0; i < n && p + i < out.length; i++) out[p + i] = Math.floor(value / 256 ** i) & 255;
  return out;
}

const DAMAGES: readonly Damage[] = [
  (rng, b) => poke(b, at(rng, b), 1, b[at(rng, b)]! ^ (1 << rng.int(8))),
  (rng, b) => poke(b, at(rng, b), 1, pick(rng, BYTES)),
  (rng, b) => b.slice(0, rng.int(b.length + 1)),
  (rng, b) => poke(b, at(rng, b, 4) & ~3, 4, pick(rng, WORDS)),
  (rng, b) => poke(b, at(rng, b, 4) & ~3, 4, rng.int(b.length + 8)),
  (rng, b) => poke(b, at(rng, b, 2) & ~1, 2, rng.int(64)),
  (rng, b) => {
    const p = at(rng, b, 4) & ~3;
    const word = b[p]! + 256 * b[p + 1]! + 65536 * b[p + 2]!;
    return poke(b, p, 4, Math.max(0, word + rng.int(33) - 16));
  },
  (rng, b) => poke(b, at(rng, b), 1, b[at(rng, b)]! + rng.int(9) - 4),
  // A varint that goes on: the high bit of neighbouring bytes.
  (rng, b) => {
    const out = b.slice();
    const p = at(rng, b, 10);
    for (let i = p; i < Math.min(b.length, p + 1 + rng.int(10)); i++) out[i]! |= 0x80;
    return out;
  },
  (rng, b, other) => {
    const from = at(rng, other);
    return splice(b, at(rng, b), rng.int(16), other.slice(from, from + rng.int(256)));
  },
  (rng, b) => {
    const from = at(rng, b);
    return splice(b, at(rng, b), 0, b.slice(from, from + rng.int(128)));
  },
  (rng, b) => splice(b, at(rng, b), rng.int(32), new Uint8Array(0)),
];

/** One to a few random damages; `other` is another file of the format. */
export function mutateBytes(rng: Rng, bytes: Uint8Array, other: Uint8Array): Uint8Array {
  let out = bytes;
  for (let n = 1 + rng.int(rng.int(4) === 0 ? 12 : 3); n > 0 && out.length > 0; n--) {
    out = pick(rng, DAMAGES)(rng, out, other);
  }
  return out;
}

type Plain = Record<string | number, unknown>;
interface Place {
  readonly parent: Plain;
  readonly key: string | number;
}

const isTyped = (v: unknown): v is Uint8Array => ArrayBuffer.isView(v);

function collect(v: unknown, places: Place[], depth: number): void {
  if (typeof v !== "object" || v === null || isTyped(v) || depth > 12) return;
  for (const key of Array.isArray(v) ? v.keys() : Object.keys(v)) {
    // Field lists are the format, not the model: changing them only breaks the writer.
    if (key === "fields") continue;
    places.push({ parent: v as Plain, key });
    collect((v as Plain)[key], places, depth + 1);
  }
}

/** A copy of plain data: objects, arrays and typed arrays are copied, anything else is shared. */
function copy<T>(v: T): T {
  if (Array.isArray(v)) return v.map(copy) as T;
  if (isTyped(v)) return v.slice() as T;
  if (typeof v !== "object" || v === null || Object.getPrototypeOf(v) !== Object.prototype)
    return v;
  return Object.fromEntries(Object.entries(v).map(([k, x]) => [k, copy(x)])) as T;
}

function mutated(rng: Rng, v: unknown, words: readonly string[]): unknown {
  if (typeof v === "number") {
    const roll = rng.int(8);
    if (roll === 0) return pick(rng, ODD);
    return roll < 4 ? pick(rng, NUMBERS) : v + rng.int(7) - 3;
  }
  if (typeof v === "bigint") return BigInt(pick(rng, NUMBERS));
  if (typeof v === "boolean") return !v;
  if (typeof v === "string") return pick(rng, words);
  if (isTyped(v)) return rng.int(2) === 0 ? v.slice(0, rng.int(v.length + 1)) : scrambled(rng, v);
  if (!Array.isArray(v)) return v;
  const i = rng.int(v.length + 1);
  if (rng.int(2) === 0) return v.toSpliced(i, 1);
  return v.length === 0 ? v : v.toSpliced(i, 0, copy(pick(rng, v)));
}

function scrambled(rng: Rng, v: Uint8Array): Uint8Array {
  const out = v.slice();
  const bytes = new Uint8Array(out.buffer);
  if (bytes.length > 0) bytes[rng.int(bytes.length)] = rng.int(256);
  return out;
}

/** A copy with one to four fields changed; `words` replace texts (operator names, tensor names). */
export function mutateTree<T>(rng: Rng, tree: T, words: readonly string[]): T {
  const root = { value: copy(tree) };
  for (let n = 1 + rng.int(4); n > 0; n--) {
    const places: Place[] = [];
    collect(root.value, places, 0);
    if (places.length === 0) break;
    const { parent, key } = pick(rng, places);
    parent[key] = mutated(rng, parent[key], words);
  }
  return root.value;
}
