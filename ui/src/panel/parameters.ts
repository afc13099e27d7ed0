//! Which parameters there are to set, in what order, and within what range. The program checks the ranges again.

import type { Name } from "./layers";

export type Numeric = {
  name: Exclude<Name, "logit_bias" | "stop" | "negative_prompt" | "thinking" | "format">;
  least: number;
  most: number;
  step: number;
  whole?: boolean;
  /** Shown as a line too: the span of it that people use. */
  slider?: { least: number; most: number };
};

/** No model that we run was made for a longer context; an answer longer than a book is a slip of the finger. */
const CONTEXT_MOST = 1_048_576;
const ANSWER_MOST = 131_072;
/** The penalties look through their window for every token. */
const WINDOW_MOST = 8_192;
/** Seeds are 32 bits wide. */
const SEED_MOST = 4_294_967_295;

export const basic: Numeric[] = [
  { name: "temperature", least: 0, most: 5, step: 0.05, slider: { least: 0, most: 2 } },
  { name: "top_p", least: 0, most: 1, step: 0.01, slider: { least: 0, most: 1 } },
  { name: "top_k", least: 0, most: 1000, step: 1, whole: true },
  { name: "min_p", least: 0, most: 1, step: 0.01 },
  { name: "tokens_max", least: 1, most: ANSWER_MOST, step: 64, whole: true },
  { name: "context", least: 64, most: CONTEXT_MOST, step: 256, whole: true },
  { name: "seed", least: 0, most: SEED_MOST, step: 1, whole: true },
];

export const repetition: Numeric[] = [
  { name: "repetition_penalty", least: 0.5, most: 2, step: 0.05, slider: { least: 1, most: 2 } },
  { name: "penalty_window", least: 0, most: WINDOW_MOST, step: 16, whole: true },
  { name: "frequency_penalty", least: -2, most: 2, step: 0.05 },
  { name: "presence_penalty", least: -2, most: 2, step: 0.05 },
  { name: "dry_multiplier", least: 0, most: 5, step: 0.05 },
  { name: "dry_base", least: 1, most: 4, step: 0.05 },
  { name: "dry_allowed_length", least: 1, most: 1000, step: 1, whole: true },
];

export const variety: Numeric[] = [
  { name: "xtc_probability", least: 0, most: 1, step: 0.05 },
  { name: "xtc_threshold", least: 0, most: 1, step: 0.01 },
];

export const guidance: Numeric[] = [{ name: "guidance", least: 1, most: 20, step: 0.1 }];
