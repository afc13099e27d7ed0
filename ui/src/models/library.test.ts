//! What the details and the dialogs of the library promise.

import { render, screen, waitFor, within } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, it } from "vitest";
import type { EndpointRow, Job, Model, Problem } from "$api";
import { mirror } from "$state/mirror.svelte";
import { view } from "$state/view.svelte";
import { toasts } from "$shared/toasts.svelte";
import { fakeWire, fresh } from "../../tests/fake";
import { NO_PARAMETERS } from "../../tests/rows";
import { holds, shapeOf, tensorLine } from "./inside";
import { basesFor, pageOf, sourceWords } from "./library";
import ModelDetails from "./ModelDetails.svelte";
import ModelDialogs from "./ModelDialogs.svelte";
import { asking } from "./models.svelte";

const GB = 1e9;
const row = (id: number, more: Partial<Model> = {}): Model => ({
  id, name: `model ${id}`, path: `/m/${id}.gguf`, bundled: false, source: { kind: "file" }, family: "", kind: "chat", state: "ready", architecture: "llama",
  quantization: "Q4_K_M", file_bytes: 4 * GB, parameter_count: 6.9e9, context_tokens: 4096, sha256: null, hash: "unknown", checked_ms: null, in_storage: true,
  adapter: null, template: "", template_source: "none", thinks: false, parameters: NO_PARAMETERS, persona: null, draft: null, loaded_by: null, device: null, device_reason: null, added_ms: 1, used_ms: null, ...more,
}); // prettier-ignore
const jobRow = (id: number, more: Partial<Job>): Job => ({ id, task: { kind: "import", name: "a.gguf" }, state: "done", stage: null, position: 1, done: 1, total: 1, error: null, outcome: null, created_ms: 0, finished_ms: 1, ...more });
const incomplete: Problem = { code: "model_incomplete", values: { model: "a.gguf", bytes: String(3.1 * GB), needed: String(3.9 * GB) }, detail: "" };
const inside = {
  format: "GGUF", version: 3,
  metadata: [
    { key: "general.name", kind: "string", value: "Alpaca", length: 6 },
    { key: "tokenizer.chat_template", kind: "string", value: "{{ x }}".repeat(60), length: 9_000 },
  ],
  tensors: [{ name: "token_embd.weight", shape: [4096, 55_296], kind: "Q4_K", bytes: 127_401_984 }],
}; // prettier-ignore

let wire: ReturnType<typeof fakeWire>;
let importJob: Job;

beforeEach(() => {
  toasts.list = [];
  wire = fakeWire({
    templates: [], devices: [], estimate: () => Promise.reject({ code: "internal", values: {}, detail: "" }),
    deletion: { files: ["/m/2.gguf"], bytes: 4 * GB, frees: true, used_by_chats: 3 }, read_metadata: inside,
    disk_use: { folder: "/m", models_bytes: 0, partial_bytes: 0, deleted_bytes: 0, free_bytes: 2 * GB, total_bytes: 9 * GB, largest: [] },
    import_model: () => { mirror.apply([{ kind: "job", value: importJob }]); return importJob.id; },
    find_elsewhere: [
      { program: "ollama", name: "qwen3:4b", quantization: "Q4_K_M", bytes: 2.6 * GB, chosen: 51, here: null },
      { program: "ollama", name: "llama3.1:8b", quantization: "Q4_K_M", bytes: 4.9 * GB, chosen: 52, here: 2 },
    ],
    merge: 9, verify_model: 8, recognise: 7,
  }); // prettier-ignore
  fresh("en");
  mirror.apply([{ kind: "model", value: row(2) }, { kind: "setting", value: { key: "welcomed", value: true } }]);
  asking.adding = asking.deleting = asking.inspecting = asking.merging = asking.recognising = asking.renaming = null;
  asking.elsewhere = false;
  view.model = null;
});

const dialog = () => screen.findByRole("dialog");
const press = async (name: string | RegExp) => userEvent.click(await screen.findByRole("button", { name }));

it("says before it deletes what will be freed and who uses the model, and offers the undo", async () => {
  render(ModelDialogs);
  asking.deleting = row(2);
  await waitFor(async () => expect((await dialog()).textContent).toMatch(/Frees 4.0 GB.*\/m\/2\.gguf.*3 chats use this model/s));
  expect(wire.named("delete_model")).toEqual([]);
  await press("Delete 4.0 GB");
  expect(wire.named("delete_model")).toEqual([{ model: 2 }]);
  await waitFor(() => expect(toasts.list).toHaveLength(1));
  toasts.list[0]!.undo!();
  expect(wire.named("restore_model")).toEqual([{ model: 2 }]);
});

it("shows every key of a file, folds a long value, and searches keys and values", async () => {
  render(ModelDialogs);
  asking.inspecting = row(2);
  expect((await dialog()).textContent).toContain("Inside “model 2”");
  await waitFor(async () => expect((await dialog()).textContent).toContain("GGUF 3 · 2 keys · 1 tensors"));
  expect(holds("TEMPLATE x", "tokenizer.chat_template", "{{ x }}")).toBe(true);
  expect(holds("template y", "tokenizer.chat_template", "{{ x }}")).toBe(false);
});

it("writes a tensor's shape for people, and the list for spreadsheets", () => {
  expect(shapeOf(inside.tensors[0]!)).toBe("4096 × 55296");
  expect(shapeOf({ name: "x", shape: [], kind: "F32", bytes: 4 })).toBe("1");
  expect(tensorLine(inside.tensors[0]!)).toBe("token_embd.weight\t4096 × 55296\tQ4_K\t127401984");
});

it("says of an incomplete file in its place how much is there, and what to do", async () => {
  importJob = jobRow(6, { state: "failed", error: incomplete });
  render(ModelDialogs);
  asking.adding = [{ id: 5, name: "a.gguf", bytes: 3.1 * GB }];
  await press(/Use it where it is/);
  expect(wire.named("import_model")).toEqual([{ chosen: 5, copy: false }]);
  await waitFor(() => expect(screen.getByRole("alert").textContent).toContain("“a.gguf” is incomplete: 3.1 GB of 3.9 GB are there"));
  await press("What is this file?");
  expect(wire.named("dismiss_job")).toEqual([{ job: 6 }]);
  await waitFor(() => expect(wire.named("recognise")).toEqual([{ chosen: 5 }]));
});

it("copies nothing that has no room", async () => {
  render(ModelDialogs);
  asking.adding = [{ id: 5, name: "a.gguf", bytes: 3 * GB }];
  const copy = await screen.findByRole("button", { name: /Copy into the models folder/ });
  await waitFor(() => expect((copy as HTMLButtonElement).disabled).toBe(true));
  expect(copy.textContent).toContain("Needs 3.0 GB, 2.0 GB are free");
});

it("closes and shows the model where an import went well", async () => {
  importJob = jobRow(6, { outcome: { kind: "imported", model: 2 } });
  render(ModelDialogs);
  asking.adding = [{ id: 5, name: "a.gguf", bytes: GB }];
  await press(/Use it where it is/);
  await waitFor(() => expect(asking.adding).toBe(null));
  expect(view.model).toBe(2);
  expect(toasts.list[0]!.text).toContain("model 2");
});

it("looks for other programs' models only when asked, and takes those that are chosen in their place", async () => {
  importJob = jobRow(6, { outcome: { kind: "imported", model: 2 } });
  render(ModelDialogs);
  expect(wire.named("find_elsewhere")).toEqual([]);
  asking.elsewhere = true;
  const box = await screen.findByRole("checkbox", { name: /qwen3:4b/ });
  expect((screen.getByRole("checkbox", { name: /llama3.1:8b/ }) as HTMLInputElement).disabled).toBe(true);
  await userEvent.click(box);
  await press("Use this model");
  await waitFor(() => expect(wire.named("import_model")).toEqual([{ chosen: 51, copy: false }]));
});

it("says what a file is: complete, cut off, or unknown", async () => {
  render(ModelDialogs);
  const outcome = (state: string) => ({ kind: "recognised", state, name: "Alpaca 7B", entry: null, bytes: 3.1 * GB, expected: 3.9 * GB, chosen: 5 });
  asking.recognising = { id: 5, name: "x.bin", bytes: 3.1 * GB };
  await waitFor(() => expect(wire.named("recognise")).toEqual([{ chosen: 5 }]));
  for (const [state, words] of [["complete", "It is Alpaca 7B, and complete"], ["truncated", "3.1 GB of 3.9 GB are there: it is incomplete"], ["unknown", "This file is not known"]] as const) {
    mirror.apply([{ kind: "job", value: jobRow(7, { task: { kind: "recognise", name: "x.bin" }, outcome: outcome(state) }) }]);
    await waitFor(async () => expect((await dialog()).textContent).toContain(words));
  }
});

it("merges onto the base that the adapter names, and says why it is refused", async () => {
  const adapter = row(3, { kind: "adapter", name: "Chinese-Alpaca-2-LoRA-7B", adapter: { base: "meta-llama/Llama-2-7b-hf", rank: 64 } });
  mirror.apply([adapter, row(4, { name: "Llama 2 7B", kind: "base" }), row(5, { name: "Another base", kind: "base" })].map((value) => ({ kind: "model", value })));
  expect(basesFor(adapter).map((base) => base.id)).toEqual([4, 5, 2]);
  render(ModelDialogs);
  asking.merging = adapter;
  await press("Merge");
  await waitFor(() => expect(wire.named("merge")).toEqual([{ base: 4, adapter: 3, strength: 1, name: "Chinese-Alpaca-2-7B" }]));
  const error = { code: "merge_refused", values: { reason: "the vocabularies differ" }, detail: "" };
  mirror.apply([{ kind: "job", value: jobRow(9, { task: { kind: "merge" }, state: "failed", error }) }]);
  await waitFor(() => expect(screen.getByRole("alert").textContent).toContain("cannot be merged: the vocabularies differ"));
});

it("names a model's source, and opens its page where it has one", () => {
  const hub = { kind: "hub", endpoint: "https://scope.example", repository: "a/b", revision: "main", file: "c.gguf" } as const;
  const scope: EndpointRow = { name: "S", url: "https://scope.example/", dialect: "model_scope", from_environment: false, token: "none" };
  expect(sourceWords({ kind: "program", program: "lm_studio" })).toBe("Found with LM Studio");
  expect(sourceWords({ kind: "made", from: "Llama" })).toBe("Made from Llama");
  expect(pageOf(hub, [])).toBe("https://scope.example/a/b");
  expect(pageOf(hub, [scope])).toBe("https://scope.example/models/a/b");
  expect(pageOf({ kind: "file" }, [])).toBe(null);
  expect(pageOf({ ...hub, endpoint: "javascript:alert(1)//" }, [])).toBe(null);
});

it("says that the hash is wrong and what to do; verifies again, with its progress in place", async () => {
  render(ModelDetails, { model: row(2, { hash: "wrong", sha256: "ab".repeat(32) }) });
  expect(screen.getByText(/damaged or was changed. Download it again/)).toBeTruthy();
  await press("Verify again");
  expect(wire.named("verify_model")).toEqual([{ model: 2 }]);
  mirror.apply([{ kind: "job", value: jobRow(8, { task: { kind: "verify", model: 2, name: "model 2" }, state: "running", done: 1, total: 4 }) }]);
  expect(await screen.findByText("Reading the whole file, 25 %")).toBeTruthy();
});

it("offers to locate a missing file, and no estimate, look inside or check of it", async () => {
  render(ModelDetails, { model: row(2, { state: "missing" }) });
  const aside = screen.getByRole("complementary");
  expect(within(aside).getByRole("status").textContent).toContain("The file is not where it was");
  expect(within(aside).getByRole("button", { name: "Show where it is now" })).toBeTruthy();
  expect(within(aside).queryByRole("button", { name: /Verify|Look inside/ })).toBe(null);
});
