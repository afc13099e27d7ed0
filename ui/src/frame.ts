//! The window's frame: what is folded away, how large all is, and the keys that work everywhere.

import { api, can } from "$api";
import { act } from "$state/act";
import { mirror } from "$state/mirror.svelte";
import { view } from "$state/view.svelte";

/** Narrower than this, at zoom 1, the list and the panel lie over the chat. */
const NARROW_PX = 900;
export const ZOOM_MIN = 0.5;
export const ZOOM_MAX = 3;
const ZOOM_STEP = 0.1;

export function zoom(): number {
  const set = mirror.setting<number>("zoom");
  return typeof set === "number" && set >= ZOOM_MIN && set <= ZOOM_MAX ? set : 1;
}

/** Call when the window or the zoom changes. */
export function measure() {
  view.narrow = window.innerWidth / zoom() < NARROW_PX;
  document.documentElement.style.fontSize = `${zoom() * 100}%`;
}

export function listShown(): boolean {
  return view.narrow ? view.drawer : mirror.setting<boolean>("sidebar") !== false;
}

export function panelShown(): boolean {
  return view.narrow ? view.panelDrawer : mirror.setting<boolean>("panel") === true;
}

export function toggleList() {
  if (view.narrow) [view.drawer, view.panelDrawer] = [!view.drawer, false];
  else void act(api.setSetting({ key: "sidebar", value: !listShown() }));
}

export function togglePanel() {
  if (view.narrow) [view.panelDrawer, view.drawer] = [!view.panelDrawer, false];
  else void act(api.setSetting({ key: "panel", value: !panelShown() }));
}

function zoomBy(steps: number) {
  const next = steps === 0 ? 1 : Math.round((zoom() + steps * ZOOM_STEP) * 10) / 10;
  void act(api.setSetting({ key: "zoom", value: Math.min(ZOOM_MAX, Math.max(ZOOM_MIN, next)) }));
}

/** The keys that work everywhere. Answers whether the key was one of them. The event must have passed `composing`. */
export function shortcut(event: KeyboardEvent): boolean {
  if (!can.ownWindow && event.altKey && !event.ctrlKey && !event.metaKey && event.code === "KeyN") {
    view.open(null);
    return true;
  }
  if (!(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey && !["+", "="].includes(event.key)) return escape(event);
  switch (event.key.toLowerCase()) {
    case "n":
      view.open(null);
      return true;
    case "k":
      view.over = view.over === "palette" ? null : "palette";
      return true;
    case "f":
      if (view.room === "chats" && view.chat !== null) view.finding = true;
      else return false;
      return true;
    case "b":
      toggleList();
      return true;
    case "l":
      view.room = "chats";
      view.picking = true;
      return true;
    case ",":
      view.room = "settings";
      return true;
    case "/":
      view.over = view.over === "shortcuts" ? null : "shortcuts";
      return true;
    case "=":
    case "+":
      zoomBy(1);
      return true;
    case "-":
      zoomBy(-1);
      return true;
    case "0":
      zoomBy(0);
      return true;
    default:
      return false;
  }
}

function escape(event: KeyboardEvent): boolean {
  if (event.key !== "Escape" || !(view.drawer || view.panelDrawer)) return false;
  [view.drawer, view.panelDrawer] = [false, false];
  return true;
}
