//! The palette by keyboard alone.

import { render, screen, waitFor } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { useTransport, type Chat, type Transport } from "$api";
import { mirror } from "$state/mirror.svelte";
import { view } from "$state/view.svelte";
import { matches } from "./commands";
import Palette from "./Palette.svelte";

const call = vi.fn<(name: string, values: object) => Promise<unknown>>();
const chat = (id: number, heading: string) => ({ id, kind: "chat", title: "", heading, changed_ms: id }) as Chat;

beforeEach(() => {
  call.mockReset().mockImplementation(async (name) =>
    name === "search" ? [{ chat: 1, message: 11, title: "", snippet: [{ text: "法国的", hit: false }, { text: "首都", hit: true }], created_ms: 0 }] : null,
  );
  useTransport({ call } as unknown as Transport);
  mirror.apply([
    { kind: "setting", value: { key: "language", value: "en" } },
    { kind: "chat", value: chat(1, "怎么安装") },
    { kind: "chat", value: chat(2, "Tell me a story") },
  ]);
  view.over = "palette";
});
afterEach(() => {
  view.over = null;
});

it("runs the command that the words find", async () => {
  render(Palette);
  await userEvent.type(screen.getByRole("combobox"), "theme dark{Enter}");
  expect(call).toHaveBeenCalledWith("set_setting", { key: "theme", value: "dark" });
  expect(view.over).toBeNull();
});

it("opens the chat that is chosen with the arrows", async () => {
  render(Palette);
  await userEvent.type(screen.getByRole("combobox"), "{ArrowDown}{Enter}");
  expect(view.chat).toBe(1);
});

it("finds words in messages and opens the place", async () => {
  render(Palette);
  await userEvent.type(screen.getByRole("combobox"), "首都");
  await waitFor(() => expect(screen.getByText("首都", { selector: "mark" })).toBeTruthy());
  await userEvent.keyboard("{Enter}");
  expect([view.chat, view.reveal]).toEqual([1, 11]);
});

it("leaves Enter to the input method while a word is composed", async () => {
  render(Palette);
  const field = screen.getByRole("combobox");
  field.dispatchEvent(new KeyboardEvent("keydown", { key: "Enter", keyCode: 229, bubbles: true, cancelable: true }));
  expect(view.over).toBe("palette");
});

it("wants every word, in any order and case", () => {
  expect(matches("Theme: dark", "DARK theme")).toBe(true);
  expect(matches("Theme: dark", "light theme")).toBe(false);
});
