//! Which file is offered first, and which word the button has.

import { describe, expect, it } from "vitest";
import type { Entry, EntryFile, Job, Model } from "$api";
import { bestFile, nextStep, shortTokens } from "./offers";

const GB = 1e9;
const file = (quantization: string, gigabytes: number, verdict: EntryFile["verdict"], here: number | null = null) => ({ path: quantization, quantization, bytes: gigabytes * GB, verdict, here }) as EntryFile;
const of = (...files: EntryFile[]) => bestFile({ files } as Entry)?.quantization;

describe("the file offered first", () => {
  it("is the best that runs well, up to six bits", () => {
    expect(of(file("Q2_K", 2.9, "well"), file("Q4_K_M", 4.2, "well"), file("Q5_K_M", 4.9, "tight"))).toBe("Q4_K_M");
    expect(of(file("Q4_K_M", 4.2, "well"), file("Q6_K", 5.7, "well"), file("Q8_0", 7.4, "well"), file("F16", 13.9, "well"))).toBe("Q6_K");
  });
  it("is the smaller of those above six bits, where there are no others", () => expect(of(file("F16", 2.4, "well"), file("Q8_0", 1.3, "well"))).toBe("Q8_0"));
  it("is the least tight where nothing runs well", () => expect(of(file("Q8_0", 7.4, "too_large"), file("Q4_K_M", 4.2, "tight"), file("Q2_K", 2.9, "tight"))).toBe("Q2_K"));
  it("is the smallest where all are too large", () => expect(of(file("F16", 24, "too_large"), file("Q2_K", 5.6, "too_large"))).toBe("Q2_K"));
  it("is the one that is here", () => expect(of(file("Q4_K_M", 4.2, "well"), file("Q2_K", 2.9, "well", 5))).toBe("Q2_K"));
  it("is the recommended one", () => expect(bestFile({ files: [file("Q4_K_M", 4.2, "well"), file("Q6_K", 5.7, "well")] } as Entry, "Q4_K_M")?.quantization).toBe("Q4_K_M"));
  it("is none of an entry without files", () => expect(of()).toBeUndefined());
});

describe("the button's word", () => {
  const model = (more: Partial<Model>) => ({ kind: "chat", state: "ready", loaded_by: null, ...more }) as Model;
  const job = (state: Job["state"]) => ({ state });
  it.each([
    ["download", {}],
    ["go_on", { partial: 5 }],
    ["take", { cached: true, partial: 5 }],
    ["pause", { job: job("running") }],
    ["pause", { job: job("waiting"), partial: 5 }],
    ["resume", { job: job("paused") }],
    ["retry", { job: job("failed") }],
    ["retry", { job: job("interrupted") }],
    ["load", { model: model({}) }],
    ["load", { model: model({}), job: job("failed") }],
    ["loading", { model: model({}), loading: true }],
    ["chat", { model: model({ loaded_by: "me" }) }],
    ["write", { model: model({ loaded_by: "me", kind: "base" }) }],
    ["merge", { model: model({ kind: "adapter" }) }],
    ["locate", { model: model({ state: "missing" }) }],
  ] as const)("is %s for %j", (step, given) => expect(nextStep(given)).toBe(step));
});

it.each([
  [4096, "4K"],
  [40_960, "40K"],
  [131_072, "128K"],
  [2000, "2000"],
])("calls a context of %i %s", (tokens, words) => expect(shortTokens(tokens)).toBe(words));
