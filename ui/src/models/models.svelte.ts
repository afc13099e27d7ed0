//! What the window knows about models besides their rows: which one answers, what fits, what is being loaded or added.

import { SvelteSet } from "svelte/reactivity";
import { api, asProblem, transport, type Chat, type Chosen, type Device, type Fit, type Job, type JobId, type Model, type ModelId } from "$api";
import { m } from "$i18n";
import { sentence } from "$i18n/problem";
import { act } from "$state/act";
import { mirror } from "$state/mirror.svelte";
import { view } from "$state/view.svelte";
import { toast } from "$shared/toasts.svelte";

/** All that is on this computer: what was used or came last is first. */
export function library(): Model[] {
  const last = (model: Model) => Math.max(model.used_ms ?? 0, model.added_ms);
  return [...mirror.models.values()].sort((a, b) => last(b) - last(a) || b.id - a.id);
}

/** The models that can answer, in the order of the list. An adapter cannot: it is merged first. */
export function listed(): Model[] {
  return library().filter((model) => model.kind !== "adapter");
}

/** The model of new chats: the person's choice, else the one that came with the program, else the first. */
export function defaultModel(): Model | null {
  const chosen = mirror.models.get(mirror.setting<number>("model") ?? -1);
  if (chosen) return chosen;
  const all = listed();
  return all.find((model) => model.bundled) ?? all.find((model) => model.kind === "chat") ?? all[0] ?? null;
}

/** The model that answers in a chat. */
export function modelOf(chat: Chat | null | undefined): Model | null {
  return (chat?.model == null ? undefined : mirror.models.get(chat.model)) ?? defaultModel();
}

type TaskFields = { kind?: string; model?: number; name?: string };

function running(job: Job): boolean {
  return job.state === "running" || job.state === "waiting";
}

/** The job that brings this model into memory, while it runs. */
export function loadJob(model: ModelId): Job | undefined {
  return [...mirror.jobs.values()].find((job) => {
    const task = job.task as TaskFields;
    return running(job) && task.kind === "load" && task.model === model;
  });
}

/** Jobs that failed to add or load something and wait to be seen. */
export function failedJobs(): Job[] {
  return [...mirror.jobs.values()].filter((job) => job.state === "failed" && ["import", "load"].includes((job.task as TaskFields).kind ?? ""));
}

export function jobName(job: Job): string {
  const task = job.task as TaskFields;
  return mirror.models.get(task.model ?? -1)?.name ?? task.name ?? "";
}

/** 1,310,000,000 -> 1.3B */
export function shortCount(count: number): string {
  if (count >= 1e9) return `${(count / 1e9).toFixed(1).replace(/\.0$/, "")}B`;
  if (count >= 1e6) return `${(count / 1e6).toFixed(1).replace(/\.0$/, "")}M`;
  return `${Math.round(count / 1e3)}K`;
}

/** Estimates, asked for once until something is loaded or unloaded: then other memory is free. */
class Fits {
  #known = $state<Record<string, Fit>>({});
  #asked = new Set<string>();
  #mark = "";

  of(model: Model): Fit | undefined {
    const mark = [...mirror.models.values()].map((row) => `${row.id}${row.loaded_by ?? ""}`).join();
    if (mark !== this.#mark) {
      this.#mark = mark;
      this.#asked.clear();
    }
    const key = String(model.id);
    if (model.state === "ready" && !this.#asked.has(key)) {
      this.#asked.add(key);
      void api.estimate({ model: model.id }).then(
        (fit) => (this.#known[key] = fit),
        () => delete this.#known[key],
      );
    }
    return this.#known[key];
  }
}

export const fits = new Fits();

class Devices {
  #list = $state<Device[] | null>(null);
  #asked = false;

  get list(): Device[] {
    if (!this.#asked) {
      this.#asked = true;
      void api.devices().then(
        (list) => (this.#list = list),
        () => (this.#asked = false),
      );
    }
    return this.#list ?? [];
  }

  /** Asks again: what is known of drivers has changed. */
  again() {
    this.#asked = false;
    this.#list = null;
  }
}

export const devices = new Devices();

/** What is being asked about loading and adding; the dialogs stand in ModelDialogs. */
class Asking {
  /** A model that may not fit. */
  large = $state.raw<{ model: Model; fit: Fit } | null>(null);
  /** Files that may be added in place or as a copy. */
  adding = $state.raw<Chosen[] | null>(null);
  /** A model that gets another name. */
  renaming = $state.raw<Model | null>(null);
  /** An adapter that is to be merged onto a base. */
  merging = $state.raw<Model | null>(null);
  /** A model that is to be deleted; or taken off the list, where its file is not ours. */
  deleting = $state.raw<Model | null>(null);
  /** A model whose file is looked into. */
  inspecting = $state.raw<Model | null>(null);
  /** A file that came another way, to be recognised by its size and hash. */
  recognising = $state.raw<Chosen | null>(null);
  /** The models of other programs are being looked for. */
  elsewhere = $state(false);
}

export const asking = new Asking();

/** Jobs that were started here: where one fails while another room is open, its reason is said there. */
export const watched = new SvelteSet<JobId>();

async function watch(job: Promise<JobId>) {
  const id = await act(job);
  if (id !== undefined) watched.add(id);
}

/** Loads with a context (and a format of keys and values) that the person chose, or although it may not fit. */
export function loadWith(model: Model, context: number | null, anyway: boolean, kv: string | null = null) {
  return watch(api.loadModel({ model: model.id, context, kv, anyway }));
}

/** Loads a model; asks first where it may not fit. */
export async function load(model: Model) {
  try {
    const fit = await api.estimate({ model: model.id });
    if (fit.verdict === "too_large") asking.large = { model, fit };
    else await loadWith(model, null, false);
  } catch (thrown) {
    toast(sentence(asProblem(thrown)), { tone: "bad" });
  }
}

export async function unload(model: Model) {
  if ((await act(api.unloadModel({ model: model.id }))) !== undefined) toast(m.models.unloaded(model.name));
}

export async function locate(model: Model) {
  // A model of several files is its folder.
  const single = /\.(gguf|safetensors)$/i.test(model.path);
  const chosen = await act(single ? transport.choose("model_file", undefined, ["gguf", "safetensors"]) : transport.choose("model_folder"));
  if (!chosen) return;
  if ((await act(api.locateModel({ model: model.id, chosen: chosen.id }))) !== undefined) toast(m.models.located(model.name));
}

/** Opens the system's dialog; what was chosen is asked about next. */
export async function choose(kind: "model_file" | "model_folder") {
  const chosen = await act(transport.choose(kind, undefined, kind === "model_file" ? ["gguf"] : undefined));
  if (chosen) asking.adding = [chosen];
}

/** Opens the system's dialog; what the chosen file is, is found out next. */
export async function recognise() {
  const chosen = await act(transport.choose("model_file"));
  if (chosen) asking.recognising = chosen;
}

/** Opens a chat with a model, or a page with a base model, and brings the model into memory meanwhile. */
export async function start(model: Model) {
  const chat = await act(api.newChat({ kind: model.kind === "base" ? "page" : "chat", model: model.id }));
  if (!chat) return;
  view.open(chat.id);
  if (!model.loaded_by && !loadJob(model.id)) await load(model);
}

/** A dropped file that looks like a model: by its name only; the program checks the bytes. */
export function looksLikeModel(chosen: Chosen): boolean {
  return /\.(gguf|safetensors)$/i.test(chosen.name) || (chosen.bytes === 0 && !/\.[a-z0-9]{1,8}$/i.test(chosen.name));
}
