//! The action that mends a problem, for every code that has one from anywhere in the window.

import { api, type Problem } from "$api";
import { m } from "$i18n";
import { view } from "$state/view.svelte";
import type { Mend } from "./ErrorCard.svelte";

type Way = "models" | "panel" | "diagnostics" | "storage" | "network" | "token" | "offline" | "page" | "workshop";

const ways: Record<string, Way | Way[]> = {
  no_model: "models",
  model_missing: "models",
  model_broken: "models",
  model_unsupported: "models",
  model_is_base: "models",
  memory_short: "models",
  draft_unfit: "models",
  template_failed: "models",
  template_unknown: "models",
  prompt_too_long: "panel",
  attachment_over: "panel",
  parameter_invalid: "panel",
  model_incomplete: "models",
  adapter_alone: "models",
  merge_refused: "models",
  scheme_unknown: "workshop",
  importance_broken: "workshop",
  not_quantizable: "models",
  text_too_short: "workshop",
  measure_failed: "diagnostics",
  offline: "offline",
  host_unreachable: "network",
  server_failed: "network",
  hub_answer: "network",
  hash_wrong: "network",
  size_wrong: "network",
  gated: ["page", "token"],
  token_wrong: "token",
  token_not_kept: "storage",
  space_short: "storage",
  storage_unusable: "storage",
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
  return [ways[problem.code] ?? []].flat().flatMap((way) => mendOf(way, problem));
}

/** Whoever reads it in the room that it leads to is there already. */
function mendOf(way: Way, problem: Problem): Mend[] {
  switch (way) {
    case "models":
      return view.room === "models" ? [] : [{ label: m.mends.models, run: () => (view.room = "models") }];
    case "workshop":
      return view.room === "workshop" ? [] : [{ label: m.mends.workshop, run: () => (view.room = "workshop") }];
    case "diagnostics":
    case "storage":
    case "network":
      return view.room === "settings" && view.section === way ? [] : [{ label: m.mends[way], run: () => view.settings(way) }];
    case "token":
      return view.room === "settings" && view.section === "network" ? [] : [{ label: m.mends.token, run: () => view.settings("network") }];
    case "offline":
      return [{ label: m.mends.offline, run: () => void api.setSetting({ key: "offline", value: null }) }];
    case "page":
      return [{ label: m.mends.page, run: () => (view.link = problem.values["url"] ?? null) }];
    case "panel":
      return [{ label: m.mends.panel, run: showPanel }];
  }
}

function showPanel() {
  if (view.narrow) view.panelDrawer = true;
  else void api.setSetting({ key: "panel", value: true });
}
