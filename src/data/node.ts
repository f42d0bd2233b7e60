/** @file Opens data sources by path, in Node: Parquet, .npy/.npz, IDX, images and WAV, folders of them by class. */
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  statSync,
} from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname, extname, join } from "node:path";
import type { Tensor } from "../tensor/tensor.ts";
import { UserError } from "../util/errors.ts";
import { parseIdx } from "./idx.ts";
import { arraySource, fileListSource, type ListedFile } from "./memory.ts";
import { parseNpy, parseNpz } from "./npy.ts";
import { openParquet } from "./parquet.ts";
import type { DataSource } from "./source.ts";

export interface SourceOptions {
  /** Parquet column, or array of an .npz archive, that holds the examples. */
  readonly column?: string;
  /** The same for labels; null: none. */
  readonly labelColumn?: string | null;
}

const fail = (path: string, message: string, hint?: string): never => {
  throw new UserError("E_DATA", message, {
    where: path,
    ...(hint === undefined ? {} : { hint }),
  });
};

const KINDS =
  "a .parquet, .npy, .npz, IDX, PNG, JPEG or WAV file, or a folder of images or WAV files";

/** The examples at a path. Throws UserError that says what is wrong with it. */
export async function openSource(path: string, options: SourceOptions = {}): Promise<DataSource> {
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat === undefined) {
    throw new UserError("E_FILE", "no such file or folder", {
      where: path,
      hint: "check the path",
    });
  }
  if (stat.isDirectory()) return openFolder(path);
  if (stat.size === 0) return fail(path, "the file is empty", `give ${KINDS}`);
  switch (extname(path).toLowerCase()) {
    case ".parquet":
      return openParquet(fileBuffer(path, stat.size), path, options);
    case ".npy":
      return arraySource(path, parseNpy(readFileSync(path), path));
    case ".npz":
      return openNpz(path, options);
    default:
      return isMedia(path) ? oneFile(path) : openIdx(path);
  }
}

/** Reads a file piece by piece. */
function fileBuffer(path: string, byteLength: number) {
  return {
    byteLength,
    slice: async (start: number, end: number = byteLength): Promise<ArrayBuffer> => {
      const bytes = new Uint8Array(Math.max(0, end - start));
      const file = openSync(path, "r");
      try {
        let done = 0;
        while (done < bytes.length) {
          const n = readSync(file, bytes, done, bytes.length - done, start + done);
          if (n === 0) return fail(path, "the file is cut off");
          done += n;
        }
      } finally {
        closeSync(file);
      }
      return bytes.buffer;
    },
  };
}

const EXAMPLE_NAMES = ["x", "data", "images", "features", "inputs", "arr_0"];
const LABEL_NAMES = ["y", "labels", "label", "targets", "arr_1"];

function openNpz(path: string, options: SourceOptions): DataSource {
  const arrays = parseNpz(readFileSync(path), path);
  const names = [...arrays.keys()];
  const take = (name: string): Tensor =>
    arrays.get(name) ?? fail(path, `no array '${name}'; the file has ${names.join(", ")}`);
  const label =
    options.labelColumn === null
      ? undefined
      : (options.labelColumn ?? LABEL_NAMES.find((n) => arrays.has(n)));
  const others = names.filter((n) => n !== label);
  const example =
    options.column ??
    EXAMPLE_NAMES.find((n) => n !== label && arrays.has(n)) ??
    (others.length === 1 ? others[0] : undefined);
  if (example === undefined) {
    return fail(path, `which array? The file has ${names.join(", ")}`, "name it with --column");
  }
  return arraySource(path, take(example), label === undefined ? null : take(label));
}

/** train-images-idx3-ubyte(.gz) has its labels in train-labels-idx1-ubyte(.gz) beside it. */
function openIdx(path: string): DataSource {
  const bytes = readFileSync(path);
  const gzip = bytes[0] === 0x1f && bytes[1] === 0x8b;
  if (!gzip && (bytes[0] !== 0 || bytes[1] !== 0)) {
    return fail(path, "not a known kind of data", `give ${KINDS}`);
  }
  const examples = parseIdx(bytes, path);
  const name = basename(path).replace("images", "labels").replace("idx3", "idx1");
  const beside = join(dirname(path), name);
  const hasLabels = beside !== path && existsSync(beside);
  const labels = hasLabels ? parseIdx(readFileSync(beside), beside) : null;
  return arraySource(path, examples, labels);
}

const isMedia = (name: string): boolean => /\.(png|jpe?g|wav)$/i.test(name);

const listed = (path: string, label: number | null): ListedFile => ({
  name: path,
  label,
  bytes: () => readFile(path),
});

const oneFile = (path: string): DataSource => fileListSource(path, [listed(path, null)], null);

/** Numbers in names count as numbers: 2 before 10. */
const byName = new Intl.Collator("en", { numeric: true }).compare;

/** One sub-folder a class, in order of their names; or a flat folder without labels. */
function openFolder(path: string): DataSource {
  const entries = readdirSync(path, { withFileTypes: true }).filter((e) => !e.name.startsWith("."));
  const media = (folder: string): string[] =>
    readdirSync(folder)
      .filter(isMedia)
      .sort(byName)
      .map((name) => join(folder, name));
  const classes = entries
    .filter((e) => e.isDirectory())
    .map((e) => e.name)
    .sort(byName);
  const files =
    classes.length === 0
      ? media(path).map((file) => listed(file, null))
      : classes.flatMap((name, c) => media(join(path, name)).map((file) => listed(file, c)));
  if (files.length === 0) {
    return fail(
      path,
      "the folder holds no PNG, JPEG or WAV files",
      "give a folder of files, or of one sub-folder for each class",
    );
  }
  return fileListSource(path, files, classes.length === 0 ? null : classes);
}
