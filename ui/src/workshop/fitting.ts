//! Which adapters of the library belong to a model, as far as names and families tell. The program itself checks the shapes.

import type { Model } from "$api";
import { basesFor, isNamedBase } from "../models/library";
import { library } from "../models/models.svelte";

/** 1 is as trained; beyond 2 nothing sensible comes out. */
export const STRENGTH_MOST = 2;

export function adaptersFor(model: Model): { fitting: Model[]; others: Model[] } {
  const all = library().filter((row) => row.kind === "adapter" && row.state !== "missing");
  const fits = (row: Model) => isNamedBase(row, model) || (row.family !== "" && row.family === model.family) || basesFor(row)[0]?.id === model.id;
  return { fitting: all.filter(fits), others: all.filter((row) => !fits(row)) };
}
