/** @file Reads the ONNX backend test data: a tar.gz in memory, or an unpacked folder. */
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";

export interface DataSet {
  readonly inputs: readonly Uint8Array[];
  readonly outputs: readonly Uint8Array[];
}
export interface Case {
  /** Folder name, for example test_abs. */
  readonly name: string;
  readonly model: Uint8Array;
  readonly dataSets: readonly DataSet[];
}

/** Where the archive lies relative to the repository. */
export const ARCHIVE = new URL("../../../shared/data/onnx-backend-tests.tar.gz", import.meta.url)
  .pathname;

const BLOCK = 512;
const text = (bytes: Uint8Array): string => {
  const end = bytes.indexOf(0);
  return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
};

/** Regular files of a tar archive (ustar, with GNU long names), by path. */
export function untar(tar: Uint8Array): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  let longName: string | null = null;
  for (let at = 0; at + BLOCK <= tar.length; ) {
    const header = tar.subarray(at, at + BLOCK);
    if (header[0] === 0) break;
    const size = Number.parseInt(text(header.subarray(124, 136)).trim() || "0", 8);
    const kind = String.fromCharCode(header[156]!);
    const body = tar.subarray(at + BLOCK, at + BLOCK + size);
    const prefix = text(header.subarray(345, 500));
    const name: string = longName ?? (prefix ? `${prefix}/` : "") + text(header.subarray(0, 100));
    longName = kind === "L" ? text(body) : null;
    if (kind === "0" || kind === "\0") files.set(name, body);
    at += BLOCK + Math.ceil(size / BLOCK) * BLOCK;
  }
  return files;
}

function filesOf(folder: string, prefix = ""): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (statSync(path).isDirectory()) {
      for (const [k, v] of filesOf(path, `${prefix}${name}/`)) files.set(k, v);
    } else files.set(prefix + name, readFileSync(path));
  }
  return files;
}

interface Files {
  model: Uint8Array | undefined;
  readonly sets: Map<string, Map<string, Uint8Array>>;
}

/** The node tests in the archive or folder; null when there is none. */
export function readCases(path = ARCHIVE): readonly Case[] | null {
  if (!existsSync(path)) return null;
  const files = statSync(path).isDirectory()
    ? filesOf(path)
    : untar(gunzipSync(readFileSync(path)));
  const cases = new Map<string, Files>();
  for (const [file, bytes] of files) {
    const m =
      /(?:^|\/)node\/([^/]+)\/(?:model\.onnx|(test_data_set_\d+)\/((?:in|out)put_\d+)\.pb)$/.exec(
        file,
      );
    if (m === null) continue;
    const [, name, set, part] = m;
    const entry: Files = cases.get(name!) ?? { model: undefined, sets: new Map() };
    cases.set(name!, entry);
    if (set === undefined) entry.model = bytes;
    else {
      const parts = entry.sets.get(set) ?? new Map<string, Uint8Array>();
      entry.sets.set(set, parts.set(part!, bytes));
    }
  }
  return [...cases]
    .flatMap(([name, { model, sets }]) =>
      model === undefined ? [] : [{ name, model, dataSets: [...sets.values()].map(dataSet) }],
    )
    .sort((a, b) => (a.name < b.name ? -1 : 1));
}

function dataSet(parts: ReadonlyMap<string, Uint8Array>): DataSet {
  const list = (kind: string): Uint8Array[] => {
    const out: Uint8Array[] = [];
    for (let i = 0; parts.has(`${kind}_${i}`); i++) out.push(parts.get(`${kind}_${i}`)!);
    return out;
  };
  return { inputs: list("input"), outputs: list("output") };
}
