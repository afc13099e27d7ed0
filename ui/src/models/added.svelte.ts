//! Files on their way into the list: one job each, and what came of it.

import { api, asProblem, type Chosen, type Job, type JobId, type ModelId, type Problem } from "$api";
import { act } from "$state/act";
import { mirror } from "$state/mirror.svelte";
import { watched } from "./models.svelte";

export class Addition {
  readonly chosen: Chosen;
  #job = $state<JobId | null>(null);
  #refused = $state.raw<Problem | null>(null);

  constructor(chosen: Chosen) {
    this.chosen = chosen;
  }

  get job(): Job | undefined {
    return this.#job === null ? undefined : mirror.jobs.get(this.#job);
  }

  get problem(): Problem | null {
    return this.#refused ?? (this.job?.state === "failed" ? this.job.error : null);
  }

  get stopped(): boolean {
    return this.job?.state === "stopped" || this.job?.state === "interrupted";
  }

  get done(): boolean {
    return this.job?.state === "done";
  }

  /** Nothing more will come. */
  get over(): boolean {
    return this.done || this.stopped || this.problem !== null;
  }

  get model(): ModelId | null {
    const outcome = this.job?.outcome as { model?: unknown } | null | undefined;
    return typeof outcome?.model === "number" ? outcome.model : null;
  }

  async start(copy: boolean) {
    try {
      this.#job = await api.importModel({ chosen: this.chosen.id, copy });
      watched.add(this.#job);
    } catch (thrown) {
      this.#refused = asProblem(thrown);
    }
  }

  /** What failed was seen: its line need not be shown again elsewhere. */
  seen() {
    if (this.#job !== null && this.problem) void act(api.dismissJob({ job: this.#job }));
  }
}

/** Takes the files into the list, one after the other; the lines can be watched from the start. */
export async function addAll(additions: Addition[], copy: boolean) {
  // A file dropped on the first screen goes through the same door as its button.
  if (mirror.setting<boolean>("welcomed") !== true) await act(api.setSetting({ key: "welcomed", value: true }));
  for (const addition of additions) await addition.start(copy);
}
