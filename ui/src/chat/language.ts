//! The language of a text, as far as its letters show it: so that Han glyphs are the right region's.

/** As much as tells the language; a long text need not be read whole. */
const LOOKED_AT_MAX = 400;

export function languageOf(text: string): string | undefined {
  const start = text.slice(0, LOOKED_AT_MAX);
  if (/[\u3040-\u30ff]/.test(start)) return "ja";
  if (/[\uac00-\ud7af]/.test(start)) return "ko";
  if (/[\u3400-\u9fff]/.test(start)) return "zh-CN";
  return /[A-Za-z]/.test(start) ? "en" : undefined;
}
