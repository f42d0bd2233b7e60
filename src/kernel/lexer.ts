/** @file Tokens of the kernel text form. */
import { UserError } from "../util/errors.ts";

interface Token {
  readonly kind: "name" | "number" | "string" | "punct" | "end";
  readonly text: string;
  readonly line: number;
}

const PATTERN =
  /(\n)|[ \t\r]+|(@?[A-Za-z_][A-Za-z0-9_]*)|(-?[0-9][0-9.]*(?:[eE][+-]?[0-9]+)?)|("(?:[^"\\]|\\.)*")|(.)/gs;

function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  let line = 1;
  for (const m of text.matchAll(PATTERN)) {
    const [all, newline, name, number, string, punct] = m;
    if (newline !== undefined) line++;
    const kind = name ? "name" : number ? "number" : string ? "string" : punct ? "punct" : null;
    if (kind !== null) tokens.push({ kind, text: all, line });
  }
  tokens.push({ kind: "end", text: "end of text", line });
  return tokens;
}

/** A cursor over the tokens of a text; mistakes throw UserError with the line. */
export class Lexer {
  private readonly tokens: readonly Token[];
  private at = 0;

  constructor(text: string) {
    this.tokens = tokenize(text);
  }

  private get token(): Token {
    return this.tokens[this.at]!;
  }

  fail(expected: string): never {
    throw new UserError("E_TEXT", `expected ${expected}, got ${this.token.text}`, {
      where: `line ${this.token.line}`,
    });
  }

  get done(): boolean {
    return this.token.kind === "end";
  }

  is(text: string): boolean {
    return this.token.text === text && this.token.kind !== "string";
  }

  /** Takes `text` when it comes next. */
  take(text: string): boolean {
    if (!this.is(text)) return false;
    this.at++;
    return true;
  }

  expect(text: string): void {
    if (!this.take(text)) this.fail(text);
  }

  name(): string {
    if (this.token.kind !== "name") this.fail("a name");
    return this.tokens[this.at++]!.text;
  }

  string(): string {
    if (this.token.kind !== "string") this.fail("a string");
    return JSON.parse(this.tokens[this.at++]!.text) as string;
  }

  nameOrString(): string {
    return this.token.kind === "string" ? this.string() : this.name();
  }

  /** The text of a number: digits, -0, Infinity, -Infinity or NaN; null when none comes next. */
  numberText(): string | null {
    const { kind, text } = this.token;
    if (kind === "number" || text === "Infinity" || text === "NaN") {
      this.at++;
      return text;
    }
    if (text === "-" && this.tokens[this.at + 1]?.text === "Infinity") {
      this.at += 2;
      return "-Infinity";
    }
    return null;
  }

  number(): number {
    return Number(this.numberText() ?? this.fail("a number"));
  }

  /** The JSON value that comes next, as text (objects and arrays nest). */
  json(): unknown {
    const parts: string[] = [];
    let depth = 0;
    do {
      const { text, kind } = this.token;
      if (kind === "end") this.fail("a JSON value");
      if (text === "[" || text === "{") depth++;
      if (text === "]" || text === "}") depth--;
      parts.push(text);
      this.at++;
    } while (depth > 0);
    try {
      return JSON.parse(parts.join("")) as unknown;
    } catch {
      return this.fail("a JSON value before this");
    }
  }
}
