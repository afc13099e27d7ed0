//! The one way from the page to the back end: calls, one ordered stream of changes, and what only some faces can do.

import type { Change, Chosen, Problem } from "./bindings";

/** What the file manager may be asked to show. */
export type Shown = { model: number } | "home" | "models" | "log";

/** What is to be chosen: a file or a folder to read, or a file to write. */
export type Choice = "model_file" | "model_folder" | "save";

export type Unsubscribe = () => void;

/** A face's wire: the window has Tauri's, a browser has HTTP's. What a face cannot do is absent. */
export interface Transport {
  /** Rejects with a `Problem`. */
  call(name: string, args: object): Promise<unknown>;
  /** The first batch holds the snapshot; after a connection that broke comes a new one. */
  subscribe(onChanges: (changes: Change[]) => void): Promise<Unsubscribe>;
  /** http and https only, and only after the page asked. */
  openLink(url: string): Promise<void>;
  /** The system's own dialog; the path stays with the back end. Absent: the page shows folders that the server lists. */
  choose?(kind: Choice, name?: string, extensions?: string[]): Promise<Chosen | null>;
  /** Files that the system gave to the back end, not to the page. */
  onDropped?(handler: (dropped: Chosen[]) => void): Promise<Unsubscribe>;
  /** Shows a file or folder of ours in the file manager. */
  reveal?(what: Shown): Promise<void>;
  closeWindow?(): Promise<void>;
  /** An answer or a job runs and there is no tray: the page asks. */
  onCloseAsked?(handler: () => void): Promise<Unsubscribe>;
  /** Whether the program starts at login; with `on`, makes it so first. `null`: not this face's to say. */
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
