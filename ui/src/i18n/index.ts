//! All words of the window. `m.chat.send` is a string, `m.chat.tokens(5)` a function; both follow the language at once.
//!
//! One file for each part of the window and language. English gives the type, so that a missing Chinese text does not compile.

import { en } from "./en";
import { language } from "./language";
import { zh } from "./zh";

export { language, languageTag } from "./language";
export type { Language } from "./language";
export * from "./format";

export type Catalogue = typeof en;

const catalogues: Record<string, Catalogue> = { en, zh };

export const m: Catalogue = Object.defineProperties(
  {},
  Object.fromEntries(
    (Object.keys(en) as (keyof Catalogue)[]).map((part) => [part, { enumerable: true, get: () => catalogues[language()]![part] }]),
  ),
) as Catalogue;
