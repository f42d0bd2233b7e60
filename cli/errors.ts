/** @file Errors as the command line shows them, and the exit codes. */
import { CommanderError } from "commander";
import { UserError } from "../src/util/errors.ts";

/** 0 done, 1 the user's mistake, 2 the stated limits cannot be met, 70 our bug, 130 stopped by a signal. */
export const EXIT = { done: 0, user: 1, unmet: 2, bug: 70, stopped: 130 } as const;

/** One line where the message is one: where, what, and the next step. */
export function userText({ message, where, hint }: UserError): string {
  const head = `tersor: ${where === undefined ? "" : `${where}: `}${message}`;
  if (hint === undefined) return head;
  return message.includes("\n") ? `${head}\n  ${hint}` : `${head}; ${hint}`;
}

interface Shown {
  readonly code: number;
  /** For stderr; empty when already said. */
  readonly text: string;
  /** For --json. */
  readonly object: object;
}

/** How an error is reported. */
export function describeError(error: unknown, verbose: boolean): Shown {
  if (error instanceof CommanderError) {
    const message = error.message.replace(/^error: /, "");
    const object = { error: { code: "E_ARGUMENT", message } };
    return { code: error.exitCode === 0 ? EXIT.done : EXIT.user, text: "", object };
  }
  if (error instanceof UserError) {
    const { code, message, where, hint } = error;
    return {
      code: code === "E_UNMET" ? EXIT.unmet : EXIT.user,
      text: userText(error),
      object: { error: { code, message, where, hint } },
    };
  }
  const message = error instanceof Error ? error.message : String(error);
  const stack = verbose && error instanceof Error ? `\n${error.stack}` : "";
  const advice = verbose ? "" : " (--verbose shows where)";
  return {
    code: EXIT.bug,
    text: `tersor: ${message.split("\n")[0]}; this is a bug in tersor${advice}${stack}`,
    object: { error: { code: "E_INTERNAL", message } },
  };
}
