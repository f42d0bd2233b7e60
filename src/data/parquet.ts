/** @file Parquet tables: an example column (image, audio or raw bytes, or a list of numbers) and a label column. Reader: hyparquet. */
import {
  type AsyncBuffer,
  type FileMetaData,
  parquetMetadataAsync,
  parquetReadObjects,
} from "hyparquet";
import { tensorOf } from "../tensor/tensor.ts";
import { UserError } from "../util/errors.ts";
import { decodeImage } from "./image.ts";
import type { DataSource, Example, ExampleData } from "./source.ts";
import { decodeWav } from "./wav.ts";

export interface ParquetOptions {
  /** Column of the examples; default: the first of image, audio, features… that is not the label. */
  readonly column?: string;
  /** Column of the class index; default "label"; null: no labels. */
  readonly labelColumn?: string | null;
}

type Row = Readonly<Record<string, unknown>>;

/** A Parquet file as examples. */
export async function openParquet(
  file: AsyncBuffer,
  description: string,
  options: ParquetOptions = {},
): Promise<DataSource> {
  const metadata = await readMetadata(file, description);
  const columns = metadata.schema.slice(1).map((s) => s.name);
  const labelColumn = pickLabel(columns, options.labelColumn, description);
  const column = pickColumn(columns, labelColumn, options.column, description);
  const size = Number(metadata.num_rows);
  return {
    description,
    size,
    classes: classNames(metadata),
    read: async (rows) => {
      const wanted = labelColumn === null ? [column] : [column, labelColumn];
      const found = await readRows(file, metadata, wanted, rows, description);
      return found.map(([row, index]) => example(row, index, column, labelColumn, description));
    },
  };
}

async function readMetadata(file: AsyncBuffer, where: string): Promise<FileMetaData> {
  try {
    return await parquetMetadataAsync(file);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UserError("E_DATA", `not a readable Parquet file: ${reason}`, { where });
  }
}

function pickLabel(
  columns: readonly string[],
  asked: string | null | undefined,
  where: string,
): string | null {
  if (asked === null) return null;
  if (asked === undefined) return columns.includes("label") ? "label" : null;
  if (!columns.includes(asked)) throw missing(asked, columns, where);
  return asked;
}

function pickColumn(
  columns: readonly string[],
  label: string | null,
  asked: string | undefined,
  where: string,
): string {
  const found = asked ?? columns.find((c) => c !== label);
  if (found === undefined || !columns.includes(found))
    throw missing(found ?? "(any)", columns, where);
  return found;
}

const missing = (column: string, columns: readonly string[], where: string): UserError =>
  new UserError("E_DATA", `no column '${column}'; the file has ${columns.join(", ")}`, { where });

function classNames(metadata: FileMetaData): readonly string[] | null {
  const text = metadata.key_value_metadata?.find((m) => m.key === "classes")?.value;
  if (text === undefined) return null;
  try {
    const names: unknown = JSON.parse(text);
    return Array.isArray(names) ? names.map(String) : null;
  } catch {
    return null;
  }
}

/** Reads the rows in runs of neighbours and returns them in the order asked for. */
async function readRows(
  file: AsyncBuffer,
  metadata: FileMetaData,
  columns: string[],
  rows: readonly number[],
  where: string,
): Promise<(readonly [Row, number])[]> {
  const sorted = [...new Set(rows)].sort((a, b) => a - b);
  const found = new Map<number, Row>();
  for (let i = 0; i < sorted.length; ) {
    let j = i;
    while (j + 1 < sorted.length && sorted[j + 1]! - sorted[j]! < 64) j++;
    const [rowStart, last] = [sorted[i]!, sorted[j]!];
    const part = await readRun(file, metadata, columns, rowStart, last + 1, where);
    part.forEach((row, k) => found.set(rowStart + k, row));
    i = j + 1;
  }
  return rows.map((r) => [found.get(r) ?? {}, r] as const);
}

async function readRun(
  file: AsyncBuffer,
  metadata: FileMetaData,
  columns: string[],
  rowStart: number,
  rowEnd: number,
  where: string,
): Promise<readonly Row[]> {
  try {
    return await parquetReadObjects({ file, metadata, columns, rowStart, rowEnd, utf8: false });
  } catch (error) {
    if (error instanceof UserError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new UserError("E_DATA", `rows ${rowStart} to ${rowEnd} are damaged: ${reason}`, {
      where,
    });
  }
}

function example(
  row: Row,
  index: number,
  column: string,
  labelColumn: string | null,
  description: string,
): Example {
  const id = `${description}#${index}`;
  const label = labelColumn === null ? null : Number(row[labelColumn]);
  return { id, data: dataOf(row[column], id), label };
}

function dataOf(value: unknown, where: string): ExampleData {
  if (value instanceof Uint8Array) return sniff(value, where);
  if (Array.isArray(value)) {
    const flat = (value as readonly unknown[]).flat(Number.POSITIVE_INFINITY).map(Number);
    return { kind: "array", tensor: tensorOf("f32", [flat.length], flat) };
  }
  if (typeof value === "object" && value !== null && "bytes" in value) {
    return dataOf((value as { readonly bytes: unknown }).bytes, where);
  }
  throw new UserError("E_DATA", "the value is neither bytes nor a list of numbers", { where });
}

/** Images and WAV files are recognised by their first bytes; anything else stays bytes. */
export function sniff(bytes: Uint8Array, where: string): ExampleData {
  const [a, b, c] = bytes;
  if ((a === 0x89 && b === 0x50 && c === 0x4e) || (a === 0xff && b === 0xd8 && c === 0xff)) {
    return decodeImage(bytes, where);
  }
  if (a === 0x52 && b === 0x49 && c === 0x46 && bytes[8] === 0x57) return decodeWav(bytes, where);
  return { kind: "bytes", data: bytes };
}
