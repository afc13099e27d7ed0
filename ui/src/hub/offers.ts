//! What can be fetched, and what its one button says.

import type { Entry, EntryFile, Job, JobState, Model } from "$api";

/** Above six bits nothing is gained that perplexity shows (9.133 against 9.128 for Q8_0), and each token costs more memory traffic. */
const BITS_ENOUGH = 6;

/** Bits per weight, roughly, from a name like Q4_K_M, IQ2_XS, BF16. */
export function bitsOf(quantization: string): number {
  const digits = /\d+/.exec(quantization);
  return digits ? Number(digits[0]) : 16;
}

const byBytes = (a: EntryFile, b: EntryFile) => a.bytes - b.bytes;

/** The file that a row offers first: one that is here, else the best that runs well, else the least that could. */
export function bestFile(entry: Entry, recommended?: string): EntryFile | undefined {
  const here = entry.files.find((file) => file.here !== null);
  if (here) return here;
  const named = entry.files.find((file) => file.path === recommended);
  if (named) return named;
  const well = entry.files.filter((file) => file.verdict === "well").sort(byBytes);
  const enough = well.filter((file) => bitsOf(file.quantization) <= BITS_ENOUGH);
  if (enough.length > 0) return enough.at(-1);
  if (well.length > 0) return well[0];
  const tight = entry.files.filter((file) => file.verdict === "tight").sort(byBytes);
  return tight[0] ?? [...entry.files].sort(byBytes)[0];
}

/** What a button can do with something that may be fetched. */
export type Step = "download" | "go_on" | "take" | "pause" | "resume" | "retry" | "load" | "loading" | "chat" | "write" | "merge" | "locate";

type Given = {
  /** The model that it is, once it is here. */
  model?: Model | undefined;
  /** It is being brought into memory. */
  loading?: boolean;
  /** The newest job that fetches it. */
  job?: { state: JobState } | undefined;
  /** Bytes that are here from before. */
  partial?: number;
  /** Another program's cache holds it whole. */
  cached?: boolean;
};

/** The one step that is next: the word of the one button. */
export function nextStep({ model, loading = false, job, partial = 0, cached = false }: Given): Step {
  if (job) {
    const step = stepOfJob(job.state);
    if (step && !(model && step === "retry")) return step;
  }
  if (model) {
    if (model.state === "missing") return "locate";
    if (model.kind === "adapter") return "merge";
    if (loading) return "loading";
    if (!model.loaded_by) return "load";
    return model.kind === "base" ? "write" : "chat";
  }
  if (cached) return "take";
  return partial > 0 ? "go_on" : "download";
}

function stepOfJob(state: Job["state"]): Step | null {
  switch (state) {
    case "waiting":
    case "running":
      return "pause";
    case "paused":
      return "resume";
    case "failed":
    case "interrupted":
      return "retry";
    default:
      return null;
  }
}

/** What is fetched for a LoRA that is merged at once: it and its base, in the base's one form. */
export function mergedBytes(adapter: EntryFile, base: Entry): number {
  return adapter.bytes + (base.files[0]?.bytes ?? 0);
}

/** 4,096 -> 4K: contexts are powers of two, and are called so. */
export function shortTokens(tokens: number): string {
  return tokens >= 1024 && tokens % 1024 === 0 ? `${tokens / 1024}K` : String(tokens);
}
