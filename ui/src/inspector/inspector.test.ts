//! The inspector shows what the model gets, and marks what cannot be typed.

import { render, screen, within } from "@testing-library/svelte";
import { beforeEach, expect, it } from "vitest";
import type { InspectedToken } from "$api";
import { mirror } from "$state/mirror.svelte";
import { visible } from "./shown";
import TokenTable from "./TokenTable.svelte";
import TokenText from "./TokenText.svelte";

const tokens: InspectedToken[] = [
  { id: 1, text: "<s>", special: true },
  { id: 518, text: " [", special: false },
  { id: 13, text: "\n", special: false },
  { id: 30919, text: "你好", special: false },
];

beforeEach(() => mirror.apply([{ kind: "setting", value: { key: "language", value: "en" } }]));

it("lists place, id, text and kind of each token", () => {
  render(TokenTable, { tokens });
  const rows = screen.getAllByRole("row").slice(1);
  expect(rows).toHaveLength(4);
  const cells = within(rows[3]!).getAllByRole("cell").map((cell) => cell.textContent!.trim());
  expect(cells).toEqual(["3", "30919", "你好", "text"]);
  expect(within(rows[0]!).getByText("control token")).toBeTruthy();
});

it("cuts a long prompt and offers the rest", () => {
  const many = Array.from({ length: 2_500 }, (_, id) => ({ id, text: "x", special: false }));
  render(TokenText, { tokens: many });
  expect(document.querySelectorAll("[data-at]")).toHaveLength(2_000);
  expect(screen.getByText("The first 2,000 of 2,500 tokens")).toBeTruthy();
});

it("gives signs to what cannot be seen", () => {
  expect(visible(" a\tb\r\n")).toBe("·a→b␍⏎");
});
