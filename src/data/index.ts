/**
 * @file The entry `tersor/data`: examples from Parquet, images, audio and arrays, prepared for a model's input.
 * In Node the main entry has it too.
 */

export { parseIdx } from "./idx.ts";
export { decodeImage } from "./image.ts";
export { arraySource, fileListSource, type ListedFile } from "./memory.ts";
export { formatNpy, parseNpy, parseNpz } from "./npy.ts";
export { openParquet, type ParquetOptions } from "./parquet.ts";
export { type Preprocess, preprocess } from "./preprocess.ts";
export { type ModelRows, type RowOptions, type RowSets, readRowSets } from "./rows.ts";
export type { DataSource, Example, ExampleData } from "./source.ts";
export { decodeWav } from "./wav.ts";
