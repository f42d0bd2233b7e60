/** @file Flags that steer the selection of primitives, and the device profiles they read. */
import { existsSync, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import type { Command } from "commander";
import type { CompileModelOptions } from "../src/pipeline.ts";
import type { Capabilities } from "../src/primitives/capabilities.ts";
import type { Pin } from "../src/select/pins.ts";
import {
  type DeviceProfile,
  deviceKey,
  type ProfileDevice,
  parseProfile,
} from "../src/select/profile.ts";
import { UserError } from "../src/util/errors.ts";
import { hashBytes } from "../src/util/math.ts";
import type { Io } from "./io.ts";
import { machineInfo } from "./measure.ts";
import { collect, wholeNumber } from "./options.ts";

export interface SelectionOptions {
  readonly primitive?: readonly string[];
  readonly profile?: string;
  readonly maxMemory?: number;
  readonly maxCode?: number;
  readonly explain?: boolean;
}

/** --primitive, --profile, --max-memory, --max-code, --explain. */
export const withSelection = (command: Command): Command =>
  command
    .option("--primitive <layer=name>", "compute a layer by this primitive or family", collect)
    .option("--profile <file>", "times measured by tersor profile; auto: those of this machine")
    .option("--max-memory <bytes>", "of constants, activations and scratch", wholeNumber(1))
    .option("--max-code <bytes>", "of the module", wholeNumber(1))
    .option("--explain", "say why each layer is computed as it is");

/** The compile options that the flags ask for. */
export function selectionOptions(
  flags: SelectionOptions,
  caps: Capabilities,
  io: Io,
): CompileModelOptions {
  const { maxMemory, maxCode } = flags;
  const memory = maxMemory === undefined ? {} : { memoryBytes: maxMemory };
  const code = maxCode === undefined ? {} : { codeBytes: maxCode };
  const limited = maxMemory !== undefined || maxCode !== undefined;
  const profile = readProfile(flags.profile, thisDevice(caps.name), io);
  return {
    caps,
    pins: (flags.primitive ?? []).map(pinOf),
    ...(limited ? { limits: { ...memory, ...code } } : {}),
    ...(profile === null ? {} : { profile }),
  };
}

/** "layer=name", split at the last "=": layers may have one in their names, primitives have not. */
function pinOf(text: string): Pin {
  const at = text.lastIndexOf("=");
  if (at > 0 && at < text.length - 1) {
    return { layer: text.slice(0, at), primitive: text.slice(at + 1) };
  }
  throw new UserError("E_ARGUMENT", `'${text}' is not layer=name`, {
    where: "--primitive",
    hint: "tersor compile --explain lists layers and their primitives",
  });
}

/** This machine, for kernels of a target. `compiler`: the name of what compiles native code. */
export function thisDevice(target: string, compiler?: string, threads = 1): ProfileDevice {
  const flags = process.execArgv.filter((f) => /wasm|turbo|liftoff|simd/.test(f));
  const engine = compiler ?? [`V8 ${process.versions.v8}`, ...flags].join(" ");
  return { cpu: machineInfo().cpu, engine, target, threads };
}

/** Where a device's profile is kept: $TERSOR_PROFILE, or a name of its own in the user's cache folder. */
export function profilePath(device: ProfileDevice): {
  readonly folder: string;
  readonly name: string;
} {
  const given = process.env.TERSOR_PROFILE;
  if (given !== undefined && given !== "") return split(given);
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  const key = hashBytes(new TextEncoder().encode(deviceKey(device)));
  return { folder: join(cache, "tersor", "profiles"), name: `${device.target}-${key}.json` };
}

export function split(path: string): { readonly folder: string; readonly name: string } {
  const at = path.lastIndexOf("/");
  return at < 0
    ? { folder: ".", name: path }
    : { folder: path.slice(0, at) || "/", name: path.slice(at + 1) };
}

/** Reads the profile that --profile names; null without the flag. */
function readProfile(
  flag: string | undefined,
  device: ProfileDevice,
  io: Io,
): DeviceProfile | null {
  if (flag === undefined) return null;
  const own = profilePath(device);
  const path = flag === "auto" ? join(own.folder, own.name) : flag;
  if (!existsSync(path)) {
    throw new UserError("E_FILE", "there is no such device profile", {
      where: path,
      hint: "measure one: tersor profile MODEL",
    });
  }
  const profile = parseProfile(readFileSync(path, "utf8"), path);
  if (profile.device.target !== device.target) {
    throw new UserError("E_ARGUMENT", `the profile is of target ${profile.device.target}`, {
      where: path,
      hint: `measure one for ${device.target}`,
    });
  }
  if (deviceKey(profile.device) !== deviceKey(device)) {
    io.note(`note: ${path} was measured on ${deviceKey(profile.device)}, not on this engine`);
  }
  return profile;
}
