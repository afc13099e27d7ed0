//! KaTeX, loaded when the first formula comes. It builds DOM nodes and sets styles through the DOM, which the CSP permits.

import { FORMULA_CHARS_MAX } from "./math-rules";

type Katex = typeof import("katex").default;
let katex = $state.raw<Katex>();
let loading: Promise<void> | undefined;

/** A macro may expand into itself: a bound on its steps. */
const EXPANSIONS_MAX = 500;
/** `\rule{9999em}{9999em}` would cover the window. In em. */
const SIZE_MAX_EM = 20;

/** A formula laid out before its letters are here would move when they come. */
const FONTS = ["KaTeX_Main", "italic 1em KaTeX_Main", "italic 1em KaTeX_Math", "KaTeX_Size1", "KaTeX_Size2", "KaTeX_Size3", "KaTeX_Size4", "KaTeX_AMS"];

async function prepare() {
  const [module] = await Promise.all([import("katex"), import("katex/dist/katex.min.css")]);
  // A page without font loading (a test's) has no fonts to wait for; a font that fails leaves the system's in its place.
  await Promise.allSettled(FONTS.map((font) => document.fonts?.load(font.includes(" ") ? font : `1em ${font}`)));
  katex = module.default;
}

/** Formulas can be laid out. Reactive: a block that was shown before is made anew, with its formulas in place. */
export function formulasReady(): boolean {
  return katex !== undefined;
}

/** Fetches KaTeX, once. Called at the first sign of a formula, before it is whole. */
export function fetchFormulas() {
  loading ??= prepare();
}

/** What a formula can begin with. */
export function mayHoldFormula(text: string): boolean {
  return text.includes("$") || text.includes("\\(") || text.includes("\\[");
}

function fill(katex: Katex, element: HTMLElement) {
  const tex = element.textContent ?? "";
  if (tex.length > FORMULA_CHARS_MAX || element.dataset["done"]) return;
  try {
    katex.render(tex, element, {
      displayMode: element.dataset["display"] === "yes",
      throwOnError: true,
      trust: false,
      strict: "ignore",
      maxExpand: EXPANSIONS_MAX,
      maxSize: SIZE_MAX_EM,
      output: "htmlAndMathml",
    });
    element.dataset["done"] = "yes";
  } catch {
    // Not a formula that KaTeX knows, or not yet whole: its source stays.
    element.textContent = tex;
  }
}

/** Lays out the formulas inside, as soon as that can be done. */
export function layOutFormulas(inside: HTMLElement) {
  const elements = inside.querySelectorAll<HTMLElement>(".formula");
  if (elements.length === 0) return;
  if (katex) for (const element of elements) fill(katex, element);
  else fetchFormulas();
}
