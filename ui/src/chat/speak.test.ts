//! What is read out of a growing answer: whole sentences.

import { expect, it } from "vitest";
import { speakable } from "./speak";

it.each([
  ["你好。我是", false, "你好。"],
  ["It is 3.5 and", false, ""],
  ["One. Two", false, "One."],
  ["line\nnext", false, "line\n"],
  ["rest", true, "rest"],
  ["", false, ""],
])("%j (%s)", (text, whole, expected) => expect(speakable(text, whole)).toBe(expected));
