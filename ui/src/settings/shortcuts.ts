//! The keys of the window, as they are shown. Who listens to them is App and the parts themselves.

import type { Catalogue } from "$i18n";
import { newChatKeys } from "$shared/keys";

export type Shortcut = { what: keyof Catalogue["settings"]["keys"]; keys: string[] };

/** `ctrl`: the person set that Ctrl+Enter sends. */
export function shortcuts(ctrl: boolean): Shortcut[] {
  return [
    { what: "send", keys: [ctrl ? "mod+enter" : "enter"] },
    { what: "newLine", keys: [ctrl ? "enter" : "shift+enter"] },
    { what: "stop", keys: ["escape"] },
    { what: "editLast", keys: ["up"] },
    { what: "versions", keys: ["left", "right"] },
    { what: "newChat", keys: [newChatKeys()] },
    { what: "palette", keys: ["mod+K"] },
    { what: "find", keys: ["mod+F"] },
    { what: "sidebar", keys: ["mod+B"] },
    { what: "models", keys: ["mod+L"] },
    { what: "settings", keys: ["mod+,"] },
    { what: "list", keys: ["mod+/"] },
    { what: "zoomIn", keys: ["mod++"] },
    { what: "zoomOut", keys: ["mod+-"] },
    { what: "zoomReset", keys: ["mod+0"] },
  ];
}
