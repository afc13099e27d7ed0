//! The wire types, written by hand until `bindings.ts` is generated from Rust. Then this file goes.

export type ChatId = number;
export type MessageId = number;
export type FolderId = number;
export type PersonaId = number;
export type ModelId = number;
export type JobId = number;

export type ChatKind = "chat" | "page";
export type Role = "user" | "assistant";
export type MessageState = "done" | "writing" | "stopped" | "interrupted" | "failed";
export type Finish = "end" | "stop_text" | "length" | "context" | "stopped";
export type JobState = "waiting" | "running" | "done" | "failed" | "stopped" | "interrupted";
export type ModelKind = "base" | "chat";
export type ModelState = "ready" | "missing" | "changed";

export type Parameters = {
  temperature: number | null;
  top_k: number | null;
  top_p: number | null;
  min_p: number | null;
  repetition_penalty: number | null;
  penalty_window: number | null;
  frequency_penalty: number | null;
  presence_penalty: number | null;
  dry_multiplier: number | null;
  dry_base: number | null;
  dry_allowed_length: number | null;
  xtc_probability: number | null;
  xtc_threshold: number | null;
  logit_bias: Array<[number, number]> | null;
  seed: number | null;
  tokens_max: number | null;
  stop: Array<string> | null;
  guidance: number | null;
  negative_prompt: string | null;
  context: number | null;
  thinking: boolean | null;
};

export type Problem = { code: string; values: { [key in string]?: string }; detail: string };
export type Chat = {
  id: ChatId;
  kind: ChatKind;
  title: string;
  heading: string;
  folder: FolderId | null;
  pinned: boolean;
  persona: PersonaId | null;
  model: ModelId | null;
  system: string | null;
  parameters: Parameters;
  leaf: MessageId | null;
  created_ms: number;
  changed_ms: number;
};
export type Folder = { id: FolderId; name: string; open: boolean };
export type Attachment = { name: string; encoding: string; text: string; tokens: number };
export type Body = { text: string; thought: string; thought_tokens: number; thought_ms: number; attachments: Array<Attachment> };
export type Made = {
  model: ModelId;
  model_name: string;
  model_sha256: string | null;
  template: string;
  system: string;
  parameters: Parameters;
  adapters: Array<[string, number]>;
  begin: string;
  backend: string;
  version: string;
};
export type Stats = {
  prompt_tokens: number;
  reused_tokens: number;
  tokens: number;
  first_token_ms: number;
  tokens_per_second: number;
  finish: Finish;
  turns_dropped: number;
  memory_starts_at: MessageId | null;
};
export type Message = {
  id: MessageId;
  chat: ChatId;
  parent: MessageId | null;
  role: Role;
  state: MessageState;
  error: Problem | null;
  made: Made | null;
  stats: Stats | null;
  created_ms: number;
  body: Body | null;
};
export type Example = { user: string; assistant: string };
export type Persona = { id: PersonaId; name: string; system: string; parameters: Parameters; greeting: string; examples: Array<Example> };
export type Model = {
  id: ModelId;
  name: string;
  path: string;
  bundled: boolean;
  kind: ModelKind;
  state: ModelState;
  architecture: string;
  quantization: string;
  file_bytes: number;
  parameter_count: number;
  context_tokens: number;
  sha256: string | null;
  template: string;
  template_source: string;
  thinks: boolean;
  parameters: Parameters;
  loaded_by: string | null;
  device: string | null;
  added_ms: number;
  used_ms: number | null;
};
export type JsonValue = number | string | boolean | null | Array<JsonValue> | { [key in string]?: JsonValue };
export type Job = {
  id: JobId;
  task: JsonValue;
  state: JobState;
  position: number;
  done: number;
  total: number;
  error: Problem | null;
  outcome: JsonValue | null;
  created_ms: number;
  finished_ms: number | null;
};
export type Setting = { key: string; value: JsonValue };
export type Draft = { chat: ChatId | null; text: string; attachments: Array<Attachment> };
export type Snapshot = {
  chats: Array<Chat>;
  folders: Array<Folder>;
  personas: Array<Persona>;
  models: Array<Model>;
  jobs: Array<Job>;
  settings: Array<Setting>;
  drafts: Array<Draft>;
};
export type Key =
  | { table: "chat"; id: ChatId }
  | { table: "folder"; id: FolderId }
  | { table: "persona"; id: PersonaId }
  | { table: "model"; id: ModelId }
  | { table: "job"; id: JobId }
  | { table: "message"; id: MessageId }
  | { table: "draft"; id: ChatId | null };
export type Change =
  | { kind: "snapshot"; value: Snapshot }
  | { kind: "chat"; value: Chat }
  | { kind: "folder"; value: Folder }
  | { kind: "persona"; value: Persona }
  | { kind: "model"; value: Model }
  | { kind: "job"; value: Job }
  | { kind: "setting"; value: Setting }
  | { kind: "draft"; value: Draft }
  | { kind: "message"; value: Message }
  | { kind: "opened"; value: { chat: ChatId; messages: Array<Message> } }
  | { kind: "text"; value: { message: MessageId; thought: boolean; piece: string } }
  | { kind: "reading"; value: { message: MessageId; done: number; total: number } }
  | { kind: "removed"; value: Key };

// Answers to commands (not rows).
export type ContextUse = {
  system: number;
  history: number;
  draft: number;
  reserve: number;
  total: number;
  over: number;
  memory_starts_at: MessageId | null;
  exact: boolean;
};
export type Inspection = {
  template: string;
  source: string;
  text: string;
  tokens: Array<{ id: number; text: string; special: boolean }>;
  stops: Array<string>;
  tokens_per_100_characters: number;
};
export type SearchHit = {
  chat: ChatId;
  message: MessageId | null;
  title: string;
  snippet: Array<{ text: string; hit: boolean }>;
  created_ms: number;
};
export type Sent = { chat: ChatId; user: MessageId; answer: MessageId };
export type Chosen = { id: number; name: string; bytes: number };
export type Fit = {
  weights: number;
  kv: number;
  scratch: number;
  total: number;
  free: number;
  verdict: "well" | "tight" | "too_large";
  choices: Array<{ context: number; total: number }>;
};
export type NextToken = { id: number; text: string; probability: number };
export type Diagnostics = { version: string; text: string; log_tail: string } & Record<string, JsonValue>;
export type Device = { id: string; name: string; available: boolean; reason: string | null };
