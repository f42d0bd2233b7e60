/**
 * @file The loop IR: one program over flat buffers, the meaning of one primitive instance.
 * Targets see only this. Semantics (overflow, rounding, NaN, evaluation order) are in docs/ir.md.
 */
import type { DType } from "../tensor/dtype.ts";

export type Elem = "i8" | "i16" | "i32" | "i64" | "f32" | "f64";
export type ScalarType = "i32" | "i64" | "f32" | "f64";
/** A register type: a scalar, or a vector such as "f32x4". Booleans are i32 0/1; vector masks are all-ones lanes. */
export type KType = ScalarType | `${Elem}x${number}`;

export const elemOf = (t: KType): Elem => t.split("x")[0] as Elem;
export const lanesOf = (t: KType): number => Number(t.split("x")[1] ?? 1);
export const isVector = (t: KType): boolean => t.includes("x");
export const elemBytes = (e: Elem): number => Number(e.slice(1)) / 8;
export const isFloatElem = (e: Elem): boolean => e === "f32" || e === "f64";
/** Vector of the given element that fills 128 bits. */
export const vec128 = (e: Elem): KType => `${e}x${16 / elemBytes(e)}`;

export type BufferRole = "in" | "out" | "const" | "work";

/** A flat buffer of `size` elements. The base address is 16-byte aligned. */
export interface Buffer {
  readonly name: string;
  readonly dtype: DType;
  readonly size: number;
  /** "work" is scratch the plan provides; its contents are undefined at entry. */
  readonly role: BufferRole;
}

/** A scalar argument given by the plan at each call. */
export interface ScalarArg {
  readonly name: string;
  readonly type: ScalarType;
}

export type UnaryOp =
  | "neg"
  | "abs"
  | "sqrt"
  | "floor"
  | "ceil"
  | "trunc"
  | "nearest" // to nearest, ties to even
  | "not" // bitwise
  | "clz"
  | "popcnt";

/**
 * Plain names are float or signed; `_u` reads integers as unsigned. Vectors are shifted by an i32, or lane by lane by
 * a vector of their own type (not in WebAssembly).
 */
export type BinaryOp =
  | "add"
  | "sub"
  | "mul"
  | "div"
  | "div_u"
  | "rem"
  | "rem_u"
  | "min"
  | "min_u"
  | "max"
  | "max_u"
  | "and"
  | "or"
  | "xor"
  | "shl"
  | "shr"
  | "shr_u"
  | "copysign"
  | "eq"
  | "ne"
  | "lt"
  | "lt_u"
  | "le"
  | "le_u"
  | "gt"
  | "gt_u"
  | "ge"
  | "ge_u";

/** Comparisons give i32 0/1 for scalars and a same-width integer mask for vectors. */
export const COMPARISONS: ReadonlySet<BinaryOp> = new Set<BinaryOp>([
  "eq",
  "ne",
  "lt",
  "lt_u",
  "le",
  "le_u",
  "gt",
  "gt_u",
  "ge",
  "ge_u",
]);

export type CastOp =
  | "convert_s" // int -> float, correctly rounded
  | "convert_u"
  | "trunc_sat_s" // float -> int toward zero, saturating, NaN -> 0
  | "trunc_sat_u"
  | "extend_s" // i32 -> i64
  | "extend_u"
  | "extend8_s" // sign-extend the low 8 bits, same type
  | "extend16_s"
  | "wrap" // i64 -> i32
  | "promote" // f32 -> f64
  | "demote" // f64 -> f32
  | "bits" // same bits, other type
  | "extend_low_s" // vector halves to twice the element width
  | "extend_high_s"
  | "extend_low_u"
  | "extend_high_u";

/** Which lanes of a vector: a half of them in order. */
export type Half = "low" | "high" | "even" | "odd";

export type Expr =
  | { readonly kind: "const"; readonly type: KType; readonly value: number | bigint }
  /** Vector constant, one value per lane. */
  | { readonly kind: "lanes"; readonly type: KType; readonly values: readonly number[] }
  | { readonly kind: "var"; readonly type: KType; readonly name: string }
  /**
   * Element(s) at `index` (an i32 element index). Scalars widen: i8,u8,i16,u16,bool -> i32; f16,bf16 -> f32.
   * Vectors of the buffer's own element fill all lanes; of a wider element they load `lanes` elements
   * and widen each. `group` = g loads g elements and repeats them to fill the vector (g = 1: splat).
   */
  | {
      readonly kind: "load";
      readonly type: KType;
      readonly buffer: string;
      readonly index: Expr;
      readonly group?: number;
    }
  | { readonly kind: "unary"; readonly type: KType; readonly op: UnaryOp; readonly a: Expr }
  | {
      readonly kind: "binary";
      readonly type: KType;
      readonly op: BinaryOp;
      readonly a: Expr;
      readonly b: Expr;
    }
  /** a * b + c, fused or not as the target likes: the only place where contraction is allowed. */
  | {
      readonly kind: "fma";
      readonly type: KType;
      readonly a: Expr;
      readonly b: Expr;
      readonly c: Expr;
    }
  /** Scalar: i32 condition. Vector: mask, lane by lane. Both sides are evaluated. */
  | {
      readonly kind: "select";
      readonly type: KType;
      readonly cond: Expr;
      readonly a: Expr;
      readonly b: Expr;
    }
  | { readonly kind: "cast"; readonly type: KType; readonly op: CastOp; readonly a: Expr }
  | { readonly kind: "splat"; readonly type: KType; readonly a: Expr }
  | {
      readonly kind: "extract";
      readonly type: ScalarType;
      readonly a: Expr;
      readonly lane: number;
    }
  /** Lanes of a followed by b, chosen by constant indices; same type as a. */
  | {
      readonly kind: "shuffle";
      readonly type: KType;
      readonly a: Expr;
      readonly b: Expr;
      readonly indices: readonly number[];
    }
  /** Saturating narrow of two vectors into one of half the element width; source read as signed. */
  | {
      readonly kind: "narrow";
      readonly type: KType;
      readonly signed: boolean;
      readonly a: Expr;
      readonly b: Expr;
    }
  /**
   * Lane-wise product of the low or high halves, or of the even or odd lanes (not in WebAssembly), at twice the
   * width (i32x4 -> i64x2, signed).
   */
  | {
      readonly kind: "extmul";
      readonly type: KType;
      readonly half: Half;
      readonly a: Expr;
      readonly b: Expr;
    }
  /** i16x2N . i16x2N -> i32xN, adjacent pairs summed, wrapping. */
  | { readonly kind: "dot16"; readonly type: KType; readonly a: Expr; readonly b: Expr }
  /**
   * i8x4N . i8x4N + acc -> i32xN, adjacent fours summed exactly. `a` is signed; `b` is read as signed
   * or unsigned as the engine does: kernels take the i32 argument "flip" (0 or 0x80808080) and
   * xor b with it, so that the value used is the engine's reading of it.
   */
  | {
      readonly kind: "dot8";
      readonly type: KType;
      readonly a: Expr;
      readonly b: Expr;
      readonly acc: Expr;
    }
  /** A function of the maths library (src/kernel/math). */
  | {
      readonly kind: "call";
      readonly type: KType;
      readonly fn: string;
      readonly args: readonly Expr[];
    };

/**
 * `unroll`: replicated by the unroll transform before emission. `outline`: the body becomes a function
 * of its own (engines without on-stack replacement then reach their optimising tier); same meaning.
 */
export type LoopTag = "serial" | "unroll" | "outline";

export type Stmt =
  /**
   * begin <= var < end, by `step` > 0; bounds are evaluated once. `parallel`: runs at least once, and
   * its iterations may run in any order or at the same time, with "work" buffers of their own (docs/ir.md).
   */
  | {
      readonly kind: "for";
      readonly var: string;
      readonly begin: Expr;
      readonly end: Expr;
      readonly step: number;
      readonly tag: LoopTag;
      readonly parallel?: true;
      readonly body: readonly Stmt[];
    }
  | {
      readonly kind: "if";
      readonly cond: Expr;
      readonly then: readonly Stmt[];
      readonly else: readonly Stmt[];
    }
  /** An immutable name, visible to the end of the enclosing block. */
  | { readonly kind: "let"; readonly name: string; readonly value: Expr }
  /** A register: visible like `let`, assigned with `set`. */
  | { readonly kind: "reg"; readonly name: string; readonly value: Expr }
  | { readonly kind: "set"; readonly name: string; readonly value: Expr }
  /**
   * Stores a scalar (wrapped or rounded to the buffer's dtype) or a vector whose element is the
   * buffer's; `lanes` = n stores only the first n lanes (of a vector of 16 bytes: 4 or 8 bytes of them).
   */
  | {
      readonly kind: "store";
      readonly buffer: string;
      readonly index: Expr;
      readonly value: Expr;
      readonly lanes?: number;
    }
  /** Copies `count` elements between buffers of the same element size; they must not overlap. */
  | {
      readonly kind: "copy";
      readonly dst: string;
      readonly dstIndex: Expr;
      readonly src: string;
      readonly srcIndex: Expr;
      readonly count: Expr;
    }
  /** Fills `count` elements with a constant. */
  | {
      readonly kind: "fill";
      readonly buffer: string;
      readonly index: Expr;
      readonly value: number;
      readonly count: Expr;
    };

export interface Kernel {
  readonly name: string;
  readonly buffers: readonly Buffer[];
  readonly args: readonly ScalarArg[];
  readonly body: readonly Stmt[];
  /** Equivalents for engines that can do more; without one, the kernel itself serves. */
  readonly forms?: KernelForms;
}

/**
 * Other ways to compute a kernel: the same number of buffers and the same arguments. Buffers may be viewed as
 * another dtype of at most the same byte size. Forms have no forms of their own.
 */
export interface KernelForms {
  /** For engines that fuse multiply-adds; every operation but the contraction is the same. */
  readonly fma?: Kernel;
  /** For engines with an exact dot8; results are equal bit for bit. */
  readonly dot8?: Kernel;
}

/** What an engine offers beyond the base set: "dot8" engines also fuse. */
export type EngineVariant = "base" | keyof KernelForms;

/** The form of a kernel that engines of a variant run. */
export function formOf(kernel: Kernel, variant: EngineVariant): Kernel {
  const { fma, dot8 } = kernel.forms ?? {};
  if (variant === "dot8") return dot8 ?? fma ?? kernel;
  return variant === "fma" ? (fma ?? kernel) : kernel;
}

/** One handler per node kind; a forgotten kind is a compile error. */
export type ByKind<N extends { readonly kind: string }, R> = {
  readonly [K in N["kind"]]: (n: Extract<N, { readonly kind: K }>) => R;
};

export function visit<N extends { readonly kind: string }, R>(table: ByKind<N, R>, n: N): R {
  return (table[n.kind as N["kind"]] as (n: N) => R)(n);
}

/** The register type a scalar load from this dtype gives. */
export function scalarTypeOf(dtype: DType): ScalarType {
  switch (dtype) {
    case "f64":
      return "f64";
    case "i64":
    case "u64":
      return "i64";
    case "f32":
    case "f16":
    case "bf16":
      return "f32";
    default:
      return "i32";
  }
}
