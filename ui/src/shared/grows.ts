//! A field as tall as its text, where the web view does not know `field-sizing: content` (WebKitGTK before 2.52).

import type { Attachment } from "svelte/attachments";

const known = typeof CSS !== "undefined" && CSS.supports?.("field-sizing", "content");

/** Takes the text as a function, so that a text set by the program counts too. The most is the stylesheet's `max-height`. */
export function grows(text: () => string): Attachment<HTMLTextAreaElement> {
  return (field) => {
    void text();
    if (known) return;
    field.style.height = "auto";
    field.style.height = `${field.scrollHeight}px`;
  };
}
