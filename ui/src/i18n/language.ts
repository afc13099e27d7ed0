//! Which of the two languages the window speaks: the setting, else the system's.

import { mirror } from "$state/mirror.svelte";

export type Language = "zh" | "en";

const system: Language = navigator.language?.toLowerCase().startsWith("zh") ? "zh" : "en";

/** Reactive: reads the mirror. */
export function language(): Language {
  const chosen = mirror.setting<string>("language");
  return chosen === "zh" || chosen === "en" ? chosen : system;
}

/** For `lang` attributes, so that Han glyphs are the right region's. */
export function languageTag(): string {
  return language() === "zh" ? "zh-CN" : "en";
}
