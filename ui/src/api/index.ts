//! The commands as typed functions. Arguments and results are snake_case, as on the wire.

import { commands } from "./bindings";
import { http } from "./http.svelte";
import { pick } from "./pick.svelte";
import { tauri } from "./tauri";
import type { Shown, Transport } from "./transport";

export * from "./bindings";
export { connection } from "./http.svelte";
export { picking } from "./pick.svelte";
export { asProblem, isProblem } from "./transport";
export type { Choice, Shown, Transport } from "./transport";

let wire: Transport = "__TAURI_INTERNALS__" in globalThis ? tauri : http;

/** Puts another wire under the page; tests do. */
export function useTransport(transport: Transport) {
  wire = transport;
}

/** What this face can do beside calls; what it cannot is not offered. */
export const can = {
  /** Show something in the file manager of the system. */
  get reveal() {
    return wire.reveal !== undefined;
  },
  /** Close its window, stay in a tray, switch its own server, have every key. A browser's window is the browser's. */
  get ownWindow() {
    return wire !== http;
  },
};

export const transport: Required<Transport> = {
  call: (name, args) => wire.call(name, args),
  subscribe: (onChanges) => wire.subscribe(onChanges),
  openLink: (url) => wire.openLink(url),
  choose: (kind, name, extensions) => (wire.choose ?? pick)(kind, name, extensions),
  onDropped: async (handler) => (await wire.onDropped?.(handler)) ?? (() => undefined),
  reveal: async (what: Shown) => wire.reveal?.(what),
  closeWindow: async () => wire.closeWindow?.(),
  onCloseAsked: async (handler) => (await wire.onCloseAsked?.(handler)) ?? (() => undefined),
  startAtLogin: async (on) => (await wire.startAtLogin?.(on)) ?? null,
};

export const api = commands(transport.call);
