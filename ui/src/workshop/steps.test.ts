//! What the wizard works out by itself.

import { describe, expect, it } from "vitest";
import type { SchemePlan } from "$api";
import { compareSet, contextsFor, customBytes, fileName, groupSizes, nameFor, recommended, schemeName, shownFirst } from "./steps";

const plan = (scheme: string, bytes: number, more: Partial<SchemePlan> = {}): SchemePlan => ({
  scheme, bytes, bits_per_weight: 4.9, memory_bytes: bytes, verdict: "well", decode_tokens_s: null, perplexity_known: null, recommended: false, ...more,
}); // prettier-ignore
const TABLE = [plan("F16", 1600), plan("Q8_0", 850), plan("Q6_K", 660), plan("Q5_K_M", 570), plan("Q5_0", 550), plan("Q4_K_M", 490, { recommended: true }), plan("Q4_0", 450), plan("Q3_K_M", 390), plan("Q2_K", 340)];

describe("names", () => {
  it.each([
    ["Llama-2-7b-hf", [], "Llama-2-7b-hf"],
    ["qwen3-4b-F16.gguf", [], "qwen3-4b"],
    ["model.Q4_K_M", [], "model"],
    ["Llama-2-7b-hf", ["Chinese-Alpaca-2-LoRA-7B"], "Chinese-Alpaca-2-7B"],
    ["Llama-2-7b-hf", ["first-lora", "second-adapter"], "second"],
    ["Llama-2-7b-hf", ["lora"], "Llama-2-7b-hf"],
  ])("%s with %j becomes %s", (source, adapters, name) => {
    expect(nameFor({ name: source }, adapters.map((one) => ({ name: one })))).toBe(name);
  });

  it("say the format, and hold nothing that a file name may not", () => {
    expect(fileName(" a/b: c ", "Q4_K_M", "gguf")).toBe("a-b- c-Q4_K_M.gguf");
    expect(fileName("merged", "F16", "folder")).toBe("merged-F16/");
    expect(schemeName({ scheme: "Q4_K_M", by_hand: [{ group: "output", format: "Q8_0" }] })).toBe("Q4_K_M-custom");
  });
});

describe("defaults", () => {
  it("are the recommended format, else the first that runs well", () => {
    expect(recommended(TABLE)).toBe("Q4_K_M");
    expect(recommended([plan("F16", 9, { verdict: "too_large" }), plan("Q8_0", 5)])).toBe("Q8_0");
    expect(recommended([plan("F16", 9, { verdict: "too_large" })])).toBeNull();
  });

  it("compare the recommended format with one more exact and one smaller", () => {
    expect(compareSet(TABLE)).toEqual(["Q5_K_M", "Q4_K_M", "Q3_K_M"]);
    expect(compareSet(TABLE.map((row) => ({ ...row, recommended: row.scheme === "Q2_K" })))).toEqual(["Q4_K_M", "Q3_K_M", "Q2_K"]);
    expect(compareSet(TABLE.map((row) => ({ ...row, recommended: row.scheme === "F16" })))).toEqual(["F16", "Q8_0", "Q6_K"]);
  });

  it("show the usual formats first, and whatever is chosen", () => {
    expect(shownFirst(TABLE, ["Q4_0"]).map((row) => row.scheme)).toEqual(["F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", "Q3_K_M", "Q2_K"]);
  });

  it("offer contexts up to what the model was made for", () => {
    expect(contextsFor(4096)).toEqual([1024, 2048, 4096]);
    expect(contextsFor(3000)).toEqual([1024, 2048, 3000]);
    expect(contextsFor(0)).toEqual([]);
  });
});

describe("a format set by hand", () => {
  const tensors = [
    { name: "token_embd.weight", shape: [1000, 64], kind: "F16", bytes: 0 },
    { name: "blk.0.attn_q.weight", shape: [64, 64], kind: "F16", bytes: 0 },
    { name: "model.layers.1.self_attn.q_proj.weight", shape: [64, 64], kind: "F16", bytes: 0 },
    { name: "blk.0.attn_norm.weight", shape: [64], kind: "F32", bytes: 0 },
  ];

  it("counts the weights of each group, whoever named them", () => {
    expect(groupSizes(tensors)).toEqual({ token_embd: 64_000, attn_q: 8192 });
  });

  it("changes the size by the difference of bits: 64,000 weights from 4.5 to 8.5 are 32,000 bytes", () => {
    expect(customBytes(plan("Q4_K_M", 100_000), [{ group: "token_embd", format: "Q8_0" }], groupSizes(tensors))).toBe(132_000);
  });
});
