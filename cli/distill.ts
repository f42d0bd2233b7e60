/** @file `tersor distill`: a smaller network that learns from a trained one, with what came of it measured. */
import { Argument, Command, Option } from "commander";
import { STUDENT_FORMS } from "../src/train/student/recipe.ts";
import { distill } from "./distill-run.ts";
import type { DistillFlags } from "./distill-settings.ts";
import { makeIo } from "./io.ts";
import { collect, realNumber, withCommon } from "./options.ts";
import { withRun, withTraining } from "./train-options.ts";

const NOTES = `
--student: ${STUDENT_FORMS.replace("acdc", "\n  acdc")}, or a model's file.
--config: data, optimizer, schedule and so on in the form of tersor train.
Without --at, --kd and --hint the student learns from softened outputs (--kd).
The same command again goes on where it was stopped.`;

const points = (text: string): string[] => text.split(",").map((s) => s.trim());

export const distillCommand = (): Command =>
  withCommon(
    withRun(
      withTraining(
        new Command("distill")
          .description("train a smaller student of a trained model, and measure both")
          .addArgument(new Argument("<teacher>", ".onnx or .tflite file"))
          .requiredOption("--student <what>", "blocks=..., tucker=..., ..., or a model's file")
          .addOption(
            new Option("--init <what>", "weights of layers that stay, under blocks").choices([
              "fresh",
              "teacher",
            ]),
          )
          .option("--at [beta]", "attention transfer of this weight, default 1000")
          .option("--kd [T=4,alpha=0.9]", "softened outputs at this temperature and share")
          .option("--hint <x>", "weight of hints: features like the teacher's", realNumber(0))
          .option("--points <names>", "places of --at and --hint: name, or student=teacher", points)
          .option("--control", "also train the same student on the same batches without a teacher")
          .option("--int8", "also quantise the student to 8 bits")
          .option("--shape <name=dims>", "shape of an input, for example x=1,3,224,224", collect),
      ),
    ).addHelpText("after", NOTES),
  ).action((path: string, flags: DistillFlags) => distill(path, flags, makeIo(flags)));
