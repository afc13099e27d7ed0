//! Formulas in Markdown: `$…$`, `$$…$$`, `\(…\)` and `\[…\]` become elements that hold their source, for KaTeX to fill.
//!
//! A dollar opens a formula only before a non-space and closes it only after one and not before a digit, so that
//! "$5 and $10" stays money (pandoc's rule).

import type { MarkdownIt } from "markdown-it";

/** Longer formulas are shown as their source: a model may write without end, and KaTeX's time grows with the length. */
export const FORMULA_CHARS_MAX = 2_000;

function element(markdown: MarkdownIt, tex: string, display: boolean): string {
  const source = markdown.utils.escapeHtml(tex.trim());
  return display ? `<span class="formula" data-display="yes">${source}</span>` : `<span class="formula">${source}</span>`;
}

function closingDollar(text: string, from: number, max: number): number {
  for (let at = from; at < max; at += 1) {
    const letter = text[at];
    if (letter === "\\") at += 1;
    else if (letter === "\n" && text[at + 1] === "\n") return -1;
    else if (letter === "$") return /\s/.test(text[at - 1] ?? " ") || /\d/.test(text[at + 1] ?? "") || at === from ? -1 : at;
  }
  return -1;
}

/** Both inline forms with their closing mark. */
const FENCES: [open: string, close: string, display: boolean][] = [
  ["$$", "$$", true],
  ["\\[", "\\]", true],
  ["\\(", "\\)", false],
];

export function mathRules(markdown: MarkdownIt) {
  markdown.inline.ruler.before("escape", "formula", (state, silent) => {
    const { src, pos, posMax } = state;
    const letter = src[pos];
    if (letter !== "$" && letter !== "\\") return false;
    for (const [open, close, display] of FENCES) {
      if (!src.startsWith(open, pos)) continue;
      const end = src.indexOf(close, pos + open.length);
      const tex = end === -1 || end >= posMax ? "" : src.slice(pos + open.length, end);
      if (tex.trim() === "" || tex.length > FORMULA_CHARS_MAX) return false;
      if (!silent) state.push("formula", "", 0).content = element(markdown, tex, display);
      state.pos = end + close.length;
      return true;
    }
    if (letter !== "$" || /\s/.test(src[pos + 1] ?? " ")) return false;
    const end = closingDollar(src, pos + 1, posMax);
    if (end === -1 || end - pos > FORMULA_CHARS_MAX) return false;
    if (!silent) state.push("formula", "", 0).content = element(markdown, src.slice(pos + 1, end), false);
    state.pos = end + 1;
    return true;
  });

  markdown.block.ruler.before(
    "fence",
    "formula_block",
    (state, startLine, endLine, silent) => {
      const lineOf = (line: number) => state.src.slice(state.bMarks[line]! + state.tShift[line]!, state.eMarks[line]);
      const first = lineOf(startLine).trim();
      const close = first.startsWith("$$") ? "$$" : first.startsWith("\\[") ? "\\]" : "";
      if (!close || (first.length > 2 && first.endsWith(close)) || state.sCount[startLine]! - state.blkIndent >= 4) return false;
      const lines = [first.slice(2)];
      for (let line = startLine + 1; line < endLine; line += 1) {
        const text = lineOf(line);
        if (!text.trimEnd().endsWith(close)) {
          lines.push(text);
          continue;
        }
        lines.push(text.trimEnd().slice(0, -2));
        const tex = lines.join("\n");
        if (tex.length > FORMULA_CHARS_MAX) return false;
        if (silent) return true;
        const token = state.push("formula_block", "", 0);
        token.content = `<p>${element(markdown, tex, true)}</p>\n`;
        token.map = [startLine, line + 1];
        state.line = line + 1;
        return true;
      }
      return false;
    },
    { alt: ["paragraph", "reference", "blockquote", "list"] },
  );

  markdown.renderer.rules["formula"] = (tokens, index) => tokens[index]!.content;
  markdown.renderer.rules["formula_block"] = (tokens, index) => tokens[index]!.content;
}
