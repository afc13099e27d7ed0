//! A field that the person has just asked for takes the focus, whatever had it. (The `autofocus` attribute waits until nothing has.)

import type { Attachment } from "svelte/attachments";

export const focused: Attachment<HTMLInputElement | HTMLTextAreaElement> = (field) => {
  field.focus({ preventScroll: true });
  // A long text is gone on with at its end; a line says itself whether all of it is chosen.
  if (field instanceof HTMLTextAreaElement) field.setSelectionRange(field.value.length, field.value.length);
};
