/**
 * @file A run's state as bytes: magic, version, length, a JSON header, tensors, and a CRC-32 over all of it. Written
 * little-endian; the same state gives the same bytes.
 */
import type { Graph } from "../graph/graph.ts";
import type { AttrValue } from "../graph/op.ts";
import { printAttr, printType } from "../graph/print.ts";
import type { TypedArray } from "../tensor/dtype.ts";
import { bytesOf } from "../tensor/tensor.ts";
import { crc32 } from "../util/crc32.ts";
import { UserError } from "../util/errors.ts";
import { hashBytes } from "../util/math.ts";
import type { LoopState, Progress } from "./loop.ts";

export type Json =
  | null
  | boolean
  | number
  | string
  | readonly Json[]
  | { readonly [k: string]: Json };

/** What a run is of: it can only go on with the same. */
export interface RunIdentity {
  /** Everything that decides the bits of the result. */
  readonly settings: Json;
  /** Hash of the model's layers and shapes. */
  readonly layers: string;
  /** Hash of its initial tensors. */
  readonly weights: string;
}

export interface Checkpoint {
  readonly identity: RunIdentity;
  readonly loop: LoopState;
  /** The run is over and its results are written. */
  readonly finished: boolean;
}

const MAGIC = "TERSORCP";
export const CHECKPOINT_VERSION = 1;
/** Magic, version, length of the header, length of the file. */
const PREFIX = 24;
const SUFFIX = 4;

type Attributes = Readonly<Record<string, AttrValue>>;

/** The hashes of a model before training. */
export function modelIdentity(graph: Graph): Pick<RunIdentity, "layers" | "weights"> {
  const lines = graph.nodes.map((n) => {
    const outs = n.outs.map((v) => printType(graph.values.get(v)!.type));
    return `${n.op.name} ${n.name} ${n.ins} ${n.outs} ${outs} ${printAttr(n.attrs as Attributes)}`;
  });
  const constants = [...graph.constants];
  for (const [v, t] of constants) lines.push(`${v} ${printType(t.type)}`);
  const text = new TextEncoder().encode(lines.join("\n"));
  const weights = constants.map(([, t]) => hashBytes(bytesOf(t))).join("");
  return { layers: hashBytes(text), weights: hashBytes(new TextEncoder().encode(weights)) };
}

/** Names of what differs, with both values; empty when a run of `now` may go on from `then`. */
export function differences(then: RunIdentity, now: RunIdentity): string[] {
  const out = differ(then.settings, now.settings, "");
  if (then.layers !== now.layers) out.push("the model's layers differ");
  else if (then.weights !== now.weights) out.push("the model's initial weights differ");
  return out;
}

const isObject = (v: Json | undefined): v is { readonly [k: string]: Json } =>
  typeof v === "object" && v !== null && !Array.isArray(v);

function differ(a: Json | undefined, b: Json | undefined, path: string): string[] {
  if (isObject(a) && isObject(b)) {
    const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])];
    return keys.flatMap((k) => differ(a[k], b[k], path === "" ? k : `${path}.${k}`));
  }
  const [x, y] = [JSON.stringify(a) ?? "none", JSON.stringify(b) ?? "none"];
  return x === y ? [] : [`${path} was ${x} and is ${y}`];
}

interface Entry {
  readonly group: "state" | "best";
  readonly name: string;
  readonly count: number;
}

interface Header {
  readonly identity: RunIdentity;
  readonly progress: Progress;
  readonly finished: boolean;
  readonly hasBest: boolean;
  readonly tensors: readonly Entry[];
}

/** The bytes of a checkpoint. Tensors are f32. */
export function encodeCheckpoint({ identity, loop, finished }: Checkpoint): Uint8Array {
  const groups = [
    ["state", loop.state],
    ["best", loop.best ?? new Map<string, TypedArray>()],
  ] as const;
  const all = groups.flatMap(([group, tensors]) =>
    [...tensors].map(([name, data]) => ({ group, name, data: data as Float32Array })),
  );
  const tensors = all.map(({ group, name, data }): Entry => ({ group, name, count: data.length }));
  const { progress } = loop;
  const header: Header = { identity, progress, finished, hasBest: loop.best !== null, tensors };
  const text = new TextEncoder().encode(JSON.stringify(header));
  const start = PREFIX + text.length;
  const size = start + 4 * tensors.reduce((n, t) => n + t.count, 0) + SUFFIX;
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  bytes.set(new TextEncoder().encode(MAGIC));
  view.setUint32(8, CHECKPOINT_VERSION, true);
  view.setUint32(12, text.length, true);
  view.setBigUint64(16, BigInt(size), true);
  bytes.set(text, PREFIX);
  let at = start;
  for (const { data } of all) {
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  view.setUint32(size - SUFFIX, crc32(bytes.subarray(0, size - SUFFIX)), true);
  return bytes;
}

/** Reads a checkpoint back. Throws UserError E_FORMAT that says what is wrong with the file. */
export function decodeCheckpoint(bytes: Uint8Array, where: string): Checkpoint {
  const fail = (message: string): never => {
    throw new UserError("E_FORMAT", message, { where });
  };
  if (bytes.length === 0) fail("the file is empty");
  const magic = new TextDecoder().decode(bytes.subarray(0, MAGIC.length));
  if (magic !== MAGIC && MAGIC.startsWith(magic)) fail(`cut off after ${bytes.length} bytes`);
  if (magic !== MAGIC) fail("not a checkpoint of tersor");
  if (bytes.length < PREFIX) fail(`cut off after ${bytes.length} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = view.getUint32(8, true);
  if (version !== CHECKPOINT_VERSION) {
    fail(`version ${version} of the format, this tersor reads ${CHECKPOINT_VERSION}`);
  }
  const size = Number(view.getBigUint64(16, true));
  if (bytes.length < size) fail(`cut off after ${bytes.length} of ${size} bytes`);
  const sum = crc32(bytes.subarray(0, bytes.length - SUFFIX));
  if (bytes.length > size || sum !== view.getUint32(size - SUFFIX, true)) {
    fail("damaged: the checksum differs");
  }
  const start = PREFIX + view.getUint32(12, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(PREFIX, start))) as Header;
  const found = { state: new Map<string, TypedArray>(), best: new Map<string, TypedArray>() };
  let at = start;
  for (const { group, name, count } of header.tensors) {
    // Not slice: that of Node's buffers does not copy.
    const data = new Float32Array(count);
    new Uint8Array(data.buffer).set(bytes.subarray(at, at + 4 * count));
    found[group].set(name, data);
    at += 4 * count;
  }
  const { identity, progress, finished, hasBest } = header;
  const loop = { progress, state: found.state, best: hasBest ? found.best : null };
  return { identity, finished, loop };
}
