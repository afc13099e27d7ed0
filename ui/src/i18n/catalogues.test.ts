//! Both catalogues are whole, and written by the house's rules.

import { describe, expect, it } from "vitest";
import { CODE_VALUES, CODES } from "$api";
import { en } from "./en";
import { zh } from "./zh";

/** Every text of a catalogue with its path; functions are called with marks for their arguments. */
function texts(part: unknown, path: string): [string, string][] {
  if (typeof part === "string") return [[path, part]];
  if (typeof part === "function") {
    const marks = Array.from({ length: Math.max(1, part.length) }, () => 2);
    try {
      return texts(part(...marks), path);
    } catch {
      return texts(part(...marks.map(() => ({}))), path);
    }
  }
  if (Array.isArray(part)) return part.flatMap((one, at) => texts(one, `${path}.${at}`));
  return Object.entries(part as object).flatMap(([key, one]) => texts(one, path === "" ? key : `${path}.${key}`));
}

const paths = (catalogue: object) => texts(catalogue, "").map(([path]) => path);

describe("catalogues", () => {
  it("say the same things in both languages", () => {
    expect(paths(zh).sort()).toEqual(paths(en).sort());
  });

  it.each([
    ["en", en],
    ["zh", zh],
  ])("leave nothing empty in %s", (_, catalogue) => {
    expect(texts(catalogue, "").filter(([, text]) => text.trim() === "")).toEqual([]);
  });

  it.each([
    ["en", en],
    ["zh", zh],
  ])("hold a sentence for every error code in %s, and for no other", (_, catalogue) => {
    expect(Object.keys(catalogue.problems).sort()).toEqual([...CODES].sort());
  });

  it.each(CODES.map((code) => [code]))("use only values that %s has", (code) => {
    const given = new Proxy({} as Record<string, string>, {
      get: (_, name) => {
        expect(CODE_VALUES[code]).toContain(name);
        return "7";
      },
    });
    for (const catalogue of [en, zh]) expect(catalogue.problems[code]!(given)).not.toMatch(/undefined|NaN/);
  });

  it("speak Chinese with 你, full-width punctuation, and spaces between Han and Latin", () => {
    for (const [path, text] of texts(zh, "")) {
      if (path.startsWith("welcome.english") || path.endsWith("toEnglish")) continue;
      expect(text, path).not.toMatch(/您/);
      expect(text, path).not.toMatch(/[!！]/);
      expect(text, path).not.toMatch(/\p{Script=Han}[,;:?]/u);
      expect(text, path).not.toMatch(/\p{Script=Han}[A-Za-z]|[A-Za-z]\p{Script=Han}/u);
    }
  });

  it("do not shout in English", () => {
    for (const [path, text] of texts(en, "")) expect(text, path).not.toMatch(/!/);
  });
});
