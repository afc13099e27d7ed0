//! Asks for the words of messages that have come into view without them: all of one moment together, each once.

import { api, type MessageId } from "$api";
import { act } from "$state/act";

const wanted = new Set<MessageId>();
const asked = new Set<MessageId>();

export function wantBody(id: MessageId) {
  if (asked.has(id)) return;
  if (wanted.size === 0) queueMicrotask(ask);
  wanted.add(id);
}

function ask() {
  const messages = [...wanted];
  wanted.clear();
  for (const id of messages) asked.add(id);
  void act(api.readMessages({ messages })).then(() => messages.forEach((id) => asked.delete(id)));
}
