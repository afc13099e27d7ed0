//! Numbers as people type them.

import { expect, it } from "vitest";
import { keyNames } from "./keys";
import { parseNumber } from "./number";

it.each([
  ["0.7", 0.7],
  ["０．７", 0.7],
  ["0,7", 0.7],
  [" 1 ", 1],
  ["", null],
  ["abc", undefined],
  ["-3", 0],
  ["7", 2],
])("reads %j", (typed, value) => {
  expect(parseNumber(typed, { least: 0, most: 2 })).toBe(value);
});

it("rounds where only whole numbers are taken", () => {
  expect(parseNumber("40.6", { least: 0, most: 100, whole: true })).toBe(41);
});

it("writes keys as the system does", () => {
  expect(keyNames("mod+K", false)).toEqual(["Ctrl", "K"]);
  expect(keyNames("mod+K", true)).toEqual(["⌘", "K"]);
  expect(keyNames("mod++", false)).toEqual(["Ctrl", "+"]);
  expect(keyNames("shift+enter", false)).toEqual(["Shift", "Enter"]);
});
