/**
 * @file The processors C is written for: register width, register count, dot products, compiler flags. Each is
 * also the `Capabilities` that its kernels are made with.
 */

export type CpuName =
  | "portable"
  | "x86-64-v3"
  | "x86-64-v4"
  | "avx512vnni"
  | "neon"
  | "neon-dotprod";

export interface Cpu {
  readonly name: CpuName;
  /** Whose intrinsics may be used. */
  readonly isa: "x86" | "arm" | null;
  /** Bytes of the widest vector in the source; compilers without such registers make it very slow. */
  readonly vectorBytes: 16 | 32 | 64;
  /** Vector registers that a kernel can fill: all but those compilers need beside its sums. */
  readonly registers: number;
  /** Multiply and add are one instruction. */
  readonly fma: "all" | "some";
  /** Has an instruction for sums of four 8-bit products. */
  readonly dot8: boolean;
  /** GCC and Clang options that allow its instructions. */
  readonly flags: readonly string[];
  /** Predefined macros of a compiler that may use them. */
  readonly macros: readonly string[];
}

const AVX512 = ["F", "BW", "CD", "DQ", "VL"].map((part) => `__AVX512${part}__`);

/** Most preferred first. */
const ALL: readonly Cpu[] = [
  {
    name: "avx512vnni",
    isa: "x86",
    vectorBytes: 64,
    registers: 29,
    fma: "all",
    dot8: true,
    flags: ["-march=x86-64-v4", "-mavx512vnni", "-mprefer-vector-width=512"],
    macros: [...AVX512, "__AVX512VNNI__", "__FMA__"],
  },
  {
    name: "x86-64-v4",
    isa: "x86",
    vectorBytes: 64,
    registers: 29,
    fma: "all",
    dot8: false,
    flags: ["-march=x86-64-v4", "-mprefer-vector-width=512"],
    macros: [...AVX512, "__FMA__"],
  },
  {
    name: "x86-64-v3",
    isa: "x86",
    vectorBytes: 32,
    registers: 15,
    fma: "all",
    dot8: false,
    flags: ["-march=x86-64-v3"],
    macros: ["__AVX2__", "__FMA__"],
  },
  {
    name: "neon-dotprod",
    isa: "arm",
    vectorBytes: 16,
    registers: 29,
    fma: "all",
    dot8: true,
    flags: ["-march=armv8.2-a+dotprod"],
    macros: ["__ARM_NEON", "__aarch64__", "__ARM_FEATURE_DOTPROD"],
  },
  {
    name: "neon",
    isa: "arm",
    vectorBytes: 16,
    registers: 29,
    fma: "all",
    dot8: false,
    flags: ["-march=armv8-a"],
    macros: ["__ARM_NEON", "__aarch64__"],
  },
  {
    name: "portable",
    isa: null,
    vectorBytes: 16,
    registers: 15,
    fma: "some",
    dot8: false,
    flags: [],
    macros: [],
  },
];

export const CPU_NAMES: readonly CpuName[] = ALL.map((c) => c.name).reverse();

export function cpuOf(name: CpuName): Cpu {
  return ALL.find((c) => c.name === name)!;
}

/** The best of these processors for a compiler with these predefined macros. */
export const bestCpu = (macros: ReadonlyMap<string, string>): Cpu =>
  ALL.find((c) => c.macros.every((m) => macros.has(m)))!;
