/** @file Lines of text as they stand on labels, receipts and screens: seeded, without repeats. */
import type { Rng } from "../../src/util/rng.ts";

const WORDS = `account address after again amount answer apple arrival autumn balance battery before
between bicycle blue board bottle bread bridge bright brother butter button camera carbon card carry
castle centre change charge check children circle city clean clear clock close cloud coffee colour
common corner cotton country credit current customer daily danger date delivery desk different dinner
distance doctor door double dream early east electric empty engine entrance equal evening example
exit express factory family farmer fast field figure filter final finger fire first floor flour
flower folder follow forest fragile frame fresh friday friend front fruit garden gate general ginger
glass gold green ground group half hammer handle harbour heavy height hello history honey hospital
hotel house hundred inside invoice island january jacket journey july kettle keyboard kitchen ladder
lamp language large laundry leather left lemon letter level library light limited line little lower
lunch machine magnet main market measure medium member metal milk minute mirror model modern monday
money monitor month morning mountain museum music name napkin narrow nature needle network never
north number object ocean office olive open orange order other outside oven package page paper
parcel park password pencil people pepper person phone picture platform pocket police potato power
present price printer private product public purple quality quarter quiet radio railway receipt
record region repair report return river road salad sample saturday school science season second
secret service seven shadow sharp shelter shirt silver simple single sister small smooth soap south
spring square standard station stone storage street strong student sugar summer sunday supper
surface switch system table tailor temperature theatre thursday ticket timber tomato total towel
tower traffic travel tuesday under uniform upper valley value vehicle version village vinegar visit
volume warning warranty watch water weather wednesday weekend weight welcome west white window
winter wireless wood work yellow yesterday zebra`.split(/\s+/);

const pick = <T>(rng: Rng, items: readonly T[]): T => items[rng.int(items.length)]!;
const digits = (rng: Rng, n: number): string =>
  Array.from({ length: n }, () => rng.int(10)).join("");
const two = (n: number): string => String(n).padStart(2, "0");

type Writer = (rng: Rng) => string;

const CASES: readonly ((text: string) => string)[] = [
  (text) => text,
  (text) => text.toUpperCase(),
  (text) => text.charAt(0).toUpperCase() + text.slice(1),
];

const words: Writer = (rng) => {
  const n = 1 + rng.int(3);
  return pick(rng, CASES)(Array.from({ length: n }, () => pick(rng, WORDS)).join(" "));
};

const WRITERS: readonly Writer[] = [
  words,
  words,
  words,
  (rng) => `${pick(rng, WORDS)} ${pick(rng, ["€", "$", "£"])}${1 + rng.int(400)}.${digits(rng, 2)}`,
  (rng) => `www.${pick(rng, WORDS)}-${pick(rng, WORDS)}.${pick(rng, ["com", "org", "net"])}`,
  (rng) => `${pick(rng, WORDS)}@${pick(rng, WORDS)}.example`,
  (rng) =>
    `20${digits(rng, 2)}-${two(1 + rng.int(12))}-${two(1 + rng.int(28))} ${pick(rng, WORDS)}`,
  (rng) => `No. ${digits(rng, 5)}/${pick(rng, ["A", "B", "F", "K", "R"])}${digits(rng, 2)}`,
  (rng) => `Tel. ${digits(rng, 3)} ${digits(rng, 4)} ${digits(rng, 3)}`,
  (rng) => `${rng.int(100)} % ${pick(rng, WORDS)}`,
  (rng) =>
    `${pick(rng, WORDS)}: ${digits(rng, 2)},${digits(rng, 1)} ${pick(rng, ["kg", "ml", "cm", "mA"])}`,
];

/** `count` different lines. */
export function makeLines(rng: Rng, count: number): string[] {
  const lines = new Set<string>();
  while (lines.size < count) lines.add(pick(rng, WRITERS)(rng));
  return [...lines];
}
