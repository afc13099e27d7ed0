//! Which of the models a person wants to see: family, kind, size, what fits, and words.

import type { Entry, Model, Verdict } from "$api";

export type Kind = "base" | "chat" | "lora";
/** By billions of parameters; each up to the next one's beginning. */
export const SIZES = [
  { id: "s", from: 0, to: 2 },
  { id: "m", from: 2, to: 5 },
  { id: "l", from: 5, to: 10 },
  { id: "xl", from: 10, to: Infinity },
] as const;
export type Size = (typeof SIZES)[number]["id"];

export type Filters = { family: string | null; kind: Kind | null; size: Size | null; fits: boolean };
export const NO_FILTERS: Filters = { family: null, kind: null, size: null, fits: false };

export function filtering(filters: Filters): boolean {
  return filters.family !== null || filters.kind !== null || filters.size !== null || filters.fits;
}

/** What the filters look at, of an entry of the catalogue or a model that is here. */
export type Facts = {
  family: string;
  kind: Kind;
  /** `null`: not known, and then no size leaves it out. */
  billions: number | null;
  verdict: Verdict | null;
  /** Everything that a word may be found in. */
  words: string;
};

/** "7B" -> 7, "0.6B" -> 0.6, "350M" -> 0.35 */
export function billionsOf(size: string): number | null {
  const found = /(\d+(?:\.\d+)?)\s*([BM])/i.exec(size);
  if (!found) return null;
  return Number(found[1]) / (found[2]!.toUpperCase() === "M" ? 1000 : 1);
}

/** The best that any of its files can do here. */
export function verdictOf(entry: Entry): Verdict | null {
  for (const verdict of ["well", "tight", "too_large"] as const) {
    if (entry.files.some((file) => file.verdict === verdict)) return verdict;
  }
  return null;
}

export function factsOfEntry(entry: Entry): Facts {
  const files = entry.files.map((file) => `${file.quantization} ${file.repository}`);
  return {
    family: entry.family,
    kind: entry.kind,
    billions: billionsOf(entry.size),
    verdict: verdictOf(entry),
    words: [entry.name, entry.family, entry.size, entry.variant, entry.kind, entry.purpose.zh, entry.purpose.en, entry.repository ?? "", ...new Set(files)].join(" "),
  };
}

export function factsOfModel(model: Model, verdict: Verdict | null): Facts {
  return {
    family: model.family,
    kind: model.kind === "adapter" ? "lora" : model.kind,
    billions: model.parameter_count > 0 ? model.parameter_count / 1e9 : null,
    verdict,
    words: [model.name, model.family, model.kind === "adapter" ? "lora" : model.kind, model.quantization, model.architecture].join(" "),
  };
}

/** Letters and digits only, so that "qwen 3", "Qwen3" and "qwen-3" find each other. */
const bare = (text: string) => text.normalize("NFKC").toLocaleLowerCase().replace(/[\s._/-]+/g, "");

export function passes(facts: Facts, filters: Filters, text: string): boolean {
  if (filters.family !== null && facts.family !== filters.family) return false;
  if (filters.kind !== null && facts.kind !== filters.kind) return false;
  if (filters.fits && facts.verdict === "too_large") return false;
  const size = SIZES.find((one) => one.id === filters.size);
  if (size && facts.billions !== null && (facts.billions < size.from || facts.billions >= size.to)) return false;
  const words = bare(facts.words);
  return text.trim().split(/\s+/).every((word) => words.includes(bare(word)));
}
