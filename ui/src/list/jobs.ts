//! What a job is called, and how far it is.

import type { Job, JsonValue } from "$api";
import { m } from "$i18n";
import { mirror } from "$state/mirror.svelte";

type AnyTask = { kind?: JsonValue; model?: JsonValue; name?: JsonValue; tune?: JsonValue };

export function isRunning(job: Job): boolean {
  return job.state === "running" || job.state === "waiting";
}

export function modelOf(job: Job): number | null {
  const model = (job.task as AnyTask | null)?.model;
  return typeof model === "number" ? model : null;
}

export function kindOf(job: Job): string {
  const kind = (job.task as AnyTask | null)?.kind;
  return typeof kind === "string" ? kind : "";
}

/** A load that measures which way of computing is the fastest. */
export function isTuning(job: Job): boolean {
  return (job.task as AnyTask | null)?.tune === true;
}

/** What it works on, without saying what it does. */
export function plainName(job: Job): string {
  const name = (job.task as AnyTask | null)?.name;
  return mirror.models.get(modelOf(job) ?? -1)?.name ?? (typeof name === "string" ? name : "");
}

export function nameOf(job: Job): string {
  const what = plainName(job);
  switch (kindOf(job)) {
    case "load":
      return isTuning(job) ? m.list.jobTune(what) : m.list.jobLoad(what);
    case "import":
      return m.list.jobImport(what);
    case "hash":
    case "verify":
      return m.list.jobHash(what);
    case "recognise":
      return m.list.jobRecognise(what);
    case "move_storage":
      return m.list.jobMove;
    case "download":
    case "download_and_merge":
      return m.list.jobDownload(what);
    case "merge":
      return m.list.jobMerge(what);
    case "make":
      return m.list.jobMake(what);
    case "measure":
      return m.list.jobMeasure(what);
    default:
      return what || m.list.jobOther;
  }
}

/** Whole percent; `null` while the total is not known. */
export function shareOf(job: Job): number | null {
  return job.total > 0 ? Math.min(100, Math.floor((100 * job.done) / job.total)) : null;
}
