//! A card's HTML and pictures go; its words and its code stay.

import { expect, it } from "vitest";
import { cardText } from "./card";

it.each([
  ["a heading in HTML", '<h1 align="center">Qwen3</h1>\n\nwords', "# Qwen3\n\nwords"],
  ["pictures", "![logo](https://x.example/p.png)\n\n[![badge](https://x.example/b.svg)](https://x.example)\n\nwords", "words"],
  ["a picture in HTML", '<p align="center">\n    <img src="https://x.example/p.png" width="400">\n</p>\n\nwords', "words"],
  ["a link in HTML", 'see <a href="https://x.example/a" target="_blank"><b>the report</b></a>.', "see [the report](https://x.example/a)."],
  ["a link that holds only a picture", '<a href="https://x.example"><img src="x"></a>words', "words"],
  ["words indented in a tag", "<div>\n    <b>words</b>\n</div>", "words"],
  ["comments and scripts", "a<!-- hidden\nstill --> b <script>alert(1)</script>c", "a b c"],
  ["line breaks", "a<br>b<br />c", "a\nb\nc"],
  ["code, as it is", "```html\n<b>x</b> ![p](q)\n```\n\n`<s>` and <i>words</i>", "```html\n<b>x</b> ![p](q)\n```\n\n`<s>` and words"],
  ["an open fence", "```\n<b>x</b>", "```\n<b>x</b>"],
  ["a bare address", "<https://x.example/a> and 1 < 2", "<https://x.example/a> and 1 < 2"],
])("handles %s", (_, card, text) => expect(cardText(card)).toBe(text));

it("is quick with what is made to be slow", () => {
  const hostile = ["<!--".repeat(2_000), "[![".repeat(2_000), "`".repeat(20_000), "<a href=https:x".repeat(2_000), "```\n".repeat(3_000), "<h1>".repeat(2_000)].join("\n");
  const before = performance.now();
  cardText(hostile);
  expect(performance.now() - before).toBeLessThan(2_000);
});
