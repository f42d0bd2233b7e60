/** @file The constant pool of a program: equal tensors stored once, half-precision storage decoded at load. */
import type { Kernel } from "../kernel/ir.ts";
import type { Call, Segment } from "../kernel/program.ts";
import type { DType } from "../tensor/dtype.ts";
import {
  byteSize,
  bytesOf,
  numberReader,
  numberWriter,
  type Tensor,
  tensorType,
  zeros,
} from "../tensor/tensor.ts";
import { alignUp, hashBytes } from "../util/math.ts";

interface Entry {
  readonly name: string;
  readonly tensor: Tensor;
  readonly storage: DType | undefined;
}

/** Collects constants; adding equal bytes again gives the same entry. */
export class ConstantPool {
  readonly entries: Entry[] = [];
  private readonly byTensor = new Map<Tensor, number>();
  private readonly byHash = new Map<string, number>();

  /** The entry of a tensor; `storage` = half-precision dtype it may be stored in without loss. */
  add(tensor: Tensor, name: string, storage?: DType): number {
    const known = this.byTensor.get(tensor);
    if (known !== undefined) return known;
    const key = `${storage ?? ""}:${tensor.data.byteLength}:${hashBytes(bytesOf(tensor))}`;
    const same = this.byHash.get(key);
    if (same !== undefined) {
      this.byTensor.set(tensor, same);
      return same;
    }
    const index = this.entries.push({ name, tensor, storage }) - 1;
    this.byTensor.set(tensor, index);
    this.byHash.set(key, index);
    return index;
  }
}

export interface PlacedConstants {
  readonly segments: readonly Segment[];
  readonly init: readonly Call[];
  /** First address behind the constants, 16-byte aligned. */
  readonly end: number;
  address(entry: number): number;
}

/** Re-encodes an f32 tensor in its half-precision storage. */
function encode(t: Tensor, storage: DType): Tensor {
  const out = zeros(tensorType(storage, t.type.shape));
  const read = numberReader(t);
  const write = numberWriter(out);
  for (let i = 0; i < out.data.length; i++) write(i, read(i));
  return out;
}

/**
 * Lays the constants out from `base`. Entries with a storage dtype get their stored bytes as a segment, and
 * room for the f32 form that an init call fills.
 */
export function placeConstants(
  pool: ConstantPool,
  base: number,
  intern: (kernel: Kernel) => number,
  decode: (storage: DType, count: number) => Kernel,
): PlacedConstants {
  const segments: Segment[] = [];
  const init: Call[] = [];
  const addresses: number[] = [];
  let at = base;
  const place = (name: string, bytes: Uint8Array): number => {
    const offset = at;
    segments.push({ name, offset, bytes });
    at = alignUp(at + bytes.length, 16);
    return offset;
  };
  for (const { name, tensor, storage } of pool.entries) {
    if (storage === undefined) {
      addresses.push(place(name, bytesOf(tensor)));
      continue;
    }
    const stored = place(name, bytesOf(encode(tensor, storage)));
    const address = at;
    at = alignUp(at + byteSize(tensor.type), 16);
    addresses.push(address);
    const kernel = intern(decode(storage, tensor.data.length));
    init.push({ kernel, bases: [stored, address], args: [], label: `load ${name}` });
  }
  return { segments, init, end: alignUp(at, 16), address: (entry) => addresses[entry]! };
}
