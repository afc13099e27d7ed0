//! KaTeX, loaded when the first formula comes. It builds DOM nodes and sets styles through the DOM, which the CSP permits.

import { FORMULA_CHARS_MAX } from "./math-rules";

type Katex = typeof import("katex").default;
let katex: Katex | undefined;
let loading: Promise<Katex> | undefined;

/** A macro may expand into itself: a bound on its steps. */
const EXPANSIONS_MAX = 500;
/** `\rule{9999em}{9999em}` would cover the window. In em. */
const SIZE_MAX_EM = 20;

function load(): Promise<Katex> {
  loading ??= Promise.all([import("katex"), import("katex/dist/katex.min.css")]).then(([module]) => (katex = module.default));
  return loading;
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

/** Lays out the formulas inside. Where KaTeX is not here yet they follow as soon as it is. */
export function layOutFormulas(inside: HTMLElement) {
  const elements = inside.querySelectorAll<HTMLElement>(".formula");
  if (elements.length === 0) return;
  if (katex) for (const element of elements) fill(katex, element);
  else void load().then((loaded) => elements.forEach((element) => element.isConnected && fill(loaded, element)));
}
