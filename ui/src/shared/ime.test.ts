//! Keys of an input method are left alone: while composing, at 229, and for a moment after.

import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { composing, ime } from "./ime";

function field() {
  const input = document.createElement("textarea");
  document.body.append(input);
  const detach = ime()(input);
  const pressed: boolean[] = [];
  input.addEventListener("keydown", (event) => pressed.push(composing(event)));
  const press = (more: KeyboardEventInit & { keyCode?: number } = {}) => {
    const event = new KeyboardEvent("keydown", { key: "Enter", bubbles: true, ...more });
    if (more.keyCode) Object.defineProperty(event, "keyCode", { value: more.keyCode });
    if (more.isComposing) Object.defineProperty(event, "isComposing", { value: true });
    input.dispatchEvent(event);
    return pressed.at(-1);
  };
  return { input, press, detach };
}

beforeEach(() => void vi.useFakeTimers({ toFake: ["performance"] }));
afterEach(() => void vi.useRealTimers());

describe("the guard of input methods", () => {
  it("lets a plain Enter through", () => expect(field().press()).toBe(false));
  it("holds Enter while composing", () => expect(field().press({ isComposing: true })).toBe(true));
  it("holds a key that the input method has (229)", () => expect(field().press({ keyCode: 229 })).toBe(true));

  it("holds the Enter that WebKit sends after the composition ended, and not the next", () => {
    const { input, press } = field();
    input.dispatchEvent(new Event("compositionend"));
    vi.advanceTimersByTime(10);
    expect(press()).toBe(true);
    vi.advanceTimersByTime(200);
    expect(press()).toBe(false);
  });

  it("knows each field's own composition only", () => {
    const [one, other] = [field(), field()];
    one.input.dispatchEvent(new Event("compositionend"));
    expect(other.press()).toBe(false);
  });
});
