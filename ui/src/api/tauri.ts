//! The transport of the desktop window.

import { Channel, invoke } from "@tauri-apps/api/core";
import { listen } from "@tauri-apps/api/event";
import type { Change, Chosen } from "./bindings";
import type { Transport } from "./transport";

/** Files that were named at the start or dropped before anybody in the page could hear of them. */
let waiting: Chosen[] = [];
let hear: ((dropped: Chosen[]) => void) | null = null;
let listening: Promise<unknown> | null = null;

function take(dropped: Chosen[]) {
  if (hear) hear(dropped);
  else waiting.push(...dropped);
}

export const tauri: Transport = {
  call: (name, args) => invoke("call", { name, arguments: args }),
  async subscribe(onChanges) {
    const channel = new Channel<Change[]>();
    let open = true;
    channel.onmessage = (changes) => {
      if (open) onChanges(changes);
    };
    // Files named at the start are told of as soon as the page subscribes: it must listen before.
    await (listening ??= listen<{ chosen: Chosen[] }>("huacaya://dropped", (event) => take(event.payload.chosen)));
    await invoke("subscribe", { channel });
    return () => {
      open = false;
    };
  },
  choose: (kind, name, extensions) => invoke<Chosen | null>("choose", { kind, name, extensions }),
  openLink: (url) => invoke("open_link", { url }),
  reveal: (what) => invoke("reveal", { what }),
  startAtLogin: (on) => invoke<boolean>("start_at_login", { on: on ?? null }),
  closeWindow: () => invoke("close_window", {}),
  onCloseAsked: (handler) => listen("huacaya://close-asked", () => handler()),
  async onDropped(handler) {
    hear = handler;
    const early = waiting;
    waiting = [];
    if (early.length > 0) handler(early);
    return () => {
      if (hear === handler) hear = null;
    };
  },
};
