//! Choosing on the server: by keyboard, by pointer, a folder, and a file to write.

import { render, screen, waitFor } from "@testing-library/svelte";
import userEvent from "@testing-library/user-event";
import { beforeEach, expect, it } from "vitest";
import { picking, type Chosen, type FolderEntry } from "$api";
import { pick } from "../api/pick.svelte";
import { fakeWire, fresh } from "../../tests/fake";
import PickDialog from "./PickDialog.svelte";
import { named, offered } from "./places";

const entry = (name: string, folder = false): FolderEntry => ({ name, folder, bytes: folder ? 0 : 2_048, modified: null });
const FOLDERS: Record<string, FolderEntry[]> = {
  "0": [],
  "1": [entry("深 层", true), entry("alpaca.gguf"), entry("notes.txt")],
  "1/深 层": [entry("qwen.gguf")],
};
let wire: ReturnType<typeof fakeWire>;

beforeEach(() => {
  fresh("en");
  picking.answer(null);
  wire = fakeWire({
    listed_folders: ["/home/me/models", "/home/me/下载"],
    list_folder: ({ root, path }: { root: number; path: string[] }) => ({ entries: FOLDERS[[root, ...path].join("/")], more: false }),
    choose_listed: ({ path }: { path: string[] }) => ({ id: 7, name: path.at(-1) ?? "", bytes: 1 }),
    choose_new: ({ name }: { name: string }) => ({ id: 8, name, bytes: 0 }),
  });
});

/** Opens the question; `chosen` waits for its answer. */
async function ask(...question: Parameters<typeof pick>): Promise<{ chosen: Promise<Chosen | null> }> {
  render(PickDialog);
  const chosen = pick(...question);
  await screen.findByRole("dialog");
  await waitFor(() => expect(screen.getAllByRole("option")).toHaveLength(2));
  return { chosen };
}

/** The other of the two listed folders. */
async function other() {
  await userEvent.click(await screen.findByRole("option", { name: /下载/ }));
}

it("finds a file by keyboard alone: down into a folder, up again, chosen with Enter", async () => {
  const { chosen } = await ask("model_file", undefined, ["gguf"]);
  await other();
  const find = screen.getByRole("combobox", { name: "Find in this folder" });
  await screen.findByRole("option", { name: /alpaca/ });
  find.focus();
  await userEvent.keyboard("{Enter}");
  await screen.findByRole("option", { name: /qwen/ });
  await userEvent.keyboard("{Backspace}");
  await screen.findByRole("option", { name: /alpaca/ });
  expect(screen.queryByRole("option", { name: /notes/ })).toBe(null);
  await userEvent.keyboard("alp{Enter}");
  expect(await chosen).toEqual({ id: 7, name: "alpaca.gguf", bytes: 1 });
  expect(wire.named("choose_listed")).toEqual([{ root: 1, path: ["alpaca.gguf"] }]);
  await waitFor(() => expect(screen.queryByRole("dialog")).toBe(null));
});

it("chooses the folder that is open, and shows no files then", async () => {
  const { chosen } = await ask("model_folder");
  await other();
  await userEvent.click(await screen.findByRole("option", { name: /深 层/ }));
  await userEvent.click(await screen.findByRole("button", { name: "Choose “深 层”" }));
  expect((await chosen)?.name).toBe("深 层");
});

it("asks before it replaces a file", async () => {
  const { chosen } = await ask("save", "notes", ["txt"]);
  await other();
  const replace = await screen.findByRole("button", { name: "Replace it" });
  expect(screen.getByRole("status").textContent).toContain("“notes.txt” is there already.");
  await userEvent.click(replace);
  expect((await chosen)?.id).toBe(8);
  expect(wire.named("choose_new")).toEqual([{ root: 1, path: [], name: "notes.txt", replace: true }]);
});

it("is closed without a choice by Escape", async () => {
  const { chosen } = await ask("model_file");
  expect(screen.getByRole("button", { name: "Choose" })).toHaveProperty("disabled", true);
  await userEvent.keyboard("{Escape}");
  expect(await chosen).toBe(null);
});

it("offers what fits the question, and gives a file its ending", () => {
  const all = FOLDERS["1"]!;
  expect(offered(all, "model_folder", [], "").map((one) => one.name)).toEqual(["深 层"]);
  expect(offered(all, "model_file", [], "NOTES").map((one) => one.name)).toEqual(["notes.txt"]);
  expect([named(" a ", ["json"]), named("a.JSON", ["json"]), named("", ["json"]), named("a", [])]).toEqual(["a.json", "a.JSON", "", "a"]);
});
