//! The figures of a report: order, best values, plots, names of exports.

import { beforeEach, describe, expect, it } from "vitest";
import { fresh } from "../../tests/fake";
import { figureWords } from "./figure-words";
import { bestOf, comparedWith, exportName, labelOf, measuredIn, METRICS, ordered, plotsOf, turned } from "./figures";
import type { ReportRow } from "$api";

const row = (scheme: string, bytes: number, perplexity: number | null, speed: number | null): ReportRow => ({
  name: `m-${scheme}`, model: null, scheme, bytes, perplexity: perplexity === null ? null : { value: perplexity, error: 0.05 }, divergence: null, accuracy: null,
  prefill_tokens_s: null, decode_tokens_s: speed, load_ms: null, peak_bytes: null, problem: null,
}); // prettier-ignore
const ROWS = [row("F16", 13e9, 9.128, 4), row("Q4_K", 4e9, 9.24, 12), row("Q2_K", 3e9, null, 15)];
const perplexity = METRICS.find((metric) => metric.id === "perplexity")!;
const decode = METRICS.find((metric) => metric.id === "decode")!;
const schemes = (rows: ReportRow[]) => rows.map((one) => one.scheme);

beforeEach(() => fresh());

describe("the table", () => {
  it("leaves out what was not measured", () => {
    expect(measuredIn(ROWS).map((metric) => metric.id)).toEqual(["perplexity", "bytes", "decode"]);
  });

  it("puts the best first, then the worst, then all as measured; rows without the value last", () => {
    const first = turned(null, decode);
    expect(schemes(ordered(ROWS, first))).toEqual(["Q2_K", "Q4_K", "F16"]);
    const second = turned(first, decode);
    expect(schemes(ordered(ROWS, second))).toEqual(["F16", "Q4_K", "Q2_K"]);
    expect(turned(second, decode)).toBeNull();
    expect(schemes(ordered(ROWS, { metric: "perplexity", falling: true }))).toEqual(["Q4_K", "F16", "Q2_K"]);
    expect(ordered(ROWS, null)).toBe(ROWS);
  });

  it("says what divergence is from where the first could not be measured", () => {
    const near = { mean: 0.01, top_agreement: 0.9 };
    const problem = { code: "memory_short", values: {}, detail: "" };
    expect(comparedWith([ROWS[0]!, { ...ROWS[1]!, divergence: near }])).toBeNull();
    const rows = [{ ...row("F16", 13e9, null, null), problem }, ROWS[1]!, { ...ROWS[0]!, divergence: near }];
    expect(comparedWith(rows)).toBe(rows[1]);
    expect(comparedWith(rows.slice(0, 2))).toBeNull();
  });

  it("marks the best value where there is a choice", () => {
    expect(schemes([...bestOf(ROWS, perplexity)])).toEqual(["F16"]);
    expect(schemes([...bestOf(ROWS, decode)])).toEqual(["Q2_K"]);
    expect(bestOf([ROWS[0]!, { ...ROWS[0]! }], perplexity).size).toBe(0);
  });

  it("writes speed as tokens a second and as the time of each, as the published tables do", () => {
    expect(figureWords("decode", row("Q4_K", 1, null, 23.25))).toEqual({ text: "23.3 token/s", more: "43.0 ms each" });
    expect(figureWords("perplexity", ROWS[0]!)).toEqual({ text: "9.128", more: "± 0.050" });
    expect(figureWords("accuracy", { ...ROWS[0]!, accuracy: { correct: 41, total: 100 } })).toEqual({ text: "41.0 %", more: "41 of 100" });
    expect(figureWords("accuracy", { ...ROWS[0]!, accuracy: { correct: 0, total: 0 } })).toBeNull();
  });
});

describe("the plots", () => {
  it("hold the points that have both values, from left to right", () => {
    const plots = plotsOf(ROWS)!;
    expect(plots.y).toBe("perplexity");
    expect(plots.size.map((point) => [point.x, point.y, point.label])).toEqual([[4e9, 9.24, "Q4_K"], [13e9, 9.128, "F16"]]);
    expect(plots.speed.map((point) => point.x)).toEqual([4, 12]);
  });

  it("call a point by its format, or by its name where two have the same format", () => {
    const twice = [ROWS[0]!, ROWS[1]!, { ...ROWS[1]!, name: "other" }];
    expect(twice.map((one) => labelOf(twice, one))).toEqual(["F16", "m-Q4_K", "other"]);
  });

  it("are left out where there is nothing to compare", () => {
    expect(plotsOf([ROWS[0]!])).toBeNull();
    expect(plotsOf(ROWS.map((one) => ({ ...one, decode_tokens_s: null })))!.speed).toEqual([]);
  });
});

it("names an export by the title and the day, without what file names may not hold", () => {
  expect(exportName({ title: "7B: a/b", created_ms: Date.UTC(2026, 10, 23) }, "csv")).toBe("7B- a-b 2026-11-23.csv");
});
