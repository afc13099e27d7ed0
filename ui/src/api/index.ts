//! The commands as typed functions. Arguments and results are snake_case, as on the wire.

import { tauri } from "./tauri";
import type { Transport } from "./transport";
import type * as T from "./types";

export * from "./types";
export { asProblem, isProblem } from "./transport";
export type { Transport } from "./transport";

let wire: Transport = tauri;

/** Puts another wire under the page; tests do. */
export function useTransport(transport: Transport) {
  wire = transport;
}

export const transport: Transport = {
  call: (name, values) => wire.call(name, values),
  subscribe: (onChanges) => wire.subscribe(onChanges),
  choose: (kind, name, extensions) => wire.choose(kind, name, extensions),
  openLink: (url) => wire.openLink(url),
  reveal: (model) => wire.reveal(model),
  closeWindow: () => wire.closeWindow(),
  onCloseAsked: (handler) => wire.onCloseAsked(handler),
  onDropped: (handler) => wire.onDropped(handler),
};

type NewPersona = Omit<T.Persona, "id"> & { persona?: T.PersonaId };
type ChatValues = {
  chat: T.ChatId;
  persona: T.PersonaId | null;
  model: T.ModelId | null;
  system: string | null;
  parameters: T.Parameters;
};

const call = <R>(name: string, values: Record<string, unknown> = {}) => wire.call(name, values) as Promise<R>;

export const api = {
  // Chats
  newChat: (v: { kind: T.ChatKind; folder?: T.FolderId; persona?: T.PersonaId; model?: T.ModelId }) => call<T.Chat>("new_chat", v),
  renameChat: (chat: T.ChatId, title: string) => call<null>("rename_chat", { chat, title }),
  pinChat: (chat: T.ChatId, pinned: boolean) => call<null>("pin_chat", { chat, pinned }),
  moveChat: (chat: T.ChatId, folder: T.FolderId | null) => call<null>("move_chat", { chat, folder }),
  deleteChat: (chat: T.ChatId) => call<null>("delete_chat", { chat }),
  restoreChat: (chat: T.ChatId) => call<null>("restore_chat", { chat }),
  setChat: (v: ChatValues) => call<null>("set_chat", v),
  branchChat: (message: T.MessageId) => call<T.Chat>("branch_chat", { message }),
  openChat: (chat: T.ChatId) => call<null>("open_chat", { chat }),
  closeChat: (chat: T.ChatId) => call<null>("close_chat", { chat }),
  readMessages: (messages: T.MessageId[]) => call<null>("read_messages", { messages }),
  newFolder: (name: string) => call<T.Folder>("new_folder", { name }),
  setFolder: (folder: T.FolderId, name: string, open: boolean) => call<null>("set_folder", { folder, name, open }),
  deleteFolder: (folder: T.FolderId) => call<null>("delete_folder", { folder }),

  // Talking
  sendMessage: (v: { chat: T.ChatId | null; parent: T.MessageId | null; text: string; attachments: T.Attachment[]; begin: string }) =>
    call<T.Sent>("send_message", v),
  regenerate: (v: { message: T.MessageId; model: T.ModelId | null; parameters: T.Parameters | null; begin: string }) =>
    call<T.MessageId>("regenerate", v),
  runAgain: (message: T.MessageId) => call<T.MessageId>("run_again", { message }),
  continueMessage: (message: T.MessageId) => call<null>("continue_message", { message }),
  stopMessage: (message: T.MessageId) => call<null>("stop_message", { message }),
  editMessage: (v: { message: T.MessageId; text: string; attachments: T.Attachment[]; answer: boolean }) =>
    call<T.MessageId>("edit_message", v),
  chooseLeaf: (chat: T.ChatId, message: T.MessageId) => call<null>("choose_leaf", { chat, message }),
  deleteMessage: (message: T.MessageId) => call<null>("delete_message", { message }),
  restoreMessage: (message: T.MessageId) => call<null>("restore_message", { message }),
  saveDraft: (v: { chat: T.ChatId | null; text: string; attachments: T.Attachment[] }) => call<null>("save_draft", v),

  // Pages
  continuePage: (chat: T.ChatId, text: string) => call<T.MessageId>("continue_page", { chat, text }),
  nextTokens: (chat: T.ChatId, text: string, count: number) => call<T.NextToken[]>("next_tokens", { chat, text, count }),

  // Reading
  readAttachment: (name: string, base64: string, chat: T.ChatId | null) => call<T.Attachment>("read_attachment", { name, base64, chat }),
  context: (v: { chat: T.ChatId | null; text: string; attachments: T.Attachment[] }) => call<T.ContextUse>("context", v),
  inspectPrompt: (chat: T.ChatId, text: string) => call<T.Inspection>("inspect_prompt", { chat, text }),
  search: (text: string, limit: number) => call<T.SearchHit[]>("search", { text, limit }),

  // Personas
  savePersona: (v: NewPersona) => call<T.Persona>("save_persona", v),
  deletePersona: (persona: T.PersonaId) => call<null>("delete_persona", { persona }),
  restorePersona: (persona: T.PersonaId) => call<null>("restore_persona", { persona }),
  importCharacter: (name: string, base64: string) => call<T.Persona>("import_character", { name, base64 }),

  // Models
  importModel: (chosen: number, copy: boolean) => call<T.JobId>("import_model", { chosen, copy }),
  scanModels: () => call<{ added: number; problems: T.Problem[] }>("scan_models"),
  loadModel: (v: { model: T.ModelId; context: number | null; anyway: boolean }) => call<T.JobId>("load_model", v),
  unloadModel: (model: T.ModelId) => call<null>("unload_model", { model }),
  estimate: (model: T.ModelId, context: number | null) => call<T.Fit>("estimate", { model, context }),
  renameModel: (model: T.ModelId, name: string) => call<null>("rename_model", { model, name }),
  setModel: (model: T.ModelId, template: string | null, parameters: T.Parameters) => call<null>("set_model", { model, template, parameters }),
  removeModel: (model: T.ModelId) => call<null>("remove_model", { model }),
  restoreModel: (model: T.ModelId) => call<null>("restore_model", { model }),
  locateModel: (model: T.ModelId, chosen: number) => call<null>("locate_model", { model, chosen }),

  // Jobs
  stopJob: (job: T.JobId) => call<null>("stop_job", { job }),
  retryJob: (job: T.JobId) => call<T.JobId>("retry_job", { job }),
  dismissJob: (job: T.JobId) => call<null>("dismiss_job", { job }),

  // Settings
  setSetting: (key: string, value: T.JsonValue) => call<null>("set_setting", { key, value }),
  defaults: () => call<{ parameters: T.Parameters; system: string }>("defaults"),
  diagnostics: () => call<T.Diagnostics>("diagnostics"),
  devices: () => call<T.Device[]>("devices"),

  // Exchange
  exportChats: (chats: T.ChatId[] | null, format: "json" | "markdown", chosen: number) => call<null>("export_chats", { chats, format, chosen }),
  exportText: (chat: T.ChatId, format: "json" | "markdown") => call<string>("export_text", { chat, format }),
  importChats: (name: string, base64: string) => call<{ chats: number; messages: number; skipped: T.Problem[] }>("import_chats", { name, base64 }),
};
