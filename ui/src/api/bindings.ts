//! The wire types and the commands, as crates/app declares them. Written by `cargo xtask types`; do not edit.

export type Accuracy = { correct: number, total: number, };

/**
 * What a LoRA adapter says of itself.
 */
export type Adapter = { 
/**
 * The model that it was trained on, as its author named it.
 */
base: string, rank: number, };

/**
 * A form that an answer is held to; sources stand as they were typed. A thought before the answer is free.
 */
export type AnswerFormat = { "kind": "free" } | { "kind": "json_object" } | { "kind": "json_schema", "source": string } | { "kind": "lark", "source": string } | { "kind": "regex", "source": string };

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
 * The format of a group of tensors, set by hand.
 */
export type ByHand = { 
/**
 * As GGUF files name it: "attn_q", "ffn_down", "token_embd", …
 */
group: string, 
/**
 * "Q8_0", "Q6_K", …
 */
format: string, };

/**
 * On the wire it is the catalogue.
 */
export type Catalogue = { entries: Array<Entry>, 
/**
 * What to begin with on this machine; absent where nothing would run well.
 */
recommended: Recommendation | null, };

/**
 * One step of the mirror. A row replaces the row of its id.
 */
export type Change = { "kind": "snapshot", "value": Snapshot } | { "kind": "chat", "value": Chat } | { "kind": "folder", "value": Folder } | { "kind": "persona", "value": Persona } | { "kind": "model", "value": Model } | { "kind": "job", "value": Job } | { "kind": "report", "value": Report } | { "kind": "request", "value": Request } | { "kind": "setting", "value": Setting } | { "kind": "draft", "value": Draft } | { "kind": "message", "value": Message } | { "kind": "opened", "value": { chat: ChatId, messages: Array<Message>, } } | { "kind": "text", "value": { message: MessageId, thought: boolean, piece: string, } } | { "kind": "reading", "value": { message: MessageId, done: number, total: number, } } | { "kind": "removed", "value": Key };

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
 * Adapters that its answers are made with, in their order.
 */
adapters: Array<Strength>, 
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

export type ChoiceKind = "gguf" | "folder" | "lora";

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
 * What there is to choose from on this machine.
 */
export type ComputeChoices = { 
/**
 * Names of the instruction sets that its processor has, the best first.
 */
kernels: Array<string>, 
/**
 * Without hyper-threads: as many threads as are used where nothing says otherwise.
 */
cores: number, threads_max: number, now: ComputingNow, };

/**
 * How the window's model is computed; without one, how the next would be that was not measured.
 */
export type ComputingNow = { 
/**
 * The name of the model in memory.
 */
model: string | null, 
/**
 * "native", "gpu", "candle".
 */
backend: string, backend_why: Why, 
/**
 * The instruction set, of the native back end only: "avx2", "neon", …
 */
kernels: string | null, kernels_why: Why, 
/**
 * What the environment names instead, where this machine has no such set.
 */
kernels_ignored: string | null, 
/**
 * Of the native back end only.
 */
threads: number | null, threads_why: Why, 
/**
 * What the environment asks for, granted or not, and why no graphics card computes where one could; in English.
 */
reason: string | null, };

export type Connection = { at_ms: number, 
/**
 * With its port where that is not the usual one.
 */
host: string, 
/**
 * "search", "repository", "card", "header", "file" or "test".
 */
purpose: string, 
/**
 * What the host answered; absent where it did not.
 */
status: number | null, 
/**
 * Received.
 */
bytes: number, 
/**
 * Why there was no answer, in English.
 */
problem: string | null, 
/**
 * Not made: the program is offline.
 */
made: boolean, };

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
 * What deleting a model would do.
 */
export type Deletion = { files: Array<string>, bytes: number, 
/**
 * The files are the program's: they go. Else the model is only taken off the list.
 */
frees: boolean, used_by_chats: number, };

/**
 * A processor or a graphics card, as the setting `device` names it.
 */
export type Device = { 
/**
 * "cpu", "gpu:vulkan NVIDIA GeForce RTX 3060", "cuda:0", "metal".
 */
id: string, name: string, 
/**
 * Its driver and what it offers, in English; empty where there is nothing to tell.
 */
detail: string, available: boolean, 
/**
 * Not available because of what was found out about its driver: it can be tried again.
 */
refused: boolean, 
/**
 * Why not, in English.
 */
reason: string | null, };

/**
 * No message text, no secrets.
 */
export type Diagnostics = { version: string, system: string, processor: string, cores: number, memory_bytes: number, memory_free_bytes: number, devices: Array<Device>, 
/**
 * Names of the instruction sets that models can be computed with, the best first.
 */
instruction_sets: Array<string>, computing: ComputingNow, 
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

/**
 * How an endpoint speaks.
 */
export type Dialect = "hugging_face" | "model_scope";

/**
 * What lies in the storage folder, in bytes.
 */
export type DiskUse = { folder: string, models_bytes: number, 
/**
 * Unfinished downloads and copies.
 */
partial_bytes: number, 
/**
 * Deleted models that can still be brought back.
 */
deleted_bytes: number, 
/**
 * Of the disk that the folder is on.
 */
free_bytes: number, total_bytes: number, largest: Array<Largest>, };

/**
 * How far a model's predictions are from the ones that it is compared with.
 */
export type Divergence = { 
/**
 * Mean Kullback-Leibler divergence, in nats.
 */
mean: number, 
/**
 * How often both find the same token the likeliest: 0 to 1.
 */
top_agreement: number, };

export type Draft = { 
/**
 * `None`: the chat that does not exist yet.
 */
chat: ChatId | null, text: string, attachments: Array<Attachment>, };

/**
 * A model of another program.
 */
export type Elsewhere = { program: Program, name: string, 
/**
 * Empty where the name does not say it.
 */
quantization: string, bytes: number, 
/**
 * For `import_model`.
 */
chosen: number, 
/**
 * The model in the list that it is.
 */
here: ModelId | null, };

/**
 * An endpoint as it stands in the settings.
 */
export type EndpointRow = { name: string, url: string, dialect: Dialect, 
/**
 * `HF_ENDPOINT` names it.
 */
from_environment: boolean, token: TokenPlace, };

export type Entry = { id: string, family: string, name: string, size: string, kind: EntryKind, 
/**
 * "", "16K", "64K", "RLHF", "v3".
 */
variant: string, purpose: Words, context_tokens: number, 
/**
 * "" for a base model, "jinja" for the file's own.
 */
template: string, licence: Licence, 
/**
 * The original weights.
 */
repository: string | null, 
/**
 * The entry that a LoRA is merged into.
 */
base: string | null, 
/**
 * The hub gives the files only to who has agreed to the model's terms.
 */
needs_token: boolean, files: Array<EntryFile>, };

/**
 * A file to choose; `config.json` and `adapter_config.json` stand for their whole folder.
 */
export type EntryFile = { repository: string, path: string, 
/**
 * "Q4_K_M", "Q4_K_M-im" (made with an importance matrix), "F16".
 */
quantization: string, bytes: number, 
/**
 * Whether the size is the hub's own; else it is published or derived.
 */
bytes_exact: boolean, sha256: string | null, 
/**
 * With a context of 4,096 tokens; of a LoRA, the merged model.
 */
memory_bytes: number, verdict: Verdict, 
/**
 * The model of the list that is this file.
 */
here: ModelId | null, };

export type EntryKind = "base" | "chat" | "lora";

/**
 * Multiple choice: C-Eval's or CMMLU's files.
 */
export type Evaluation = { path: string, 
/**
 * Examples before each question: 0 or 5.
 */
shots: number, };

/**
 * Multiple choice from a CSV file or a folder of them that the person chose.
 */
export type EvaluationRequest = { chosen: number, 
/**
 * 0 or 5.
 */
shots: number, };

export type Example = { user: string, assistant: string, };

export type Finish = "end" | "stop_text" | "length" | "context" | "stopped";

/**
 * What a model would need in memory, in bytes, compared with what is free.
 */
export type Fit = { context: number, weights: number, kv: number, scratch: number, 
/**
 * Of the model that guesses ahead, where one is set.
 */
draft: number, total: number, 
/**
 * What would be free once the model in memory now is gone.
 */
free: number, verdict: Verdict, 
/**
 * What would fit, the longest context first; for each the keys and values that lose the least.
 */
choices: Array<FitChoice>, };

export type FitChoice = { context: number, 
/**
 * Where keys and values must be kept in fewer bits than they would be: "q8_0", "q4_0".
 */
kv: string | null, total: number, };

export type Folder = { id: FolderId, name: string, open: boolean, };

/**
 * A file or a folder.
 */
export type FolderEntry = { name: string, folder: boolean, 
/**
 * 0 for a folder.
 */
bytes: number, 
/**
 * When it was last written, in milliseconds since 1970.
 */
modified: number | null, };

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
 * What is known of a model's SHA-256.
 */
export type HashState = "unknown" | "computed" | "verified" | "wrong";

/**
 * Something that becomes one model.
 */
export type HubChoice = { 
/**
 * Stands for it in `download`.
 */
id: string, name: string, kind: ChoiceKind, 
/**
 * Empty where neither name nor header says it.
 */
quantization: string, bytes: number, files: number, 
/**
 * Of a single file, where the hub tells it.
 */
sha256: string | null, memory_bytes: number | null, verdict: Verdict | null, 
/**
 * The model in the list that it is.
 */
here: ModelId | null, 
/**
 * Another program downloaded it: it would be used in its place.
 */
in_cache: boolean, 
/**
 * Bytes that an earlier download left here.
 */
partial: number, 
/**
 * The download that is under way.
 */
job: JobId | null, };

export type HubFormat = "gguf" | "safetensors" | "pytorch" | "lora";

/**
 * A repository that was found by its name.
 */
export type HubHit = { repository: string, downloads: number, likes: number, 
/**
 * As the hub writes it (ISO 8601); empty where it does not say.
 */
updated: string, gated: boolean, formats: Array<HubFormat>, 
/**
 * Which endpoint told of it, by name.
 */
endpoint: string, };

/**
 * Where the importance matrix comes from, as a face asks for it; `chosen` is a file that the person chose.
 */
export type ImportanceFrom = { "kind": "bundled" } | { "kind": "text", chosen: number, } | { "kind": "file", chosen: number, };

/**
 * The same, as a job keeps it.
 */
export type ImportanceSource = { "kind": "bundled" } | { "kind": "text", path: string, } | { "kind": "file", path: string, };

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
 * What it is at while it runs or waits: "connecting", "fetching", "verifying", …
 */
stage: string | null, 
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

export type JobState = "waiting" | "running" | "done" | "failed" | "stopped" | "interrupted" | "paused";

export type JsonValue = number | string | boolean | Array<JsonValue> | { [key in string]: JsonValue } | null;

/**
 * A row that is gone from the mirror (deleted rows wait for their undo unseen).
 */
export type Key = { "table": "chat", "id": ChatId } | { "table": "folder", "id": FolderId } | { "table": "persona", "id": PersonaId } | { "table": "model", "id": ModelId } | { "table": "job", "id": JobId } | { "table": "report", "id": ReportId } | { "table": "request", "id": RequestId } | { "table": "message", "id": MessageId } | { "table": "draft", "id": ChatId | null };

/**
 * A model that takes much room.
 */
export type Largest = { model: ModelId, bytes: number, };

export type Licence = { name: string, url: string, note: Words, };

/**
 * What a listed folder holds.
 */
export type Listing = { 
/**
 * Folders first, then files, each by name.
 */
entries: Array<FolderEntry>, 
/**
 * There is more than is listed.
 */
more: boolean, };

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
begin: string, backend: string, 
/**
 * The model that guessed ahead, by name and SHA-256: with it a seed gives another draw. None in older rows.
 */
draft: MadeDraft | null, version: string, };

/**
 * A model that guessed ahead for another.
 */
export type MadeDraft = { model_name: string, model_sha256: string | null, };

/**
 * What could be made of a model.
 */
export type MakingPlan = { 
/**
 * The most exact first.
 */
schemes: Array<SchemePlan>, 
/**
 * The source is quantized already: what was lost then is not won back, and more is lost.
 */
requantizes: boolean, 
/**
 * Of the disk with the storage folder.
 */
free_bytes: number, 
/**
 * To make one of them, predicted; measuring comes on top.
 */
seconds_per_scheme: number | null, 
/**
 * Why the recommended one is.
 */
reason: Words, 
/**
 * Why nothing can be made.
 */
problems: Array<Problem>, };

/**
 * What is to be measured.
 */
export type MeasureOptions = { perplexity: boolean, 
/**
 * Of the perplexity's windows, in tokens.
 */
context: number, 
/**
 * What is read; `None`: the text that comes with the program.
 */
text: string | null, 
/**
 * Against the source, else the first of the models.
 */
divergence: boolean, speed: boolean, 
/**
 * Answers of every model to the same questions.
 */
samples: boolean, evaluation: Evaluation | null, };

/**
 * What is to be measured, as a face asks for it; see `MeasureOptions`.
 */
export type MeasureRequest = { perplexity: boolean, 
/**
 * 512 or 4096.
 */
context: number, 
/**
 * A text that the person chose; absent: the one that comes with the program.
 */
text: number | null, divergence: boolean, speed: boolean, samples: boolean, evaluation: EvaluationRequest | null, };

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

/**
 * A key of the metadata (GGUF) or of `config.json` and its like.
 */
export type MetadataRow = { key: string, 
/**
 * "UINT32", "STRING", "ARRAY of STRING", …
 */
kind: string, 
/**
 * Shortened.
 */
value: string, 
/**
 * Characters of a text, values of an array, keys of an object; 1 of anything else.
 */
length: number, };

export type Model = { id: ModelId, name: string, 
/**
 * Shown to the person; commands take ids. Of a model of several files the first, or their folder.
 */
path: string, 
/**
 * It came with the program.
 */
bundled: boolean, source: Source, 
/**
 * "Chinese-Alpaca-2", "Qwen3", …; "": not known.
 */
family: string, kind: ModelKind, state: ModelState, 
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
context_tokens: number, 
/**
 * Of a model of several files that of all their bytes, in the order of their names.
 */
sha256: string | null, hash: HashState, 
/**
 * When `hash` was last found out.
 */
checked_ms: number | null, 
/**
 * Its file lies in the storage folder: deleting the model frees it.
 */
in_storage: boolean, 
/**
 * Of a LoRA adapter only.
 */
adapter: Adapter | null, 
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
 * The persona of new chats with this model.
 */
persona: PersonaId | null, 
/**
 * A smaller model with the same vocabulary that guesses ahead for this one.
 */
draft: ModelId | null, 
/**
 * The process that holds it in memory, and where it runs ("CPU", "CUDA", "Metal").
 */
loaded_by: string | null, device: string | null, 
/**
 * Why that is not, or no longer, the graphics card that it could be; in English.
 */
device_reason: string | null, added_ms: number, used_ms: number | null, };

/**
 * A row of `models`.
 */
export type ModelId = number;

/**
 * What a model's files say.
 */
export type ModelInside = { 
/**
 * "GGUF", "safetensors", "PyTorch".
 */
format: string, 
/**
 * Of the format; 0 where it has none.
 */
version: number, metadata: Array<MetadataRow>, tensors: Array<TensorRow>, };

export type ModelKind = "base" | "chat" | "adapter";

export type ModelState = "ready" | "missing" | "changed";

/**
 * What holds for every request.
 */
export type NetworkState = { 
/**
 * Asked in this order.
 */
endpoints: Array<EndpointRow>, 
/**
 * What is in force, to be shown; empty: none.
 */
proxy: string, offline: boolean, };

/**
 * An endpoint as the person sets it.
 */
export type NewEndpoint = { name: string, url: string, dialect: Dialect, };

/**
 * A token that could come next.
 */
export type NextToken = { id: number, text: string, probability: number, };

/**
 * What came out of a job.
 */
export type Outcome = { "kind": "loaded", model: ModelId, } | { "kind": "imported", model: ModelId, } | { "kind": "hashed", model: ModelId, sha256: string, } | { "kind": "recognised" } & Recognised | { "kind": "moved", to: string, } | { "kind": "downloaded", model: ModelId, } | { "kind": "merged", model: ModelId, } | { "kind": "made", models: Array<ModelId>, report: ReportId | null, } | { "kind": "measured", report: ReportId, };

/**
 * What is made: a GGUF file, or a folder as Hugging Face lays it out (merged, not quantized).
 */
export type Output = "gguf" | "folder";

/**
 * A way of computing, and how fast it was.
 */
export type Pace = { 
/**
 * "avx2", "avx512", "neon", …
 */
kernels: string, threads: number, 
/**
 * Rows of a step.
 */
chunk: number, 
/**
 * What keys and values are kept in: "f16", "q8_0", "q4_0".
 */
kv: string, prefill_tokens_per_second: number, decode_tokens_per_second: number, };

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
thinking: boolean | null, 
/**
 * What the answer keeps to.
 */
format: AnswerFormat | null, };

export type Perplexity = { value: number, 
/**
 * One standard error.
 */
error: number, };

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
 * What is to be downloaded, whole: the files of one model.
 */
export type Pick = { 
/**
 * `owner/name`; empty for a direct address.
 */
repository: string, 
/**
 * A commit, where the hub tells one.
 */
revision: string, 
/**
 * The endpoint that told of it, by address.
 */
endpoint: string, kind: ChoiceKind, files: Array<PickFile>, 
/**
 * A direct address, of a single file.
 */
url: string | null, 
/**
 * Where the files go, below the storage folder, with `/` between its parts.
 */
folder: string, 
/**
 * What is listed at the end, below `folder`: the first file, or a folder ("": `folder` itself).
 */
model: string, };

/**
 * A file of it, by its path in the repository.
 */
export type PickFile = { path: string, bytes: number, 
/**
 * Absent where the hub keeps the file itself (small files) or does not say.
 */
sha256: string | null, };

/**
 * The faces hold a sentence and a mend for every `code`, filled with `values`. `detail` (English) is for logs, the command line and the API.
 */
export type Problem = { code: string, values: { [key in string]: string }, detail: string, };

/**
 * A program that keeps models on this machine.
 */
export type Program = "ollama" | "lm_studio" | "jan" | "model_scope" | "hugging_face";

/**
 * How well an endpoint is reached.
 */
export type Reach = { latency_ms: number, bytes_per_second: number | null, };

/**
 * What a file turned out to be.
 */
export type Recognised = { state: Recognition, 
/**
 * Of the model, where it is known; else the file's own.
 */
name: string, 
/**
 * The catalogue's entry.
 */
entry: string | null, bytes: number, 
/**
 * How long the whole file is, where that is known.
 */
expected: number | null, 
/**
 * For `import_model`.
 */
chosen: number, };

export type Recognition = "complete" | "truncated" | "unknown";

export type Recommendation = { 
/**
 * Id of the entry.
 */
entry: string, 
/**
 * Path of its file.
 */
file: string, reason: Words, memory_bytes: number, };

export type Report = { id: ReportId, title: string, 
/**
 * What the models were made of, or are compared with.
 */
source_name: string, created_ms: number, 
/**
 * Processor, memory, threads: figures of speed are this machine's.
 */
machine: string, options: MeasureOptions, rows: Array<ReportRow>, samples: Array<Sample>, };

/**
 * The form of an exported report.
 */
export type ReportFormat = "markdown" | "csv";

/**
 * A row of `reports`.
 */
export type ReportId = number;

/**
 * One model of a report. What was not measured is absent.
 */
export type ReportRow = { name: string, model: ModelId | null, 
/**
 * "Q4_K_M", "F16", …
 */
scheme: string, bytes: number, perplexity: Perplexity | null, divergence: Divergence | null, accuracy: Accuracy | null, prefill_tokens_s: number | null, decode_tokens_s: number | null, load_ms: number | null, 
/**
 * What loading and running it added to the memory of this program.
 */
peak_bytes: number | null, 
/**
 * Why it was not measured, or not to the end.
 */
problem: Problem | null, };

/**
 * A repository, or a file at an address, with what can be downloaded of it.
 */
export type RepositoryPage = { 
/**
 * `owner/name`; of a direct address the file's name.
 */
repository: string, 
/**
 * By name; of a direct address its host.
 */
endpoint: string, revision: string, 
/**
 * Its page in a browser.
 */
url: string, gated: boolean, 
/**
 * As the card says it; empty where it does not.
 */
licence: string, base_model: string | null, 
/**
 * The catalogue's entry for it.
 */
entry: string | null, 
/**
 * The model card: untrusted Markdown.
 */
card: string | null, choices: Array<HubChoice>, 
/**
 * How many files belong to none of the choices.
 */
other_files: number, };

/**
 * A request for an answer.
 */
export type Request = { id: RequestId, begun_ms: number, 
/**
 * Absent while it runs.
 */
took_ms: number | null, 
/**
 * "POST".
 */
method: string, path: string, 
/**
 * The model's name; empty where none was found.
 */
model: string, state: RequestState, prompt_tokens: number, 
/**
 * New tokens, of all answers together.
 */
tokens: number, 
/**
 * The code of an error.
 */
error: string | null, 
/**
 * What was asked and answered, where the person wants it kept.
 */
text: string | null, };

/**
 * A row of `requests`.
 */
export type RequestId = number;

/**
 * What became of a request.
 */
export type RequestState = "running" | "done" | "stopped" | "failed" | "interrupted";

export type Role = "user" | "assistant";

/**
 * A question, and what each model said to it.
 */
export type Sample = { question: string, answers: Array<SampleAnswer>, };

export type SampleAnswer = { 
/**
 * The row's name.
 */
name: string, text: string, };

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

export type SchemePlan = { 
/**
 * "Q4_K_M", "F16", …
 */
scheme: string, 
/**
 * Of the file.
 */
bytes: number, bits_per_weight: number, 
/**
 * To run it at the context that was asked for.
 */
memory_bytes: number, verdict: Verdict, 
/**
 * Predicted.
 */
decode_tokens_s: number | null, 
/**
 * Published for this very model.
 */
perplexity_known: number | null, recommended: boolean, };

/**
 * The rows that sending made.
 */
export type Sent = { chat: ChatId, user: MessageId, answer: MessageId, };

/**
 * What the server is doing, as the page sees it in the setting `server_state`.
 */
export type ServerState = { "state": "off" } | { "state": "on", 
/**
 * With its port: "127.0.0.1:11711".
 */
address: string, } | { "state": "failed", 
/**
 * In English.
 */
reason: string, };

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
export type Snapshot = { chats: Array<Chat>, folders: Array<Folder>, personas: Array<Persona>, models: Array<Model>, jobs: Array<Job>, reports: Array<Report>, requests: Array<Request>, settings: Array<Setting>, drafts: Array<Draft>, };

/**
 * Text, never markup; `hit` parts are what was searched for.
 */
export type SnippetPart = { text: string, hit: boolean, };

/**
 * Where a model came from.
 */
export type Source = { "kind": "built_in" } | { "kind": "file" } | { "kind": "program", program: string, } | { "kind": "hub", endpoint: string, repository: string, revision: string, file: string, } | { "kind": "url", url: string, } | { "kind": "made", from: string, };

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
tokens_per_second: number, 
/**
 * Tokens that were guessed ahead, and how many of them are in the answer; 0 in rows of older versions.
 */
drafted_tokens: number, accepted_tokens: number, 
/**
 * Why the processor went on in the graphics card's place, where it had to; in English.
 */
moved: string | null, finish: Finish, 
/**
 * How many of the oldest turns were left out of the prompt, and the first message that the model saw.
 */
turns_dropped: number, memory_starts_at: MessageId | null, };

/**
 * An adapter of the list, and how much of it is added: 1 is as trained.
 */
export type Strength = { model: ModelId, strength: number, };

/**
 * A scheme, and what is set otherwise by hand.
 */
export type Target = { 
/**
 * "Q4_K_M", "F16", …
 */
scheme: string, by_hand: Array<ByHand>, };

/**
 * What a job does, whole: stored as JSON in its row. Retry and restart run the stored task again.
 */
export type Task = { "kind": "load", model: ModelId, name: string, context: number | null, 
/**
 * What keys and values are kept in, instead of what is set: "q8_0", …
 */
kv: string | null, anyway: boolean, 
/**
 * Measures again which way of computing is the fastest.
 */
tune: boolean, } | { "kind": "import", name: string, path: string, copy: boolean, 
/**
 * Whose file it is, where another program's was found.
 */
program: Program | null, } | { "kind": "hash", model: ModelId, name: string, } | { "kind": "verify", model: ModelId, name: string, } | { "kind": "recognise", name: string, path: string, } | { "kind": "move_storage", name: string, from: string, to: string, } | { "kind": "download", name: string, address: Pick, } | { "kind": "download_and_merge", name: string, base: Pick, adapter: Pick, folder: string, } | { "kind": "merge", name: string, base: ModelId, adapter: ModelId, strength: number, folder: string, } | { "kind": "make", name: string, source: ModelId, adapters: Array<Strength>, targets: Array<Target>, importance: ImportanceSource | null, measure: MeasureOptions | null, output: Output, 
/**
 * One for each target, below `made/` in the storage folder: free when the job was put down.
 */
files: Array<string>, } | { "kind": "measure", name: string, models: Array<ModelId>, against: ModelId | null, options: MeasureOptions, };

/**
 * A tensor.
 */
export type TensorRow = { name: string, 
/**
 * Row-major, slowest dimension first.
 */
shape: Array<number>, 
/**
 * "Q4_K", "F16", …
 */
kind: string, bytes: number, };

/**
 * Where a token is kept.
 */
export type TokenPlace = "none" | "keyring" | "file" | "environment";

/**
 * What was found for models of one shape on one machine.
 */
export type Tuned = { machine: string, shape: string, 
/**
 * The model that it was measured with.
 */
model: ModelId, measured_ms: number, default: Pace, 
/**
 * The same, where nothing was faster.
 */
chosen: Pace, 
/**
 * Ways that were tried beside the default.
 */
tried: number, };

export type Verdict = "well" | "tight" | "too_large";

/**
 * Why it is computed in this way and no other.
 */
export type Why = "environment" | "setting" | "measured" | "usual";

/**
 * The same words in both languages of the program.
 */
export type Words = { zh: string, en: string, };

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
  /** The adapters that a chat's answers are made with, in their order. */
  setAdapters: (args: { chat: ChatId; adapters: Array<Strength> }) => call("set_adapters", args) as Promise<null>,
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
  /** The folders to choose in, as they are shown; a folder's place in this list is its number. */
  listedFolders: () => call("listed_folders", {}) as Promise<Array<string>>,
  /** What stands in the folder that `path`, a list of names, leads to from the listed folder of this number. */
  listFolder: (args: { root: number; path: Array<string> }) => call("list_folder", args) as Promise<Listing>,
  /** Chooses a file or folder to read. */
  chooseListed: (args: { root: number; path: Array<string> }) => call("choose_listed", args) as Promise<Chosen>,
  /** Chooses a file of this name to write, in the folder that `path` leads to. `replace`: although there is one. */
  chooseNew: (args: { root: number; path: Array<string>; name: string; replace: boolean }) => call("choose_new", args) as Promise<Chosen>,
  /** Makes a persona, or gives one new values. */
  savePersona: (args: { persona?: PersonaId | null; name: string; system: string; parameters: Parameters; greeting: string; examples: Array<Example> }) => call("save_persona", args) as Promise<Persona>,
  /** Deletes a persona. `restore_persona` undoes it. */
  deletePersona: (args: { persona: PersonaId }) => call("delete_persona", args) as Promise<null>,
  /** Undoes `delete_persona`. */
  restorePersona: (args: { persona: PersonaId }) => call("restore_persona", args) as Promise<null>,
  /** Makes a persona of a character card (JSON, or PNG with the card inside). */
  importCharacter: (args: { name: string; base64: string }) => call("import_character", args) as Promise<Persona>,
  /** The models that the program offers, with what each needs on this machine, and one to begin with. */
  catalogue: () => call("catalogue", {}) as Promise<Catalogue>,
  /** Takes a model into the list (a GGUF file, one of several parts, a folder, a LoRA adapter): in its place, or copied into the storage folder. */
  importModel: (args: { chosen: number; copy: boolean }) => call("import_model", args) as Promise<JobId>,
  /** Looks for models that other programs keep on this machine. */
  findElsewhere: () => call("find_elsewhere", {}) as Promise<Array<Elsewhere>>,
  /** Finds out which model a file is, whatever its name, and whether it is whole. */
  recognise: (args: { chosen: number }) => call("recognise", args) as Promise<JobId>,
  /** Looks through the storage folder for files that are not in the list. */
  scanModels: () => call("scan_models", {}) as Promise<Scan>,
  /** Brings a model into memory. `anyway`: although it may not fit. */
  loadModel: (args: { model: ModelId; context?: number | null; kv?: string | null; anyway: boolean }) => call("load_model", args) as Promise<JobId>,
  /** Loads a model and measures again which way of computing is the fastest for models like it on this machine. */
  tuneModel: (args: { model: ModelId }) => call("tune_model", args) as Promise<JobId>,
  /** What was measured for models of this one's shape on this machine, if anything was. */
  tuning: (args: { model: ModelId }) => call("tuning", args) as Promise<Tuned | null>,
  /** Takes a model out of memory; answers that it writes stop. */
  unloadModel: (args: { model: ModelId }) => call("unload_model", args) as Promise<null>,
  /** What a model would need in memory, compared with what is free. */
  estimate: (args: { model: ModelId; context?: number | null }) => call("estimate", args) as Promise<Fit>,
  /** Gives a model another name; the file keeps its own. */
  renameModel: (args: { model: ModelId; name: string }) => call("rename_model", args) as Promise<null>,
  /** Sets a model's template (absent: the one found), its own parameters and the persona of new chats with it, and the smaller model of the same vocabulary that guesses ahead for it. */
  setModel: (args: { model: ModelId; template?: string | null; parameters: Parameters; persona?: PersonaId | null; draft?: ModelId | null }) => call("set_model", args) as Promise<null>,
  /** The names of the templates that a model can be set to. */
  templates: (args: { model: ModelId }) => call("templates", args) as Promise<Array<string>>,
  /** Takes a model out of the list; the file stays. `restore_model` undoes it. */
  removeModel: (args: { model: ModelId }) => call("remove_model", args) as Promise<null>,
  /** What deleting a model would do. */
  deletion: (args: { model: ModelId }) => call("deletion", args) as Promise<Deletion>,
  /** Deletes a model with its files (one outside the storage folder is only taken off the list). `restore_model` undoes it until the next start. */
  deleteModel: (args: { model: ModelId }) => call("delete_model", args) as Promise<null>,
  /** Removes for good what was deleted. */
  purgeDeleted: () => call("purge_deleted", {}) as Promise<null>,
  /** Undoes `remove_model` and `delete_model`. */
  restoreModel: (args: { model: ModelId }) => call("restore_model", args) as Promise<null>,
  /** Says where the file of a model is now. */
  locateModel: (args: { model: ModelId; chosen: number }) => call("locate_model", args) as Promise<null>,
  /** What a model's files say: every key, every tensor. */
  readMetadata: (args: { model: ModelId }) => call("read_metadata", args) as Promise<ModelInside>,
  /** Computes a model's hash again and compares it with the one that is known. */
  verifyModel: (args: { model: ModelId }) => call("verify_model", args) as Promise<JobId>,
  /** What the models take of the disk. */
  diskUse: () => call("disk_use", {}) as Promise<DiskUse>,
  /** Moves the storage folder into the chosen, empty one. */
  moveStorage: (args: { chosen: number }) => call("move_storage", args) as Promise<JobId>,
  /** Finds repositories on the hub by their names. */
  searchHub: (args: { text: string }) => call("search_hub", args) as Promise<Array<HubHit>>,
  /** Reads a repository (`owner/name`, or an address of the hub) or a direct address of a model file: what there is to download, and how it would run here. */
  readRepository: (args: { address: string }) => call("read_repository", args) as Promise<RepositoryPage>,
  /** Downloads a choice of a repository's page, or a file of a catalogue's entry. One under way already: its id. */
  download: (args: { address: string; choice: string }) => call("download", args) as Promise<JobId>,
  /** Downloads a LoRA of the catalogue and its base, and merges them. */
  downloadMerged: (args: { entry: string }) => call("download_merged", args) as Promise<JobId>,
  /** Merges an adapter into a base, as a new model. */
  merge: (args: { base: ModelId; adapter: ModelId; strength: number; name: string }) => call("merge", args) as Promise<JobId>,
  /** What could be made of a model (merged with these adapters): sizes, memory, speed, and what is recommended here. */
  planMaking: (args: { source: ModelId; adapters: Array<Strength>; context?: number | null }) => call("plan_making", args) as Promise<MakingPlan>,
  /** Makes models of a model: merged with adapters, quantized, measured where wanted. */
  make: (args: { name: string; source: ModelId; adapters: Array<Strength>; targets: Array<Target>; importance?: ImportanceFrom | null; measure?: MeasureRequest | null; output: Output }) => call("make", args) as Promise<JobId>,
  /** Measures models side by side, as a report; `against`: what divergence is from (absent: the first). */
  measure: (args: { models: Array<ModelId>; against?: ModelId | null; options: MeasureRequest }) => call("measure", args) as Promise<JobId>,
  /** Gives a report another title. */
  renameReport: (args: { report: ReportId; title: string }) => call("rename_report", args) as Promise<null>,
  /** Deletes a report, not its models. `restore_report` undoes it. */
  deleteReport: (args: { report: ReportId }) => call("delete_report", args) as Promise<null>,
  /** Undoes `delete_report`. */
  restoreReport: (args: { report: ReportId }) => call("restore_report", args) as Promise<null>,
  /** Writes a report into the chosen file. */
  exportReport: (args: { report: ReportId; format: ReportFormat; chosen: number }) => call("export_report", args) as Promise<null>,
  /** Keeps one of the models that were made for a report and deletes the others. `restore_model` undoes each. */
  keepMade: (args: { report: ReportId; model: ModelId }) => call("keep_made", args) as Promise<null>,
  /** The endpoints, the proxy and the offline switch, as they are in force. */
  network: () => call("network", {}) as Promise<NetworkState>,
  /** Sets the endpoints, in the order in which they are asked; none: the program's own. */
  setEndpoints: (args: { endpoints: Array<NewEndpoint> }) => call("set_endpoints", args) as Promise<null>,
  /** Tries whether an endpoint is reached, and how fast it is. */
  testEndpoint: (args: { url: string; dialect: Dialect }) => call("test_endpoint", args) as Promise<Reach>,
  /** Keeps a token for an endpoint's host, or forgets it (absent); says where it is kept. */
  setToken: (args: { url: string; token?: string | null }) => call("set_token", args) as Promise<TokenPlace>,
  /** The token that programs must bring to the local server; made where there is none yet. */
  serverToken: () => call("server_token", {}) as Promise<string>,
  /** A new token; the one before is worth nothing from now on. */
  renewServerToken: () => call("renew_server_token", {}) as Promise<string>,
  /** Empties the list of requests. */
  forgetRequests: () => call("forget_requests", {}) as Promise<null>,
  /** The connections made last, the newest first. */
  connections: (args: { limit: number }) => call("connections", args) as Promise<Array<Connection>>,
  /** Empties the list of connections. */
  forgetConnections: () => call("forget_connections", {}) as Promise<null>,
  /** Stops a job for good; what a download left is removed. */
  stopJob: (args: { job: JobId }) => call("stop_job", args) as Promise<null>,
  /** Lets a download wait; what is there is kept. */
  pauseJob: (args: { job: JobId }) => call("pause_job", args) as Promise<null>,
  /** Goes on with a download that was paused. */
  resumeJob: (args: { job: JobId }) => call("resume_job", args) as Promise<null>,
  /** Puts a job before another one in the queue (absent: at its end). */
  moveJob: (args: { job: JobId; before?: JobId | null }) => call("move_job", args) as Promise<null>,
  /** Runs a job again that failed, was stopped or was interrupted. */
  retryJob: (args: { job: JobId }) => call("retry_job", args) as Promise<JobId>,
  /** Takes a finished job out of the list. */
  dismissJob: (args: { job: JobId }) => call("dismiss_job", args) as Promise<null>,
  /** Sets a setting; null goes back to the default. */
  setSetting: (args: { key: string; value: JsonValue }) => call("set_setting", args) as Promise<null>,
  /** The program's own defaults, every value filled where there is one. */
  defaults: () => call("defaults", {}) as Promise<Defaults>,
  /** Whether answers can be held to this form: an error names the place of its fault. */
  checkFormat: (args: { format: AnswerFormat }) => call("check_format", args) as Promise<null>,
  /** What to copy into a report: version, hardware, places, the end of the log. */
  diagnostics: () => call("diagnostics", {}) as Promise<Diagnostics>,
  /** Where models can run, and why not elsewhere. */
  devices: () => call("devices", {}) as Promise<Array<Device>>,
  /** Forgets what was found out about graphics drivers: each is tried again when it is needed next. */
  tryGraphicsAgain: () => call("try_graphics_again", {}) as Promise<null>,
  /** What there is to choose from about computing on this machine's processor. */
  computeChoices: () => call("compute_choices", {}) as Promise<ComputeChoices>,
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
  /** The file ends before its model does. In bytes. */
  model_incomplete: ["model", "bytes", "needed"],
  /** A LoRA adapter is no model by itself: it is merged into its base. */
  adapter_alone: ["model"],
  /** The folder cannot hold the models. */
  storage_unusable: ["path", "reason"],
  /** There is no model of this name in the list. */
  model_unknown: ["model"],
  /** Too many requests wait already; a later try may work. In seconds. */
  busy: ["seconds"],
  /** The architecture is not one that this version runs. */
  model_unsupported: ["model", "architecture"],
  /** The model does not fit into the free memory. Sizes in bytes. */
  memory_short: ["model", "needed", "free"],
  /** A model cannot guess ahead for another: its tokens are others. */
  draft_unfit: ["model", "draft", "reason"],
  /** The template failed on this conversation. */
  template_failed: ["model", "reason"],
  /** There is no template of this name. */
  template_unknown: ["template"],
  /** The form that an answer was to keep to (a schema, a grammar, an expression) is not understood, or asks too much. */
  format_invalid: ["reason"],
  /** The form that an answer is to keep to has a fault at this place. Line and column from 1. */
  format_fault: ["line", "column", "reason"],
  /** The model's template does not take tools, so it cannot call any. */
  tools_unsupported: ["model"],
  /** The tools that a program offers, or the calls that it tells of, are not in order. */
  tools_invalid: ["reason"],
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
  /** The file is not in a folder that is listed to choose files in. */
  folder_not_listed: [],
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
  /** The program is offline, because the person switched it off. */
  offline: [],
  /** A host was not reached. */
  host_unreachable: ["host", "reason"],
  /** The repository is given only to people who asked for it: its page says how. */
  gated: ["repository", "url"],
  /** The host does not take the token. */
  token_wrong: ["host"],
  /** The hub has no such repository or file (or does not show it to us). */
  not_found: ["what"],
  /** The host wants fewer requests; it says for how long. In seconds. */
  rate_limited: ["host", "seconds"],
  /** The host failed. */
  server_failed: ["host", "status"],
  /** The address leads to a web page, not to a file. */
  not_a_file: ["url"],
  /** The host's answer is not one that a hub gives. */
  hub_answer: ["host", "reason"],
  /** What came does not have the hash that the hub gives, and fetching its parts again did not help. */
  hash_wrong: ["name"],
  /** What came is not as long as the hub says. In bytes. */
  size_wrong: ["name", "expected", "found"],
  /** The file changed on the host while it was fetched, more than once. */
  changed_there: ["name"],
  /** The disk has no room for it. In bytes. */
  space_short: ["needed", "free", "path"],
  /** This is no repository, no address of a hub and no direct address of a model file. */
  address_unknown: ["address"],
  /** A file of the repository has a name that could leave its folder. */
  name_unsafe: ["name"],
  /** The token could not be kept. */
  token_not_kept: ["reason"],
  /** The base and the adapter do not go together. */
  merge_refused: ["reason"],
  /** There is no quantization, format or group of tensors of this name. */
  scheme_unknown: ["scheme"],
  /** The file is no importance matrix, or one of another model. */
  importance_broken: ["name", "reason"],
  /** The model cannot be quantized or converted as asked. */
  not_quantizable: ["model", "reason"],
  /** What was to be measured could not be. */
  measure_failed: ["reason"],
  /** The text is too short to be measured on. In tokens. */
  text_too_short: ["tokens", "needed"],
  /** Only addresses of the web are opened. */
  link_refused: ["address"],
  /** A browser did not reach the server that its page came from. Said by the page itself. */
  server_unreached: [],
  /** The system could not do something for us (open the file manager, a dialog). */
  system_failed: ["attempt", "reason"],
  /** A fault of the program. */
  internal: ["reason"],
} as const;

export type Code = keyof typeof CODE_VALUES;

export const CODES = Object.keys(CODE_VALUES) as Code[];
