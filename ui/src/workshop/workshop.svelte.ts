//! What is open in the workshop, and the work that it has started.

import { asProblem, api, type Job, type JobId, type Model, type ModelId, type Problem, type Report, type ReportId } from "$api";
import { act } from "$state/act";
import { mirror } from "$state/mirror.svelte";
import { view } from "$state/view.svelte";
import { kindOf } from "../list/jobs";
import { making } from "./making.svelte";

export type Place = { at: "making" } | { at: "measuring" } | { at: "job"; job: JobId } | { at: "report"; report: ReportId };

class Workshop {
  place = $state<Place>({ at: "making" });
  /** Why the work could not be started. */
  refused = $state<Problem | null>(null);
  starting = $state(false);
  /** The models that are to be measured. */
  compared = $state<ModelId[]>([]);
  against = $state<ModelId | null>(null);

  show(place: Place) {
    this.place = place;
    this.refused = null;
    view.room = "workshop";
  }

  /** Starts the work, and shows how far it is. */
  async start(work: () => Promise<JobId>) {
    if (this.starting) return;
    this.starting = true;
    this.refused = null;
    try {
      const job = await work();
      if (view.room === "workshop") this.place = { at: "job", job };
    } catch (thrown) {
      this.refused = asProblem(thrown);
    } finally {
      this.starting = false;
    }
  }
}

export const workshop = new Workshop();

/** Opens the wizard with this model, or adapter, as the source. */
export function make(model: Model) {
  making.take(model);
  if (model.kind !== "adapter") making.step = "targets";
  workshop.show({ at: "making" });
}

/** Opens the measuring of models with this one. */
export function measure(model: Model) {
  workshop.compared = [model.id];
  workshop.against = null;
  workshop.show({ at: "measuring" });
}

export function isWork(job: Job): boolean {
  return kindOf(job) === "make" || kindOf(job) === "measure";
}

/** What runs, waits, or broke off and can be run again. The newest first. */
export function openWork(): Job[] {
  return [...mirror.jobs.values()].filter((job) => isWork(job) && job.state !== "done" && job.state !== "stopped").sort((a, b) => b.id - a.id);
}

export function reports(): Report[] {
  return [...mirror.reports.values()].sort((a, b) => b.created_ms - a.created_ms || b.id - a.id);
}

type Came = { models: ModelId[]; report: ReportId | null };

/** What came of it. */
export function broughtBy(job: Job | undefined): Came {
  const outcome = (job?.state === "done" ? job.outcome : null) as { models?: ModelId[]; report?: ReportId | null } | null;
  return { models: outcome?.models ?? [], report: outcome?.report ?? null };
}

/** Runs it again, and follows the new try. */
export async function again(job: Job) {
  const next = await act(api.retryJob({ job: job.id }));
  if (next !== undefined) workshop.show({ at: "job", job: next });
}
