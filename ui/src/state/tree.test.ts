//! A chat's tree: the path to the leaf, and the versions beside a message.

import { describe, expect, it } from "vitest";
import { messageRow } from "../../tests/rows";
import { Tree } from "./tree";

// 1 ─ 2 ─ 4
//   └ 3 ─ 5
const rows = [messageRow(1, null, ""), messageRow(2, 1, ""), messageRow(3, 1, ""), messageRow(4, 2, ""), messageRow(5, 3, ""), messageRow(9, null, "", { chat: 2 })];
const tree = new Tree(rows, 1);

describe("a tree", () => {
  it("goes from the first message to the leaf", () => expect(tree.path(4)).toEqual([1, 2, 4]));
  it("goes the newest way where there is no leaf", () => expect(tree.path(null)).toEqual([1, 3, 5]));
  it("goes the newest way where the leaf is gone", () => expect(tree.path(77)).toEqual([1, 3, 5]));
  it("knows the versions of a message, oldest first", () => expect(tree.versions(3)).toEqual([2, 3]));
  it("knows first messages as versions of each other, and no other chat's", () => expect(tree.versions(1)).toEqual([1]));
  it("ends at a parent that is missing", () => expect(new Tree([messageRow(8, 7, "")], 1).path(8)).toEqual([8]));
  it("ends in a damaged row that is its own ancestor", () => {
    const ring = new Tree([messageRow(1, 2, ""), messageRow(2, 1, "")], 1);
    expect(ring.path(2)).toEqual([1, 2]);
  });
});
