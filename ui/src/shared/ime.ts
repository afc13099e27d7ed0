//! Keys that belong to an input method: Enter that commits a Chinese composition must not send the message.
//!
//! Ignored while composing, while the browser says 229 ("the IME has it"), and for a short time after the composition
//! ended: WebKit sends the committing Enter after `compositionend`.

import type { Attachment } from "svelte/attachments";

/** How long after `compositionend` a key may still be the one that ended it. Measured keys of people come later than 60 ms. */
const AFTER_COMPOSITION_MS = 60;

const ended = new WeakMap<EventTarget, number>();

/** Watches the field's compositions; needed for `composing` to know of the time after. */
export function ime(): Attachment<HTMLElement> {
  return (field) => {
    const end = () => void ended.set(field, performance.now());
    field.addEventListener("compositionend", end);
    return () => field.removeEventListener("compositionend", end);
  };
}

/** The key belongs to an input method: leave it alone. Enter and Escape only, in the time after a composition. */
export function composing(event: KeyboardEvent): boolean {
  if (event.isComposing || event.keyCode === 229) return true;
  const at = event.currentTarget ? ended.get(event.currentTarget) : undefined;
  const after = at ?? (event.target ? ended.get(event.target) : undefined);
  return after !== undefined && performance.now() - after < AFTER_COMPOSITION_MS;
}
