//! The order of the list.

import { describe, expect, it } from "vitest";
import { chatRow } from "../../tests/rows";
import { dayLabel, entries, titleOf } from "./groups";

const words = { pinned: "P", today: "T", yesterday: "Y", week: "W", month: "M", emptyFolder: "E" };
const now = new Date(2026, 10, 23, 12, 0).getTime();
const at = (day: number, hour: number) => new Date(2026, 10, day, hour).getTime();

describe("the day of a chat", () => {
  it.each([
    [at(23, 0), "T"],
    [at(22, 23), "Y"],
    [at(22, 0), "Y"],
    [at(21, 23), "W"],
    [at(16, 0), "W"],
    [at(15, 23), "M"],
    [at(-10, 0), "October 2026"],
    [now + 1_000, "T"],
  ])("%d is %s", (time, label) => expect(dayLabel(time, now, words, "en")).toBe(label));
});

describe("the list", () => {
  const chats = [
    chatRow(1, { changed_ms: at(23, 8) }),
    chatRow(2, { changed_ms: at(23, 9) }),
    chatRow(3, { changed_ms: at(1, 9), pinned: true }),
    chatRow(4, { changed_ms: at(22, 9), folder: 7 }),
    chatRow(5, { changed_ms: at(22, 9), folder: 99 }),
  ];
  const shape = (open: boolean) =>
    entries(chats, [{ id: 7, name: "f", open }, { id: 8, name: "g", open: true }], now, words, "en").map((entry) => (entry.kind === "chat" ? entry.id : entry.kind === "folder" ? entry.folder.name : entry.label));

  it("has pinned, folders, then days with the newest first; a chat of a lost folder is not lost", () => {
    expect(shape(true)).toEqual(["P", 3, "f", 4, "g", "E", "T", 2, 1, "Y", 5]);
  });
  it("hides what is in a folded folder", () => expect(shape(false)).not.toContain(4));
});

describe("a title", () => {
  it("is the person's, else the first words, else what an empty chat is called", () => {
    expect(titleOf(chatRow(1, { title: " a " }), "new")).toBe("a");
    expect(titleOf(chatRow(1), "new")).toBe("chat 1");
    expect(titleOf(chatRow(1, { heading: "" }), "new")).toBe("new");
  });
});
