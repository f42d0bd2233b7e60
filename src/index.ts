/**
 * @file The library's public interface in Node: that of browsers, and opening models and data by path.
 *
 *     const { graph } = openModel("model.onnx");
 *     const { program } = compile(cleanGraph(graph));
 *     const session = await createSession(program);
 *     const [y] = session.run([x]);
 */
export * from "./browser.ts";
export * from "./data/index.ts";
export { openSource, type SourceOptions } from "./data/node.ts";
export { filesBeside } from "./formats/onnx/external.ts";
export { openModel } from "./node.ts";
export { WASM256 } from "./primitives/capabilities.ts";
export { checkWide, createWideSession, type SetFlags } from "./runtime/wasm256.ts";
export { type COptions, type CSource, emitC } from "./targets/c/emit.ts";
