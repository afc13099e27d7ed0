//! Keeps the choices of the workshop in a setting, so that they are there after a restart.

import { untrack } from "svelte";
import { api } from "$api";
import { mirror } from "$state/mirror.svelte";
import { making, type Kept } from "./making.svelte";
import { workshop } from "./workshop.svelte";

const SETTING = "workshop";
/** Choices made one after the other are written once. */
const PAUSE_MS = 400;

type All = Kept & { compared: number[]; against: number | null };

const all = (): All => ({ ...making.kept, compared: $state.snapshot(workshop.compared), against: workshop.against });

/** Brings back what was chosen before, as far as it is still there. */
function restore() {
  const kept = mirror.setting<Partial<All>>(SETTING);
  if (!kept) return;
  making.restore(kept);
  workshop.compared = (kept.compared ?? []).filter((id) => mirror.models.has(id));
  workshop.against = kept.against != null && mirror.models.has(kept.against) ? kept.against : null;
}

/** For as long as its component lives; called once for the page. */
export function keepChoices() {
  let saved: string | null = null;
  $effect(() => {
    if (!mirror.ready) return;
    if (saved === null) {
      untrack(restore);
      saved = JSON.stringify(all());
    }
    const now = all();
    const text = JSON.stringify(now);
    if (text === saved) return;
    const timer = setTimeout(() => {
      saved = text;
      void api.setSetting({ key: SETTING, value: now }).catch(() => undefined);
    }, PAUSE_MS);
    return () => clearTimeout(timer);
  });
}
