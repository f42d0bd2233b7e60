/**
 * @file Prunes 30 % and 60 % of the channels of every model of the benchmarks, of nets built in code and of the shapes
 * of well-known nets; compiles, exports and compares each with the model whose channels are 0.
 * `node bench/pruned-models.ts [name ...]`; exit code 1 where one differs by more than 1e-5.
 */
import type { Graph } from "../src/graph/graph.ts";
import { lenet5 } from "../src/train/models/lenet5.ts";
import { resnet8 } from "../src/train/models/resnet8.ts";
import { wideResnet } from "../src/train/models/wide-resnet.ts";
import { comparePruned } from "../test/support/pruned.ts";
import { MODELS } from "./models/index.ts";
import { LIGHT } from "./models/light.ts";
import { markdownTable } from "./tables.ts";

const SHARES = [0.3, 0.6];
const TOLERANCE = 1e-5;

const built: readonly (readonly [string, () => Promise<Graph | null>])[] = [
  ...MODELS.filter((m) => m.name !== "ocr-det-640").map((m) => {
    const load = async (): Promise<Graph | null> => {
      const found = await m.load("f32");
      return "missing" in found ? null : found.graph;
    };
    return [m.name, load] as const;
  }),
  ...Object.entries(LIGHT).map(([name, build]) => [name, async () => build({ side: 64 })] as const),
  ["lenet5", async () => lenet5()],
  ["resnet8", async () => resnet8()],
  ["wrn-16-2", async () => wideResnet({ depth: 16, width: 2 })],
];

const only = process.argv.slice(2);
const percent = (x: number): string => `${(100 * x).toFixed(1)} %`;
const head = ["model", "groups", "channels gone", "MACs left", "bytes left", "wasm", "ort"];
const rows: string[][] = [];
for (const [name, load] of built) {
  if (only.length > 0 && !only.includes(name)) continue;
  const graph = await load();
  if (graph === null) {
    console.error(`${name}: not here`);
    continue;
  }
  for (const share of SHARES) {
    const got = await comparePruned(graph, share);
    if (!(Math.max(got.compiled, got.ort) <= TOLERANCE)) process.exitCode = 1;
    const [macs, bytes] = [got.macs, got.bytes].map(([a, b]) => percent(b / a));
    const worst = [got.compiled, got.ort].map((x) => x.toExponential(1));
    rows.push([name, `${got.groups}`, percent(got.share), macs!, bytes!, ...worst]);
    console.error(rows.at(-1)!.join("  "));
  }
}
console.log(markdownTable(head, rows));
