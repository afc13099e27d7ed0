//! What a job is called, how far it is, and how long it will still take.

import type { Job, JsonValue } from "$api";
import { m } from "$i18n";
import { mirror } from "$state/mirror.svelte";

type AnyTask = { kind?: JsonValue; model?: JsonValue; name?: JsonValue };

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

export function nameOf(job: Job): string {
  const name = (job.task as AnyTask | null)?.name;
  const what = mirror.models.get(modelOf(job) ?? -1)?.name ?? (typeof name === "string" ? name : "");
  switch (kindOf(job)) {
    case "load":
      return m.list.jobLoad(what);
    case "import":
      return m.list.jobImport(what);
    case "hash":
      return m.list.jobHash(what);
    default:
      return what || m.list.jobOther;
  }
}

/** Whole percent; `null` while the total is not known. */
export function shareOf(job: Job): number | null {
  return job.total > 0 ? Math.min(100, Math.floor((100 * job.done) / job.total)) : null;
}

/** Before this time an estimate is a guess. */
const ESTIMATE_AFTER_MS = 2_000;

export function leftOf(job: Job, now: number): number | null {
  const spent = now - job.created_ms;
  if (job.state !== "running" || job.total === 0 || job.done === 0 || spent < ESTIMATE_AFTER_MS) return null;
  return (spent * (job.total - job.done)) / job.done;
}
