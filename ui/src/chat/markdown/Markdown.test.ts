//! What a model may write does nothing: no script, no style, no address that is fetched or opened unasked; streaming too.

import { render } from "@testing-library/svelte";
import { tick } from "svelte";
import { beforeEach, describe, expect, it } from "vitest";
import { view } from "$state/view.svelte";
import Markdown from "./Markdown.svelte";

const PAYLOADS = [
  `<img src=x onerror="window.hit=1">`,
  `<script>window.hit=1</script>`,
  `<svg onload="window.hit=1"><animate onbegin="window.hit=1"/></svg>`,
  `<svg><style><img src=x onerror=window.hit=1></style></svg>`,
  `<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror=window.hit=1&gt;">`,
  `<form><math><mtext></form><form><mglyph><style></math><img src onerror=window.hit=1>`,
  `<iframe srcdoc="<script>parent.hit=1</script>"></iframe>`,
  `<style>*{background:url(http://evil.example/x)}</style>`,
  `<div style="background:url(http://evil.example)">x</div>`,
  `<a href="javascript:window.hit=1">x</a>`,
  `[x](javascript:window.hit=1)`,
  `[x](JaVaScRiPt:window.hit=1)`,
  `[x](java\nscript:window.hit=1)`,
  `[x](&#106;avascript:window.hit=1)`,
  `[x](data:text/html,<script>window.hit=1</script>)`,
  `[x](vbscript:msgbox)`,
  `[x](file:///etc/passwd)`,
  `[x](tauri://localhost/index.html)`,
  `[x](http://evil.example/"onmouseover="window.hit=1)`,
  `[x]: javascript:window.hit=1\n\n[x]`,
  `<javascript:window.hit=1>`,
  `![x](http://evil.example/pixel.png)`,
  `![x](data:image/svg+xml;base64,PHN2Zy8+)`,
  `![x][y]\n\n[y]: http://evil.example/pixel.png`,
  `| a |\n|---|\n| <img src=x onerror=window.hit=1> |`,
  "```html\n<img src=x onerror=window.hit=1>\n```",
  '```"><img src=x onerror=window.hit=1>\nx\n```',
  `- \`\`\`"><img/src=x/onerror=window.hit=1>\n  x\n  \`\`\``,
  `$\\href{javascript:window.hit=1}{x}$ $\\url{javascript:1}$ $\\includegraphics{http://evil.example/x.png}$`,
  `$\\htmlStyle{background:url(http://evil.example)}{x}$ $\\htmlData{a=b}{x}$`,
  `$<img src=x onerror=window.hit=1>$`,
  `$$\n</span><img src=x onerror=window.hit=1>\n$$`,
  `<details open ontoggle=window.hit=1>`,
  `<noscript><p title="</noscript><img src=x onerror=window.hit=1>">`,
  `<base href="http://evil.example/"><link rel=stylesheet href=http://evil.example/x.css>`,
  `<meta http-equiv=refresh content="0;url=http://evil.example">`,
];

/** Elements and attributes that could fetch, run, style or lead away. KaTeX's own output is made after the gate. */
function dangers(root: HTMLElement): string[] {
  const found: string[] = [];
  for (const element of root.querySelectorAll("*")) {
    const inKatex = element.closest(".katex") !== null;
    const name = element.tagName.toLowerCase();
    const ours = element.closest(".code-head") !== null;
    if (["script", "img", "iframe", "object", "embed", "link", "meta", "base", "style", "form", "video", "audio", "input"].includes(name)) found.push(name);
    if (["svg", "math"].includes(name) && !inKatex && !ours) found.push(name);
    for (const attribute of element.attributes) {
      const key = attribute.name.toLowerCase();
      if (key.startsWith("on") || key === "href" || key === "src" || key === "srcdoc" || key === "xlink:href") found.push(`${name}[${key}]`);
      if (key === "style" && !inKatex) found.push(`${name}[style]`);
    }
  }
  return found;
}

beforeEach(() => {
  delete (window as unknown as { hit?: number }).hit;
  view.link = null;
});

describe("a hostile text", () => {
  it.each(PAYLOADS)("does nothing whole: %s", async (payload) => {
    const { container } = render(Markdown, { text: payload });
    await tick();
    expect(dangers(container)).toEqual([]);
    expect((window as unknown as { hit?: number }).hit).toBeUndefined();
  });

  it.each(PAYLOADS)("does nothing letter by letter: %s", async (payload) => {
    const { container, rerender } = render(Markdown, { text: "", growing: true });
    for (let end = 1; end <= payload.length; end += 1) {
      await rerender({ text: payload.slice(0, end) });
      expect(dangers(container)).toEqual([]);
    }
    expect((window as unknown as { hit?: number }).hit).toBeUndefined();
  });
});

describe("a link", () => {
  it("is asked about before anything opens, and keeps its address", async () => {
    const { container } = render(Markdown, { text: "[x](https://example.org/a?b=1&c=2)" });
    const link = container.querySelector<HTMLElement>("a")!;
    expect(link.hasAttribute("href")).toBe(false);
    link.click();
    expect(view.link).toBe("https://example.org/a?b=1&c=2");
  });

  it.each(["https://例子.中国/路径", "见 https://example.org/x。后面"])("is found in text: %s", (text) => {
    const { container } = render(Markdown, { text });
    expect(container.querySelector("a[data-url]")).not.toBeNull();
    expect(container.querySelector("a")!.textContent).not.toContain("。");
  });
});
