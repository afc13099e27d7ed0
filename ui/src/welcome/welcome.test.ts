//! The first screen: the model answers by itself, once; both doors lead somewhere.

import { render, screen, waitFor } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, it, vi } from "vitest";
import { useTransport, type Chat, type Model, type Transport } from "$api";
import { mirror } from "$state/mirror.svelte";
import { view } from "$state/view.svelte";
import Welcome from "./Welcome.svelte";

const call = vi.fn<(name: string, values: object) => Promise<unknown>>();
const choose = vi.fn(async () => null);
const start = (chats: Chat[]) =>
  mirror.apply([
    {
      kind: "snapshot",
      value: {
        chats, folders: [], personas: [], models: [{ id: 1, name: "Demo", bundled: true, kind: "chat" } as Model], jobs: [],
        settings: [{ key: "language", value: "zh" }], drafts: [], reports: [], requests: [],
      },
    },
  ]);

beforeEach(() => {
  call.mockReset().mockImplementation(async (name) => (name === "send_message" ? { chat: 4, user: 5, answer: 6 } : null));
  useTransport({ call, choose } as unknown as Transport);
  view.room = "chats";
  view.chat = null;
});

const sent = () => call.mock.calls.filter(([name]) => name === "send_message");

it("greets in both languages and has the model answer already", async () => {
  start([]);
  render(Welcome);
  expect(screen.getByRole("heading", { level: 1 }).textContent).toMatch(/你好.*Hello/s);
  await waitFor(() => expect(sent()).toHaveLength(1));
  expect(sent()[0]![1]).toMatchObject({ chat: null, text: "你好" });
});

it("does not greet again when it was left unfinished", async () => {
  start([{ id: 4, changed_ms: 1 } as Chat]);
  render(Welcome);
  await waitFor(() => expect(call).toHaveBeenCalledWith("open_chat", { chat: 4 }));
  expect(sent()).toHaveLength(0);
});

it("goes on in the window with the same chat", async () => {
  start([]);
  render(Welcome);
  await waitFor(() => expect(sent()).toHaveLength(1));
  await userEvent.click(screen.getByRole("button", { name: /开始对话/ }));
  expect(call).toHaveBeenCalledWith("set_setting", { key: "welcomed", value: true });
  await waitFor(() => expect(view.chat).toBe(4));
});

it("asks for files behind the other door", async () => {
  start([]);
  render(Welcome);
  await userEvent.click(screen.getByRole("button", { name: /我有模型文件/ }));
  await waitFor(() => expect(choose).toHaveBeenCalled());
  expect(view.room).toBe("models");
});
