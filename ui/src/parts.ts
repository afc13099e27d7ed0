//! The rooms and floats that are still being made: shown as soon as their file is there. (Goes when all are.)

import type { Component } from "svelte";

const files = import.meta.glob<{ default: Component<Record<string, unknown>> }>(
  ["./models/*.svelte", "./page/*.svelte", "./palette/*.svelte", "./inspector/*.svelte", "./settings/*.svelte", "./welcome/*.svelte", "./panel/Panel.svelte"],
  { eager: true },
);

export const part = (path: string) => files[`./${path}.svelte`]?.default;
