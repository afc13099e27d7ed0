//! What the choices about computing promise: defaults kept as no value, costs said, and a measurement that tells what came of it.

import { render, screen, waitFor } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, it } from "vitest";
import type { ComputingNow, Job, Model, Pace, Tuned } from "$api";
import { mirror } from "$state/mirror.svelte";
import { fakeWire, fresh } from "../../tests/fake";
import { nameOf } from "../list/jobs";
import ComputeSettings from "./ComputeSettings.svelte";

const pace = (threads: number, decode: number): Pace => ({ kernels: "avx512", threads, chunk: 64, kv: "f16", prefill_tokens_per_second: 100, decode_tokens_per_second: decode });
const tuned = (model: number, more: Partial<Tuned>): Tuned => ({ machine: "a processor", shape: "a shape", model, measured_ms: 1_000, default: pace(8, 10), chosen: pace(6, 12.5), tried: 3, ...more });
const set = (key: string, value: unknown) => mirror.apply([{ kind: "setting", value: { key, value: value as never } }]);
const tuneJob = (id: number, model: number, more: Partial<Job> = {}): Job =>
  ({ id, task: { kind: "load", model, name: "Alpaca", context: null, anyway: false, tune: true }, state: "running", stage: "tuning", position: 1, done: 0, total: 0, error: null, outcome: null, created_ms: 0, finished_ms: null, ...more });

const now: ComputingNow = { model: "Alpaca", backend: "native", backend_why: "usual", kernels: "avx2", kernels_why: "environment", kernels_ignored: null, threads: 6, threads_why: "measured", reason: null };

let wire: ReturnType<typeof fakeWire>;

beforeEach(() => {
  wire = fakeWire({
    compute_choices: { kernels: ["avx512", "avx2", "portable"], cores: 8, threads_max: 16, now },
    // As the program finds it: by the shape, here that of every model.
    tuning: () => mirror.setting<Tuned[]>("tunings")?.[0] ?? null,
    tune_model: 5,
  });
  fresh("en");
  const model = { id: 1, name: "Alpaca", kind: "chat", state: "ready", quantization: "Q4_K_M", loaded_by: "me", added_ms: 0, used_ms: null, bundled: true } as unknown as Model;
  mirror.apply([{ kind: "model", value: model }]);
});

async function pick(name: RegExp, option: RegExp) {
  await userEvent.click(screen.getByLabelText(name));
  await userEvent.click(await screen.findByRole("option", { name: option }));
}

it("offers the kernels that this processor has, and goes back to automatic as no value", async () => {
  set("compute_kernels", "avx2");
  render(ComputeSettings);
  await waitFor(() => expect(wire.named("compute_choices")).toHaveLength(1));
  await userEvent.click(screen.getByLabelText("Kernels: avx2"));
  expect((await screen.findAllByRole("option")).map((option) => option.textContent?.trim().split(/\s/)[0])).toEqual(["Automatic", "avx512", "avx2", "portable"]);
  await userEvent.click(screen.getByRole("option", { name: /Automatic/ }));
  expect(wire.named("set_setting")).toEqual([{ key: "compute_kernels", value: null }]);
});

it("says what fewer bits of the conversation cost, before and after they are chosen", async () => {
  render(ComputeSettings);
  await userEvent.click(screen.getByLabelText(/^Memory of the conversation.*:/));
  expect((await screen.findByRole("option", { name: /4 bits/ })).textContent).toContain("0.053 %");
  await userEvent.click(screen.getByRole("option", { name: /4 bits/ }));
  expect(wire.named("set_setting")).toEqual([{ key: "compute_kv", value: "q4_0" }]);
  set("compute_kv", "q4_0");
  expect((await screen.findByText(/0\.053 %/)).textContent).toContain("quarter of the memory");
});

it("keeps threads within what the machine runs, and empty as automatic", async () => {
  set("compute_threads", 4);
  render(ComputeSettings);
  await screen.findByText(/one for each of the 8 cores/);
  const field = screen.getByRole("textbox", { name: "Threads" });
  await userEvent.clear(field);
  await userEvent.type(field, "99{Enter}");
  await userEvent.clear(field);
  await userEvent.type(field, "{Enter}");
  expect(wire.named("set_setting").at(-1)).toEqual({ key: "compute_threads", value: null });
  expect(wire.named("set_setting").filter((call) => Number(call["value"]) > 16)).toEqual([]);
});

it("says what is in use and why, and that the environment goes before the choice", async () => {
  render(ComputeSettings);
  const status = await screen.findByRole("status", { name: "In use" });
  expect(status.textContent).toContain("Huacaya's own · avx2 (forced) · 6 threads (measured)");
  expect(status.textContent).toContain("HUACAYA_KERNELS goes before the setting");
});

it("shows what was found for the model, compared with the usual way", async () => {
  set("tunings", [tuned(1, {})]);
  render(ComputeSettings);
  // 12.5 over 10.
  expect(await screen.findByText("Writes 25 % faster than the usual way")).toBeTruthy();
  expect(screen.getByText("avx512 · 6 threads · KV F16")).toBeTruthy();
  expect(screen.queryByText(/which has the same shape/)).toBe(null);
  const twin = { id: 2, name: "Twin", kind: "chat", state: "ready", quantization: "Q4_K_M", loaded_by: null, added_ms: 0, used_ms: null } as unknown as Model;
  mirror.apply([{ kind: "model", value: twin }]);
  set("tunings", [tuned(2, { chosen: pace(8, 10) })]);
  expect(await screen.findByText("The usual way is the fastest")).toBeTruthy();
  expect(screen.getByText("Measured with Twin, which has the same shape.")).toBeTruthy();
});

it("measures again, says so while it does, and can be stopped", async () => {
  set("tunings", [tuned(1, {})]);
  render(ComputeSettings);
  await userEvent.click(await screen.findByRole("button", { name: "Measure again" }));
  expect(wire.named("tune_model")).toEqual([{ model: 1 }]);
  mirror.apply([{ kind: "job", value: tuneJob(5, 1) }]);
  expect((await screen.findByRole("progressbar", { name: "Measuring Alpaca" })).getAttribute("aria-valuetext")).toContain("finding the fastest way");
  expect(nameOf(tuneJob(5, 1))).toBe("Measuring the speed of Alpaca");
  await userEvent.click(screen.getByRole("button", { name: "Stop measuring" }));
  expect(wire.named("stop_job")).toEqual([{ job: 5 }]);
});

it("says where a measurement failed, and where it had nothing to choose from", async () => {
  render(ComputeSettings);
  await userEvent.click(await screen.findByRole("button", { name: "Measure" }));
  mirror.apply([{ kind: "job", value: tuneJob(5, 1, { state: "failed", error: { code: "engine_failed", values: { reason: "no memory" }, detail: "" } }) }]);
  expect((await screen.findByRole("alert")).textContent).toContain("no memory");
  mirror.apply([{ kind: "job", value: tuneJob(5, 1, { state: "done" }) }]);
  expect(await screen.findByText(/nothing to choose from/)).toBeTruthy();
});

it("offers no measurement where Candle computes", async () => {
  set("compute_backend", "candle");
  render(ComputeSettings);
  expect(await screen.findByText(/nothing to measure/)).toBeTruthy();
  expect(screen.queryByRole("button", { name: /^Measure/ })).toBe(null);
  await pick(/^Back end:/, /Huacaya/);
  expect(wire.named("set_setting")).toEqual([{ key: "compute_backend", value: null }]);
});
