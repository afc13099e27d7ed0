//! How keys are written on this system.

import { can } from "$api";

export const isMac = /Mac|iPhone|iPad/.test(navigator.platform ?? "");

/** A new chat. Browsers keep Ctrl+N to themselves. */
export const newChatKeys = () => (can.ownWindow ? "mod+N" : "alt+N");

const names: Record<string, [string, string]> = {
  mod: ["Ctrl", "⌘"],
  shift: ["Shift", "⇧"],
  alt: ["Alt", "⌥"],
  enter: ["Enter", "↵"],
  escape: ["Esc", "esc"],
  up: ["↑", "↑"],
  down: ["↓", "↓"],
  left: ["←", "←"],
  right: ["→", "→"],
};

/** `mod+shift+C` -> ["Ctrl", "Shift", "C"], or ["⌘", "⇧", "C"] on a Mac. */
export function keyNames(keys: string, mac = isMac): string[] {
  return keys.split(/\+(?=.)/).map((key) => names[key.toLowerCase()]?.[mac ? 1 : 0] ?? key);
}
