//! The transport of the desktop window.

import { Channel, invoke } from "@tauri-apps/api/core";
import { listen } from "@tauri-apps/api/event";
import type { Change, Chosen } from "./bindings";
import type { Transport } from "./transport";

export const tauri: Transport = {
  call: (name, args) => invoke("call", { name, arguments: args }),
  async subscribe(onChanges) {
    const channel = new Channel<Change[]>();
    let open = true;
    channel.onmessage = (changes) => {
      if (open) onChanges(changes);
    };
    await invoke("subscribe", { channel });
    return () => {
      open = false;
    };
  },
  choose: (kind, name, extensions) => invoke<Chosen | null>("choose", { kind, name, extensions }),
  openLink: (url) => invoke("open_link", { url }),
  reveal: (what) => invoke("reveal", { what }),
  closeWindow: () => invoke("close_window", {}),
  onCloseAsked: (handler) => listen("huacaya://close-asked", () => handler()),
  onDropped: (handler) => listen<{ chosen: Chosen[] }>("huacaya://dropped", (event) => handler(event.payload.chosen)),
};
