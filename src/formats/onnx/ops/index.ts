/** @file The importer of every supported ONNX operator, by name; other domains as "domain.Name". */
import type { ImportTable } from "../context.ts";
import { attentionImports } from "./attention.ts";
import { elementwise } from "./elementwise.ts";
import { functionImports } from "./functions.ts";
import { indexImports } from "./indexing.ts";
import { lossImports } from "./loss.ts";
import { matrixImports } from "./matrix.ts";
import { microsoftImports } from "./microsoft.ts";
import { normImports } from "./norm.ts";
import { quantImports } from "./quant.ts";
import { recurrentImports } from "./recurrent.ts";
import { reduceImports } from "./reduce.ts";
import { resizeImports } from "./resize.ts";
import { shapeImports } from "./shape.ts";
import { signalImports } from "./signal.ts";
import { windowImports } from "./window.ts";

export const IMPORTERS: ImportTable = {
  ...elementwise,
  ...shapeImports,
  ...indexImports,
  ...reduceImports,
  ...windowImports,
  ...matrixImports,
  ...normImports,
  ...quantImports,
  ...attentionImports,
  ...lossImports,
  ...recurrentImports,
  ...signalImports,
  ...resizeImports,
  ...microsoftImports,
  ...functionImports,
};
