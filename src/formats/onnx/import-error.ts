/** @file The error that lists everything that kept a model from being imported. */
import { type Diagnostic, UserError } from "../../util/errors.ts";

export class ImportError extends UserError {
  /** Model inputs that must be frozen for the import to succeed. */
  readonly freeze: readonly string[];
  constructor(diagnostics: readonly Diagnostic[], freeze: readonly string[], name: string) {
    const lines = diagnostics.map((d) => `  ${d.where ? `${d.where}: ` : ""}${d.message}`);
    const first = diagnostics[0];
    super(
      first?.code ?? "E_UNSUPPORTED",
      `model '${name}' cannot be imported:\n${lines.join("\n")}`,
      { diagnostics, ...(first?.hint === undefined ? {} : { hint: first.hint }) },
    );
    this.freeze = freeze;
  }
}
