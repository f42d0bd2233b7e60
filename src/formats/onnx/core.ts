/** @file The core operators that ONNX is imported to. */
export { core } from "../core.ts";
