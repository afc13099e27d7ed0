//! Rows for unit tests.

import type { Chat, Change, Message, Parameters } from "$api";

export const NO_PARAMETERS = {
  temperature: null, top_k: null, top_p: null, min_p: null, repetition_penalty: null, penalty_window: null, frequency_penalty: null,
  presence_penalty: null, dry_multiplier: null, dry_base: null, dry_allowed_length: null, xtc_probability: null, xtc_threshold: null,
  logit_bias: null, seed: null, tokens_max: null, stop: null, guidance: null, negative_prompt: null, context: null, thinking: null, format: null,
} satisfies Parameters as Parameters; // prettier-ignore

export function chatRow(id: number, more: Partial<Chat> = {}): Chat {
  return {
    id, kind: "chat", title: "", heading: `chat ${id}`, folder: null, pinned: false, persona: null, model: null, system: null,
    parameters: NO_PARAMETERS, adapters: [], leaf: null, created_ms: 0, changed_ms: 0, ...more,
  }; // prettier-ignore
}

export function messageRow(id: number, parent: number | null, text: string, more: Partial<Message> = {}): Message {
  return {
    id, chat: 1, parent, role: "user", state: "done", error: null, made: null, stats: null, created_ms: 0,
    body: { text, thought: "", thought_tokens: 0, thought_ms: 0, attachments: [] }, ...more,
  }; // prettier-ignore
}

export const put = {
  chat: (row: Chat): Change => ({ kind: "chat", value: row }),
  message: (row: Message): Change => ({ kind: "message", value: row }),
};
