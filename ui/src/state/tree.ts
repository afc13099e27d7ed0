//! A chat's messages as a tree: the path that is shown, and the versions beside each message.

import type { ChatId, MessageId } from "$api";
import type { Heading } from "./mirror.svelte";

export class Tree {
  readonly #rows = new Map<MessageId, Heading>();
  readonly #children = new Map<MessageId | null, MessageId[]>();

  constructor(messages: Iterable<Heading>, chat: ChatId) {
    for (const message of messages) if (message.chat === chat) this.#rows.set(message.id, message);
    for (const message of this.#rows.values()) {
      const beside = this.#children.get(message.parent);
      if (beside) beside.push(message.id);
      else this.#children.set(message.parent, [message.id]);
    }
    for (const ids of this.#children.values()) ids.sort((a, b) => a - b);
  }

  get(id: MessageId): Heading | undefined {
    return this.#rows.get(id);
  }

  get size(): number {
    return this.#rows.size;
  }

  /** From the first message to the leaf. Without a leaf: the newest way down. */
  path(leaf: MessageId | null): MessageId[] {
    const path: MessageId[] = [];
    const seen = new Set<MessageId>();
    let at = leaf !== null && this.#rows.has(leaf) ? leaf : this.#newestLeaf();
    while (at !== null && !seen.has(at)) {
      const row = this.#rows.get(at);
      if (!row) break;
      seen.add(at);
      path.push(at);
      at = row.parent;
    }
    return path.reverse();
  }

  /** The message and its siblings, oldest first. */
  versions(id: MessageId): MessageId[] {
    const row = this.#rows.get(id);
    return (row && this.#children.get(row.parent)) ?? [id];
  }

  #newestLeaf(): MessageId | null {
    let at: MessageId | null = null;
    for (let below = this.#children.get(null); below?.length; below = this.#children.get(at)) at = below.at(-1)!;
    return at;
  }
}
