//! Marks found words without touching the page's elements (CSS custom highlights), where the web view knows them.

const NAME = "found";
/** A page full of one letter: more marks than this help nobody. */
const MARKS_MAX = 2_000;

export function mark(wanted: string) {
  if (!("highlights" in CSS)) return;
  CSS.highlights.delete(NAME);
  if (!wanted) return;
  const ranges: Range[] = [];
  for (const article of document.querySelectorAll("[data-message] .markdown")) {
    const walker = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node && ranges.length < MARKS_MAX; node = walker.nextNode()) {
      const text = node.textContent?.toLowerCase() ?? "";
      for (let at = text.indexOf(wanted); at !== -1; at = text.indexOf(wanted, at + wanted.length)) {
        const range = document.createRange();
        range.setStart(node, at);
        range.setEnd(node, at + wanted.length);
        ranges.push(range);
      }
    }
  }
  CSS.highlights.set(NAME, new Highlight(...ranges));
}

export function unmark() {
  if ("highlights" in CSS) CSS.highlights.delete(NAME);
}
