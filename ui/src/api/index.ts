//! The commands as typed functions. Arguments and results are snake_case, as on the wire.

import { tauri } from "./tauri";
import type { Transport } from "./transport";
import { commands } from "./bindings";

export * from "./bindings";
export { asProblem, isProblem } from "./transport";
export type { Shown, Transport } from "./transport";

let wire: Transport = tauri;

/** Puts another wire under the page; tests do. */
export function useTransport(transport: Transport) {
  wire = transport;
}

export const transport: Required<Transport> = {
  call: (name, args) => wire.call(name, args),
  subscribe: (onChanges) => wire.subscribe(onChanges),
  choose: (kind, name, extensions) => wire.choose(kind, name, extensions),
  openLink: (url) => wire.openLink(url),
  reveal: (what) => wire.reveal(what),
  closeWindow: () => wire.closeWindow(),
  onCloseAsked: (handler) => wire.onCloseAsked(handler),
  onDropped: (handler) => wire.onDropped(handler),
  startAtLogin: async (on) => (await wire.startAtLogin?.(on)) ?? null,
};

export const api = commands(transport.call);
