/** @file Sources over data already in memory: an array whose first axis is the example, and lists of files. */
import { elementCount, type Tensor, tensorType } from "../tensor/tensor.ts";
import { UserError } from "../util/errors.ts";
import { sniff } from "./parquet.ts";
import type { DataSource } from "./source.ts";

/** Examples are the slices of `examples` along axis 0; `labels` has one entry each. */
export function arraySource(
  description: string,
  examples: Tensor,
  labels: Tensor | null = null,
): DataSource {
  const [size, ...shape] = examples.type.shape;
  if (size === undefined) {
    throw new UserError("E_DATA", "the array is a scalar; the first axis must be the example", {
      where: description,
    });
  }
  if (labels !== null && labels.data.length !== size) {
    throw new UserError("E_DATA", `${size} examples but ${labels.data.length} labels`, {
      where: description,
    });
  }
  const n = elementCount(shape);
  return {
    description,
    size,
    classes: null,
    read: async (rows) =>
      rows.map((r) => ({
        id: `${description}#${r}`,
        data: {
          kind: "array" as const,
          tensor: {
            type: tensorType(examples.type.dtype, shape),
            data: examples.data.subarray(r * n, (r + 1) * n),
          },
        },
        label: labels === null ? null : Number(labels.data[r]),
      })),
  };
}

/** A file of a list: its name, its class (or null) and how to get its bytes. */
export interface ListedFile {
  readonly name: string;
  readonly label: number | null;
  readonly bytes: () => Promise<Uint8Array>;
}

/** One example a file; images and WAV are decoded. */
export const fileListSource = (
  description: string,
  files: readonly ListedFile[],
  classes: readonly string[] | null,
): DataSource => ({
  description,
  size: files.length,
  classes,
  read: (rows) =>
    Promise.all(
      rows.map(async (r) => {
        const file = files[r]!;
        return { id: file.name, data: sniff(await file.bytes(), file.name), label: file.label };
      }),
    ),
});
