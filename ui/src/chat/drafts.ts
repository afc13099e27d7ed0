//! Keeps what was typed and not sent: saved a moment after the last key, and at once when the chat is left.

import { api, type Attachment, type ChatId } from "$api";

/** Long enough not to save each key, short enough that a crash takes a word or two. */
const PAUSE_MS = 400;

export type Typed = { text: string; attachments: Attachment[] };

/** One for each composer. */
export class DraftKeeper {
  #timer: ReturnType<typeof setTimeout> | undefined;
  #waiting: Typed | undefined;

  constructor(readonly chat: ChatId | null) {}

  typed(typed: Typed) {
    this.#waiting = typed;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.flush(), PAUSE_MS);
  }

  flush() {
    clearTimeout(this.#timer);
    const typed = this.#waiting;
    this.#waiting = undefined;
    // A draft that could not be saved is still in the field; the next key tries again.
    if (typed) void api.saveDraft({ chat: this.chat, ...typed }).catch(() => undefined);
  }

  /** It was sent: nothing waits any more. */
  forget() {
    clearTimeout(this.#timer);
    this.#waiting = undefined;
  }
}
