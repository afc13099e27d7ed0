//! The wire types and the commands, as crates/app declares them. Written by `cargo xtask types`; do not edit.

/**
 * A text file that was placed whole in the prompt.
 */
export type Attachment = { name: string, 
/**
 * The encoding it was read in (WHATWG name), "UTF-8" most often.
 */
encoding: string, text: string, tokens: number, };

export type Body = { text: string, 
/**
 * The thought span of a thinking model, without its marks. Not copied, searched or sent back by default.
 */
thought: string, thought_tokens: number, thought_ms: number, attachments: Array<Attachment>, };

/**
 * One step of the mirror. A row replaces the row of its id.
 */
export type Change = { "kind": "snapshot", "value": Snapshot } | { "kind": "chat", "value": Chat } | { "kind": "folder", "value": Folder } | { "kind": "persona", "value": Persona } | { "kind": "model", "value": Model } | { "kind": "job", "value": Job } | { "kind": "setting", "value": Setting } | { "kind": "draft", "value": Draft } | { "kind": "message", "value": Message } | { "kind": "opened", "value": { chat: ChatId, messages: Array<Message>, } } | { "kind": "text", "value": { message: MessageId, thought: boolean, piece: string, } } | { "kind": "reading", "value": { message: MessageId, done: number, total: number, } } | { "kind": "removed", "value": Key };

export type Chat = { id: ChatId, kind: ChatKind, 
/**
 * As the person named it; empty: shown as `heading`.
 */
title: string, 
/**
 * The first words of the first message.
 */
heading: string, folder: FolderId | null, pinned: boolean, persona: PersonaId | null, 
/**
 * `None`: the default model.
 */
model: ModelId | null, 
/**
 * This chat's own system prompt; `None`: the persona's, else the default.
 */
system: string | null, 
/**
 * This chat's own layer.
 */
parameters: Parameters, 
/**
 * The end of the path that is shown.
 */
leaf: MessageId | null, created_ms: number, 
/**
 * When its last message came or it was changed: the list's order.
 */
changed_ms: number, };

/**
 * A row of `chats`.
 */
export type ChatId = number;

export type ChatKind = "chat" | "page";

/**
 * A chosen file or folder.
 */
export type Chosen = { id: number, 
/**
 * The file's name, without its folder.
 */
name: string, 
/**
 * Its size; 0 for one that is yet to be written and for a folder.
 */
bytes: number, };

/**
 * In tokens. `system + history + draft + reserve` is at most `total` unless `over` is above 0.
 */
export type ContextUse = { system: number, 
/**
 * What of the history will be sent.
 */
history: number, 
/**
 * The text and its attachments.
 */
draft: number, 
/**
 * Set aside for the reply.
 */
reserve: number, total: number, 
/**
 * By how much even the newest message alone does not fit.
 */
over: number, 
/**
 * The oldest message that the model will see; absent: all of them.
 */
memory_starts_at: MessageId | null, 
/**
 * Counted by the model's tokenizer; else estimated, because the model has not been opened yet.
 */
exact: boolean, };

/**
 * What holds where no layer says otherwise.
 */
export type Defaults = { parameters: Parameters, system_prompt: string, };

/**
 * A processor, as the setting `device` names it.
 */
export type Device = { 
/**
 * "cpu", "cuda:0", "metal".
 */
id: string, name: string, available: boolean, 
/**
 * Why not, in English.
 */
reason: string | null, };

/**
 * No message text, no secrets.
 */
export type Diagnostics = { version: string, system: string, processor: string, cores: number, memory_bytes: number, memory_free_bytes: number, devices: Array<Device>, 
/**
 * The data folder.
 */
home: string, models: string, log: string, 
/**
 * The last lines of the log.
 */
log_tail: string, 
/**
 * All of it, to copy.
 */
text: string, };

export type Draft = { 
/**
 * `None`: the chat that does not exist yet.
 */
chat: ChatId | null, text: string, attachments: Array<Attachment>, };

export type Example = { user: string, assistant: string, };

export type Finish = "end" | "stop_text" | "length" | "context" | "stopped";

/**
 * What a model would need in memory, in bytes, compared with what is free.
 */
export type Fit = { context: number, weights: number, kv: number, scratch: number, total: number, 
/**
 * What would be free once the model in memory now is gone.
 */
free: number, verdict: Verdict, 
/**
 * Shorter contexts that fit, the longest first.
 */
choices: Array<FitChoice>, };

export type FitChoice = { context: number, total: number, };

export type Folder = { id: FolderId, name: string, open: boolean, };

/**
 * A row of `folders`.
 */
export type FolderId = number;

/**
 * The form of an export.
 */
export type Format = "json" | "markdown";

export type Found = { chat: ChatId, 
/**
 * `None`: the title.
 */
message: MessageId | null, 
/**
 * The chat's, as shown.
 */
title: string, snippet: Array<SnippetPart>, created_ms: number, };

/**
 * What an import brought.
 */
export type Imported = { chats: number, messages: number, 
/**
 * Parts that could not be read; the rest came in.
 */
skipped: Array<Problem>, };

export type InspectedToken = { id: number, text: string, 
/**
 * A control token, which no typed text can become.
 */
special: boolean, };

/**
 * The prompt as the model would see it.
 */
export type Inspection = { 
/**
 * The template's name, and where it came from.
 */
template: string, source: string, text: string, tokens: Array<InspectedToken>, 
/**
 * What ends an answer: stop tokens and texts.
 */
stops: Array<string>, 
/**
 * Of the person's and the model's own words, without the template's marks.
 */
tokens_per_100_characters: number, };

export type Job = { id: JobId, 
/**
 * What to do, whole: `app::Task` as JSON (`{"kind": "load", …}`).
 */
task: JsonValue, state: JobState, 
/**
 * Place in the queue.
 */
position: number, 
/**
 * Bytes or steps; `total` 0 while unknown.
 */
done: number, total: number, error: Problem | null, 
/**
 * What came out, as JSON, when `Done`.
 */
outcome: JsonValue | null, created_ms: number, finished_ms: number | null, };

/**
 * A row of `jobs`.
 */
export type JobId = number;

export type JobState = "waiting" | "running" | "done" | "failed" | "stopped" | "interrupted";

export type JsonValue = number | string | boolean | Array<JsonValue> | { [key in string]: JsonValue } | null;

/**
 * A row that is gone from the mirror (deleted rows wait for their undo unseen).
 */
export type Key = { "table": "chat", "id": ChatId } | { "table": "folder", "id": FolderId } | { "table": "persona", "id": PersonaId } | { "table": "model", "id": ModelId } | { "table": "job", "id": JobId } | { "table": "message", "id": MessageId } | { "table": "draft", "id": ChatId | null };

/**
 * Everything that made an answer, so that it can be made again exactly.
 */
export type Made = { model: ModelId, model_name: string, model_sha256: string | null, template: string, system: string, 
/**
 * Every value filled, the seed too.
 */
parameters: Parameters, 
/**
 * Path or name and strength of each adapter.
 */
adapters: Array<[string, number]>, 
/**
 * The words the reply was made to begin with; they are part of the text.
 */
begin: string, backend: string, version: string, };

export type Message = { id: MessageId, chat: ChatId, parent: MessageId | null, role: Role, state: MessageState, error: Problem | null, 
/**
 * What made it; answers only.
 */
made: Made | null, stats: Stats | null, created_ms: number, 
/**
 * Left out (`None`) for messages off the visible path until they are asked for.
 */
body: Body | null, };

/**
 * A row of `messages`.
 */
export type MessageId = number;

export type MessageState = "done" | "writing" | "stopped" | "interrupted" | "failed";

export type Model = { id: ModelId, name: string, 
/**
 * Shown to the person; commands take ids.
 */
path: string, 
/**
 * It came with the program.
 */
bundled: boolean, kind: ModelKind, state: ModelState, 
/**
 * "llama", "qwen2", …
 */
architecture: string, 
/**
 * "Q4_K_M", "F16", …
 */
quantization: string, file_bytes: number, parameter_count: number, 
/**
 * What it was made for, in tokens.
 */
context_tokens: number, sha256: string | null, 
/**
 * Name of the template in use and where it came from: "built in", "file", "set by you".
 */
template: string, template_source: string, 
/**
 * The model knows a thinking switch.
 */
thinks: boolean, 
/**
 * Default parameters for this model, under the persona's.
 */
parameters: Parameters, 
/**
 * The process that holds it in memory, and where it runs ("CPU", "CUDA", "Metal").
 */
loaded_by: string | null, device: string | null, added_ms: number, used_ms: number | null, };

/**
 * A row of `models`.
 */
export type ModelId = number;

export type ModelKind = "base" | "chat";

export type ModelState = "ready" | "missing" | "changed";

/**
 * A token that could come next.
 */
export type NextToken = { id: number, text: string, probability: number, };

/**
 * What came out of a job.
 */
export type Outcome = { "kind": "loaded", model: ModelId, } | { "kind": "imported", model: ModelId, } | { "kind": "hashed", model: ModelId, sha256: string, };

/**
 * One layer of parameters. `None` means that the layer below decides: chat over persona over the person's defaults over the program's.
 */
export type Parameters = { 
/**
 * 0 is greedy.
 */
temperature: number | null, 
/**
 * 0 keeps all.
 */
top_k: number | null, 
/**
 * 1 keeps all.
 */
top_p: number | null, 
/**
 * 0 keeps all.
 */
min_p: number | null, 
/**
 * 1 changes nothing.
 */
repetition_penalty: number | null, 
/**
 * How many of the last tokens the three penalties look at.
 */
penalty_window: number | null, frequency_penalty: number | null, presence_penalty: number | null, 
/**
 * 0 switches DRY off.
 */
dry_multiplier: number | null, dry_base: number | null, dry_allowed_length: number | null, 
/**
 * 0 switches XTC off.
 */
xtc_probability: number | null, xtc_threshold: number | null, 
/**
 * Token id and what is added to its logit.
 */
logit_bias: Array<[number, number]> | null, 
/**
 * The same seed gives the same text. `None` in every layer: drawn anew for each answer, and kept in `Made`.
 */
seed: number | null, 
/**
 * New tokens at most; also what is set aside of the context for the reply.
 */
tokens_max: number | null, 
/**
 * Texts that end the answer; they are not part of it.
 */
stop: Array<string> | null, 
/**
 * Classifier-free guidance; active above 1.
 */
guidance: number | null, 
/**
 * System prompt of the negative branch of guidance.
 */
negative_prompt: string | null, 
/**
 * Context length in tokens; `None` in every layer: what the model was made for, as far as memory allows.
 */
context: number | null, 
/**
 * The template's `enable_thinking`.
 */
thinking: boolean | null, };

export type Persona = { id: PersonaId, name: string, system: string, parameters: Parameters, 
/**
 * Shown (and sent) as the model's first message; may be empty.
 */
greeting: string, 
/**
 * Turns placed before the conversation.
 */
examples: Array<Example>, };

/**
 * A row of `personas`.
 */
export type PersonaId = number;

/**
 * The faces hold a sentence and a mend for every `code`, filled with `values`. `detail` (English) is for logs, the command line and the API.
 */
export type Problem = { code: string, values: { [key in string]: string }, detail: string, };

export type Role = "user" | "assistant";

/**
 * What was found in the models folder.
 */
export type Scan = { 
/**
 * How many models are new in the list.
 */
added: number, 
/**
 * Files that are no sound models.
 */
problems: Array<Problem>, };

/**
 * The rows that sending made.
 */
export type Sent = { chat: ChatId, user: MessageId, answer: MessageId, };

export type Setting = { key: string, 
/**
 * JSON null: back to the default.
 */
value: JsonValue, };

/**
 * What a face may show in the system's file manager.
 */
export type Shown = { "model": ModelId } | "home" | "models" | "log";

/**
 * The state before the first change. Messages are mirrored for open chats only.
 */
export type Snapshot = { chats: Array<Chat>, folders: Array<Folder>, personas: Array<Persona>, models: Array<Model>, jobs: Array<Job>, settings: Array<Setting>, drafts: Array<Draft>, };

/**
 * Text, never markup; `hit` parts are what was searched for.
 */
export type SnippetPart = { text: string, hit: boolean, };

export type Stats = { prompt_tokens: number, 
/**
 * Of these, how many were in the cache already.
 */
reused_tokens: number, 
/**
 * New tokens, thoughts included.
 */
tokens: number, first_token_ms: number, 
/**
 * From the first new token to the last.
 */
tokens_per_second: number, finish: Finish, 
/**
 * How many of the oldest turns were left out of the prompt, and the first message that the model saw.
 */
turns_dropped: number, memory_starts_at: MessageId | null, };

/**
 * What a job does, whole: stored as JSON in its row. Retry and restart run the stored task again.
 */
export type Task = { "kind": "load", model: ModelId, name: string, context: number | null, anyway: boolean, } | { "kind": "import", name: string, path: string, copy: boolean, } | { "kind": "hash", model: ModelId, name: string, };

export type Verdict = "well" | "tight" | "too_large";

/** Sends a command to the program. Rejects with a `Problem`. */
export type Call = (name: string, args: object) => Promise<unknown>;

/** The commands as functions over `call`. */
export const commands = (call: Call) => ({
  /** A new, empty chat or page. */
  newChat: (args: { kind: ChatKind; folder?: FolderId | null; persona?: PersonaId | null; model?: ModelId | null }) => call("new_chat", args) as Promise<Chat>,
  /** Renames a chat. An empty title goes back to the first message's words. */
  renameChat: (args: { chat: ChatId; title: string }) => call("rename_chat", args) as Promise<null>,
  /** Pins a chat to the top of the list, or lets it go. */
  pinChat: (args: { chat: ChatId; pinned: boolean }) => call("pin_chat", args) as Promise<null>,
  /** Puts a chat into a folder, or out of any. */
  moveChat: (args: { chat: ChatId; folder?: FolderId | null }) => call("move_chat", args) as Promise<null>,
  /** Deletes a chat; its answers stop. `restore_chat` undoes it. */
  deleteChat: (args: { chat: ChatId }) => call("delete_chat", args) as Promise<null>,
  /** Undoes `delete_chat`. */
  restoreChat: (args: { chat: ChatId }) => call("restore_chat", args) as Promise<null>,
  /** What a chat answers with; these are the whole new values, an absent one goes back to the layer below. */
  setChat: (args: { chat: ChatId; persona?: PersonaId | null; model?: ModelId | null; system?: string | null; parameters: Parameters }) => call("set_chat", args) as Promise<null>,
  /** A new chat that holds a copy of the path up to this message. */
  branchChat: (args: { message: MessageId }) => call("branch_chat", args) as Promise<Chat>,
  /** Asks for a chat's messages: they come as the change `opened`, and its changes from then on. */
  openChat: (args: { chat: ChatId }) => call("open_chat", args) as Promise<null>,
  /** The face no longer shows this chat. */
  closeChat: (args: { chat: ChatId }) => call("close_chat", args) as Promise<null>,
  /** Asks for the bodies of messages off the visible path: they come as changes `message`. */
  readMessages: (args: { messages: Array<MessageId> }) => call("read_messages", args) as Promise<null>,
  /** A new folder. */
  newFolder: (args: { name: string }) => call("new_folder", args) as Promise<Folder>,
  /** Renames, opens or folds a folder. */
  setFolder: (args: { folder: FolderId; name: string; open: boolean }) => call("set_folder", args) as Promise<null>,
  /** Deletes a folder; its chats move out of it. */
  deleteFolder: (args: { folder: FolderId }) => call("delete_folder", args) as Promise<null>,
  /** Sends a message below `parent` (absent: below the chat's leaf) and has it answered. Without a chat it makes one. The answer begins with the words of `begin`. */
  sendMessage: (args: { chat?: ChatId | null; parent?: MessageId | null; text: string; attachments: Array<Attachment>; begin: string }) => call("send_message", args) as Promise<Sent>,
  /** Another answer to the same message, as a sibling; with another model or other parameters, if given. */
  regenerate: (args: { message: MessageId; model?: ModelId | null; parameters?: Parameters | null; begin: string }) => call("regenerate", args) as Promise<MessageId>,
  /** The same answer again, as a sibling: with the model, template, values and seed that made it. */
  runAgain: (args: { message: MessageId }) => call("run_again", args) as Promise<MessageId>,
  /** Goes on with an answer that was stopped, interrupted or cut at its length. */
  continueMessage: (args: { message: MessageId }) => call("continue_message", args) as Promise<null>,
  /** Stops an answer that is being written; what is there is kept. */
  stopMessage: (args: { message: MessageId }) => call("stop_message", args) as Promise<null>,
  /** A changed copy of a message, as a sibling. `answer`: have it answered (a person's message). */
  editMessage: (args: { message: MessageId; text: string; attachments: Array<Attachment>; answer: boolean }) => call("edit_message", args) as Promise<MessageId>,
  /** Shows the path through this message, down to the leaf that was chosen last below it. */
  chooseLeaf: (args: { chat: ChatId; message: MessageId }) => call("choose_leaf", args) as Promise<null>,
  /** Deletes a message with everything below it. `restore_message` undoes it. */
  deleteMessage: (args: { message: MessageId }) => call("delete_message", args) as Promise<null>,
  /** Undoes `delete_message`. */
  restoreMessage: (args: { message: MessageId }) => call("restore_message", args) as Promise<null>,
  /** Keeps what was typed and not sent. */
  saveDraft: (args: { chat?: ChatId | null; text: string; attachments: Array<Attachment> }) => call("save_draft", args) as Promise<null>,
  /** Has the text of a page continued. A text other than the page's path starts a new root. */
  continuePage: (args: { chat: ChatId; text: string }) => call("continue_page", args) as Promise<MessageId>,
  /** The likeliest next tokens after this text, with their probabilities. */
  nextTokens: (args: { chat: ChatId; text: string; count: number }) => call("next_tokens", args) as Promise<Array<NextToken>>,
  /** Reads a text file: its encoding is found, its tokens counted with the chat's model. */
  readAttachment: (args: { chat?: ChatId | null; name: string; base64: string }) => call("read_attachment", args) as Promise<Attachment>,
  /** Reads a text file that was dropped on the window, as `read_attachment` does. */
  readDropped: (args: { chat?: ChatId | null; chosen: number }) => call("read_dropped", args) as Promise<Attachment>,
  /** How the context would be used if this were sent now. */
  context: (args: { chat?: ChatId | null; text: string; attachments: Array<Attachment> }) => call("context", args) as Promise<ContextUse>,
  /** The prompt as the model would see it, token by token. */
  inspectPrompt: (args: { chat?: ChatId | null; text: string }) => call("inspect_prompt", args) as Promise<Inspection>,
  /** Finds chats and messages by their words. */
  search: (args: { text: string; limit: number }) => call("search", args) as Promise<Array<Found>>,
  /** Makes a persona, or gives one new values. */
  savePersona: (args: { persona?: PersonaId | null; name: string; system: string; parameters: Parameters; greeting: string; examples: Array<Example> }) => call("save_persona", args) as Promise<Persona>,
  /** Deletes a persona. `restore_persona` undoes it. */
  deletePersona: (args: { persona: PersonaId }) => call("delete_persona", args) as Promise<null>,
  /** Undoes `delete_persona`. */
  restorePersona: (args: { persona: PersonaId }) => call("restore_persona", args) as Promise<null>,
  /** Makes a persona of a character card (JSON, or PNG with the card inside). */
  importCharacter: (args: { name: string; base64: string }) => call("import_character", args) as Promise<Persona>,
  /** Takes a model file into the list: in its place, or copied into the models folder. */
  importModel: (args: { chosen: number; copy: boolean }) => call("import_model", args) as Promise<JobId>,
  /** Looks through the models folder for files that are not in the list. */
  scanModels: () => call("scan_models", {}) as Promise<Scan>,
  /** Brings a model into memory. `anyway`: although it may not fit. */
  loadModel: (args: { model: ModelId; context?: number | null; anyway: boolean }) => call("load_model", args) as Promise<JobId>,
  /** Takes a model out of memory; answers that it writes stop. */
  unloadModel: (args: { model: ModelId }) => call("unload_model", args) as Promise<null>,
  /** What a model would need in memory, compared with what is free. */
  estimate: (args: { model: ModelId; context?: number | null }) => call("estimate", args) as Promise<Fit>,
  /** Gives a model another name; the file keeps its own. */
  renameModel: (args: { model: ModelId; name: string }) => call("rename_model", args) as Promise<null>,
  /** Sets a model's template (absent: the one found) and its own parameters. */
  setModel: (args: { model: ModelId; template?: string | null; parameters: Parameters }) => call("set_model", args) as Promise<null>,
  /** The names of the templates that a model can be set to. */
  templates: (args: { model: ModelId }) => call("templates", args) as Promise<Array<string>>,
  /** Takes a model out of the list; the file stays. `restore_model` undoes it. */
  removeModel: (args: { model: ModelId }) => call("remove_model", args) as Promise<null>,
  /** Undoes `remove_model`. */
  restoreModel: (args: { model: ModelId }) => call("restore_model", args) as Promise<null>,
  /** Says where the file of a model is now. */
  locateModel: (args: { model: ModelId; chosen: number }) => call("locate_model", args) as Promise<null>,
  /** Stops a job. */
  stopJob: (args: { job: JobId }) => call("stop_job", args) as Promise<null>,
  /** Runs a job again that failed, was stopped or was interrupted. */
  retryJob: (args: { job: JobId }) => call("retry_job", args) as Promise<JobId>,
  /** Takes a finished job out of the list. */
  dismissJob: (args: { job: JobId }) => call("dismiss_job", args) as Promise<null>,
  /** Sets a setting; null goes back to the default. */
  setSetting: (args: { key: string; value: JsonValue }) => call("set_setting", args) as Promise<null>,
  /** The program's own defaults, every value filled where there is one. */
  defaults: () => call("defaults", {}) as Promise<Defaults>,
  /** What to copy into a report: version, hardware, places, the end of the log. */
  diagnostics: () => call("diagnostics", {}) as Promise<Diagnostics>,
  /** Where models can run, and why not elsewhere. */
  devices: () => call("devices", {}) as Promise<Array<Device>>,
  /** Writes chats (absent: all) into the chosen file. */
  exportChats: (args: { chats?: Array<ChatId> | null; format: Format; chosen: number }) => call("export_chats", args) as Promise<null>,
  /** One chat as text, to copy. */
  exportText: (args: { chat: ChatId; format: Format }) => call("export_text", args) as Promise<string>,
  /** Takes chats in: this program's JSON, or ChatGPT's `conversations.json`. */
  importChats: (args: { name: string; base64: string }) => call("import_chats", args) as Promise<Imported>,
});

export type Commands = ReturnType<typeof commands>;

/** Every code that a `Problem` can have, with the values that its sentence may use. */
export const CODE_VALUES = {
  /** A face asked for a command that there is not. A fault of the program. */
  unknown_command: ["command"],
  /** A face sent arguments that the command does not take. A fault of the program. */
  wrong_arguments: ["command", "reason"],
  /** The row is gone: deleted, or never there. */
  gone: ["table", "id"],
  /** The row cannot be used in this way. */
  unfit: ["reason"],
  /** There is no model to answer with. */
  no_model: [],
  /** The model's file is not where it was. */
  model_missing: ["model", "path"],
  /** The file is not a sound model file. */
  model_broken: ["model", "reason"],
  /** The architecture is not one that this version runs. */
  model_unsupported: ["model", "architecture"],
  /** The model does not fit into the free memory. Sizes in bytes. */
  memory_short: ["model", "needed", "free"],
  /** The template failed on this conversation. */
  template_failed: ["model", "reason"],
  /** There is no template of this name. */
  template_unknown: ["template"],
  /** A base model continues text and has no template: it cannot chat. */
  model_is_base: ["model"],
  /** The prompt does not fit into the context, by so many tokens. */
  prompt_too_long: ["over", "context"],
  /** The answer broke off: the engine could not go on. */
  engine_failed: ["reason"],
  /** An answer is being written at this place of the chat. */
  already_writing: [],
  /** The message is of the wrong kind for what was asked (only answers can be regenerated, continued, run again). */
  not_an_answer: [],
  /** The message holds nothing and nothing is attached. */
  message_empty: [],
  /** The answer cannot be made again exactly: what made it is not known or no longer there. */
  cannot_run_again: ["reason"],
  /** A parameter is out of its range. */
  parameter_invalid: ["parameter", "value", "least", "most"],
  /** The text is longer than this program takes. In characters. */
  text_too_long: ["length", "most"],
  /** The file is larger than can be attached. In bytes. */
  attachment_too_large: ["name", "bytes", "most"],
  /** The file holds no text. */
  attachment_binary: ["name"],
  /** The attached files and the message do not fit into the model's context, by so many tokens. */
  attachment_over: ["name", "over", "context"],
  /** The file that was chosen is no longer known; choose it again. */
  chosen_gone: [],
  /** The path cannot be written as Unicode, so it cannot be kept. */
  path_not_unicode: ["path"],
  /** A file could not be read. */
  file_unreadable: ["path", "reason"],
  /** A file could not be written. */
  file_unwritable: ["path", "reason"],
  /** The disk has no room for it. */
  disk_full: ["path"],
  /** There is a model of this name in the models folder already. */
  file_exists: ["path"],
  /** The file that was to be imported is not of a kind that is known, or is damaged. */
  import_broken: ["name", "reason"],
  /** The file holds no character card. */
  character_broken: ["name", "reason"],
  /** The job is not one that can be run again. */
  cannot_retry: [],
  /** The process that ran it ended. */
  interrupted: [],
  /** The person stopped it. */
  stopped: [],
  /** The program is being closed. */
  closing: [],
  /** The database was damaged; it was set aside and the newest sound backup was opened. */
  database_damaged: ["aside", "backup"],
  /** The database was written by a newer version of the program. */
  database_newer: ["path"],
  /** The database could not be read or written. */
  database_failed: ["reason"],
  /** The data folder cannot be used. */
  place_unusable: ["path", "reason"],
  /** Only addresses of the web are opened. */
  link_refused: ["address"],
  /** The system could not do something for us (open the file manager, a dialog). */
  system_failed: ["attempt", "reason"],
  /** A fault of the program. */
  internal: ["reason"],
} as const;

export type Code = keyof typeof CODE_VALUES;

export const CODES = Object.keys(CODE_VALUES) as Code[];
