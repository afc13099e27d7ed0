//! What the models room promises: one button whose word changes, a question before what does not fit, clear failures.

import { render, screen, waitFor, within } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, it, vi } from "vitest";
import { useTransport, type Fit, type Job, type Model, type Transport } from "$api";
import { mirror } from "$state/mirror.svelte";
import { toasts } from "$shared/toasts.svelte";
import { view } from "$state/view.svelte";
import { unset } from "../panel/layers";
import { asking, defaultModel, looksLikeModel, shortCount } from "./models.svelte";
import AnswerSettings from "./AnswerSettings.svelte";
import ModelDialogs from "./ModelDialogs.svelte";
import ModelRow from "./ModelRow.svelte";
import ModelsRoom from "./ModelsRoom.svelte";

const GB = 1e9;
const model = (values: Partial<Model> = {}): Model => ({
  id: 2, name: "Alpaca", path: "/m/alpaca.gguf", bundled: false, kind: "chat", state: "ready", architecture: "llama", quantization: "Q4_K_M",
  source: { kind: "file" }, family: "", hash: "unknown", checked_ms: null, in_storage: false, adapter: null, persona: null, draft: null,
  file_bytes: 4 * GB, parameter_count: 6.9e9, context_tokens: 4096, sha256: null, template: "alpaca-2", template_source: "built in", thinks: false,
  parameters: unset, loaded_by: null, device: null, device_reason: null, added_ms: 1, used_ms: null, ...values,
});
const fit = (verdict: Fit["verdict"]) =>
  ({ context: 4096, weights: 8 * GB, kv: GB, scratch: 0.1 * GB, total: 9.1 * GB, free: 6.2 * GB, verdict, draft: 0, choices: [{ context: 4096, kv: "q8_0", total: 6.1 * GB }, { context: 1024, kv: null, total: 6 * GB }] }) as Fit;

let verdict: Fit["verdict"];
const call = vi.fn<(name: string, values: object) => Promise<unknown>>();

beforeEach(() => {
  verdict = "well";
  call.mockReset().mockImplementation(async (name) => {
    if (name === "estimate") return fit(verdict);
    if (name === "diagnostics") return { models: "/m", devices: [] };
    if (name === "deletion") return { files: ["/m/alpaca.gguf"], bytes: 4 * GB, frees: false, used_by_chats: 2 };
    if (name === "templates" || name === "devices") return [];
    return null;
  });
  useTransport({ call, onDropped: async () => () => undefined } as unknown as Transport);
  mirror.apply([
    { kind: "snapshot", value: { chats: [], folders: [], personas: [], models: [model()], jobs: [], settings: [{ key: "language", value: "en" }], drafts: [], reports: [], requests: [] } },
  ]);
  asking.large = asking.adding = asking.renaming = null;
  view.model = null;
});

it("changes the word of the one button with the model's state", async () => {
  const { rerender } = render(ModelRow, { model: model() });
  expect(screen.getByRole("button", { name: "Load" })).toBeTruthy();
  await rerender({ model: model({ loaded_by: "me", device: "CPU", device_reason: null }) });
  expect(screen.getByRole("button", { name: "Chat" })).toBeTruthy();
  await rerender({ model: model({ loaded_by: "me", kind: "base" }) });
  expect(screen.getByRole("button", { name: "Write" })).toBeTruthy();
  await rerender({ model: model({ state: "missing" }) });
  expect(screen.getByRole("button", { name: "Locate…" })).toBeTruthy();
  const job = { id: 5, task: { kind: "load", model: 2 }, state: "running", done: 1, total: 4 } as unknown as Job;
  mirror.apply([{ kind: "job", value: job }]);
  await rerender({ model: model() });
  expect(screen.getByText("Loading, 25 %")).toBeTruthy();
  expect(screen.getByRole("button", { name: "Stop loading" })).toBeTruthy();
});

it("asks before it loads what does not fit, with the choices that would", async () => {
  verdict = "too_large";
  render(ModelDialogs);
  render(ModelRow, { model: model() });
  await userEvent.click(screen.getByRole("button", { name: "Load" }));
  await waitFor(() => expect(screen.getByText(/Needs 9.1 GB, 6.2 GB free/)).toBeTruthy());
  expect(call).not.toHaveBeenCalledWith("load_model", expect.anything());
  expect((await screen.findByRole("dialog")).textContent).toContain("perplexity moves by 0.009 %");
  expect(screen.getByRole("button", { name: /Context 1,024 · 6.0 GB/ })).toBeTruthy();
  await userEvent.click(screen.getByRole("button", { name: /Context 4,096 · conversation in 8 bits \(Q8_0\) · 6.1 GB/ }));
  expect(call).toHaveBeenCalledWith("load_model", { model: 2, context: 4096, kv: "q8_0", anyway: false });
});

it("offers smaller models as draft, and sets one", async () => {
  const big = model({ parameter_count: 7e9, draft: null });
  mirror.apply([
    { kind: "model", value: big },
    { kind: "model", value: model({ id: 3, name: "Small", state: "ready", parameter_count: 1.3e9 }) },
    { kind: "model", value: model({ id: 4, name: "Huge", state: "ready", parameter_count: 13e9 }) },
  ]);
  render(AnswerSettings, { model: big });
  await userEvent.click(await screen.findByLabelText(/^Draft model:/));
  expect((await screen.findAllByRole("option")).map((option) => option.textContent?.trim().split(/\s/)[0])).toEqual(["None", "Small"]);
  await userEvent.click(screen.getByRole("option", { name: /Small/ }));
  expect(call).toHaveBeenCalledWith("set_model", expect.objectContaining({ model: 2, draft: 3 }));
});

it("loads without a question what fits", async () => {
  render(ModelRow, { model: model() });
  await userEvent.click(screen.getByRole("button", { name: "Load" }));
  await waitFor(() => expect(call).toHaveBeenCalledWith("load_model", { model: 2, context: null, kv: null, anyway: false }));
});

it("says of a broken import which file it was, why, and what to do", () => {
  const error = { code: "model_broken", values: { model: "evil.gguf", reason: "a tensor ends past the end of the file" }, detail: "" };
  mirror.apply([{ kind: "job", value: { id: 9, task: { kind: "import", name: "evil.gguf" }, state: "failed", error } as unknown as Job }]);
  render(ModelsRoom);
  const alert = screen.getByRole("alert");
  expect(alert.textContent).toContain("“evil.gguf” is not a sound model file: a tensor ends past the end of the file");
  expect(alert.querySelector("button")).toBeTruthy();
});

it("says before it takes a model off the list that the file stays, and offers the undo", async () => {
  render(ModelDialogs);
  render(ModelRow, { model: model() });
  await userEvent.click(screen.getByRole("button", { name: "More for “Alpaca”" }));
  await userEvent.click(await screen.findByRole("menuitem", { name: "Take off the list" }));
  const dialog = await screen.findByRole("dialog");
  expect(dialog.textContent).toContain("it stays where it is");
  await waitFor(() => expect(dialog.textContent).toContain("/m/alpaca.gguf"));
  expect(call).not.toHaveBeenCalledWith("remove_model", expect.anything());
  await userEvent.click(within(dialog).getByRole("button", { name: "Take off the list" }));
  expect(call).toHaveBeenCalledWith("remove_model", { model: 2 });
  toasts.list.at(-1)?.undo?.();
  expect(call).toHaveBeenCalledWith("restore_model", { model: 2 });
});

it("answers with the person's model, else with the one that came along", () => {
  mirror.apply([{ kind: "model", value: model({ id: 3, bundled: true }) }]);
  expect(defaultModel()?.id).toBe(3);
  mirror.apply([{ kind: "setting", value: { key: "model", value: 2 } }]);
  expect(defaultModel()?.id).toBe(2);
});

it.each([
  [6_900_000_000, "6.9B"],
  [7_000_000_000, "7B"],
  [4_800_000, "4.8M"],
])("writes %i parameters as %s", (count, text) => {
  expect(shortCount(count)).toBe(text);
});

it.each([
  ["a.gguf", 5, true],
  ["notes.txt", 5, false],
  ["Chinese-Alpaca-2-7B", 0, true],
])("takes a dropped %s for a model: %s bytes, %s", (name, bytes, is) => {
  expect(looksLikeModel({ id: 1, name, bytes })).toBe(is);
});
