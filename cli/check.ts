/** @file Rules for values of a configuration: each names the key, what was expected, and what is there. */
import { UserError } from "../src/util/errors.ts";

/** Checks the value of a key; throws UserError E_CONFIG. */
export type Rule = (value: unknown, key: string) => void;

/** A value as a message shows it. */
function shown(value: unknown): string {
  if (value === undefined) return "nothing";
  if (typeof value === "number") return String(value);
  if (typeof value === "function") return "a function";
  const text = JSON.stringify(value) ?? String(value);
  return text.length <= 60 ? text : `${text.slice(0, 57)}...`;
}

export function refuse(key: string, expected: string, value: unknown): never {
  throw new UserError("E_CONFIG", `${key}: expected ${expected}, got ${shown(value)}`);
}

const rule =
  (expected: string, fits: (value: unknown) => boolean): Rule =>
  (value, key) => {
    if (!fits(value)) refuse(key, expected, value);
  };

const isNumber = (v: unknown): v is number => typeof v === "number" && Number.isFinite(v);

export const text = rule("text", (v) => typeof v === "string" && v !== "");
export const flag = rule("true or false", (v) => typeof v === "boolean");

export const whole = (least: number): Rule =>
  rule(`a whole number of at least ${least}`, (v) => Number.isInteger(v) && (v as number) >= least);

export const atLeast = (least: number): Rule =>
  rule(`a number of at least ${least}`, (v) => isNumber(v) && v >= least);

export const above = (limit: number): Rule =>
  rule(`a number above ${limit}`, (v) => isNumber(v) && v > limit);

export const between = (least: number, most: number): Rule =>
  rule(`a number from ${least} to ${most}`, (v) => isNumber(v) && v >= least && v <= most);

export const oneOf = (...options: readonly (string | number)[]): Rule =>
  rule(options.map((o) => JSON.stringify(o)).join(" or "), (v) =>
    options.includes(v as string | number),
  );

export const list =
  (each: Rule, count?: number): Rule =>
  (value, key) => {
    if (!Array.isArray(value)) refuse(key, "a list", value);
    if (count !== undefined && value.length !== count) refuse(key, `${count} entries`, value);
    value.forEach((v, i) => each(v, `${key}[${i}]`));
  };

/** An object whose keys are names the user chooses. */
export const byName =
  (each: Rule): Rule =>
  (value, key) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      refuse(key, "an object", value);
    }
    for (const [name, v] of Object.entries(value)) each(v, `${key}.${name}`);
  };

/** The first rule whose kind of value this is. */
export const either =
  (fits: (value: unknown) => boolean, yes: Rule, no: Rule): Rule =>
  (value, key) =>
    (fits(value) ? yes : no)(value, key);

/** An object with these keys; `needed` ones must be there. */
export const object =
  (fields: Readonly<Record<string, Rule>>, needed: readonly string[] = []): Rule =>
  (value, key) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) {
      refuse(key || "the configuration", "an object", value);
    }
    const at = (name: string): string => (key === "" ? name : `${key}.${name}`);
    for (const [name, v] of Object.entries(value)) {
      const check = Object.hasOwn(fields, name) ? fields[name] : undefined;
      if (check === undefined) {
        throw new UserError("E_CONFIG", `${at(name)}: unknown key`, {
          hint: `known here: ${Object.keys(fields).join(", ")}`,
        });
      }
      if (v !== undefined) check(v, at(name));
    }
    for (const name of needed) {
      if ((value as Record<string, unknown>)[name] === undefined) {
        throw new UserError("E_CONFIG", `${at(name)}: missing`, {
          hint: `${key || "the configuration"} needs ${needed.join(", ")}`,
        });
      }
    }
  };

/** Objects that `kind` tells apart. */
export const variants =
  (kinds: Readonly<Record<string, Rule>>): Rule =>
  (value, key) => {
    if (typeof value !== "object" || value === null) refuse(key, "an object", value);
    const { kind } = value as { readonly kind?: unknown };
    const names = Object.keys(kinds);
    if (typeof kind !== "string" || !names.includes(kind)) {
      refuse(`${key}.kind`, names.map((n) => `"${n}"`).join(", "), kind);
    }
    kinds[kind]!(value, key);
  };
