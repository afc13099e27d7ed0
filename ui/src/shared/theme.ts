//! Light, dark, or as the system says.

import { mirror } from "$state/mirror.svelte";

/** Two frames: the new colours are painted by then. */
const SETTLED_MS = 40;

/** Call in an `$effect`: follows the setting. */
export function followTheme() {
  const chosen = mirror.setting<string>("theme");
  const root = document.documentElement;
  // Without this every element fades on its own: 200 ms of style work, and a patchwork meanwhile.
  root.dataset["switching"] = "";
  setTimeout(() => delete root.dataset["switching"], SETTLED_MS);
  if (chosen === "light" || chosen === "dark") root.dataset["theme"] = chosen;
  else delete root.dataset["theme"];
}
