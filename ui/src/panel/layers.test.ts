//! Which layer holds, as the person sees it.

import { render, screen } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { describe, expect, it, vi } from "vitest";
import type { Chat, Model, Parameters, Persona } from "$api";
import { mirror } from "$state/mirror.svelte";
import { countSet, effective, layersOf, unset } from "./layers";
import ParameterRow from "./ParameterRow.svelte";

const layer = (values: Partial<Parameters>): Parameters => ({ ...unset, ...values });
const program = layer({ temperature: 0.2, top_k: 40, tokens_max: 512 });
const below = layersOf({
  program,
  model: { parameters: layer({ temperature: 0.5 }) } as Model,
  person: { temperature: 0.6, top_k: 20 },
  persona: { parameters: layer({ temperature: 0.9 }) } as Persona,
});

describe("layers of parameters", () => {
  it("lets the chat speak before the persona, the person, the model and the program", () => {
    const chat = { source: "chat", parameters: layer({ temperature: 1.2 }) } as const;
    expect(effective(below, chat, "temperature")).toEqual({
      value: 1.2,
      source: "chat",
      here: true,
      below: { value: 0.9, source: "persona" },
    });
  });

  it("names the layer that a value comes from", () => {
    const chat = { source: "chat", parameters: unset } as const;
    expect(effective(below, chat, "temperature")).toMatchObject({ value: 0.9, source: "persona", here: false });
    expect(effective(below, chat, "top_k")).toMatchObject({ value: 20, source: "person" });
    expect(effective(below, chat, "tokens_max")).toMatchObject({ value: 512, source: "program" });
    expect(effective(below, chat, "seed")).toMatchObject({ value: null, here: false });
  });

  it("takes 0 and false for values, not for nothing", () => {
    const chat = { source: "chat", parameters: layer({ temperature: 0, thinking: false }) } as const;
    expect(effective(below, chat, "temperature")).toMatchObject({ value: 0, here: true });
    expect(effective(below, chat, "thinking")).toMatchObject({ value: false, here: true });
    expect(countSet(chat.parameters)).toBe(2);
  });

  it("leaves the chat's own layer out of those below it", () => {
    const chat = { parameters: layer({ top_p: 0.5 }) } as Chat;
    expect(layersOf({ program, chat }).map((one) => one.source)).toEqual(["program", "chat"]);
  });
});

describe("a row of the panel", () => {
  const spec = { name: "temperature", least: 0, most: 5, step: 0.05 } as const;

  it("offers the way back only where the value was set here, and says to what", async () => {
    mirror.apply([{ kind: "setting", value: { key: "language", value: "en" } }]);
    const onchange = vi.fn();
    const own = { source: "chat", parameters: layer({ temperature: 1.2 }) } as const;
    const { rerender } = render(ParameterRow, { spec, now: effective(below, own, "temperature"), onchange });
    await userEvent.click(screen.getByRole("button", { name: /Back to 0.9 \(the persona\)/ }));
    expect(onchange).toHaveBeenCalledWith(null);

    await rerender({ spec, now: effective(below, { source: "chat", parameters: unset }, "temperature"), onchange });
    expect(screen.queryByRole("button")).toBeNull();
    expect(screen.getByText("From: the persona")).toBeTruthy();
    expect(screen.getByRole<HTMLInputElement>("textbox").placeholder).toBe("0.9");
  });

  it("holds a typed number to its range, and lets an empty field fall back", async () => {
    const onchange = vi.fn();
    const own = { source: "chat", parameters: layer({ temperature: 1.2 }) } as const;
    render(ParameterRow, { spec, now: effective(below, own, "temperature"), onchange });
    const field = screen.getByRole("textbox");
    await userEvent.clear(field);
    await userEvent.type(field, "99{Enter}");
    expect(onchange).toHaveBeenLastCalledWith(5);
    await userEvent.clear(field);
    await userEvent.tab();
    expect(onchange).toHaveBeenLastCalledWith(null);
  });
});
