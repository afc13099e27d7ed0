//! What a listed folder offers for a question, and names.

import type { Choice, FolderEntry } from "$api";

/** The last part of a path, of any system. */
export const lastOf = (path: string) => path.split(/[\\/]/).filter(Boolean).at(-1) ?? path;

/** A listed folder, as what can be gone into. */
export const asEntry = (folder: string): FolderEntry => ({ name: folder, folder: true, bytes: 0, modified: null });

const endsIn = (name: string, extensions: string[]) => extensions.length === 0 || extensions.some((ending) => name.toLowerCase().endsWith(`.${ending}`));

/** What can be chosen or gone into, of what the typed words fit. */
export function offered(entries: FolderEntry[], kind: Choice, extensions: string[], words: string): FolderEntry[] {
  const wanted = words.trim().toLowerCase();
  return entries.filter((entry) => (entry.folder || (kind !== "model_folder" && endsIn(entry.name, extensions))) && entry.name.toLowerCase().includes(wanted));
}

/** The name of a file to write, with the ending that its form asks for. */
export function named(name: string, extensions: string[]): string {
  const plain = name.trim();
  return plain === "" || endsIn(plain, extensions) ? plain : `${plain}.${extensions[0]}`;
}
