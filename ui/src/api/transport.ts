//! The one way from the page to the back end: calls, one ordered stream of changes, and what only a window can do.

import type { Change, Chosen, Problem } from "./bindings";

/** What the file manager may be asked to show. */
export type Shown = { model: number } | "home" | "models" | "log";

export type Unsubscribe = () => void;

/** A face's wire. The window has Tauri's; a browser will have HTTP's. */
export interface Transport {
  /** Rejects with a `Problem`. */
  call(name: string, args: object): Promise<unknown>;
  subscribe(onChanges: (changes: Change[]) => void): Promise<Unsubscribe>;
  /** The system's own dialog; the path stays with the back end. */
  choose(kind: "model_file" | "model_folder" | "save", name?: string, extensions?: string[]): Promise<Chosen | null>;
  /** http and https only, and only after the page asked. */
  openLink(url: string): Promise<void>;
  /** Shows a file or folder of ours in the file manager. */
  reveal(what: Shown): Promise<void>;
  closeWindow(): Promise<void>;
  /** An answer or a job runs and there is no tray: the page asks. */
  onCloseAsked(handler: () => void): Promise<Unsubscribe>;
  onDropped(handler: (dropped: Chosen[]) => void): Promise<Unsubscribe>;
  /** Whether the program starts at login; with `on`, makes it so first. `null`, and absent, where that is not the page's to say. */
  startAtLogin?(on?: boolean): Promise<boolean | null>;
}

export function isProblem(value: unknown): value is Problem {
  return typeof value === "object" && value !== null && typeof (value as Problem).code === "string";
}

/** Whatever was thrown, as the one kind of error that the page can show. */
export function asProblem(thrown: unknown): Problem {
  if (isProblem(thrown)) return { ...thrown, values: thrown.values ?? {} };
  return { code: "internal", values: {}, detail: thrown instanceof Error ? thrown.message : String(thrown) };
}
