//! What is said of a model in the library: where it came from, what its hash is worth, which job is at work on it.

import type { EndpointRow, HashState, Job, Model, ModelId, Source } from "$api";
import { m } from "$i18n";
import { mirror } from "$state/mirror.svelte";
import { isRunning, kindOf, modelOf } from "../list/jobs";

/** One line: a hub's repository, a program, a file of the person's. */
export function sourceWords(source: Source): string {
  const words = m.details.sources;
  switch (source.kind) {
    case "hub":
      return words.hub(source.repository);
    case "program":
      return words.program(m.details.programs[source.program] ?? source.program);
    case "made":
      return words.made(source.from);
    default:
      return words[source.kind];
  }
}

/** The page that a person can look at; `null`: there is none. */
export function pageOf(source: Source, endpoints: EndpointRow[]): string | null {
  if (source.kind === "url") return source.url;
  if (source.kind !== "hub") return null;
  const base = source.endpoint.replace(/\/+$/, "");
  if (!/^https?:\/\//.test(base)) return null;
  const dialect = endpoints.find((row) => row.url.replace(/\/+$/, "") === base)?.dialect;
  return dialect === "model_scope" ? `${base}/models/${source.repository}` : `${base}/${source.repository}`;
}

export const hashTones = { unknown: "plain", computed: "plain", verified: "good", wrong: "bad" } as const satisfies Record<HashState, string>;

/** The job of this kind that runs, or waits, for the model. */
export function jobOf(kind: string, model: ModelId): Job | undefined {
  return [...mirror.jobs.values()].find((job) => isRunning(job) && kindOf(job) === kind && modelOf(job) === model);
}

/** The last failure of such a job that was not put away. */
export function failureOf(kind: string, model: ModelId): Job | undefined {
  return [...mirror.jobs.values()].filter((job) => job.state === "failed" && job.error && kindOf(job) === kind && modelOf(job) === model).at(-1);
}

/** The models that an adapter may go onto, the likeliest first: the one that its author names, base models, its architecture. */
export function basesFor(adapter: Model): Model[] {
  const score = (row: Model) =>
    (isNamedBase(adapter, row) ? 8 : 0) +
    (row.family !== "" && row.family === adapter.family ? 4 : 0) +
    (row.kind === "base" ? 2 : 0) +
    (row.architecture === adapter.architecture ? 1 : 0);
  return [...mirror.models.values()]
    .filter((row) => row.kind !== "adapter" && row.state === "ready")
    .sort((a, b) => score(b) - score(a) || a.name.localeCompare(b.name));
}

/** The model goes by the name that the adapter's author gave its base. */
export function isNamedBase(adapter: Model, row: Model): boolean {
  const named = plain(adapter.adapter?.base ?? "");
  return named !== "" && [plain(row.name), row.source.kind === "hub" ? plain(row.source.repository) : ""].some((name) => name.startsWith(named));
}

/** "meta-llama/Llama-2-7b-hf" and "Llama 2 7B" are the same to a person: without the owner, marks and endings. */
function plain(name: string): string {
  return name.split("/").at(-1)!.toLowerCase().replace(/-hf$/, "").replace(/[^a-z0-9]/g, "");
}
