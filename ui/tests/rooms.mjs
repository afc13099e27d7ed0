//! The scenes of the rooms beside the chat: models, settings, panel, palette, inspector, page, first screen, dialogs.

import { library } from "./library.mjs";
import { serving } from "./serving.mjs";

const rail = (place) => async (page) => {
  await page.locator("nav").first().getByRole("button").nth(place).click();
  await page.waitForTimeout(250);
};
const section = (place) => async (page) => {
  await page.keyboard.press("Control+,");
  await page.waitForTimeout(200);
  await page.getByRole("navigation").last().getByRole("button").nth(place).click();
  await page.waitForTimeout(250);
};
const chat = async (page, words) => {
  await page.keyboard.press("Control+k");
  await page.keyboard.type(words);
  await page.waitForTimeout(300);
  await page.getByRole("option").filter({ hasText: words }).first().click();
  await page.waitForTimeout(400);
};
const panel = async (page) => {
  await page.locator("main header button").last().click();
  await page.waitForTimeout(600);
};
const notice = { code: "database_damaged", values: { aside: "/home/x/huacaya/huacaya.db.damaged-1", backup: String(Date.UTC(2026, 10, 22, 9, 30)) }, detail: "page 12 is malformed" };

export const rooms = {
  ...library,
  ...serving,
  "room-models": { go: rail(1) },
  "room-loading": { options: { loadTick: 400 }, go: async (page, zh) => { await rail(1)(page); await page.getByRole("button", { name: zh ? "载入" : "Load", exact: true }).first().click(); await page.waitForTimeout(1500); } },
  "room-large": { go: async (page, zh) => { await rail(1)(page); await page.getByRole("button", { name: zh ? "载入" : "Load", exact: true }).nth(1).click(); await page.waitForTimeout(400); } },
  "room-menu": { go: async (page) => { await rail(1)(page); await page.getByRole("listitem").nth(1).getByRole("button").last().click(); await page.waitForTimeout(300); } },
  "room-picker": { go: async (page) => { await page.keyboard.press("Control+l"); await page.waitForTimeout(400); } },
  "room-zoomed-models": { options: { settings: { zoom: 2 } }, go: async (page) => { await rail(1)(page); } },
  "room-zoomed-details": { options: { settings: { zoom: 2 } }, go: async (page) => { await library["room-details"].go(page); } },
  "room-zoomed-settings": { options: { settings: { zoom: 2 } }, go: section(1) },
  "room-zoomed-chat": { options: { settings: { zoom: 2 } }, go: async (page, zh) => { await chat(page, zh ? "停止的回答" : "Stopped answer"); } },
  "room-zoomed-picker": { options: { settings: { zoom: 2 } }, go: async (page) => { await page.keyboard.press("Control+l"); await page.waitForTimeout(400); } },
  "room-zoomed-welcome": { options: { welcome: true, settings: { zoom: 2 } }, go: (page) => page.waitForTimeout(900) },
  "room-general": { go: section(0) },
  "room-select": { go: async (page) => { await section(0)(page); await page.locator("main section").last().locator("[aria-haspopup=listbox]").first().click(); await page.waitForTimeout(300); } },
  "room-answers": { go: section(1) },
  "room-personas": { go: section(2) },
  "room-persona": { go: async (page) => { await section(2)(page); await page.locator("main section").last().getByRole("button").nth(2).click(); await page.waitForTimeout(300); } },
  "room-device": { go: section(3) },
  "room-privacy": { go: section(8) },
  "room-keys": { go: section(9) },
  "room-diagnostics": { go: section(10) },
  "room-about": { go: section(11) },
  "room-panel": { go: async (page, zh) => { await chat(page, zh ? "停止的回答" : "Stopped answer"); await panel(page); } },
  "room-format": {
    go: async (page, zh) => {
      await rooms["room-panel"].go(page, zh);
      const region = page.getByRole("region", { name: zh ? "这个对话用什么来回答" : "What this chat answers with" });
      await region.getByRole("combobox", { name: zh ? "格式: 任意文字" : "Format: Any text" }).click();
      await page.getByRole("option", { name: zh ? "JSON Schema" : "JSON schema" }).click();
      const field = region.getByRole("textbox", { name: zh ? "内容：JSON Schema" : "JSON schema: source" });
      await field.fill('{"type": }');
      await field.blur();
      await region.getByRole("alert").scrollIntoViewIfNeeded();
      await page.waitForTimeout(200);
    },
  },
  "room-context": { go: async (page, zh) => { await rooms["room-panel"].go(page, zh); await page.getByRole("meter").last().scrollIntoViewIfNeeded(); await page.waitForTimeout(200); } },
  "room-tip": { go: async (page, zh) => { await chat(page, zh ? "停止的回答" : "Stopped answer"); await panel(page); await page.getByText(zh ? "温度" : "Temperature", { exact: true }).hover(); await page.waitForTimeout(800); } },
  "room-palette": { go: async (page) => { await page.keyboard.press("Control+k"); await page.waitForTimeout(300); } },
  "room-found": { go: async (page, zh) => { await page.keyboard.press("Control+k"); await page.keyboard.type(zh ? "首都" : "capital"); await page.waitForTimeout(500); } },
  "room-inspector": { go: async (page, zh) => { await chat(page, zh ? "停止的回答" : "Stopped answer"); await page.keyboard.press("Control+k"); await page.keyboard.type(zh ? "提示词" : "prompt"); await page.keyboard.press("Enter"); await page.waitForTimeout(500); } },
  "room-tokens": { go: async (page, zh) => { await rooms["room-inspector"].go(page, zh); await page.getByRole("tab").nth(1).click(); await page.waitForTimeout(200); } },
  "room-page": { go: async (page, zh) => { await chat(page, zh ? "一篇文稿" : "A page"); await page.locator("main section button").first().click(); await page.waitForTimeout(400); } },
  "room-writing": { options: { tick: 60 }, go: async (page, zh) => { await chat(page, zh ? "一篇文稿" : "A page"); await page.locator("main textarea").fill("从前有座山，"); await page.keyboard.press("Control+Enter"); await page.waitForTimeout(1500); } },
  "room-welcome": { options: { welcome: true }, go: (page) => page.waitForTimeout(900) },
  "room-close": { go: async (page) => { await page.evaluate(() => window.__EMIT__("huacaya://close-asked", null)); await page.waitForTimeout(300); } },
  "room-shortcuts": { go: async (page) => { await page.keyboard.press("Control+/"); await page.waitForTimeout(300); } },
  "room-nostart": { options: { noStart: { code: "database_newer", values: { path: "/home/张 庭 綱/.local/share/huacaya/huacaya.db" }, detail: "schema 9, this program knows 3" } }, go: (page) => page.waitForTimeout(300) },
  "room-notice": { options: { settings: { notice } }, go: (page) => page.waitForTimeout(300) },
};
