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

/** Sends a command to the program. Rejects with a `Problem`. */
export type Call = (name: string, args: object) => Promise<unknown>;

/** The commands as functions over `call`. */
export const commands = (call: Call) => ({
  newChat: (args: { kind: ChatKind; folder?: FolderId | null; persona?: PersonaId | null; model?: ModelId | null }) => call("new_chat", args) as Promise<Chat>,
  renameChat: (args: { chat: ChatId; title: string }) => call("rename_chat", args) as Promise<null>,
  pinChat: (args: { chat: ChatId; pinned: boolean }) => call("pin_chat", args) as Promise<null>,
  moveChat: (args: { chat: ChatId; folder?: FolderId | null }) => call("move_chat", args) as Promise<null>,
  deleteChat: (args: { chat: ChatId }) => call("delete_chat", args) as Promise<null>,
  restoreChat: (args: { chat: ChatId }) => call("restore_chat", args) as Promise<null>,
  setChat: (args: { chat: ChatId; persona?: PersonaId | null; model?: ModelId | null; system?: string | null; parameters: Parameters }) => call("set_chat", args) as Promise<null>,
  branchChat: (args: { message: MessageId }) => call("branch_chat", args) as Promise<Chat>,
  openChat: (args: { chat: ChatId }) => call("open_chat", args) as Promise<null>,
  closeChat: (args: { chat: ChatId }) => call("close_chat", args) as Promise<null>,
  readMessages: (args: { messages: Array<MessageId> }) => call("read_messages", args) as Promise<null>,
  newFolder: (args: { name: string }) => call("new_folder", args) as Promise<Folder>,
  setFolder: (args: { folder: FolderId; name: string; open: boolean }) => call("set_folder", args) as Promise<null>,
  deleteFolder: (args: { folder: FolderId }) => call("delete_folder", args) as Promise<null>,
  sendMessage: (args: { chat?: ChatId | null; parent?: MessageId | null; text: string; attachments: Array<Attachment>; begin: string }) => call("send_message", args) as Promise<Sent>,
  regenerate: (args: { message: MessageId; model?: ModelId | null; parameters?: Parameters | null; begin: string }) => call("regenerate", args) as Promise<MessageId>,
  runAgain: (args: { message: MessageId }) => call("run_again", args) as Promise<MessageId>,
  continueMessage: (args: { message: MessageId }) => call("continue_message", args) as Promise<null>,
  stopMessage: (args: { message: MessageId }) => call("stop_message", args) as Promise<null>,
  editMessage: (args: { message: MessageId; text: string; attachments: Array<Attachment>; answer: boolean }) => call("edit_message", args) as Promise<MessageId>,
  chooseLeaf: (args: { chat: ChatId; message: MessageId }) => call("choose_leaf", args) as Promise<null>,
  deleteMessage: (args: { message: MessageId }) => call("delete_message", args) as Promise<null>,
  restoreMessage: (args: { message: MessageId }) => call("restore_message", args) as Promise<null>,
  saveDraft: (args: { chat?: ChatId | null; text: string; attachments: Array<Attachment> }) => call("save_draft", args) as Promise<null>,
  continuePage: (args: { chat: ChatId; text: string }) => call("continue_page", args) as Promise<MessageId>,
  nextTokens: (args: { chat: ChatId; text: string; count: number }) => call("next_tokens", args) as Promise<Array<NextToken>>,
  readAttachment: (args: { chat?: ChatId | null; name: string; base64: string }) => call("read_attachment", args) as Promise<Attachment>,
  context: (args: { chat?: ChatId | null; text: string; attachments: Array<Attachment> }) => call("context", args) as Promise<ContextUse>,
  inspectPrompt: (args: { chat?: ChatId | null; text: string }) => call("inspect_prompt", args) as Promise<Inspection>,
  search: (args: { text: string; limit: number }) => call("search", args) as Promise<Array<SearchHit>>,
  savePersona: (args: { persona?: PersonaId | null; name: string; system: string; parameters: Parameters; greeting: string; examples: Array<Example> }) => call("save_persona", args) as Promise<Persona>,
  deletePersona: (args: { persona: PersonaId }) => call("delete_persona", args) as Promise<null>,
  restorePersona: (args: { persona: PersonaId }) => call("restore_persona", args) as Promise<null>,
  importCharacter: (args: { name: string; base64: string }) => call("import_character", args) as Promise<Persona>,
  importModel: (args: { chosen: number; copy: boolean }) => call("import_model", args) as Promise<JobId>,
  scanModels: () => call("scan_models", {}) as Promise<{ added: number; problems: Problem[] }>,
  loadModel: (args: { model: ModelId; context?: number | null; anyway: boolean }) => call("load_model", args) as Promise<JobId>,
  unloadModel: (args: { model: ModelId }) => call("unload_model", args) as Promise<null>,
  estimate: (args: { model: ModelId; context?: number | null }) => call("estimate", args) as Promise<Fit>,
  renameModel: (args: { model: ModelId; name: string }) => call("rename_model", args) as Promise<null>,
  setModel: (args: { model: ModelId; template?: string | null; parameters: Parameters }) => call("set_model", args) as Promise<null>,
  templates: (args: { model: ModelId }) => call("templates", args) as Promise<Array<string>>,
  removeModel: (args: { model: ModelId }) => call("remove_model", args) as Promise<null>,
  restoreModel: (args: { model: ModelId }) => call("restore_model", args) as Promise<null>,
  locateModel: (args: { model: ModelId; chosen: number }) => call("locate_model", args) as Promise<null>,
  stopJob: (args: { job: JobId }) => call("stop_job", args) as Promise<null>,
  retryJob: (args: { job: JobId }) => call("retry_job", args) as Promise<JobId>,
  dismissJob: (args: { job: JobId }) => call("dismiss_job", args) as Promise<null>,
  setSetting: (args: { key: string; value: JsonValue }) => call("set_setting", args) as Promise<null>,
  defaults: () => call("defaults", {}) as Promise<{ parameters: Parameters; system: string }>,
  diagnostics: () => call("diagnostics", {}) as Promise<Diagnostics>,
  devices: () => call("devices", {}) as Promise<Array<Device>>,
  exportChats: (args: { chats?: Array<ChatId> | null; format: "json" | "markdown"; chosen: number }) => call("export_chats", args) as Promise<null>,
  exportText: (args: { chat: ChatId; format: "json" | "markdown" }) => call("export_text", args) as Promise<string>,
  importChats: (args: { name: string; base64: string }) => call("import_chats", args) as Promise<{ chats: number; messages: number; skipped: Problem[] }>,
});
