/** @file What this machine is in device profiles, and where its profiles lie. */
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import type { ProfileDevice } from "../src/select/profile.ts";
import { deviceKey } from "../src/select/profile.ts";
import { hashBytes } from "../src/util/math.ts";
import { machineInfo } from "./measure.ts";

/** This machine and engine, for kernels of a target. */
export function thisDevice(target: string, variant: string, threads = 1): ProfileDevice {
  const flags = process.execArgv.filter((f) => /wasm|turbo|liftoff|simd/.test(f)).join(" ");
  const engine = `V8 ${process.versions.v8}`;
  return {
    cpu: machineInfo().cpu,
    engine: flags === "" ? engine : `${engine} ${flags}`,
    target,
    variant,
    threads,
  };
}

/** Where a device's profile is kept: $TERSOR_PROFILE, or in the user's cache folder. */
export function profilePath(device: ProfileDevice): string {
  const given = process.env.TERSOR_PROFILE;
  if (given !== undefined && given !== "") return given;
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
  const key = hashBytes(new TextEncoder().encode(deviceKey(device)));
  return join(cache, "tersor", "profiles", `${device.target}-${key}.json`);
}

/** Writes a file as a whole or not at all. */
export function writeAtomically(path: string, text: string): void {
  mkdirSync(dirname(path), { recursive: true });
  const draft = `${path}.${process.pid}.tmp`;
  writeFileSync(draft, text);
  renameSync(draft, path);
}
