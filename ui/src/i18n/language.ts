//! Which of the two languages the window speaks: the setting, else the system's.

import { mirror } from "$state/mirror.svelte";

export type Language = "zh" | "en";

/** The desktop names the system's language in the page's address: a web view knows only the locales that are installed. */
const told = new URLSearchParams(globalThis.location?.search).get("language") ?? navigator.language;
const system: Language = told?.toLowerCase().startsWith("zh") ? "zh" : "en";

/** Reactive: reads the mirror. */
export function language(): Language {
  const chosen = mirror.setting<string>("language");
  return chosen === "zh" || chosen === "en" ? chosen : system;
}

/** For `lang` attributes, so that Han glyphs are the right region's. */
export function languageTag(): string {
  return language() === "zh" ? "zh-CN" : "en";
}
