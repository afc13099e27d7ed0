//! What the wizard works out by itself: which steps there are, what is chosen unless the person says otherwise, names and sizes.

import type { ByHand, Model, Output, SchemePlan, Target, TensorRow } from "$api";

export const STEPS = ["source", "adapters", "targets", "importance", "measure", "start"] as const;
export type Step = (typeof STEPS)[number];

/** Shown before all nineteen: one for each size that makes a difference. */
export const COMMON = ["F16", "Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "IQ4_XS", "Q3_K_M", "Q2_K"];
/** What transformers reads from a folder: the formats without blocks. */
export const PLAIN = ["F32", "F16", "BF16"];
/** The groups that a format can be set for, by their names in GGUF files. */
export const GROUPS = ["token_embd", "output", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"] as const;
export type Group = (typeof GROUPS)[number];

/** Bits per weight, block scales included. Source: the block layouts of ggml. */
export const FORMAT_BITS: Record<string, number> = {
  F32: 32, F16: 16, BF16: 16, Q8_0: 8.5, Q6_K: 6.5625, Q5_K: 5.5, Q5_1: 6, Q5_0: 5.5, Q4_K: 4.5, IQ4_NL: 4.5, IQ4_XS: 4.25, Q4_1: 5, Q4_0: 4.5, Q3_K: 3.4375, Q2_K: 2.625,
}; // prettier-ignore
export const FORMATS = Object.keys(FORMAT_BITS);

/** The format that most matrices of a scheme get: Q4_K_M -> Q4_K. */
export function formatOf(scheme: string): string {
  return scheme.replace(/_[SML]$/, "");
}

/** Shown first: the common ones, the recommended, and what is chosen. */
export function shownFirst(schemes: SchemePlan[], picked: string[]): SchemePlan[] {
  return schemes.filter((row) => COMMON.includes(row.scheme) || row.recommended || picked.includes(row.scheme));
}

/** What most people want to see side by side: the recommended one, one more exact, and one smaller. */
export function compareSet(schemes: SchemePlan[]): string[] {
  const usual = schemes.filter((row) => row.recommended || (COMMON.includes(row.scheme) && !PLAIN.includes(row.scheme))).sort((a, b) => b.bytes - a.bytes);
  const at = Math.max(0, usual.findIndex((row) => row.recommended));
  const from = Math.min(Math.max(0, at - 1), Math.max(0, usual.length - 3));
  return usual.slice(from, from + 3).map((row) => row.scheme);
}

export function recommended(schemes: SchemePlan[]): string | null {
  return (schemes.find((row) => row.recommended) ?? schemes.find((row) => row.verdict === "well"))?.scheme ?? null;
}

/** "Llama-2-7b-hf-F16" -> "Llama-2-7b-hf"; with adapters the last one's name, without the word that says that it is one. */
export function nameFor(source: Pick<Model, "name"> | undefined, adapters: Pick<Model, "name">[]): string {
  const from = adapters.at(-1)?.name.replace(/[-_ ]?(lora|adapter)\b/gi, "").trim() || source?.name || "";
  return from.replace(/\.(gguf|safetensors)$/i, "").replace(/[-_. ](f32|f16|bf16|i?q\d\w*)$/i, "").trim();
}

/** What a name may not hold in a file name becomes a dash, as the back end writes it. */
export function fileName(name: string, scheme: string, output: Output): string {
  const plain = `${name.trim()}-${scheme}`.replace(/[\\/:*?"<>|\u0000-\u001f]+/g, "-");
  return output === "gguf" ? `${plain}.gguf` : `${plain}/`;
}

/** The word for the format of a target: the scheme's, or the base's with a mark that it was changed. */
export const CUSTOM = "custom";
export function schemeName(target: Target): string {
  return target.by_hand.length === 0 ? target.scheme : `${target.scheme}-${CUSTOM}`;
}

const HUGGING_FACE: [RegExp, Group][] = [
  [/embed_tokens\.weight$/, "token_embd"],
  [/lm_head\.weight$/, "output"],
  [/q_proj\.weight$/, "attn_q"],
  [/k_proj\.weight$/, "attn_k"],
  [/v_proj\.weight$/, "attn_v"],
  [/o_proj\.weight$/, "attn_output"],
  [/gate_proj\.weight$/, "ffn_gate"],
  [/up_proj\.weight$/, "ffn_up"],
  [/down_proj\.weight$/, "ffn_down"],
];

/** How many weights each group has. Names of GGUF files and of Hugging Face's. */
export function groupSizes(tensors: TensorRow[]): Partial<Record<Group, number>> {
  const sizes: Partial<Record<Group, number>> = {};
  for (const tensor of tensors) {
    const plain = tensor.name.match(/^(?:blk\.\d+\.)?(\w+)\.weight$/)?.[1];
    const group = GROUPS.find((name) => name === plain) ?? HUGGING_FACE.find(([pattern]) => pattern.test(tensor.name))?.[1];
    if (group) sizes[group] = (sizes[group] ?? 0) + tensor.shape.reduce((product, side) => product * side, 1);
  }
  return sizes;
}

/** About how large a file becomes when some groups get another format. A scheme's own exceptions are not counted. */
export function customBytes(base: SchemePlan, byHand: ByHand[], sizes: Partial<Record<Group, number>>): number {
  const usual = FORMAT_BITS[formatOf(base.scheme)] ?? base.bits_per_weight;
  const more = byHand.map(({ group, format }) => ((sizes[group as Group] ?? 0) * ((FORMAT_BITS[format] ?? usual) - usual)) / 8);
  return Math.max(0, Math.round(more.reduce((sum, bytes) => sum + bytes, base.bytes)));
}

/** Contexts to choose from, up to what the model was made for. */
export function contextsFor(most: number): number[] {
  const steps = [1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 131_072].filter((tokens) => tokens <= most);
  return most > 0 && !steps.includes(most) ? [...steps.filter((tokens) => tokens < most), most] : steps;
}
