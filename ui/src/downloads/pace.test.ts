//! The speed over the last ten seconds.

import { expect, it } from "vitest";
import { Pace } from "./pace";

/** Looks once a second at what is done, in MB. */
const after = (...done: number[]) => {
  const pace = new Pace();
  done.forEach((value, second) => pace.look(value * 1e6, second * 1000));
  return pace;
};

it("says nothing before it has seen two seconds", () => {
  expect(after(0, 10).rate).toBeNull();
  expect(after(0, 10, 20).rate).toBe(10e6);
});

it("follows a change within ten seconds, and forgets what was before", () => {
  const slow = Array.from({ length: 11 }, (_, second) => second * 2);
  const fast = Array.from({ length: 10 }, (_, second) => 20 + (second + 1) * 20);
  expect(after(...slow).rate).toBe(2e6);
  expect(after(...slow, ...fast).rate).toBe(20e6);
});

it("falls to nothing in a stall, and then knows no time left", () => {
  const pace = after(0, 10, 20, ...Array.from({ length: 11 }, () => 20));
  expect(pace.rate).toBe(0);
  expect(pace.left(100e6)).toBeNull();
});

it("tells the time left", () => expect(after(0, 10, 20).left(100e6)).toBe(8_000));

it("begins anew where the work does", () => {
  expect(after(0, 50, 100, 3).rate).toBeNull();
  expect(after(0, 50, 100, 0, 1, 2).rate).toBe(1e6);
});
