//! What the person is asked and told: on closing, after a repair, after an interruption; and that a setting is set.

import { render, screen, waitFor } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, it, vi } from "vitest";
import { useTransport, type Job, type Setting, type Transport } from "$api";
import { mirror } from "$state/mirror.svelte";
import { followTheme } from "$shared/theme";
import CloseAsked from "./CloseAsked.svelte";
import General from "./General.svelte";
import Notices from "./Notices.svelte";
import { shortcuts } from "./shortcuts";
import StartFailed from "./StartFailed.svelte";

const call = vi.fn<(name: string, values: object) => Promise<unknown>>();
const closeWindow = vi.fn(async () => undefined);
let ask: () => void;

const start = (settings: Setting[] = [], jobs: Job[] = []) =>
  mirror.apply([
    {
      kind: "snapshot",
      value: { chats: [], folders: [], personas: [], models: [], jobs, settings: [{ key: "language", value: "en" }, ...settings], drafts: [], reports: [], requests: [] },
    },
  ]);

beforeEach(() => {
  call.mockReset().mockResolvedValue(null);
  closeWindow.mockClear();
  const onCloseAsked = async (handler: () => void) => {
    ask = handler;
    return () => undefined;
  };
  useTransport({ call, closeWindow, onCloseAsked } as unknown as Transport);
});

it("closes the window only when the person says so", async () => {
  start();
  render(CloseAsked);
  ask();
  await userEvent.click(await screen.findByRole("button", { name: "Keep it running" }));
  expect(closeWindow).not.toHaveBeenCalled();
  ask();
  await userEvent.click(await screen.findByRole("button", { name: "Stop and close" }));
  expect(closeWindow).toHaveBeenCalledOnce();
});

it("tells once that the history was repaired, from which backup", async () => {
  const values = { aside: "/h/huacaya.db.damaged-1", backup: String(Date.UTC(2026, 10, 22, 12)) };
  start([{ key: "notice", value: { code: "database_damaged", values, detail: "" } }]);
  render(Notices);
  expect(screen.getByRole("alert").textContent).toMatch(/damaged.*\/h\/huacaya\.db\.damaged-1.*Nov 22, 2026/s);
  await userEvent.click(screen.getByRole("button", { name: "Understood" }));
  expect(call).toHaveBeenCalledWith("set_setting", { key: "notice", value: null });
});

it("offers to start interrupted work again", async () => {
  const job = { id: 3, task: { kind: "import", name: "alpaca.gguf", path: "/x/alpaca.gguf", copy: true }, state: "interrupted", error: null } as unknown as Job;
  start([], [job]);
  render(Notices);
  await userEvent.click(screen.getByRole("button", { name: "Start again" }));
  expect(call).toHaveBeenCalledWith("retry_job", { job: 3 });
  await waitFor(() => expect(call).toHaveBeenCalledWith("dismiss_job", { job: 3 }));
});

it("says why Huacaya could not start, and closes", async () => {
  start();
  render(StartFailed, { problem: { code: "database_newer", values: { path: "/h/huacaya.db" }, detail: "" } });
  expect(screen.getByRole("alert").textContent).toContain("The history at /h/huacaya.db was written by a newer version");
  await userEvent.click(screen.getByRole("button", { name: "Close Huacaya" }));
  expect(closeWindow).toHaveBeenCalledOnce();
});

it("keeps a default as no value, so that a later default holds", async () => {
  start([{ key: "copy_thoughts", value: true }]);
  render(General);
  await userEvent.click(screen.getByRole("switch", { name: "Copy thoughts too" }));
  expect(call).toHaveBeenCalledWith("set_setting", { key: "copy_thoughts", value: null });
});

it("follows the theme, and the system without one", () => {
  start([{ key: "theme", value: "dark" }]);
  followTheme();
  expect(document.documentElement.dataset["theme"]).toBe("dark");
  start();
  followTheme();
  expect(document.documentElement.dataset["theme"]).toBeUndefined();
});

it("lists the key that really sends", () => {
  expect(shortcuts(false)[0]).toEqual({ what: "send", keys: ["enter"] });
  expect(shortcuts(true)[0]).toEqual({ what: "send", keys: ["mod+enter"] });
});
