//! The mirror holds what the changes say, in their order, and wakes only what they touch.

import { flushSync } from "svelte";
import { beforeEach, describe, expect, it } from "vitest";
import { fresh } from "../../tests/fake";
import { chatRow, messageRow, put } from "../../tests/rows";
import { mirror } from "./mirror.svelte";

beforeEach(() => fresh());

describe("the mirror", () => {
  it("replaces everything at a snapshot", () => {
    mirror.apply([put.chat(chatRow(1)), put.chat(chatRow(2))]);
    mirror.apply([
      { kind: "snapshot", value: { chats: [chatRow(2, { title: "new" })], folders: [], personas: [], models: [], jobs: [], settings: [{ key: "theme", value: "dark" }], drafts: [], reports: [], requests: [] } },
    ]);
    expect([...mirror.chats.keys()]).toEqual([2]);
    expect(mirror.chats.get(2)?.title).toBe("new");
    expect(mirror.setting("theme")).toBe("dark");
    expect(mirror.setting("language")).toBeUndefined();
  });

  it("puts words at the end of a growing answer, thoughts apart", () => {
    mirror.apply([put.message(messageRow(5, null, "从前", { role: "assistant", state: "writing" }))]);
    mirror.apply([
      { kind: "text", value: { message: 5, thought: true, piece: "想一想" } },
      { kind: "text", value: { message: 5, thought: false, piece: "有座" } },
      { kind: "text", value: { message: 5, thought: false, piece: "山" } },
    ]);
    expect(mirror.bodies.get(5)).toMatchObject({ text: "从前有座山", thought: "想一想" });
  });

  it("ends with the row, whatever was in flight", () => {
    mirror.apply([put.message(messageRow(5, null, "", { role: "assistant", state: "writing" })), { kind: "text", value: { message: 5, thought: false, piece: "abc" } }]);
    mirror.apply([put.message(messageRow(5, null, "abcd", { role: "assistant" }))]);
    expect(mirror.bodies.get(5)?.text).toBe("abcd");
  });

  it("keeps the words of a message whose row comes again without them", () => {
    mirror.apply([put.message(messageRow(5, null, "abc")), put.message(messageRow(5, null, "", { body: null }))]);
    expect(mirror.bodies.get(5)?.text).toBe("abc");
  });

  it("shows how much was read until the first word", () => {
    mirror.apply([put.message(messageRow(5, null, "", { state: "writing" })), { kind: "reading", value: { message: 5, done: 10, total: 30 } }]);
    expect(mirror.reading.get(5)).toEqual({ done: 10, total: 30 });
    mirror.apply([{ kind: "text", value: { message: 5, thought: false, piece: "a" } }]);
    expect(mirror.reading.has(5)).toBe(false);
  });

  it("ignores words for a message that is not here", () => {
    mirror.apply([{ kind: "text", value: { message: 99, thought: false, piece: "a" } }]);
    expect(mirror.bodies.has(99)).toBe(false);
  });

  it("drops what an opened chat no longer holds", () => {
    mirror.apply([put.message(messageRow(1, null, "a")), put.message(messageRow(2, 1, "b"))]);
    mirror.apply([{ kind: "opened", value: { chat: 1, messages: [messageRow(1, null, "a")] } }]);
    expect([...mirror.messages.keys()]).toEqual([1]);
    expect(mirror.opened.has(1)).toBe(true);
  });

  it("forgets messages and drafts with their chat", () => {
    mirror.apply([put.chat(chatRow(1)), { kind: "opened", value: { chat: 1, messages: [messageRow(1, null, "a")] } }, { kind: "draft", value: { chat: 1, text: "x", attachments: [] } }]);
    mirror.apply([{ kind: "removed", value: { table: "chat", id: 1 } }]);
    expect([mirror.chats.size, mirror.messages.size, mirror.bodies.size, mirror.drafts.size]).toEqual([0, 0, 0, 0]);
  });

  it("takes the draft of the chat that does not exist yet", () => {
    mirror.apply([{ kind: "draft", value: { chat: null, text: "x", attachments: [] } }]);
    expect(mirror.drafts.get(null)?.text).toBe("x");
    mirror.apply([{ kind: "removed", value: { table: "draft", id: null } }]);
    expect(mirror.drafts.has(null)).toBe(false);
  });

  it("goes back to the default at a null setting", () => {
    mirror.apply([{ kind: "setting", value: { key: "theme", value: "dark" } }, { kind: "setting", value: { key: "theme", value: null } }]);
    expect(mirror.setting("theme")).toBeUndefined();
  });

  it("wakes a growing answer's own bubble, not the rows", () => {
    mirror.apply([put.message(messageRow(1, null, "a")), put.message(messageRow(2, 1, "", { state: "writing" }))]);
    const woken = { row: 0, other: 0, own: 0 };
    const stop = $effect.root(() => {
      $effect(() => void [mirror.messages.get(2), (woken.row += 1)]);
      $effect(() => void [mirror.bodies.get(1), (woken.other += 1)]);
      $effect(() => void [mirror.bodies.get(2), (woken.own += 1)]);
    });
    flushSync();
    mirror.apply([{ kind: "text", value: { message: 2, thought: false, piece: "x" } }]);
    flushSync();
    expect(woken).toEqual({ row: 1, other: 1, own: 2 });
    stop();
  });
});
