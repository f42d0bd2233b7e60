/** @file The kernels of a program, each different one once. */
import type { Kernel } from "../kernel/ir.ts";

export class KernelTable {
  readonly kernels: Kernel[] = [];
  private readonly byText = new Map<string, number>();

  /** The index of the kernel, or of an equal one; names do not count. */
  intern(kernel: Kernel): number {
    const text = textOf(kernel);
    const known = this.byText.get(text);
    if (known !== undefined) return known;
    const index = this.kernels.push(kernel) - 1;
    this.byText.set(text, index);
    return index;
  }
}

const textOf = (kernel: Kernel): string => {
  const { forms, ...rest } = kernel;
  const all = [rest, forms?.fma, forms?.dot8].map((k) => k && { ...k, name: "" });
  return JSON.stringify(all, exact);
};

/** What JSON would lose: bigint, non-finite numbers and the sign of zero. */
function exact(_: string, v: unknown): unknown {
  if (typeof v === "bigint") return `${v}n`;
  if (typeof v !== "number" || (Number.isFinite(v) && !Object.is(v, -0))) return v;
  return Object.is(v, -0) ? "-0" : String(v);
}
