//! Downloads in the window: the words of their stages, their order, the question before much is thrown away, the end.

import { render, screen, waitFor, within } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { Job, Model } from "$api";
import { mirror } from "$state/mirror.svelte";
import { view } from "$state/view.svelte";
import Toasts from "$shared/Toasts.svelte";
import { toasts } from "$shared/toasts.svelte";
import { fakeWire, fresh } from "../../tests/fake";
import { finding } from "../hub/finding.svelte";
import JobStrip from "../list/JobStrip.svelte";
import StepButton from "../models/StepButton.svelte";
import DownloadList from "./DownloadList.svelte";
import { download, jobFor, show } from "./downloads.svelte";
import Following from "./Following.svelte";
import { amountOf, leftWords, lineOf } from "./words";

const GB = 1e9;
const job = (id: number, more: Partial<Job> = {}): Job => ({
  id, task: { kind: "download", name: `Model ${id}`, address: { repository: "a/b", files: [{ path: `${id}.gguf` }], url: null } }, state: "running", stage: "fetching", position: id,
  done: 1.2 * GB, total: 3.9 * GB, error: null, outcome: null, created_ms: 0, finished_ms: null, ...more,
});
const put = (...jobs: Job[]) => mirror.apply(jobs.map((value) => ({ kind: "job", value })));

let wire: ReturnType<typeof fakeWire>;
beforeEach(() => {
  wire = fakeWire();
  fresh();
});
afterEach(() => {
  for (const toast of toasts.list) toasts.remove(toast.id);
});

describe("words", () => {
  it.each([
    [3_000, "a few seconds left"],
    [31_000, "35 s left"],
    [58_000, "1 min left"],
    [200_000, "3 min left"],
    [3_590_000, "1 h left"],
    [4_900_000, "1 h 20 min left"],
  ])("say %i ms as %s", (ms, words) => expect(leftWords(ms)).toBe(words));

  it("name the unit once where both share it", () => {
    expect(amountOf(1.2 * GB, 3.9 * GB)).toBe("1.2 of 3.9 GB");
    expect(amountOf(0.8 * GB, 3.9 * GB)).toBe("800 MB of 3.9 GB");
  });

  it.each([
    [{}, "30 %"],
    [{ stage: "connecting" }, "30 % · connecting"],
    [{ stage: "waiting:8:connection reset" }, "30 % · waiting 8 s for the network: connection reset"],
    [{ stage: "waiting:0:fetched already" }, "30 % · another Huacaya is fetching it"],
    [{ stage: "waiting" }, "30 % · waiting for the network"],
    [{ stage: "verifying" }, "30 % · verifying"],
    [{ stage: "mending" }, "30 % · mending a part"],
    [{ stage: "merging" }, "30 % · merging"],
    [{ stage: null, state: "failed" }, "30 % · broke off"],
    [{ stage: null, state: "paused" }, "30 % · paused"],
    [{ stage: null, state: "waiting" }, "30 % · waiting its turn"],
    [{ stage: "offline", state: "waiting" }, "30 % · offline: goes on when the switch is off again"],
    [{ stage: null, state: "waiting", total: 0 }, "waiting its turn"],
  ] as [Partial<Job>, string][])("of %j are “%s”", (more, words) => expect(lineOf(job(1, more))).toBe(words));
});

it("finds the open job of a file, and of one address only", () => {
  put(job(1, { state: "stopped" }), job(2));
  expect(jobFor("a/b", "2.gguf")?.id).toBe(2);
  expect(jobFor("a/b", "1.gguf")).toBeUndefined();
  expect(jobFor("c/d", "2.gguf")).toBeUndefined();
});

it("moves a download by its buttons", async () => {
  put(job(1), job(2), job(3, { state: "paused" }));
  render(DownloadList);
  await userEvent.click(screen.getByRole("button", { name: "Model 3: one place up" }));
  await userEvent.click(screen.getByRole("button", { name: "Model 1: one place down" }));
  await userEvent.click(screen.getByRole("button", { name: "Model 2: one place down" }));
  expect(wire.named("move_job")).toEqual([{ job: 3, before: 2 }, { job: 1, before: 3 }, { job: 2, before: null }]);
  expect(screen.getByRole<HTMLButtonElement>("button", { name: "Model 1: one place up" }).disabled).toBe(true);
});

it("pauses and goes on", async () => {
  put(job(1));
  render(JobStrip);
  await userEvent.click(screen.getByRole("button", { name: "Pause: Model 1" }));
  expect(wire.named("pause_job")).toEqual([{ job: 1 }]);
  put(job(1, { state: "paused", stage: null }));
  await userEvent.click(await screen.findByRole("button", { name: "Go on: Model 1" }));
  expect(wire.named("resume_job")).toEqual([{ job: 1 }]);
});

it("asks before it throws more than 100 MB away, and says how much", async () => {
  put(job(1), job(2, { done: 20e6 }));
  render(Following);
  render(DownloadList);
  await userEvent.click(screen.getByRole("button", { name: "End the download of Model 2" }));
  expect(wire.named("stop_job")).toEqual([{ job: 2 }]);
  await userEvent.click(screen.getByRole("button", { name: "End the download of Model 1" }));
  expect((await screen.findByRole("dialog")).textContent).toContain("1.2 GB that are here already are thrown away");
  expect(wire.named("stop_job")).toHaveLength(1);
  await userEvent.click(screen.getByRole("button", { name: "Throw 1.2 GB away" }));
  expect(wire.named("stop_job")).toContainEqual({ job: 1 });
});

it("tells of a download that ends, once, with the way to chat", async () => {
  put(job(1), job(9, { state: "done", outcome: { kind: "downloaded", model: 7 } }));
  render(Following);
  render(Toasts);
  mirror.apply([{ kind: "model", value: { id: 7, name: "Alpaca", kind: "chat", state: "ready", loaded_by: "me" } as Model }]);
  put(job(1, { state: "done", outcome: { kind: "downloaded", model: 7 } }));
  await waitFor(() => expect(screen.getAllByText("“Alpaca” is here")).toHaveLength(1));
  await userEvent.click(screen.getByRole("button", { name: "Chat" }));
  expect(wire.named("new_chat")).toEqual([{ kind: "chat", model: 7 }]);
});

it("says a failure in place, with its mend", async () => {
  put(job(1, { state: "failed", stage: null, error: { code: "hash_wrong", values: { name: "x.gguf" }, detail: "" } }));
  render(DownloadList);
  expect(screen.getByRole("alert").textContent).toContain("x.gguf");
  await userEvent.click(screen.getByRole("button", { name: "Try again" }));
  expect(wire.named("retry_job")).toEqual([{ job: 1 }]);
});

it("leads from the strip to the list of downloads", () => {
  put(job(1));
  show(1);
  expect([view.room, finding.place.at, finding.reveal]).toEqual(["models", "list", 1]);
});

it("is busy while the hub is asked, and says a refusal with its mend", async () => {
  let refuse: (problem: unknown) => void = () => undefined;
  wire = fakeWire({ download: () => new Promise((_, reject) => (refuse = reject)) });
  render(Toasts);
  render(StepButton, { bytes: 3.9 * GB, onstart: () => download("a/b", "x.gguf") });
  const button = screen.getByRole<HTMLButtonElement>("button", { name: "Download 3.9 GB" });
  await userEvent.click(button);
  expect(wire.named("download")).toEqual([{ address: "a/b", choice: "x.gguf" }]);
  expect(button.disabled).toBe(true);
  refuse({ code: "offline", values: {}, detail: "" });
  await waitFor(() => expect(button.disabled).toBe(false));
  await userEvent.click(within(screen.getByRole("status")).getAllByRole("button")[0]!);
  expect(wire.named("set_setting")).toEqual([{ key: "offline", value: null }]);
});
