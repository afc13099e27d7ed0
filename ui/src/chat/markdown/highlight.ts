//! Colours in code, loaded with the first block of a language. Builds DOM nodes; no HTML strings.

import type { HLJSApi, LanguageFn } from "highlight.js";

type Load = () => Promise<{ default: LanguageFn }>;

const LANGUAGES: Record<string, Load> = {
  bash: () => import("highlight.js/lib/languages/bash"),
  c: () => import("highlight.js/lib/languages/c"),
  cpp: () => import("highlight.js/lib/languages/cpp"),
  csharp: () => import("highlight.js/lib/languages/csharp"),
  css: () => import("highlight.js/lib/languages/css"),
  diff: () => import("highlight.js/lib/languages/diff"),
  dockerfile: () => import("highlight.js/lib/languages/dockerfile"),
  go: () => import("highlight.js/lib/languages/go"),
  ini: () => import("highlight.js/lib/languages/ini"),
  java: () => import("highlight.js/lib/languages/java"),
  javascript: () => import("highlight.js/lib/languages/javascript"),
  json: () => import("highlight.js/lib/languages/json"),
  kotlin: () => import("highlight.js/lib/languages/kotlin"),
  latex: () => import("highlight.js/lib/languages/latex"),
  lua: () => import("highlight.js/lib/languages/lua"),
  makefile: () => import("highlight.js/lib/languages/makefile"),
  markdown: () => import("highlight.js/lib/languages/markdown"),
  php: () => import("highlight.js/lib/languages/php"),
  powershell: () => import("highlight.js/lib/languages/powershell"),
  python: () => import("highlight.js/lib/languages/python"),
  r: () => import("highlight.js/lib/languages/r"),
  ruby: () => import("highlight.js/lib/languages/ruby"),
  rust: () => import("highlight.js/lib/languages/rust"),
  sql: () => import("highlight.js/lib/languages/sql"),
  swift: () => import("highlight.js/lib/languages/swift"),
  typescript: () => import("highlight.js/lib/languages/typescript"),
  xml: () => import("highlight.js/lib/languages/xml"),
  yaml: () => import("highlight.js/lib/languages/yaml"),
};

const ALIASES: Record<string, string> = {
  sh: "bash", shell: "bash", zsh: "bash", console: "bash", "c++": "cpp", h: "c", hpp: "cpp", "c#": "csharp", cs: "csharp",
  golang: "go", toml: "ini", js: "javascript", jsx: "javascript", mjs: "javascript", jsonc: "json", kt: "kotlin", tex: "latex",
  make: "makefile", md: "markdown", ps1: "powershell", py: "python", python3: "python", rb: "ruby", rs: "rust",
  ts: "typescript", tsx: "typescript", html: "xml", svg: "xml", vue: "xml", svelte: "xml", yml: "yaml", postgresql: "sql", mysql: "sql",
}; // prettier-ignore

/** Longer code stays plain: the colours of one megabyte take a second. */
const CODE_CHARS_MAX = 60_000;
/** One minified line of this length makes some grammars crawl. */
const LINE_CHARS_MAX = 5_000;

let core: HLJSApi | undefined;
const loads = new Map<string, Promise<void>>();

function known(language: string): string | undefined {
  const name = ALIASES[language] ?? language;
  return Object.hasOwn(LANGUAGES, name) ? name : undefined;
}

async function load(name: string) {
  core ??= (await import("highlight.js/lib/core")).default;
  core.registerLanguage(name, (await LANGUAGES[name]!()).default);
}

/** Resolves to whether this language can be coloured. */
export async function prepare(language: string): Promise<boolean> {
  const name = known(language);
  if (!name) return false;
  if (!loads.has(name)) loads.set(name, load(name));
  await loads.get(name);
  return true;
}

type Scope = { scope?: string; children: (Scope | string)[] };

/** The coloured code as nodes; nothing where it must stay plain. Call after `prepare` said yes. */
export function colour(code: string, language: string): DocumentFragment | undefined {
  const name = known(language);
  if (!core || !name || !core.getLanguage(name) || code.length > CODE_CHARS_MAX) return undefined;
  if (code.split("\n").some((line) => line.length > LINE_CHARS_MAX)) return undefined;
  const result = core.highlight(code, { language: name, ignoreIllegals: true });
  const root = (result._emitter as unknown as { rootNode: Scope }).rootNode;
  const fragment = document.createDocumentFragment();
  append(fragment, root.children);
  return fragment;
}

function append(parent: Node, children: (Scope | string)[]) {
  for (const child of children) {
    if (typeof child === "string") {
      parent.appendChild(document.createTextNode(child));
      continue;
    }
    const scope = child.scope?.split(".")[0] ?? "";
    const span = document.createElement("span");
    if (/^[a-z_-]+$/i.test(scope)) span.className = `code-${scope}`;
    append(span, child.children);
    parent.appendChild(span);
  }
}
