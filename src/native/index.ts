/**
 * @file The entry `tersor/native`: models as code of this machine, in Node on Linux and macOS.
 *
 *     const { caps } = await nativeTarget();
 *     const { program } = compile(cleanGraph(graph), { caps });
 *     const session = await createNativeSession(program, { threads: 2 });
 *     const [y] = session.run([x]);
 */
export { type Compiler, type Env, findCompiler } from "./compiler.ts";
export { nativeEngine } from "./engine.ts";
export { createNativeSession, type NativeOptions } from "./session.ts";
export { type NativeTarget, nativeTarget } from "./target.ts";
