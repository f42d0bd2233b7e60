/** @file The two kinds of error: the user's (wrong model, data, option) and ours (a broken invariant). */

/** Stable, documented error codes; each names one class of user mistake. */
export type ErrorCode =
  | "E_ARGUMENT" // a wrong or missing option
  | "E_CONFIG" // a wrong configuration file
  | "E_FILE" // a file that cannot be read or written
  | "E_FORMAT" // a malformed model or data file
  | "E_LIMIT" // a file or model beyond the safety limits
  | "E_UNSUPPORTED" // valid, but outside what tersor does
  | "E_SHAPE" // a shape that does not fit
  | "E_DTYPE" // an element type that does not fit
  | "E_MODEL" // a model that is inconsistent in itself
  | "E_TEXT" // malformed IR text
  | "E_DATA" // data that does not fit the model
  | "E_TARGET" // the engine cannot run this artefact
  | "E_UNMET" // the stated limits cannot be met
  | "E_DIVERGED"; // a training run that ran away

/** Where the problem is, and what to do next. All parts are for people. */
export interface ErrorDetail {
  /** File, node or flag the message is about. */
  readonly where?: string;
  /** The next step for the user. */
  readonly hint?: string;
  /** The single findings behind an error that sums up several. */
  readonly diagnostics?: readonly Diagnostic[];
}

/** A mistake in what the user gave: model, data, option. Shown without a stack trace. */
export class UserError extends Error {
  readonly code: ErrorCode;
  readonly where: string | undefined;
  readonly hint: string | undefined;
  readonly diagnostics: readonly Diagnostic[];
  constructor(code: ErrorCode, message: string, detail: ErrorDetail = {}) {
    super(message);
    this.name = "UserError";
    this.code = code;
    this.where = detail.where;
    this.hint = detail.hint;
    this.diagnostics = detail.diagnostics ?? [];
  }
}

/** One finding of an importer or verifier; they collect all before refusing. */
export interface Diagnostic {
  readonly code: ErrorCode;
  readonly message: string;
  readonly where?: string;
  readonly hint?: string;
}

/** A bug of ours. The command line asks the user to report it and exits with 70. */
export class InternalError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "InternalError";
  }
}

/** Throws InternalError when `condition` is false: for our own assumptions, never for input. */
export function invariant(condition: unknown, message: () => string): asserts condition {
  if (!condition) throw new InternalError(message());
}

/** Throws one UserError that lists every diagnostic; does nothing when there is none. */
export function throwDiagnostics(diagnostics: readonly Diagnostic[], summary: string): void {
  const first = diagnostics[0];
  if (first === undefined) return;
  const lines = diagnostics.map((d) => `  ${d.where ? `${d.where}: ` : ""}${d.message}`);
  const hint = first.hint === undefined ? {} : { hint: first.hint };
  throw new UserError(first.code, `${summary}\n${lines.join("\n")}`, { ...hint, diagnostics });
}
