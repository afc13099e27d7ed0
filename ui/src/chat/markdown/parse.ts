//! Markdown to blocks: what stands at the top level, one by one, so that a growing answer renders only its last block again.
//!
//! No raw HTML, no images, links to http and https only. Links and formulas come out without an address or a style: they
//! are made to work after the sanitiser, by the component.

import MarkdownIt from "markdown-it";
import cjkFriendly from "markdown-it-cjk-friendly";
import { mathRules } from "./math-rules";

/** One piece of the top level. `kind: "code"` is a fence, drawn by its own component. */
export type Block =
  | { key: number; start: number; kind: "html"; html: string }
  | { key: number; start: number; kind: "code"; code: string; language: string; closed: boolean };

/** Quotes in quotes in lists: deeper nesting is nobody's prose, and each level costs stack. */
const NESTING_MAX = 20;

/** The only addresses that a person may be asked to open. */
export function isWebAddress(url: string): boolean {
  return /^https?:\/\/[^\s]+$/i.test(url.trim());
}

const markdown = MarkdownIt({ html: false, linkify: true, typographer: false, breaks: true, maxNesting: NESTING_MAX })
  .use(cjkFriendly)
  .use(mathRules)
  .disable(["image"]);
markdown.linkify.set({ fuzzyLink: false, fuzzyEmail: false, fuzzyIP: false });
markdown.validateLink = isWebAddress;

const rules = markdown.renderer.rules;
rules.link_open = (tokens, index) => {
  const url = String(tokens[index]?.attrGet("href") ?? "");
  return `<a class="link" role="link" tabindex="0" data-url="${markdown.utils.escapeHtml(url)}">`;
};
// All headings of a message stand one below the message's own (h2), whatever level it starts with; the class gives the size.
for (const rule of ["heading_open", "heading_close"] as const) {
  rules[rule] = (tokens, index) => {
    const token = tokens[index]!;
    return token.nesting === 1 ? `<h3 class="level-${token.tag.slice(1)}">` : "</h3>\n";
  };
}
for (const rule of ["th_open", "td_open"] as const) {
  rules[rule] = (tokens, index) => {
    const token = tokens[index]!;
    const align = /text-align:\s*(left|right|center)/.exec(String(token.attrGet("style") ?? ""))?.[1];
    return `<${token.tag}${align ? ` class="align-${align}"` : ""}>`;
  };
}
rules.table_open = () => `<div class="table-frame" tabindex="0"><table>\n`;
rules.table_close = () => "</table></div>\n";
rules.fence = rules.code_block = (tokens, index) => {
  const token = tokens[index]!;
  const language = languageOf(token.info);
  return `<pre class="code" data-language="${markdown.utils.escapeHtml(language)}"><code>${markdown.utils.escapeHtml(token.content)}</code></pre>\n`;
};

function languageOf(info: string): string {
  return info.trim().split(/[\s{,:]/)[0]?.toLowerCase() ?? "";
}

/** The blocks of a text that may grow. Blocks that are finished keep their identity. */
export class Growing {
  #text = "";
  #blocks: Block[] = [];
  #next = 0;

  update(text: string): Block[] {
    if (text === this.#text && this.#blocks.length > 0) return this.#blocks;
    const grows = text.startsWith(this.#text) && this.#blocks.length > 0;
    const last = grows ? this.#blocks[this.#blocks.length - 1]! : undefined;
    const start = last?.start ?? 0;
    const finished = grows ? this.#blocks.slice(0, -1) : [];
    const tail = blocksOf(text.slice(start), start, last?.key ?? this.#next);
    this.#next = Math.max(this.#next, (tail.at(-1)?.key ?? 0) + 1);
    this.#text = text;
    this.#blocks = [...finished, ...tail];
    return this.#blocks;
  }
}

function blocksOf(text: string, offset: number, firstKey: number): Block[] {
  const env = {};
  const tokens = markdown.parse(text, env);
  const starts = lineStarts(text);
  const blocks: Block[] = [];
  for (let index = 0; index < tokens.length; ) {
    const first = tokens[index]!;
    let end = index + 1;
    if (first.nesting === 1) {
      while (end < tokens.length && !(tokens[end]!.level === first.level && tokens[end]!.nesting === -1)) end += 1;
      end += 1;
    }
    const start = offset + (starts[first.map?.[0] ?? 0] ?? 0);
    const key = firstKey + blocks.length;
    if (first.type === "fence" || first.type === "code_block") {
      const endLine = first.map?.[1] ?? 0;
      const closed = first.type === "code_block" || lineAt(text, starts, endLine - 1).trim().startsWith(first.markup);
      blocks.push({ key, start, kind: "code", code: first.content.replace(/\n$/, ""), language: languageOf(first.info), closed });
    } else {
      blocks.push({ key, start, kind: "html", html: markdown.renderer.render(tokens.slice(index, end), markdown.options, env) });
    }
    index = end;
  }
  return blocks;
}

function lineStarts(text: string): number[] {
  const starts = [0];
  for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1)) starts.push(at + 1);
  return starts;
}

function lineAt(text: string, starts: number[], line: number): string {
  return text.slice(starts[line] ?? text.length, starts[line + 1] ?? text.length);
}
