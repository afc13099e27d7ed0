//! A message in each of its states, and what can be done with it.

import { fireEvent, render, screen, waitFor } from "@testing-library/svelte";
import { beforeEach, describe, expect, it } from "vitest";
import { fakeWire, fresh } from "../../tests/fake";
import { messageRow, put, NO_PARAMETERS } from "../../tests/rows";
import type { Message as Row } from "$api";
import { mirror } from "$state/mirror.svelte";
import { view } from "$state/view.svelte";
import { copyMessage, textOf } from "./actions";
import Message from "./Message.svelte";

const MADE = { model: 1, model_name: "Demo", model_sha256: null, template: "alpaca-2", system: "", parameters: NO_PARAMETERS, adapters: [], begin: "", backend: "cpu", draft: null, version: "0.1.0" };
const STATS = { prompt_tokens: 900, reused_tokens: 812, tokens: 1_280, first_token_ms: 412, tokens_per_second: 23.44, drafted_tokens: 0, accepted_tokens: 0, moved: null, finish: "length" as const, turns_dropped: 0, memory_starts_at: null };

function show(more: Partial<Row>, text = "words", versions = [5], props: { last?: boolean; memoryStarts?: boolean } = {}) {
  const wire = fakeWire();
  mirror.apply([put.message(messageRow(5, null, text, { role: "assistant", ...more }))]);
  return { ...wire, ...render(Message, { id: 5, versions, last: true, memoryStarts: false, ...props }) };
}

beforeEach(() => fresh("en"));

describe("an answer", () => {
  it("has one quiet line: tokens, speed, first token, reused, why it ended, model", () => {
    const { container } = show({ made: MADE, stats: STATS });
    expect(container.textContent).toContain("1,280 tokens · 23.4 tok/s · first token 0.4 s · 812 of 900 prompt tokens reused · length limit · Demo");
  });

  it("says how many tokens were guessed ahead, and by whom", () => {
    const stats = { ...STATS, drafted_tokens: 40, accepted_tokens: 31 };
    expect(show({ made: MADE, stats }).container.textContent).toContain("31 of 40 guessed ahead were right");
    const draft = { model_name: "Small", model_sha256: null };
    expect(show({ made: { ...MADE, draft }, stats }).container.textContent).toContain("31 of 40 guessed ahead by Small were right");
  });

  it("says that the processor went on where the graphics card failed, and why", () => {
    const { container } = show({ made: MADE, stats: { ...STATS, moved: "the graphics card was lost" } });
    expect(container.textContent).toContain("the graphics card failed, the processor went on");
    expect(container.querySelector("[title*='the graphics card was lost']")).toBeTruthy();
  });

  it("that waits says how much of the prompt was read", () => {
    mirror.apply([{ kind: "reading", value: { message: 5, done: 1240, total: 3100 } }]);
    const { container } = show({ state: "writing", body: { text: "", thought: "", thought_tokens: 0, thought_ms: 0, attachments: [] } }, "");
    mirror.apply([{ kind: "reading", value: { message: 5, done: 1240, total: 3100 } }]);
    return waitFor(() => expect(container.textContent).toContain("Reading 1,240 of 3,100 tokens"));
  });

  it("that was interrupted offers to continue", async () => {
    const { named } = show({ state: "interrupted" });
    await fireEvent.click(screen.getByRole("button", { name: "Continue" }));
    expect(named("continue_message")).toEqual([{ message: 5 }]);
  });

  it("that failed says why and offers to try again", async () => {
    const { named } = show({ state: "failed", error: { code: "engine_failed", values: { reason: "x" }, detail: "" } }, "");
    expect(screen.getByRole("alert").textContent).toContain("broke off");
    await fireEvent.click(screen.getByRole("button", { name: "Try again" }));
    expect(named("regenerate")[0]).toMatchObject({ message: 5 });
  });

  it("without its words asks for them", async () => {
    const { named } = show({ body: null });
    await waitFor(() => expect(named("read_messages")).toEqual([{ messages: [5] }]));
  });

  it("marks where the memory starts", () => {
    const { container } = show({}, "words", [5], { memoryStarts: true });
    expect(container.textContent).toContain("The model remembers from here");
  });

  it("shows no actions while it is written", () => {
    show({ state: "writing" });
    expect(screen.queryByRole("button", { name: "Copy" })).toBeNull();
  });

  it("opens for editing, and saves as a version without a new answer", async () => {
    const { named } = show({});
    await fireEvent.click(screen.getByRole("button", { name: "Edit" }));
    expect(view.editing).toBe(5);
    const field = await screen.findByRole("textbox");
    await fireEvent.input(field, { target: { value: "better" } });
    await fireEvent.click(screen.getByRole("button", { name: "Save as a version" }));
    await waitFor(() => expect(named("edit_message")).toEqual([{ message: 5, text: "better", attachments: [], answer: false }]));
  });
});

describe("a person's message", () => {
  it("that is edited is sent again with Enter, and not by an input method's Enter", async () => {
    const { named } = show({ role: "user" });
    await fireEvent.click(screen.getByRole("button", { name: "Edit" }));
    const field = await screen.findByRole("textbox");
    await fireEvent.input(field, { target: { value: "anew" } });
    await fireEvent(field, new Event("compositionend"));
    await fireEvent.keyDown(field, { key: "Enter" });
    expect(named("edit_message")).toHaveLength(0);
    await new Promise((resolve) => setTimeout(resolve, 80));
    await fireEvent.keyDown(field, { key: "Enter" });
    await waitFor(() => expect(named("edit_message")).toEqual([{ message: 5, text: "anew", attachments: [], answer: true }]));
  });
});

describe("versions", () => {
  it("are walked by buttons and by the arrow keys, and end at the ends", async () => {
    mirror.apply([put.message(messageRow(4, null, "a")), put.message(messageRow(6, null, "b"))]);
    const { named, container } = show({}, "words", [4, 5, 6]);
    expect(container.textContent).toContain("2/3");
    await fireEvent.click(screen.getByRole("button", { name: "Previous version" }));
    await fireEvent.keyDown(container.querySelector("article")!, { key: "ArrowRight" });
    expect(named("choose_leaf")).toEqual([{ chat: 1, message: 4 }, { chat: 1, message: 6 }]);
  });

  it("are not shown where there is one", () => {
    const { container } = show({});
    expect(container.textContent).not.toContain("1/1");
  });
});

describe("copying", () => {
  const thoughtful = { body: { text: "answer", thought: "thought", thought_tokens: 1, thought_ms: 1, attachments: [] } };

  it("leaves thoughts out, unless the person wants them", () => {
    show(thoughtful);
    expect(textOf(5)).toBe("answer");
    mirror.apply([{ kind: "setting", value: { key: "copy_thoughts", value: true } }]);
    expect(textOf(5)).toBe("thought\n\nanswer");
    expect(copyMessage).toBeTypeOf("function");
  });

  it("finds thoughts folded, with time and tokens", () => {
    const { container } = show({ body: { ...thoughtful.body, thought_ms: 3_200, thought_tokens: 86 } });
    expect(screen.getByRole("button", { name: /Thought for 3\.2 s · 86 tokens/ }).getAttribute("aria-expanded")).toBe("false");
    expect(container.textContent).not.toContain("thoughtanswer");
  });
});
