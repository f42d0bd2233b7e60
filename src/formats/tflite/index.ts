/** @file Reading TensorFlow Lite models. */
export {
  type Imported,
  importTflite,
  type TfliteImportOptions,
  tfliteOperators,
} from "./import.ts";
export { isTflite, readTflite, type TfliteModel } from "./read.ts";
