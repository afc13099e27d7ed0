//! The pace of every running job, looked at once a second: all places show the same figures, and they change together.

import { SvelteMap } from "svelte/reactivity";
import type { Job, JobId } from "$api";
import { Pace } from "./pace";

export type Figures = { rate: number | null; left: number | null };
const UNKNOWN: Figures = { rate: null, left: null };

class Paces {
  #paces = new Map<JobId, Pace>();
  #figures = new SvelteMap<JobId, Figures>();

  look(jobs: Iterable<Job>, now: number) {
    const running = new Map([...jobs].filter((job) => job.state === "running").map((job) => [job.id, job]));
    for (const id of [...this.#paces.keys()]) {
      if (running.has(id)) continue;
      this.#paces.delete(id);
      this.#figures.delete(id);
    }
    for (const [id, job] of running) {
      const pace = this.#paces.get(id) ?? new Pace();
      this.#paces.set(id, pace);
      pace.look(job.done, now);
      this.#figures.set(id, { rate: pace.rate, left: pace.left(job.total) });
    }
  }

  of(job: JobId): Figures {
    return this.#figures.get(job) ?? UNKNOWN;
  }
}

export const paces = new Paces();
