/** @file The constant pool of a program: equal tensors stored once, smaller storage decoded at load. */
import type { Kernel } from "../kernel/ir.ts";
import { printKernel } from "../kernel/print.ts";
import type { Call, Segment } from "../kernel/program.ts";
import { expandCalls, expandKernel } from "../primitives/hashed/expand.ts";
import {
  type PackedHashed,
  type PackedShort,
  type PackedStorage,
  plainShort,
} from "../primitives/storage.ts";
import {
  byteSize,
  bytesOf,
  elementCount,
  numberReader,
  numberWriter,
  type Tensor,
  type TensorType,
  tensorOf,
  tensorType,
  zeros,
} from "../tensor/tensor.ts";
import { alignUp, hashBytes } from "../util/math.ts";

/** Entries that others are made from come before them. */
type Entry = { readonly name: string } & (
  | {
      readonly kind: "stored";
      readonly tensor: Tensor;
      readonly storage: PackedShort | undefined;
    }
  | {
      readonly kind: "hashed";
      readonly type: TensorType;
      readonly storage: PackedHashed;
      /** The vector of weights and, if any, the factors of rows. */
      readonly from: readonly number[];
    }
  | { readonly kind: "made"; readonly made: Made; readonly from: number }
);

/** What a kernel makes of another entry when the model is loaded. */
export interface Made {
  readonly type: TensorType;
  /** Buffers: the stored tensor, the result. */
  readonly kernel: Kernel;
  /** Default: none. */
  readonly args?: readonly number[];
}

/** Collects constants; adding equal bytes again gives the same entry. */
export class ConstantPool {
  readonly entries: Entry[] = [];
  private readonly byTensor = new Map<Tensor, number>();
  private readonly madeOf = new Map<Tensor, number>();
  private readonly byHash = new Map<string, number>();

  /** The entry of a tensor; `storage` = how it may be stored without loss. */
  add(tensor: Tensor, name: string, storage?: PackedStorage): number {
    const known = this.byTensor.get(tensor);
    if (known !== undefined) return known;
    const index = this.shared(tensor, storage?.dtype ?? "", () => {
      if (storage?.dtype !== "hashed") return { name, kind: "stored", tensor, storage };
      const { weights, stored, factors } = storage;
      const vector = this.add(weights, name, stored && plainShort(stored, weights.type));
      const rows = factors === undefined ? [] : [this.add(factors, `${name} factors`)];
      return { name, kind: "hashed", type: tensor.type, storage, from: [vector, ...rows] };
    });
    this.byTensor.set(tensor, index);
    return index;
  }

  /** The entry of what is made of a tensor; `storage` = how that tensor may be stored without loss. */
  addMade(from: Tensor, name: string, made: Made, storage?: PackedStorage): number {
    const known = this.madeOf.get(from);
    if (known !== undefined) return known;
    const use = `${printKernel(made.kernel)}${made.args ?? ""}`;
    const index = this.shared(from, use, () => {
      return { name, kind: "made", made, from: this.add(from, name, storage) };
    });
    this.madeOf.set(from, index);
    return index;
  }

  private shared(tensor: Tensor, use: string, make: () => Entry): number {
    const key = `${use}:${tensor.data.byteLength}:${hashBytes(bytesOf(tensor))}`;
    const same = this.byHash.get(key);
    if (same !== undefined) return same;
    const index = this.entries.push(make()) - 1;
    this.byHash.set(key, index);
    return index;
  }
}

export interface PlacedConstants {
  readonly segments: readonly Segment[];
  readonly init: readonly Call[];
  /** First address behind the constants, aligned. */
  readonly end: number;
  address(entry: number): number;
}

/** Encodes an f32 tensor as it is stored; exact, since its values came from there. */
function encode(t: Tensor, storage: PackedShort): Tensor {
  const out = zeros(tensorType(storage.dtype, t.type.shape));
  const read = numberReader(t);
  const write = numberWriter(out);
  for (let i = 0; i < out.data.length; i++)
    write(i, storage.dtype === "i8" ? Math.round(read(i) / scaleAt(storage, i)) : read(i));
  return out;
}

type ByteStorage = Extract<PackedShort, { readonly dtype: "i8" }>;

const scaleAt = ({ scale, block, width }: ByteStorage, i: number): number =>
  scale[Math.floor(i / block) * width + (i % width)]!;

const scaleBytes = ({ scale }: ByteStorage): Uint8Array =>
  bytesOf(tensorOf("f32", [scale.length], scale));

/**
 * Lays the constants out from `base`. Entries with a storage dtype get their stored bytes as a segment, and
 * room for the f32 form that an init call fills. Addresses are multiples of `align`.
 */
export function placeConstants(
  pool: ConstantPool,
  base: number,
  intern: (kernel: Kernel) => number,
  decode: (storage: PackedShort, count: number) => Kernel,
  align = 16,
): PlacedConstants {
  const segments: Segment[] = [];
  const init: Call[] = [];
  const addresses: number[] = [];
  let at = base;
  const place = (name: string, bytes: Uint8Array): number => {
    const offset = at;
    segments.push({ name, offset, bytes });
    at = alignUp(at + bytes.length, align);
    return offset;
  };
  const room = (type: TensorType): number => {
    const address = at;
    at = alignUp(at + byteSize(type), align);
    addresses.push(address);
    return address;
  };
  const hashed = (entry: Extract<Entry, { readonly kind: "hashed" }>, label: string): void => {
    const [vector, ...rows] = entry.from.map((i) => addresses[i]!);
    const size = elementCount(entry.type.shape);
    const kernel = intern(expandKernel(entry.storage, size));
    const bases = [vector!, room(entry.type), ...rows];
    for (const args of expandCalls(entry.storage, size)) init.push({ kernel, bases, args, label });
  };
  for (const entry of pool.entries) {
    const { name } = entry;
    const label = `load ${name}`;
    if (entry.kind === "hashed") hashed(entry, label);
    else if (entry.kind === "made") {
      const { kernel, type, args = [] } = entry.made;
      const bases = [addresses[entry.from]!, room(type)];
      init.push({ kernel: intern(kernel), bases, args, label });
    } else if (entry.storage === undefined) addresses.push(place(name, bytesOf(entry.tensor)));
    else {
      const { tensor, storage } = entry;
      const stored = place(name, bytesOf(encode(tensor, storage)));
      const address = room(tensor.type);
      const kernel = intern(decode(storage, tensor.data.length));
      const scales = storage.dtype === "i8" ? [place(`${name} scales`, scaleBytes(storage))] : [];
      init.push({ kernel, bases: [stored, address, ...scales], args: [], label });
    }
  }
  return { segments, init, end: alignUp(at, align), address: (entry) => addresses[entry]! };
}
