//! The form of answers: checked before it is set, and its fault told where it was typed.

import { render, screen } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { fakeWire, fresh } from "../../tests/fake";
import FormatField from "./FormatField.svelte";

const fault = { code: "format_fault", values: { line: "2", column: "11", reason: "expected value" }, detail: "" };

describe("the format of answers", () => {
  beforeEach(() => fresh("en"));

  it("sets what was checked when the field is left", async () => {
    const wire = fakeWire();
    const onchange = vi.fn();
    render(FormatField, { value: { kind: "regex", source: "a" }, onchange });
    const field = screen.getByRole("textbox", { name: "Regular expression: source" });
    await userEvent.type(field, "b");
    expect(onchange).not.toHaveBeenCalled();
    await userEvent.tab();
    expect(wire.named("check_format")).toEqual([{ format: { kind: "regex", source: "ab" } }]);
    expect(onchange).toHaveBeenCalledWith({ kind: "regex", source: "ab" });
  });

  it("tells the place of a fault, keeps what was typed, and sets nothing", async () => {
    fakeWire({ check_format: () => Promise.reject(fault) });
    const onchange = vi.fn();
    render(FormatField, { value: { kind: "json_schema", source: "{}" }, onchange });
    const field = screen.getByRole<HTMLTextAreaElement>("textbox");
    await userEvent.type(field, " oops");
    await userEvent.tab();
    expect(screen.getByRole("alert").textContent).toContain("Line 2, column 11");
    expect(onchange).not.toHaveBeenCalled();
    expect(field.value).toBe("{} oops");
  });

  it("tells it in Chinese too", async () => {
    fresh("zh");
    fakeWire({ check_format: () => Promise.reject(fault) });
    render(FormatField, { value: { kind: "lark", source: "start" }, onchange: vi.fn() });
    await userEvent.type(screen.getByRole("textbox", { name: "内容：语法（Lark）" }), ":");
    await userEvent.tab();
    expect(screen.getByRole("alert").textContent).toContain("第 2 行第 11 列");
  });

  it("asks for no source where there is none", () => {
    fakeWire();
    render(FormatField, { value: { kind: "json_object" }, onchange: vi.fn() });
    expect(screen.queryByRole("textbox")).toBeNull();
  });
});
