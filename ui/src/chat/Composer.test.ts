//! The composer: what its keys do, what it keeps, what it refuses.

import { fireEvent, render, screen, waitFor } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { fakeWire, fresh } from "../../tests/fake";
import { mirror } from "$state/mirror.svelte";
import { view } from "$state/view.svelte";
import Composer from "./Composer.svelte";

const CONTEXT = { system: 10, history: 20, draft: 3, reserve: 100, total: 1000, over: 0, memory_starts_at: null, exact: true };
const none = { chat: 1, writing: null, lastOfPerson: null, lastAnswer: null, versions: [], leaf: null };

function show(props: Partial<Record<keyof typeof none, unknown>> = {}, answers: Record<string, unknown> = {}) {
  const wire = fakeWire({ context: CONTEXT, send_message: { chat: 1, user: 2, answer: 3 }, ...answers });
  const shown = render(Composer, { ...none, ...props } as typeof none);
  const field = screen.getByRole<HTMLTextAreaElement>("textbox", { name: "Message" });
  return { ...wire, ...shown, field, user: userEvent.setup() };
}

beforeEach(() => fresh("en"));

describe("keys", () => {
  it("Enter sends, Shift+Enter makes a line", async () => {
    const { field, user, named } = show();
    await user.type(field, "甲{Shift>}{Enter}{/Shift}乙{Enter}");
    await waitFor(() => expect(named("send_message")).toHaveLength(1));
    expect(named("send_message")[0]).toMatchObject({ chat: 1, text: "甲\n乙", attachments: [], begin: "" });
    await waitFor(() => expect(field.value).toBe(""));
  });

  it("with the setting, Ctrl+Enter sends and Enter makes a line", async () => {
    mirror.apply([{ kind: "setting", value: { key: "send_key", value: "ctrl_enter" } }]);
    const { field, user, named } = show();
    await user.type(field, "a{Enter}b");
    expect(named("send_message")).toHaveLength(0);
    expect(field.value).toBe("a\nb");
    await user.type(field, "{Control>}{Enter}{/Control}");
    await waitFor(() => expect(named("send_message")).toHaveLength(1));
  });

  it.each([{ isComposing: true }, { keyCode: 229 }])("Enter of an input method does not send: %o", async (given) => {
    const { field, user, named } = show();
    await user.type(field, "ni hao");
    const event = new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true });
    for (const [name, value] of Object.entries(given)) Object.defineProperty(event, name, { value });
    field.dispatchEvent(event);
    expect(named("send_message")).toHaveLength(0);
  });

  it("the Enter right after a composition does not send", async () => {
    const { field, user, named } = show();
    await user.type(field, "你好");
    await fireEvent(field, new Event("compositionend"));
    await fireEvent.keyDown(field, { key: "Enter" });
    expect(named("send_message")).toHaveLength(0);
  });

  it("Escape stops the answer", async () => {
    const { field, user, named } = show({ writing: 9 });
    await user.type(field, "{Escape}");
    expect(named("stop_message")).toEqual([{ message: 9 }]);
  });

  it("Escape of an input method does not stop it", async () => {
    const { field, named } = show({ writing: 9 });
    const event = new KeyboardEvent("keydown", { key: "Escape", bubbles: true });
    Object.defineProperty(event, "isComposing", { value: true });
    field.dispatchEvent(event);
    expect(named("stop_message")).toHaveLength(0);
  });

  it("Up in an empty field edits the last message; not in a full one", async () => {
    const { field, user } = show({ lastOfPerson: 5 });
    await user.type(field, "a{ArrowUp}");
    expect(view.editing).toBeNull();
    await user.clear(field);
    await user.type(field, "{ArrowUp}");
    expect(view.editing).toBe(5);
  });

  it("Left and Right in an empty field go through the versions of the last answer, and stop at the ends", async () => {
    mirror.apply([{ kind: "message", value: { id: 7, chat: 1, parent: null, role: "assistant", state: "done", error: null, made: null, stats: null, created_ms: 0, body: null } }]);
    for (const id of [6, 8]) mirror.apply([{ kind: "message", value: { ...mirror.messages.get(7)!, id, body: null } }]);
    const { field, user, named, rerender } = show({ lastAnswer: 7, versions: [6, 7, 8] });
    await user.type(field, "{ArrowLeft}{ArrowRight}");
    expect(named("choose_leaf")).toEqual([{ chat: 1, message: 6 }, { chat: 1, message: 8 }]);
    await rerender({ lastAnswer: 8 });
    await user.type(field, "{ArrowRight}");
    expect(named("choose_leaf")).toHaveLength(2);
  });
});

describe("sending", () => {
  it("waits while an answer is written", async () => {
    const { field, user, named } = show({ writing: 9 });
    await user.type(field, "a{Enter}");
    expect(named("send_message")).toHaveLength(0);
    expect(field.value).toContain("a");
  });

  it("keeps the words when it fails, and says why", async () => {
    const { field, user } = show({}, { send_message: () => Promise.reject({ code: "no_model", values: {}, detail: "" }) });
    await user.type(field, "hello{Enter}");
    await screen.findByRole("alert");
    expect(field.value).toBe("hello");
    expect(screen.getByRole("alert").textContent).toContain("no model");
  });

  it("refuses what does not fit, with the number", async () => {
    const { field, user, named } = show({}, { context: { ...CONTEXT, over: 1_234 } });
    await user.type(field, "long");
    await waitFor(() => expect(screen.getByText(/1,234 tokens too many/)).toBeTruthy());
    await user.type(field, "{Enter}");
    expect(named("send_message")).toHaveLength(0);
  });

  it("opens the chat that it made", async () => {
    const { field, user } = show({ chat: null }, { send_message: { chat: 44, user: 2, answer: 3 } });
    await user.type(field, "hello{Enter}");
    await waitFor(() => expect(view.chat).toBe(44));
  });
});

describe("a draft", () => {
  it("is shown when the chat is opened", () => {
    mirror.apply([{ kind: "draft", value: { chat: 1, text: "没写完", attachments: [{ name: "a.txt", encoding: "GB18030", text: "x", tokens: 12 }] } }]);
    const { field } = show();
    expect(field.value).toBe("没写完");
    expect(screen.getByText("a.txt")).toBeTruthy();
    expect(screen.getByText(/12 tokens · GB18030/)).toBeTruthy();
  });

  it("is saved a moment after the last key, once", async () => {
    vi.useFakeTimers();
    const { field, named } = show();
    for (const text of ["a", "ab", "abc"]) await fireEvent.input(field, { target: { value: text } });
    expect(named("save_draft")).toHaveLength(0);
    await vi.advanceTimersByTimeAsync(500);
    expect(named("save_draft")).toEqual([{ chat: 1, text: "abc", attachments: [] }]);
    vi.useRealTimers();
  });

  it("is saved at once when the chat is left", async () => {
    const { field, named, unmount } = show();
    await fireEvent.input(field, { target: { value: "half" } });
    unmount();
    expect(named("save_draft")).toEqual([{ chat: 1, text: "half", attachments: [] }]);
  });

  it("that comes later does not overwrite what was typed", async () => {
    const { field } = show();
    await fireEvent.input(field, { target: { value: "mine" } });
    mirror.apply([{ kind: "draft", value: { chat: 1, text: "old", attachments: [] } }]);
    await Promise.resolve();
    expect(field.value).toBe("mine");
  });
});

describe("files", () => {
  const attachment = { name: "data.csv", encoding: "UTF-8", text: "a,b", tokens: 5 };

  it("are read by the back end and sent with the message", async () => {
    const { field, user, named, container } = show({}, { read_attachment: attachment });
    await user.upload(container.querySelector<HTMLInputElement>("input[type=file]")!, new File(["a,b"], "data.csv"));
    await screen.findByText("data.csv");
    expect(named("read_attachment")).toEqual([{ chat: 1, name: "data.csv", base64: btoa("a,b") }]);
    await user.type(field, "sum{Enter}");
    await waitFor(() => expect(named("send_message")[0]).toMatchObject({ attachments: [attachment] }));
  });

  it("that are not text are refused by name", async () => {
    const { user, container } = show({}, { read_attachment: () => Promise.reject({ code: "attachment_binary", values: { name: "x.bin" }, detail: "" }) });
    await user.upload(container.querySelector<HTMLInputElement>("input[type=file]")!, new File(["\0"], "x.bin"));
    expect((await screen.findByRole("alert")).textContent).toContain("x.bin");
  });

  it("that were dropped on the window are read by their id", async () => {
    const { named } = show({}, { read_dropped: attachment });
    view.dropped = [{ id: 7, name: "data.csv", bytes: 3 }];
    await screen.findByText("data.csv");
    expect(named("read_dropped")).toEqual([{ chat: 1, chosen: 7 }]);
    expect(view.dropped).toEqual([]);
  });

  it("come of a long paste, and a short one stays text", async () => {
    const { field, named } = show({}, { read_attachment: (args: { name: string }) => ({ ...attachment, name: args.name }) });
    const paste = (text: string) => {
      const event = new Event("paste", { bubbles: true, cancelable: true });
      Object.assign(event, { clipboardData: { files: [], getData: () => text } });
      field.dispatchEvent(event);
      return event.defaultPrevented;
    };
    expect(paste("short")).toBe(false);
    expect(paste("长".repeat(9_000))).toBe(true);
    await waitFor(() => expect(named("read_attachment")).toHaveLength(1));
  });
});
