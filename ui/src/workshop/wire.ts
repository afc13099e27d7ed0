//! The workshop's part of the wire, until the generated bindings have it.

import { transport, type ChatId, type JobId, type ModelId, type Problem, type Verdict, type Words } from "$api";

export type ReportId = number;
export type Strength = { model: ModelId; strength: number };
export type ByHand = { group: string; format: string };
export type Target = { scheme: string; by_hand: ByHand[] };
export type Output = "gguf" | "folder";
export type SchemePlan = {
  scheme: string; bytes: number; bits_per_weight: number; memory_bytes: number; verdict: Verdict;
  decode_tokens_s: number | null; perplexity_known: number | null; recommended: boolean;
}; // prettier-ignore
export type MakingPlan = {
  schemes: SchemePlan[]; requantizes: boolean; free_bytes: number; seconds_per_scheme: number | null; reason: Words; problems: Problem[];
}; // prettier-ignore
export type ImportanceFrom = { kind: "bundled" } | { kind: "text"; chosen: number } | { kind: "file"; chosen: number };
export type MeasureRequest = {
  perplexity: boolean; context: number; text: number | null; divergence: boolean; speed: boolean; samples: boolean;
  evaluation: { chosen: number; shots: number } | null;
}; // prettier-ignore
export type MeasureOptions = Omit<MeasureRequest, "text" | "evaluation"> & { text: string | null; evaluation: { path: string; shots: number } | null };
export type ReportRow = {
  name: string; model: ModelId | null; scheme: string; bytes: number;
  perplexity: { value: number; error: number } | null; divergence: { mean: number; top_agreement: number } | null;
  accuracy: { correct: number; total: number } | null; prefill_tokens_s: number | null; decode_tokens_s: number | null;
  load_ms: number | null; peak_bytes: number | null;
}; // prettier-ignore
export type Sample = { question: string; answers: { name: string; text: string }[] };
export type Report = {
  id: ReportId; title: string; source_name: string; created_ms: number; machine: string; options: MeasureOptions; rows: ReportRow[]; samples: Sample[];
}; // prettier-ignore

const call = <R>(name: string, args: object) => transport.call(name, args) as Promise<R>;

export const wire = {
  planMaking: (args: { source: ModelId; adapters: Strength[]; context?: number }) => call<MakingPlan>("plan_making", args),
  make: (args: { name: string; source: ModelId; adapters: Strength[]; targets: Target[]; importance: ImportanceFrom | null; measure: MeasureRequest | null; output: Output }) => call<JobId>("make", args),
  measure: (args: { models: ModelId[]; against?: ModelId | null; options: MeasureRequest }) => call<JobId>("measure", args),
  exportReport: (args: { report: ReportId; format: "markdown" | "csv"; chosen: number }) => call<null>("export_report", args),
  renameReport: (args: { report: ReportId; title: string }) => call<null>("rename_report", args),
  deleteReport: (args: { report: ReportId }) => call<null>("delete_report", args),
  restoreReport: (args: { report: ReportId }) => call<null>("restore_report", args),
  keepMade: (args: { report: ReportId; model: ModelId }) => call<null>("keep_made", args),
  setAdapters: (args: { chat: ChatId; adapters: Strength[] }) => call<null>("set_adapters", args),
};
