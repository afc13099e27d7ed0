//! The figures of a report: what is measured of each model, which value is better, in which order they stand, how an export is named.

import type { Report, ReportRow } from "$api";

export type MetricId = "perplexity" | "divergence" | "agreement" | "accuracy" | "bytes" | "prefill" | "decode" | "load" | "peak";
export type Metric = { id: MetricId; better: "less" | "more"; value: (row: ReportRow) => number | null };

/** In the order of the table: what it costs in quality, then what it gains. */
export const METRICS: Metric[] = [
  { id: "perplexity", better: "less", value: (row) => row.perplexity?.value ?? null },
  { id: "divergence", better: "less", value: (row) => row.divergence?.mean ?? null },
  { id: "agreement", better: "more", value: (row) => row.divergence?.top_agreement ?? null },
  { id: "accuracy", better: "more", value: (row) => (row.accuracy && row.accuracy.total > 0 ? row.accuracy.correct / row.accuracy.total : null) },
  { id: "bytes", better: "less", value: (row) => row.bytes },
  { id: "prefill", better: "more", value: (row) => row.prefill_tokens_s },
  { id: "decode", better: "more", value: (row) => row.decode_tokens_s },
  { id: "load", better: "less", value: (row) => row.load_ms },
  { id: "peak", better: "less", value: (row) => row.peak_bytes },
];

/** The metrics of which at least one model has a value. */
export function measuredIn(rows: ReportRow[]): Metric[] {
  return METRICS.filter((metric) => rows.some((row) => metric.value(row) !== null));
}

export type Order = { metric: MetricId; falling: boolean };

/** Rows without the value come last, whichever way; equal ones keep their order. */
export function ordered(rows: ReportRow[], order: Order | null): ReportRow[] {
  const metric = METRICS.find((one) => one.id === order?.metric);
  if (!metric || !order) return rows;
  const sign = order.falling ? -1 : 1;
  return [...rows].sort((a, b) => {
    const [left, right] = [metric.value(a), metric.value(b)];
    if (left === null || right === null) return Number(left === null) - Number(right === null);
    return sign * (left - right);
  });
}

/** The next order when a metric is pressed: the best first, then the worst first, then as it was measured. */
export function turned(order: Order | null, metric: Metric): Order | null {
  const best = metric.better === "more";
  if (order?.metric !== metric.id) return { metric: metric.id, falling: best };
  return order.falling === best ? { metric: metric.id, falling: !best } : null;
}

/** The rows with the best value, where there is something to compare. */
export function bestOf(rows: ReportRow[], metric: Metric): Set<ReportRow> {
  const values = rows.map(metric.value).filter((value) => value !== null);
  if (values.length < 2 || new Set(values).size < 2) return new Set();
  const best = metric.better === "less" ? Math.min(...values) : Math.max(...values);
  return new Set(rows.filter((row) => metric.value(row) === best));
}

/** What a column, a point and an answer are called: by the format, where that tells them apart. */
export function labelOf(rows: ReportRow[], row: ReportRow): string {
  return row.scheme !== "" && rows.filter((other) => other.scheme === row.scheme).length === 1 ? row.scheme : row.name;
}

/** What divergence is from where the first could not be measured: the first that could. `null`: the first, or nothing. */
export function comparedWith(rows: ReportRow[]): ReportRow | null {
  if (!rows[0]?.problem || !rows.some((row) => row.divergence)) return null;
  return rows.find((row) => row.perplexity && !row.divergence) ?? null;
}

export type Point = { x: number; y: number; error: number; label: string };
export type PlotOf = { y: "perplexity" | "divergence"; size: Point[]; speed: Point[] };

/** What the two plots show; quality is the perplexity, else the divergence. `null`: nothing to plot. */
export function plotsOf(rows: ReportRow[]): PlotOf | null {
  const y = (["perplexity", "divergence"] as const).find((id) => rows.filter((row) => valueOf(row, id) !== null).length > 1);
  if (!y) return null;
  const points = (x: (row: ReportRow) => number | null) =>
    rows
      .flatMap((row): Point[] => {
        const [across, up] = [x(row), valueOf(row, y)];
        return across === null || up === null ? [] : [{ x: across, y: up, error: y === "perplexity" ? (row.perplexity?.error ?? 0) : 0, label: labelOf(rows, row) }];
      })
      .sort((a, b) => a.x - b.x);
  const speed = points((row) => row.decode_tokens_s);
  return { y, size: points((row) => row.bytes), speed: speed.length > 1 ? speed : [] };
}

function valueOf(row: ReportRow, id: MetricId): number | null {
  return METRICS.find((metric) => metric.id === id)!.value(row);
}

/** The name that the dialog of an export begins with. */
export function exportName(report: Pick<Report, "title" | "created_ms">, ending: "md" | "csv"): string {
  const day = new Date(report.created_ms).toISOString().slice(0, 10);
  const plain = report.title.replace(/[\\/:*?"<>|\u0000-\u001f]+/g, "-").replace(/\s+/g, " ").trim() || "report";
  return `${plain} ${day}.${ending}`;
}
