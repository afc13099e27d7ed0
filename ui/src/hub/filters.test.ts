//! What the filters let through.

import { describe, expect, it } from "vitest";
import type { Entry, EntryFile } from "$api";
import { billionsOf, factsOfEntry, NO_FILTERS, passes, verdictOf, type Filters } from "./filters";

const file = (verdict: EntryFile["verdict"]): EntryFile => ({
  repository: "hfl/chinese-alpaca-2-7b-gguf", path: "q4.gguf", quantization: "Q4_K_M", bytes: 1, bytes_exact: true, sha256: null, memory_bytes: 1, verdict, here: null,
});
const entry = (more: Partial<Entry> = {}): Entry => ({
  id: "x", family: "Chinese-Alpaca-2", name: "Chinese-Alpaca-2-7B-16K", size: "7B", kind: "chat", variant: "16K", purpose: { zh: "阅读长文档并问答", en: "Long documents" },
  context_tokens: 16_384, template: "alpaca-2", licence: { name: "", url: "", note: { zh: "", en: "" } }, repository: "hfl/chinese-alpaca-2-7b-16k", base: null, needs_token: false, files: [file("tight")], ...more,
});
const shows = (more: Partial<Entry>, filters: Partial<Filters>, text = "") => passes(factsOfEntry(entry(more)), { ...NO_FILTERS, ...filters }, text);

it.each([
  ["7B", 7],
  ["0.6B", 0.6],
  ["350M", 0.35],
  ["", null],
])("reads the size %s as %s billion", (size, billions) => expect(billionsOf(size)).toBe(billions));

describe("filters", () => {
  it("know families, kinds and sizes", () => {
    expect(shows({}, { family: "Chinese-Alpaca-2", kind: "chat", size: "l" })).toBe(true);
    expect(shows({}, { family: "Qwen3" })).toBe(false);
    expect(shows({}, { kind: "lora" })).toBe(false);
    expect(shows({ size: "1.3B" }, { size: "s" })).toBe(true);
    expect(shows({ size: "13B" }, { size: "l" })).toBe(false);
    expect(shows({ size: "10B" }, { size: "xl" })).toBe(true);
  });
  it("leave out what is too large, whichever file is taken", () => {
    expect(shows({ files: [file("too_large"), file("tight")] }, { fits: true })).toBe(true);
    expect(shows({ files: [file("too_large")] }, { fits: true })).toBe(false);
    expect(verdictOf(entry({ files: [file("too_large"), file("well")] }))).toBe("well");
  });
  it.each([
    ["alpaca 16k", true],
    ["16K Alpaca-2", true],
    ["alpaca2", true],
    ["长文档", true],
    ["q4_k_m", true],
    ["hfl/chinese", true],
    ["ＡＬＰＡＣＡ", true],
    ["qwen", false],
    ["alpaca 64k", false],
    ["", true],
  ])("find by the words %j: %s", (text, found) => expect(shows({}, {}, text)).toBe(found));
});
