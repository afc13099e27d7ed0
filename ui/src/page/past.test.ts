//! Taking a continuation back, and bringing it again.

import { expect, it } from "vitest";
import { Past } from "./past.svelte";

it("goes back to the text before each continuation, and forward again", () => {
  const past = new Past();
  past.did("a");
  past.did("ab");
  expect(past.undo("abc")).toBe("ab");
  expect(past.undo("ab")).toBe("a");
  expect(past.canUndo).toBe(false);
  expect(past.redo("a")).toBe("ab");
  expect(past.redo("ab")).toBe("abc");
  expect(past.canRedo).toBe(false);
});

it("forgets what was taken back once something new is continued", () => {
  const past = new Past();
  past.did("a");
  past.undo("ab");
  past.did("x");
  expect(past.canRedo).toBe(false);
});

it("can take back a continuation it did not see begin", () => {
  const past = new Past();
  expect(past.undo("from the last start")).toBeUndefined();
  expect(past.redo("now")).toBe("from the last start");
});
