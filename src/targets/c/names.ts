/** @file C identifiers from names of models, tensors and kernels. */

const RESERVED = new Set(
  (
    "alignas alignof and and_eq asm atomic_cancel auto bitand bitor bool break case catch char class " +
    "compl concept const consteval constexpr constinit const_cast continue co_await co_return " +
    "co_yield decltype default delete do double dynamic_cast else enum explicit export extern false " +
    "float for friend goto if inline int int8_t int16_t int32_t int64_t long main memcpy memset " +
    "mutable namespace new noexcept not not_eq nullptr operator or or_eq private protected public " +
    "register reinterpret_cast requires restrict return short signed size_t sizeof static " +
    "static_assert static_cast struct switch template this thread_local throw true try typedef " +
    "typeid typename typeof uint8_t uint16_t uint32_t uint64_t union unsigned using virtual void " +
    "volatile wchar_t while xor xor_eq linux unix arena_at bytes_at rounded_value"
  ).split(" "),
);
/** Names the emitter gives to types and helper functions. */
const OWN =
  /^(mem|math|load|store|shuffle)_|(^|_)(bf16|[iuf](8|16|32|64)(x\d+)?(_mem)?)$|^(NULL|ROUNDED|U?INT\d.*)$/;

/** Any text as the letters, digits and underscores of an identifier. */
export function identifier(text: string): string {
  const plain = text
    .replace(/[^A-Za-z0-9]+/g, "_")
    .replace(/^_+|_+$/g, "")
    .slice(0, 60);
  if (plain === "") return "unnamed";
  return /^[0-9]/.test(plain) ? `n${plain}` : plain;
}

/** Gives distinct identifiers; the same name gets another one each time it is asked for. */
export class Names {
  /** In lower case: macros differ too. */
  private readonly used = new Set<string>();

  reserve(name: string): void {
    this.used.add(name.toLowerCase());
  }

  /** `local`: a name inside a function, where it could hide a helper. */
  make(text: string, local = true): string {
    const plain = identifier(text);
    const base = RESERVED.has(plain) || (local && OWN.test(plain)) ? `v_${plain}` : plain;
    let name = base;
    for (let i = 2; this.used.has(name.toLowerCase()); i++) name = `${base}_${i}`;
    this.reserve(name);
    return name;
  }
}

/** Text inside a one-line block comment. */
export const inComment = (text: string): string =>
  text
    .replace(/[\p{Cc}\u2028\u2029]+/gu, " ")
    .replace(/\*(?=\/)|\/(?=\*)/g, "$& ")
    .replace(/\?(?=\?)/g, "? ");
