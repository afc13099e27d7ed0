//! A figure of the report in words: the value with its unit, and what stands small below it.

import { formatBytes, formatDuration, formatNumber, m } from "$i18n";
import type { MetricId } from "./figures";
import type { ReportRow } from "$api";

type Words = { text: string; more?: string };

const one = (value: number) => value.toFixed(1);
const percent = (share: number) => m.report.units.percent((share * 100).toFixed(1));

/** Tokens per second, and the time of each. */
function pace(tokens: number | null): Words | null {
  if (tokens === null) return null;
  const ms = tokens > 0 ? 1000 / tokens : 0;
  const each = ms >= 100 ? String(Math.round(ms)) : ms >= 1 ? ms.toFixed(1) : ms.toFixed(2);
  return { text: m.report.units.perSecond(tokens >= 100 ? formatNumber(Math.round(tokens)) : one(tokens)), more: m.report.units.each(each) };
}

export function figureWords(id: MetricId, row: ReportRow): Words | null {
  switch (id) {
    case "perplexity":
      return row.perplexity && { text: row.perplexity.value.toFixed(3), more: m.report.units.error(row.perplexity.error.toFixed(3)) };
    case "divergence":
      return row.divergence && { text: row.divergence.mean.toFixed(4) };
    case "agreement":
      return row.divergence && { text: percent(row.divergence.top_agreement) };
    case "accuracy":
      return row.accuracy && row.accuracy.total > 0
        ? { text: percent(row.accuracy.correct / row.accuracy.total), more: m.report.units.of(formatNumber(row.accuracy.correct), formatNumber(row.accuracy.total)) }
        : null;
    case "bytes":
      return { text: formatBytes(row.bytes) };
    case "prefill":
      return pace(row.prefill_tokens_s);
    case "decode":
      return pace(row.decode_tokens_s);
    case "load":
      return row.load_ms === null ? null : { text: formatDuration(row.load_ms) };
    case "peak":
      return row.peak_bytes === null ? null : { text: formatBytes(row.peak_bytes) };
  }
}
