/** @file The constant pool of a program: equal tensors stored once, smaller storage decoded at load. */
import type { Kernel } from "../kernel/ir.ts";
import { printKernel } from "../kernel/print.ts";
import type { Call, Segment } from "../kernel/program.ts";
import type { PackedStorage } from "../primitives/storage.ts";
import {
  byteSize,
  bytesOf,
  numberReader,
  numberWriter,
  type Tensor,
  type TensorType,
  tensorOf,
  tensorType,
  zeros,
} from "../tensor/tensor.ts";
import { alignUp, hashBytes } from "../util/math.ts";

interface Entry {
  readonly name: string;
  readonly tensor: Tensor;
  readonly storage: PackedStorage | undefined;
  readonly made: Made | undefined;
}

/** What a kernel makes of a stored tensor when the model is loaded. */
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
  private readonly byHash = new Map<string, number>();

  /** The entry of a tensor; `storage` = how it may be stored without loss. */
  add(tensor: Tensor, name: string, storage?: PackedStorage, made?: Made): number {
    const known = this.byTensor.get(tensor);
    if (known !== undefined) return known;
    const use =
      made === undefined ? (storage?.dtype ?? "") : `${printKernel(made.kernel)}${made.args ?? ""}`;
    const key = `${use}:${tensor.data.byteLength}:${hashBytes(bytesOf(tensor))}`;
    const same = this.byHash.get(key);
    if (same !== undefined) {
      this.byTensor.set(tensor, same);
      return same;
    }
    const index = this.entries.push({ name, tensor, storage, made }) - 1;
    this.byTensor.set(tensor, index);
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
function encode(t: Tensor, storage: PackedStorage): Tensor {
  const out = zeros(tensorType(storage.dtype, t.type.shape));
  const read = numberReader(t);
  const write = numberWriter(out);
  for (let i = 0; i < out.data.length; i++)
    write(i, storage.dtype === "i8" ? Math.round(read(i) / scaleAt(storage, i)) : read(i));
  return out;
}

type ByteStorage = Extract<PackedStorage, { readonly dtype: "i8" }>;

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
  decode: (storage: PackedStorage, count: number) => Kernel,
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
  for (const { name, tensor, storage, made } of pool.entries) {
    const label = `load ${name}`;
    if (made !== undefined) {
      const stored = place(name, bytesOf(tensor));
      init.push({
        kernel: intern(made.kernel),
        bases: [stored, room(made.type)],
        args: made.args ?? [],
        label,
      });
      continue;
    }
    if (storage === undefined) {
      addresses.push(place(name, bytesOf(tensor)));
      continue;
    }
    const stored = place(name, bytesOf(encode(tensor, storage)));
    const address = room(tensor.type);
    const kernel = intern(decode(storage, tensor.data.length));
    const scales = storage.dtype === "i8" ? [place(`${name} scales`, scaleBytes(storage))] : [];
    init.push({ kernel, bases: [stored, address, ...scales], args: [], label });
  }
  return { segments, init, end: alignUp(at, align), address: (entry) => addresses[entry]! };
}
