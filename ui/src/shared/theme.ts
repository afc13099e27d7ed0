//! Light, dark, or as the system says.

import { mirror } from "$state/mirror.svelte";

/** Call in an `$effect`: follows the setting. */
export function followTheme() {
  const chosen = mirror.setting<string>("theme");
  const root = document.documentElement;
  if (chosen === "light" || chosen === "dark") root.dataset["theme"] = chosen;
  else delete root.dataset["theme"];
}
