//! Blocks: a text that grows letter by letter ends as the same blocks as the whole text, and finished blocks stay the same objects.

import { describe, expect, it } from "vitest";
import { Growing, type Block } from "./parse";

const whole = (text: string) => new Growing().update(text);
const htmlOf = (text: string) => whole(text).map((block) => (block.kind === "html" ? block.html : `[${block.language}]${block.code}`)).join("");
const content = (blocks: Block[]) => blocks.map((block) => ({ ...block, key: 0 }));

const SAMPLE = [
  "# 标题\n\n第一段 **重点。**后面还有字。\n",
  "- 一\n- 二\n\n  续\n- 三\n\n1. a\n2. b\n",
  "```python\nprint('hi')\n\n# x\n```\n",
  "| 名 | 值 |\n|:--|--:|\n| 甲 | 1 |\n\n> 引\n> 文\n懒\n",
  "$$\n\\frac{1}{2}\n$$\n\n行内 $a^2$ 与 \\(b\\)。\n\n标题\n===\n\n    indented\n\n末尾 `code` 与 <b>x</b>\n",
].join("\n");

describe("blocks", () => {
  it("grow to what the whole text gives", () => {
    const growing = new Growing();
    let blocks: Block[] = [];
    for (let end = 1; end <= SAMPLE.length; end += 1) blocks = growing.update(SAMPLE.slice(0, end));
    expect(content(blocks)).toEqual(content(whole(SAMPLE)));
  });

  it("that are finished stay the same objects", () => {
    const growing = new Growing();
    const before = growing.update("甲\n\n乙\n\n丙");
    const after = growing.update("甲\n\n乙\n\n丙丁");
    expect(after[0]).toBe(before[0]);
    expect(after[1]).toBe(before[1]);
    expect(after[2]).not.toBe(before[2]);
    expect(after[2]!.key).toBe(before[2]!.key);
  });

  it("begin anew when the text is another one", () => {
    const growing = new Growing();
    growing.update("甲\n\n乙");
    expect(content(growing.update("丙"))).toEqual(content(whole("丙")));
  });

  it("know whether a fence is closed", () => {
    const [open] = whole("```js\nlet a");
    const [closed] = whole("```js\nlet a\n```");
    expect(open).toMatchObject({ kind: "code", closed: false, code: "let a" });
    expect(closed).toMatchObject({ kind: "code", closed: true, language: "js" });
  });
});

describe("emphasis beside Chinese", () => {
  it.each([
    ["**重点。**后面", "<strong>重点。</strong>后面"],
    ["前面**“重点”**后面", "<strong>“重点”</strong>"],
    ["这是**加粗（注）**的", "<strong>加粗（注）</strong>的"],
    ["*斜体。*后", "<em>斜体。</em>后"],
  ])("%s", (text, expected) => expect(htmlOf(text)).toContain(expected));
});

describe("formulas", () => {
  it.each(["它要 $5 和 $10 元", "US$ 3 与 $ 4", "\\$x\\$"])("leave money alone: %s", (text) => expect(htmlOf(text)).not.toContain("formula"));
  it.each([
    ["能量 $E=mc^2$。", '<span class="formula">E=mc^2</span>'],
    ["\\(a<b\\)", '<span class="formula">a&lt;b</span>'],
    ["$$x$$", '<span class="formula" data-display="yes">x</span>'],
    ["\\[\ny\n\\]", '<span class="formula" data-display="yes">y</span>'],
    ["`$x$`", "<code>$x$</code>"],
  ])("%s", (text, expected) => expect(htmlOf(text)).toContain(expected));

  it("longer than their limit stay text", () => expect(htmlOf(`$${"x".repeat(2_100)}$`)).not.toContain("formula"));
});
