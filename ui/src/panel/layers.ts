//! The layers of parameters: program, model, the person's defaults, persona, chat. The highest that says something holds.

import type { Chat, Model, Parameters, Persona } from "$api";

export type Source = "program" | "model" | "person" | "persona" | "chat";
export type Layer = { source: Source; parameters: Parameters };
export type Name = keyof Parameters;

/** What holds, and who says so. `below` is what would hold without the topmost layer. */
export type Effective<N extends Name> = {
  value: Parameters[N];
  source: Source;
  /** The topmost layer says it itself. */
  here: boolean;
  below: { value: Parameters[N]; source: Source };
};

const NAMES: Name[] = [
  "temperature", "top_k", "top_p", "min_p", "repetition_penalty", "penalty_window", "frequency_penalty", "presence_penalty",
  "dry_multiplier", "dry_base", "dry_allowed_length", "xtc_probability", "xtc_threshold", "logit_bias", "seed", "tokens_max",
  "stop", "guidance", "negative_prompt", "context", "thinking", "format",
];

/** A layer that leaves everything to those below. */
export const unset = Object.fromEntries(NAMES.map((name) => [name, null])) as Parameters;

/** From the lowest to the highest; what is not there is left out. The last layer is the one that is edited. */
export function layersOf(rows: {
  program: Parameters;
  model?: Model | null;
  person?: Partial<Parameters> | null;
  persona?: Persona | null;
  chat?: Chat | null;
}): Layer[] {
  const layers: Layer[] = [{ source: "program", parameters: rows.program }];
  if (rows.model) layers.push({ source: "model", parameters: rows.model.parameters });
  if (rows.person) layers.push({ source: "person", parameters: { ...unset, ...rows.person } });
  if (rows.persona) layers.push({ source: "persona", parameters: rows.persona.parameters });
  if (rows.chat) layers.push({ source: "chat", parameters: rows.chat.parameters });
  return layers;
}

function find<N extends Name>(layers: Layer[], name: N): { value: Parameters[N]; source: Source } {
  for (let index = layers.length - 1; index >= 0; index -= 1) {
    const value = layers[index]!.parameters[name];
    if (value !== null && value !== undefined) return { value, source: layers[index]!.source };
  }
  return { value: null as Parameters[N], source: "program" };
}

/** `own` is the layer that is edited; `below` are those under it. */
export function effective<N extends Name>(below: Layer[], own: Layer, name: N): Effective<N> {
  const lower = find(below, name);
  const value = own.parameters[name];
  const here = value !== null && value !== undefined;
  return { value: here ? value : lower.value, source: here ? own.source : lower.source, here, below: lower };
}

/** How many values a layer sets. */
export function countSet(parameters: Parameters): number {
  return Object.values(parameters).filter((value) => value !== null && value !== undefined).length;
}
