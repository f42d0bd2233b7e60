/**
 * @file A device profile: measured times of candidates on one machine, as JSON. What is read from a file is
 * checked before it is believed.
 */
import { UserError } from "../util/errors.ts";
import type { MeasuredTimes } from "./costs.ts";

/** What a profile was measured on; times hold for nothing else. */
export interface ProfileDevice {
  /** Processor model. */
  readonly cpu: string;
  /** Engine or compiler, with version and flags. */
  readonly engine: string;
  /** Name of the capabilities that kernels were written for (src/primitives/capabilities.ts). */
  readonly target: string;
  readonly threads: number;
}

/** One candidate on one layer shape. */
export interface ProfileEntry {
  /** See keyOf in costs.ts. */
  readonly key: string;
  /** See groupOf in costs.ts. */
  readonly group: string;
  readonly ns: number;
  readonly macs: number;
  readonly bytes: number;
}

export interface DeviceProfile {
  readonly device: ProfileDevice;
  readonly entries: readonly ProfileEntry[];
}

/** Changes when keys or fields change their meaning. */
const VERSION = 1;
const MAX_ENTRIES = 100_000;
const MAX_TEXT = 4096;

export const deviceKey = (d: ProfileDevice): string =>
  [d.cpu, d.engine, d.target, `threads: ${d.threads}`].join(" | ");

export const measuredTimes = (entries: readonly ProfileEntry[]): MeasuredTimes =>
  new Map(entries.map((e) => [e.key, e.ns]));

/** The entries of both; the later one counts where both have one. */
export function mergeEntries(
  before: readonly ProfileEntry[],
  later: readonly ProfileEntry[],
): ProfileEntry[] {
  const byKey = new Map([...before, ...later].map((e) => [e.key, e]));
  return [...byKey.values()].sort((a, b) => (a.key < b.key ? -1 : 1));
}

/** The text of a profile file: one entry a line. */
export function printProfile({ device, entries }: DeviceProfile): string {
  const rows = entries.map((e) =>
    JSON.stringify([e.key, e.group, Number(e.ns.toPrecision(4)), e.macs, e.bytes]),
  );
  return `{"tersorProfile":${VERSION},\n"device":${JSON.stringify(device)},\n"entries":[\n${rows.join(",\n")}\n]}\n`;
}

/** Reads a profile file. Throws UserError (E_FORMAT) that names `where`. */
export function parseProfile(text: string, where: string): DeviceProfile {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw refuse(where, "it is not JSON");
  }
  return checkProfile(json, where);
}

/** Checks a profile that was parsed already. */
export function checkProfile(json: unknown, where: string): DeviceProfile {
  if (!isRecord(json)) throw refuse(where, "it is not an object");
  if (json.tersorProfile !== VERSION) {
    throw refuse(where, `tersorProfile is ${json.tersorProfile}, expected ${VERSION}`);
  }
  const { device, entries } = json;
  if (!isRecord(device)) throw refuse(where, "it has no device");
  const { cpu, engine, target, threads } = device;
  if (!isText(cpu) || !isText(engine) || !isText(target)) {
    throw refuse(where, "device needs the texts cpu, engine and target");
  }
  if (!isCount(threads)) throw refuse(where, "device.threads is no whole number");
  if (!Array.isArray(entries) || entries.length > MAX_ENTRIES) {
    throw refuse(where, `entries is no list of at most ${MAX_ENTRIES}`);
  }
  return {
    device: { cpu, engine, target, threads },
    entries: entries.map((row: unknown, i) => entryOf(row, i, where)),
  };
}

function entryOf(row: unknown, i: number, where: string): ProfileEntry {
  const [key, group, ns, macs, bytes]: unknown[] = Array.isArray(row) ? row : [];
  if (!isText(key) || !isText(group) || !isPositive(ns) || !isCount(macs) || !isCount(bytes)) {
    throw refuse(where, `entry ${i} is not [key, group, ns, macs, bytes]`);
  }
  return { key, group, ns, macs, bytes };
}

const isRecord = (x: unknown): x is Record<string, unknown> =>
  typeof x === "object" && x !== null && !Array.isArray(x);

const isText = (x: unknown): x is string => typeof x === "string" && x.length <= MAX_TEXT;

const isPositive = (x: unknown): x is number =>
  typeof x === "number" && Number.isFinite(x) && x > 0;

const isCount = (x: unknown): x is number => Number.isSafeInteger(x) && (x as number) >= 0;

const refuse = (where: string, reason: string): UserError =>
  new UserError("E_FORMAT", `not a device profile: ${reason}`, {
    where,
    hint: "write one with tersor profile",
  });
