//! Keeps a scrolled list still while rows come and go above: nothing moves under the pointer. Web views of Apple's make do
//! not anchor by themselves.

import type { Attachment } from "svelte/attachments";

const ROWS = "[data-row]";

/** The row under the pointer, else the first that is in sight. */
function anchorIn(list: HTMLElement): HTMLElement | null {
  const pointed = list.querySelector<HTMLElement>(`${ROWS}:hover`);
  if (pointed) return pointed;
  const top = list.getBoundingClientRect().top;
  return [...list.querySelectorAll<HTMLElement>(ROWS)].find((row) => row.getBoundingClientRect().bottom > top) ?? null;
}

export const still: Attachment<HTMLElement> = (list) => {
  let anchor: HTMLElement | null = null;
  let at = 0;

  function remember() {
    anchor = anchorIn(list);
    at = anchor?.getBoundingClientRect().top ?? 0;
  }

  // Called after the change and before it is painted.
  const watch = new MutationObserver(() => {
    const top = list.getBoundingClientRect().top;
    // At its very top the list shows what is new there.
    const free = list.scrollTop === 0 && !anchor?.matches(":hover");
    if (anchor?.isConnected && !free && at >= top - anchor.offsetHeight) list.scrollTop += anchor.getBoundingClientRect().top - at;
    remember();
  });
  watch.observe(list, { childList: true, subtree: true });
  list.addEventListener("scroll", remember, { passive: true });
  list.addEventListener("pointermove", remember, { passive: true });
  list.style.overflowAnchor = "none";
  remember();
  return () => {
    watch.disconnect();
    list.removeEventListener("scroll", remember);
    list.removeEventListener("pointermove", remember);
  };
};
