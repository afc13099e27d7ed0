//! What is open on the screen. Rows are in the mirror; nothing else holds data.

import type { ChatId, Chosen, MessageId, ModelId } from "$api";

export type Room = "chats" | "models" | "workshop" | "settings";
/** A part of the settings. */
export type Section = "general" | "answers" | "personas" | "device" | "storage" | "network" | "server" | "requests" | "privacy" | "shortcuts" | "diagnostics" | "about";
/** What floats over the rooms. */
export type Over = null | "palette" | "inspector" | "shortcuts";

class View {
  room = $state<Room>("chats");
  /** The open chat; `null`: the one that does not exist yet. */
  chat = $state<ChatId | null>(null);
  over = $state<Over>(null);
  /** The part of the settings that is shown. */
  section = $state<Section>("general");
  /** The model whose details are shown in the models room. */
  model = $state<ModelId | null>(null);
  /** What the list is searched for; empty: the list itself is shown. */
  search = $state("");
  /** The message that is being edited in its place. */
  editing = $state<MessageId | null>(null);
  /** The answer that is to be made again in another way, and what the dialog begins with. */
  again = $state<{ message: MessageId; focus: "model" | "begin" } | null>(null);
  /** What stands in the composer, for the prompt inspector. */
  draft = $state("");
  /** A message to bring into view (from a search result). */
  reveal = $state<MessageId | null>(null);
  /** Counts the wishes to write: the composer takes the focus at each. */
  wishes = $state(1);
  /** The link that the person is asked about. */
  link = $state<string | null>(null);
  /** The bar that finds words in the open chat. */
  finding = $state(false);
  /** The list shown over the chat, where the window is too narrow for both. */
  drawer = $state(false);
  /** The right panel over the chat, where the window is too narrow for both. */
  panelDrawer = $state(false);
  /** The window is narrower than 900 px. */
  narrow = $state(false);
  /** Files dropped on the window that are no models: the composer reads them and empties this. */
  dropped = $state.raw<Chosen[]>([]);
  /** Asks the model picker to open (Ctrl+L). */
  picking = $state(false);

  settings(section: Section) {
    this.section = section;
    this.room = "settings";
    this.over = null;
  }

  open(chat: ChatId | null, message: MessageId | null = null) {
    this.room = "chats";
    this.chat = chat;
    this.reveal = message;
    this.drawer = false;
    this.finding = false;
    this.editing = null;
    this.again = null;
    if (message === null) this.wishes += 1;
  }
}

export const view = new View();
