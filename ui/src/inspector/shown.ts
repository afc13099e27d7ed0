//! How a token is shown: what cannot be seen gets a sign.

/** More tokens than this make the page slow; the rest is shown on demand. */
export const SHOWN_AT_FIRST = 2_000;

/** Spaces, line ends and the SentencePiece space are made visible; a line end also breaks the line. */
export function visible(text: string): string {
  return text.replace(/\r/g, "␍").replace(/\t/g, "→").replace(/\n/g, "⏎").replace(/[ ▁]/g, "·");
}

/** Whether the text goes on in a new line after this token. */
export function endsLine(text: string): boolean {
  return text.endsWith("\n");
}
