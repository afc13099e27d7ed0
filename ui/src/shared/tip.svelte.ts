//! The one tooltip of the window: a name or a one-line explanation, under the pointer or the focus.
//!
//! One element for all, made when first needed: a chat has hundreds of buttons, and each would else carry a tooltip of its own.

import { mount } from "svelte";
import type { Attachment } from "svelte/attachments";
import Tip from "./Tip.svelte";

export type TipText = {
  text: string;
  keys?: string;
  /** The text is already the element's name: it is not read out a second time. */
  isName?: boolean;
};

/** Long enough that crossing a row of buttons shows nothing. */
const DELAY_MS = 450;
/** Time to move the pointer from the element onto the tip (WCAG 1.4.13). */
const LINGER_MS = 120;

class Shown {
  at = $state<HTMLElement | null>(null);
  text = $state<TipText | null>(null);
  #timer: ReturnType<typeof setTimeout> | undefined;

  show(at: HTMLElement, text: TipText, delay: number) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      if (!at.isConnected) return;
      this.at = at;
      this.text = text;
    }, delay);
  }

  hide(delay: number) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.at = null;
    }, delay);
  }

  stay() {
    if (this.at) clearTimeout(this.#timer);
  }

  leave() {
    this.hide(LINGER_MS);
  }

  dismiss() {
    this.hide(0);
  }
}

export const shown = new Shown();

let mounted = false;

/** Explains the element. Takes a function, so that the words follow the language. An empty text shows nothing. */
export function tip(text: () => TipText | string): Attachment<HTMLElement> {
  return (element) => {
    const enter = () => {
      const given = text();
      const full = typeof given === "string" ? { text: given } : given;
      if (!full.text) return;
      if (!mounted) {
        mounted = true;
        mount(Tip, { target: document.body });
      }
      if (!full.isName) element.setAttribute("aria-describedby", "tip");
      shown.show(element, full, shown.at ? 0 : DELAY_MS);
    };
    const focus = () => {
      if (element.matches(":focus-visible") || element.querySelector(":focus-visible")) enter();
    };
    const leave = () => shown.leave();
    const press = () => shown.dismiss();
    element.addEventListener("pointerenter", enter);
    element.addEventListener("focusin", focus);
    element.addEventListener("pointerleave", leave);
    element.addEventListener("focusout", leave);
    element.addEventListener("pointerdown", press);
    return () => {
      element.removeEventListener("pointerenter", enter);
      element.removeEventListener("focusin", focus);
      element.removeEventListener("pointerleave", leave);
      element.removeEventListener("focusout", leave);
      element.removeEventListener("pointerdown", press);
      if (shown.at === element) shown.dismiss();
    };
  };
}
