//! Ties the stream of changes to the mirror, and the view to what is still there.

import { transport, type Change } from "$api";
import { mirror } from "./mirror.svelte";
import { view } from "./view.svelte";

/** Starts the stream. The first batch holds the snapshot. */
export function follow() {
  return transport.subscribe((changes) => {
    mirror.apply(changes);
    if (view.chat !== null && changes.some((change) => takesAway(change, view.chat!))) view.open(null);
  });
}

/** A chat that was deleted, here or in another window, is open no longer. */
function takesAway(change: Change, chat: number): boolean {
  if (change.kind === "removed") return change.value.table === "chat" && change.value.id === chat;
  return change.kind === "snapshot" && !mirror.chats.has(chat);
}
