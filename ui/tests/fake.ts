//! A transport for unit tests: answers from a table, and keeps what was called.

import { useTransport, type Change } from "$api";
import { mirror } from "$state/mirror.svelte";
import { view } from "$state/view.svelte";

export type Called = [name: string, args: Record<string, unknown>];

/** Puts a wire under the page that answers each command with what the table says (a value, or a function of the arguments). */
export function fakeWire(answers: Record<string, unknown> = {}) {
  const calls: Called[] = [];
  useTransport({
    call: async (name, args) => {
      calls.push([name, args as Record<string, unknown>]);
      const answer = answers[name];
      return typeof answer === "function" ? (answer as (args: object) => unknown)(args) : (answer ?? null);
    },
    subscribe: async () => () => undefined,
    choose: async () => null,
    openLink: async (url) => void calls.push(["open_link", { url }]),
    reveal: async () => undefined,
    closeWindow: async () => undefined,
    onCloseAsked: async () => () => undefined,
    onDropped: async () => () => undefined,
  });
  return { calls, named: (name: string) => calls.filter((call) => call[0] === name).map((call) => call[1]) };
}

export const EMPTY: Change = { kind: "snapshot", value: { chats: [], folders: [], personas: [], models: [], jobs: [], settings: [], drafts: [], reports: [], requests: [] } };

/** The mirror and the view as at the start of the program, in this language. */
export function fresh(language: "zh" | "en" = "en") {
  for (const id of [...mirror.messages.keys()]) mirror.apply([{ kind: "removed", value: { table: "message", id } }]);
  mirror.apply([EMPTY, { kind: "setting", value: { key: "language", value: language } }]);
  view.open(null);
}
