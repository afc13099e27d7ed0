//! Puts a text on the clipboard; says so where that fails.

import { m } from "$i18n";
import { toast } from "./toasts.svelte";

/** Resolves to whether the text is there now. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // A web view may refuse the newer way outside the very moment of a click.
    if (copySelected(text)) return true;
    toast(m.shared.notCopied, { tone: "bad" });
    return false;
  }
}

function copySelected(text: string): boolean {
  const before = document.activeElement;
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "sr-only";
  document.body.append(field);
  field.select();
  const done = document.execCommand("copy");
  field.remove();
  if (before instanceof HTMLElement) before.focus({ preventScroll: true });
  return done;
}
