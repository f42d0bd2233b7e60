/** @file The small C functions kernels call for what C has no operator for; each is written once. */
import { type Elem, elemOf, isVector, type KType, lanesOf } from "../../kernel/ir.ts";
import { type Cpu, cpuOf } from "./cpu.ts";
import { cType } from "./types.ts";

const WORDS = /[A-Za-z_]\w*/g;

/** The helper functions of one file, in order of definition. */
export class Helpers {
  private readonly texts = new Map<string, string>();
  /** The processor the file is for. */
  readonly cpu: Cpu;

  constructor(cpu: Cpu = cpuOf("portable")) {
    this.cpu = cpu;
  }

  /** Defines a function the first time its name is met; helpers used by `make` come before it. */
  once(name: string, make: () => string): string {
    if (this.texts.has(name)) return name;
    const text = make();
    this.texts.set(name, text);
    return name;
  }

  /** A function `name` of `params` (a, b, c) with this body. */
  define(
    name: string,
    result: KType | Elem,
    params: readonly (KType | Elem)[],
    body: () => string,
  ): string {
    return this.once(name, () => {
      const list = params.map((p, i) => `${cType(p as KType)} ${"abc"[i]}`).join(", ");
      return `static inline ${cType(result as KType)} ${name}(${list}) {\n${indent(body())}}\n`;
    });
  }

  /** A vector function that applies an expression to each lane. */
  laneWise(
    name: string,
    result: KType,
    params: readonly KType[],
    lane: (...args: string[]) => string,
  ): string {
    return this.define(name, result, params, () => {
      const values = Array.from({ length: lanesOf(result) }, (_, i) =>
        lane(...params.map((p, k) => (isVector(p) ? `${"abc"[k]}[${i}]` : "abc"[k]!))),
      );
      return `return (${result}){${values.join(", ")}};`;
    });
  }

  /** The functions that this code uses, directly or through others. */
  textFor(code: string): string {
    const used = new Set(code.match(WORDS));
    const kept: string[] = [];
    for (const [name, text] of [...this.texts].reverse()) {
      if (!used.has(name)) continue;
      for (const word of text.match(WORDS) ?? []) used.add(word);
      kept.unshift(text);
    }
    return kept.join("\n");
  }
}

/** Lines of a block, two spaces in. */
export const indent = (body: string): string =>
  body
    .split("\n")
    .map((line) => (line === "" ? "" : `  ${line}\n`))
    .join("");

/** The scalar register that holds a lane. */
export const laneType = (t: KType): KType => {
  const e = elemOf(t);
  return e === "i8" || e === "i16" ? "i32" : (e as KType);
};
