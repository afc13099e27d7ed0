//! The action that mends a problem, for every code that has one from anywhere in the window.

import { api, type Problem } from "$api";
import { m } from "$i18n";
import { view } from "$state/view.svelte";
import type { Mend } from "./ErrorCard.svelte";

type Way = "models" | "panel" | "diagnostics" | "storage";

const ways: Record<string, Way> = {
  no_model: "models",
  model_missing: "models",
  model_broken: "models",
  model_unsupported: "models",
  model_is_base: "models",
  memory_short: "models",
  template_failed: "models",
  template_unknown: "models",
  prompt_too_long: "panel",
  attachment_over: "panel",
  parameter_invalid: "panel",
  disk_full: "storage",
  file_unwritable: "storage",
  database_damaged: "storage",
  database_newer: "storage",
  database_failed: "storage",
  place_unusable: "storage",
  unknown_command: "diagnostics",
  wrong_arguments: "diagnostics",
  engine_failed: "diagnostics",
  system_failed: "diagnostics",
  internal: "diagnostics",
};

export function mendsOf(problem: Problem): Mend[] {
  const way = ways[problem.code];
  switch (way) {
    case "models":
      // Whoever reads it in that room is there already.
      return view.room === "models" ? [] : [{ label: m.mends.models, run: () => (view.room = "models") }];
    case "diagnostics":
    case "storage":
      return view.room === "settings" && view.section === way ? [] : [{ label: m.mends[way], run: () => view.settings(way) }];
    case "panel":
      return [{ label: m.mends.panel, run: showPanel }];
    default:
      return [];
  }
}

function showPanel() {
  if (view.narrow) view.panelDrawer = true;
  else void api.setSetting({ key: "panel", value: true });
}
