/** @file Draws one line of text as a small photograph would show it: fonts, colours, tilt, blur, noise. */
import { createRequire } from "node:module";
import { type Canvas, createCanvas, GlobalFonts, type SKRSContext2D } from "@napi-rs/canvas";
import type { Rng } from "../../src/util/rng.ts";

const FONTS = [
  "DejaVuSans",
  "DejaVuSans-Bold",
  "DejaVuSans-Oblique",
  "DejaVuSansCondensed",
  "DejaVuSansCondensed-Bold",
  "DejaVuSansMono",
  "DejaVuSansMono-Bold",
  "DejaVuSerif",
  "DejaVuSerif-Bold",
  "DejaVuSerif-Italic",
] as const;

/** Makes the fonts known to the canvas under their file names. */
export function loadFonts(): void {
  const require = createRequire(import.meta.url);
  for (const font of FONTS) {
    GlobalFonts.registerFromPath(require.resolve(`dejavu-fonts-ttf/ttf/${font}.ttf`), font);
  }
}

const between = (rng: Rng, low: number, high: number): number => low + (high - low) * rng.next();

/** A colour of the given lightness (0 to 100), little saturated. */
const colour = (rng: Rng, lightness: number): string =>
  `hsl(${rng.int(360)} ${rng.int(50)}% ${lightness.toFixed(0)}%)`;

interface Look {
  readonly font: string;
  readonly size: number;
  readonly ink: string;
  readonly paper: readonly [string, string];
  readonly tilt: number;
  readonly blur: number;
  readonly noise: number;
}

function makeLook(rng: Rng): Look {
  const dark = rng.next() < 0.25;
  const paper = dark ? between(rng, 8, 35) : between(rng, 68, 100);
  const contrast = between(rng, 40, 65);
  return {
    font: FONTS[rng.int(FONTS.length)]!,
    size: Math.round(between(rng, 20, 44)),
    ink: colour(rng, dark ? Math.min(100, paper + contrast) : Math.max(0, paper - contrast)),
    paper: [colour(rng, paper), colour(rng, paper + between(rng, -6, 6))],
    tilt: (between(rng, -2, 2) * Math.PI) / 180,
    blur: rng.next() < 0.4 ? between(rng, 0.3, 1.4) : 0,
    noise: rng.next() < 0.6 ? between(rng, 2, 22) : 0,
  };
}

function addNoise(context: SKRSContext2D, rng: Rng, strength: number, upsideDown: boolean): void {
  const { width, height } = context.canvas;
  const image = context.getImageData(0, 0, width, height);
  const pixels = new Uint32Array(image.data.buffer);
  if (upsideDown) pixels.reverse();
  if (strength > 0) {
    for (let i = 0; i < image.data.length; i += 4) {
      const grain = strength * rng.normal();
      for (let c = 0; c < 3; c++) image.data[i + c] = image.data[i + c]! + grain;
    }
  }
  context.putImageData(image, 0, 0);
}

/** The line as a PNG, turned by 180 degrees if `upsideDown`. */
export function drawLine(rng: Rng, text: string, upsideDown: boolean): Uint8Array {
  const look = makeLook(rng);
  const font = `${look.size}px "${look.font}"`;
  const ruler = createCanvas(1, 1).getContext("2d");
  ruler.font = font;
  const margin = look.size * between(rng, 0.1, 0.4);
  const width = Math.ceil(ruler.measureText(text).width + 2 * margin);
  const height = Math.ceil(look.size * between(rng, 1.25, 1.6));
  const canvas: Canvas = createCanvas(width, height);
  const context = canvas.getContext("2d");
  const paper = context.createLinearGradient(0, 0, width, height);
  paper.addColorStop(0, look.paper[0]);
  paper.addColorStop(1, look.paper[1]);
  context.fillStyle = paper;
  context.fillRect(0, 0, width, height);
  context.translate(width / 2, height / 2 + look.size * between(rng, -0.05, 0.05));
  context.rotate(look.tilt * Math.min(1, (4 * height) / width));
  if (look.blur > 0) context.filter = `blur(${look.blur.toFixed(2)}px)`;
  context.font = font;
  context.fillStyle = look.ink;
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillText(text, 0, 0);
  addNoise(context, rng, look.noise, upsideDown);
  return canvas.toBuffer("image/png");
}
