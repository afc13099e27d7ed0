//! Downloads as the window sees them: rows of jobs, what each fetches, and what can be done with it.

import { SvelteMap } from "svelte/reactivity";
import { api, asProblem, type Job, type JobId, type JsonValue, type Model, type Pick } from "$api";
import { m } from "$i18n";
import { sentence } from "$i18n/problem";
import { mendsOf } from "$shared/mends";
import { toast } from "$shared/toasts.svelte";
import { act } from "$state/act";
import { mirror } from "$state/mirror.svelte";
import { finding, type Place } from "../hub/finding.svelte";

/** Throwing away less than this is no loss to speak of. */
const ASK_ABOVE_BYTES = 100_000_000;

function isPick(value: JsonValue | undefined): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value) && typeof value["repository"] === "string" && Array.isArray(value["files"]);
}

/** What a job fetches, repository by repository; for one with a merge: the base, then the adapter. */
export function picksOf(job: Job): Pick[] {
  const task = job.task as Record<string, JsonValue>;
  return Object.values(task).filter(isPick) as unknown as Pick[];
}

export function isDownload(job: Job): boolean {
  return ["download", "download_and_merge"].includes(String((job.task as { kind?: string }).kind));
}

/** Running, waiting, resting or broken off: everything that is neither whole nor given up. */
export function isOpen(job: Job): boolean {
  return job.state !== "done" && job.state !== "stopped";
}

export function isMoving(job: Job): boolean {
  return job.state === "running" || job.state === "waiting";
}

/** The downloads in the order of the queue. */
export function openDownloads(): Job[] {
  return [...mirror.jobs.values()].filter((job) => isDownload(job) && isOpen(job)).sort((a, b) => a.position - b.position || a.id - b.id);
}

function fetches(job: Job, repository: string, choice: string): boolean {
  // A direct address has no repository: its page goes by the file's name.
  return picksOf(job).some((pick) => (pick.repository === repository || pick.url !== null) && pick.files.some((file) => file.path === choice));
}

/** Jobs that this window started, by what was asked for: a choice of several files has no single path. */
const asked = new SvelteMap<string, JobId>();
const keyOf = (address: string, choice: string) => `${address}\n${choice}`;

/** The newest open job for a file or choice of a repository. */
export function jobFor(repository: string, choice: string, known?: JobId | null): Job | undefined {
  const id = known ?? asked.get(keyOf(repository, choice));
  const own = id == null ? undefined : mirror.jobs.get(id);
  if (own && isOpen(own)) return own;
  return openDownloads().findLast((job) => fetches(job, repository, choice));
}

/** The model that a finished job of this window brought, before its page is read again. */
export function broughtBy(repository: string, choice: string, known?: JobId | null): Model | undefined {
  const id = known ?? asked.get(keyOf(repository, choice));
  return id == null ? undefined : broughtByJob(mirror.jobs.get(id));
}

/** It was ended for good: nothing of it is here any more, whatever its page said when it was read. */
export function wasEnded(repository: string, choice: string, known?: JobId | null): boolean {
  const id = known ?? asked.get(keyOf(repository, choice));
  return id != null && mirror.jobs.get(id)?.state === "stopped";
}

export function broughtByJob(job: Job | undefined): Model | undefined {
  if (job?.state !== "done") return undefined;
  const model = (job.outcome as { model?: number } | null)?.model;
  return model === undefined ? undefined : mirror.models.get(model);
}

/** Where each download was started: a click on its row leads there. */
const startedAt = new Map<JobId, Place>();

async function begin(job: Promise<JobId>, address: string, choice: string) {
  const place = finding.place;
  try {
    const id = await job;
    asked.set(keyOf(address, choice), id);
    startedAt.set(id, place);
  } catch (thrown) {
    const problem = asProblem(thrown);
    toast(sentence(problem), { tone: "bad", action: mendsOf(problem)[0] });
  }
}

/** The address may say more than the repository: a revision, or a file somewhere on the web. */
export function download(repository: string, choice: string, address = repository) {
  return begin(api.download({ address, choice }), repository, choice);
}

export function downloadMerged(entry: string) {
  return begin(api.downloadMerged({ entry }), entry, "");
}

/** The download of a LoRA with its base. */
export function mergedJob(entry: string): Job | undefined {
  return jobFor(entry, "");
}

/** Shows a download where it was started; else in the list of downloads. */
export function show(job: JobId) {
  finding.show(startedAt.get(job) ?? { at: "list" }, job);
}

export const pause = (job: Job) => act(api.pauseJob({ job: job.id }));
export const resume = (job: Job) => act(api.resumeJob({ job: job.id }));

class Cancelling {
  /** The download that the person is asked about. */
  job = $state<Job | null>(null);
  open = $state(false);
}
export const cancelling = new Cancelling();

/** Ends a download; asks first where much would be thrown away. */
export function cancel(job: Job, stop: (job: Job) => void) {
  if (isDownload(job) && job.done > ASK_ABOVE_BYTES) [cancelling.job, cancelling.open] = [job, true];
  else stop(job);
}

/** Puts a download one place up or down. The order of the others stays. */
export function move(job: Job, by: -1 | 1) {
  const order = openDownloads();
  const at = order.findIndex((other) => other.id === job.id);
  const to = at + by;
  if (at === -1 || to < 0 || to >= order.length) return;
  void moveTo(job.id, by === -1 ? order[to]!.id : (order[to + 1]?.id ?? null));
}

export const moveTo = (job: JobId, before: JobId | null) => act(api.moveJob({ job, before }));

/** What a running job is at, in a few words; "" where its share says it all. */
export function stageWords(job: Job): string {
  if (job.state === "paused") return m.downloads.paused;
  if (job.state === "interrupted") return m.downloads.interrupted;
  if (job.state === "failed") return m.downloads.brokenOff;
  if (job.state === "waiting") return job.stage === "offline" ? m.downloads.offline : m.downloads.queued;
  if (job.state !== "running" || !job.stage) return "";
  const [stage, seconds, ...reason] = job.stage.split(":");
  // Without a time it waits for no network: another transfer has the file.
  if (stage === "waiting" && seconds === "0") return m.downloads.stageElsewhere;
  if (stage === "waiting") return m.downloads.stageWaiting(seconds ?? "", reason.join(":").trim());
  return m.downloads.stages[stage!] ?? "";
}
