//! The order of the list: pinned chats, folders, then the rest by the day of their last change.

import type { Chat, ChatId, Folder } from "$api";

export type Entry =
  | { kind: "heading"; key: string; label: string }
  | { kind: "folder"; key: string; folder: Folder; count: number }
  | { kind: "hint"; key: string; label: string }
  | { kind: "chat"; key: string; id: ChatId; inFolder: boolean };

export type Words = { pinned: string; today: string; yesterday: string; week: string; month: string; emptyFolder: string };

const DAY_MS = 86_400_000;

/** The heading under which a time falls; older than 30 days: its month. */
export function dayLabel(time: number, now: number, words: Words, language: string): string {
  const midnight = new Date(now);
  midnight.setHours(0, 0, 0, 0);
  if (time >= midnight.getTime()) return words.today;
  if (time >= midnight.getTime() - DAY_MS) return words.yesterday;
  if (time >= midnight.getTime() - 7 * DAY_MS) return words.week;
  if (time >= midnight.getTime() - 30 * DAY_MS) return words.month;
  return new Intl.DateTimeFormat(language, { year: "numeric", month: "long" }).format(time);
}

export function entries(chats: Iterable<Chat>, folders: Iterable<Folder>, now: number, words: Words, language: string): Entry[] {
  const sorted = [...chats].sort((a, b) => b.changed_ms - a.changed_ms || b.id - a.id);
  const known = [...folders].sort((a, b) => a.name.localeCompare(b.name, language) || a.id - b.id);
  const ids = new Set(known.map((folder) => folder.id));
  const out: Entry[] = [];
  const put = (chat: Chat, inFolder: boolean) => out.push({ kind: "chat", key: `chat-${chat.id}`, id: chat.id, inFolder });

  const pinned = sorted.filter((chat) => chat.pinned);
  if (pinned.length > 0) out.push({ kind: "heading", key: "pinned", label: words.pinned });
  for (const chat of pinned) put(chat, false);

  for (const folder of known) {
    const inside = sorted.filter((chat) => !chat.pinned && chat.folder === folder.id);
    out.push({ kind: "folder", key: `folder-${folder.id}`, folder, count: inside.length });
    if (!folder.open) continue;
    if (inside.length === 0) out.push({ kind: "hint", key: `hint-${folder.id}`, label: words.emptyFolder });
    for (const chat of inside) put(chat, true);
  }

  let heading = "";
  for (const chat of sorted) {
    if (chat.pinned || (chat.folder !== null && ids.has(chat.folder))) continue;
    const label = dayLabel(chat.changed_ms, now, words, language);
    if (label !== heading) out.push({ kind: "heading", key: `day-${label}`, label });
    heading = label;
    put(chat, false);
  }
  return out;
}

/** What a chat is called: the person's title, else its first words, else what an empty one is called. */
export function titleOf(chat: Chat | undefined, untitled: string): string {
  return chat?.title.trim() || chat?.heading.trim() || untitled;
}
