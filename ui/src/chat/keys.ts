//! Which keys send: Enter, or Ctrl+Enter where the person set it so. Shift+Enter is a new line always.

import { mirror } from "$state/mirror.svelte";

export function sendsWithCtrl(): boolean {
  return mirror.setting<string>("send_key") === "ctrl_enter";
}

/** The event must have passed `composing` already. */
export function isSend(event: KeyboardEvent): boolean {
  if (event.key !== "Enter" || event.shiftKey || event.altKey) return false;
  const mod = event.ctrlKey || event.metaKey;
  return sendsWithCtrl() ? mod : true;
}
