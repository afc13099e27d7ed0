//! The colours hold their contrast, by day and by lamp: 4.5:1 for words, 3:1 for the edges of controls (WCAG 2.2).

import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";

const css = readFileSync("src/shared/tokens.css", "utf8");

type Pair = { light: number; dark: number };

/** OKLCH to relative luminance (Ottosson's matrices, then WCAG's weights on linear sRGB, clipped to the gamut). */
function luminance(lightness: number, chroma: number, hue: number): number {
  const a = chroma * Math.cos((hue * Math.PI) / 180);
  const b = chroma * Math.sin((hue * Math.PI) / 180);
  const l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3;
  const m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3;
  const s = (lightness - 0.0894841775 * a - 1.291485548 * b) ** 3;
  const clip = (value: number) => Math.min(1, Math.max(0, value));
  const red = clip(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s);
  const green = clip(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s);
  const blue = clip(-0.0041960863 * l - 0.7034186147 * m + 1.707614701 * s);
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

const tokens = new Map<string, Pair>();
for (const [, name, light, dark] of css.matchAll(/--([a-z-]+): light-dark\(oklch\(([\d. ]+)\), oklch\(([\d. ]+)\)\)/g)) {
  const of = (values: string) => luminance(...(values.split(" ").map(Number) as [number, number, number]));
  tokens.set(name!, { light: of(light!), dark: of(dark!) });
}

function contrast(one: string, other: string, theme: keyof Pair): number {
  const [x, y] = [tokens.get(one)![theme], tokens.get(other)![theme]];
  return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
}

const grounds = ["sunken", "paper", "raised", "hover", "chosen"];

describe.each(["light", "dark"] as const)("by %s", (theme) => {
  it("knows white on black as 21 to 1", () => {
    expect((luminance(1, 0, 0) + 0.05) / (luminance(0, 0, 0) + 0.05)).toBeCloseTo(21, 1);
  });

  it.each(["ink", "soft", "faint"].flatMap((word) => grounds.map((ground) => [word, ground])))("%s reads on %s", (word, ground) => {
    expect(contrast(word!, ground!, theme)).toBeGreaterThanOrEqual(4.5);
  });

  it.each(["accent", "good", "warn", "bad"].flatMap((tone) => ["sunken", "paper", "raised", "hover"].map((ground) => [tone, ground])))(
    "%s reads on %s",
    (tone, ground) => {
      expect(contrast(tone!, ground!, theme)).toBeGreaterThanOrEqual(4.5);
    },
  );

  it.each(["accent", "good", "warn", "bad"])("words read on %s and on its soft ground", (tone) => {
    expect(contrast(`on-${tone}`, tone, theme)).toBeGreaterThanOrEqual(4.5);
    expect(contrast(`on-${tone}-soft`, `${tone}-soft`, theme)).toBeGreaterThanOrEqual(4.5);
  });

  it.each(["word", "text", "value", "name"])("the %s of code reads on its ground", (kind) => {
    expect(contrast(`code-${kind}`, "sunken", theme)).toBeGreaterThanOrEqual(4.5);
  });

  it("keeps the words of the accent button while the pointer is over it", () => {
    expect(contrast("on-accent", "accent-hover", theme)).toBeGreaterThanOrEqual(4.5);
  });

  it.each(["sunken", "paper", "raised"])("shows the edge of a control on %s", (ground) => {
    expect(contrast("edge", ground, theme)).toBeGreaterThanOrEqual(3);
  });
});
