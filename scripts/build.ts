/** @file Builds dist/ from the TypeScript sources: what the npm package ships. */
import { execFileSync } from "node:child_process";
import { chmodSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dirname, "..");
rmSync(join(root, "dist"), { recursive: true, force: true });
execFileSync(join(root, "node_modules/.bin/tsc"), ["-p", "tsconfig.build.json"], {
  cwd: root,
  stdio: "inherit",
});
// The compiler leaves the sources' extension in declarations; consumers look for what is shipped.
for (const name of readdirSync(join(root, "dist"), { recursive: true, encoding: "utf8" })) {
  if (!name.endsWith(".d.ts")) continue;
  const path = join(root, "dist", name);
  const text = readFileSync(path, "utf8");
  writeFileSync(path, text.replace(/((?:from |import\()"\.{1,2}\/[^"]+)\.ts"/g, '$1.js"'));
}
chmodSync(join(root, "dist/cli/main.js"), 0o755);
