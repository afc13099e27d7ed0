//! How much of a growing text can be read out: whole sentences.

/** Up to the last end of a sentence or line; all of it, when the text has ended. */
export function speakable(text: string, whole: boolean): string {
  if (whole) return text;
  const end = Math.max(...["。", "！", "？", "…", ". ", "! ", "? ", "\n"].map((mark) => text.lastIndexOf(mark)));
  return end === -1 ? "" : text.slice(0, end + 1);
}
