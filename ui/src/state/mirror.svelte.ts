//! The mirror: the back end's rows as the page sees them. Only `apply` writes here.
//!
//! A message's words stand apart from its row, so that a growing answer wakes its own bubble and nothing else.

import { SvelteMap } from "svelte/reactivity";
import type { Body, Change, Chat, ChatId, Draft, Folder, Job, JsonValue, Message, MessageId, Model, Persona, Report, Request, Setting, Snapshot } from "$api";

export type Heading = Omit<Message, "body">;
export type Reading = { done: number; total: number };

class Mirror {
  readonly chats = new SvelteMap<ChatId, Chat>();
  readonly folders = new SvelteMap<number, Folder>();
  readonly personas = new SvelteMap<number, Persona>();
  readonly models = new SvelteMap<number, Model>();
  readonly jobs = new SvelteMap<number, Job>();
  /** What the workshop measured. */
  readonly reports = new SvelteMap<number, Report>();
  /** What programs asked for, the newest few hundred. */
  readonly requests = new SvelteMap<number, Request>();
  readonly settings = new SvelteMap<string, JsonValue>();
  readonly drafts = new SvelteMap<ChatId | null, Draft>();
  /** Of open chats only. */
  readonly messages = new SvelteMap<MessageId, Heading>();
  /** The words of messages; missing until asked for. */
  readonly bodies = new SvelteMap<MessageId, Body>();
  /** Prompt tokens read so far by answers without words. */
  readonly reading = new SvelteMap<MessageId, Reading>();
  /** Chats whose tree is here. */
  readonly opened = new SvelteMap<ChatId, true>();
  /** The first snapshot has come. */
  #ready = $state(false);

  get ready() {
    return this.#ready;
  }

  /** The stored value of a setting; `undefined`: the program's default. */
  setting<V extends JsonValue>(key: string): V | undefined {
    return (this.settings.get(key) ?? undefined) as V | undefined;
  }

  apply(changes: Change[]) {
    for (const change of changes) this.#applyOne(change);
  }

  /** Forgets the messages of a chat that is no longer shown. */
  drop(chat: ChatId) {
    this.opened.delete(chat);
    for (const [id, message] of this.messages) {
      if (message.chat === chat) this.#removeMessage(id);
    }
  }

  #applyOne(change: Change) {
    switch (change.kind) {
      case "snapshot":
        return this.#replaceAll(change.value);
      case "chat":
        return void this.chats.set(change.value.id, change.value);
      case "folder":
        return void this.folders.set(change.value.id, change.value);
      case "persona":
        return void this.personas.set(change.value.id, change.value);
      case "model":
        return void this.models.set(change.value.id, change.value);
      case "report":
        return void this.reports.set(change.value.id, change.value);
      case "request":
        return void this.requests.set(change.value.id, change.value);
      case "job":
        return void this.jobs.set(change.value.id, change.value);
      case "setting":
        return this.#set(change.value);
      case "draft":
        return void this.drafts.set(change.value.chat, change.value);
      case "message":
        return this.#put(change.value);
      case "opened":
        return this.#open(change.value.chat, change.value.messages);
      case "text":
        return this.#append(change.value.message, change.value.thought, change.value.piece);
      case "reading":
        return void this.reading.set(change.value.message, { done: change.value.done, total: change.value.total });
      case "removed":
        return this.#remove(change.value);
    }
  }

  #replaceAll(snapshot: Snapshot) {
    replace(this.chats, snapshot.chats, (row) => row.id);
    replace(this.folders, snapshot.folders, (row) => row.id);
    replace(this.personas, snapshot.personas, (row) => row.id);
    replace(this.models, snapshot.models, (row) => row.id);
    replace(this.jobs, snapshot.jobs, (row) => row.id);
    replace(this.reports, snapshot.reports, (row) => row.id);
    replace(this.requests, snapshot.requests, (row) => row.id);
    replace(this.drafts, snapshot.drafts, (row) => row.chat);
    this.settings.clear();
    for (const setting of snapshot.settings) this.#set(setting);
    // Messages that were open are stale now: whoever shows a chat opens it again.
    this.opened.clear();
    this.#ready = true;
  }

  #set(setting: Setting) {
    if (setting.value === null) this.settings.delete(setting.key);
    else this.settings.set(setting.key, setting.value);
  }

  #put(message: Message) {
    const { body, ...heading } = message;
    this.messages.set(message.id, heading);
    if (body) {
      this.bodies.set(message.id, body);
      this.reading.delete(message.id);
    }
    if (message.state !== "writing") this.reading.delete(message.id);
  }

  #open(chat: ChatId, messages: Message[]) {
    const here = new Set(messages.map((message) => message.id));
    for (const [id, message] of this.messages) {
      if (message.chat === chat && !here.has(id)) this.#removeMessage(id);
    }
    for (const message of messages) this.#put(message);
    this.opened.set(chat, true);
  }

  #append(message: MessageId, thought: boolean, piece: string) {
    this.reading.delete(message);
    const body = this.bodies.get(message);
    if (!body && !this.messages.has(message)) return;
    const before = body ?? { text: "", thought: "", thought_tokens: 0, thought_ms: 0, attachments: [] };
    this.bodies.set(message, thought ? { ...before, thought: before.thought + piece } : { ...before, text: before.text + piece });
  }

  #removeMessage(id: MessageId) {
    this.messages.delete(id);
    this.bodies.delete(id);
    this.reading.delete(id);
  }

  #remove(key: { table: string; id: number | null }) {
    if (key.table === "draft") return void this.drafts.delete(key.id);
    const id = key.id as number;
    switch (key.table) {
      case "chat":
        this.drop(id);
        this.drafts.delete(id);
        return void this.chats.delete(id);
      case "folder":
        return void this.folders.delete(id);
      case "persona":
        return void this.personas.delete(id);
      case "model":
        return void this.models.delete(id);
      case "job":
        return void this.jobs.delete(id);
      case "report":
        return void this.reports.delete(id);
      case "request":
        return void this.requests.delete(id);
      case "message":
        return this.#removeMessage(id);
    }
  }
}

function replace<K, V>(map: SvelteMap<K, V>, rows: V[], key: (row: V) => K) {
  const next = new Map(rows.map((row) => [key(row), row]));
  for (const old of [...map.keys()]) if (!next.has(old)) map.delete(old);
  for (const [id, row] of next) map.set(id, row);
}

export const mirror = new Mirror();
