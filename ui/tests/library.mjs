//! The scenes of one model's details, of what is asked about models, and of the network and the disk in the settings.

const NETWORK = 5;
const STORAGE = 4;

const models = async (page) => {
  await page.locator("nav").first().getByRole("button").nth(1).click();
  await page.waitForTimeout(400);
};
const details = (name) => async (page) => {
  await models(page);
  await page.getByRole("button", { name, exact: true }).first().click();
  await page.waitForTimeout(500);
};
const aside = (page) => page.locator("main aside").last();
const inAside = async (page, zh, chinese, english) => {
  await aside(page).getByRole("button", { name: zh ? chinese : english, exact: true }).click();
  await page.waitForTimeout(400);
};
const add = (place) => async (page, zh) => {
  await models(page);
  await page.getByRole("button", { name: zh ? "添加" : "Add", exact: true }).first().click();
  await page.waitForTimeout(200);
  await page.getByRole("menuitem").nth(place).click();
  await page.waitForTimeout(500);
};
const section = (place) => async (page) => {
  await page.keyboard.press("Control+,");
  await page.waitForTimeout(200);
  await page.getByRole("navigation").last().getByRole("button").nth(place).click();
  await page.waitForTimeout(350);
};
const dialog = (page) => page.getByRole("dialog").last();
const ALPACA = "Chinese-Alpaca-2-7B";
const LONG = "Chinese-Alpaca-2-13B-16K-with-a-very-long-name-that-does-not-end";
const ADAPTER = "Chinese-Alpaca-2-LoRA-7B";

export const library = {
  "room-details": { go: details(ALPACA) },
  "room-details-end": { go: async (page, zh) => { await details(ALPACA)(page); await aside(page).getByText(zh ? "默认人设" : "Default persona").scrollIntoViewIfNeeded(); await page.waitForTimeout(200); } },
  "room-details-wrong": { go: details(LONG) },
  "room-details-missing": { go: details("Chinese-LLaMA-2-7B") },
  "room-details-adapter": { go: details(ADAPTER) },
  "room-details-verify": { options: { jobTick: 400 }, go: async (page, zh) => { await details("deepseek-r1:7b")(page); await inAside(page, zh, "校验", "Verify"); await page.waitForTimeout(1200); } },
  "room-inside": { go: async (page, zh) => { await details(ALPACA)(page); await inAside(page, zh, "查看文件内部", "Look inside"); } },
  "room-inside-open": { go: async (page, zh) => { await library["room-inside"].go(page, zh); await dialog(page).getByRole("searchbox").fill("template"); await page.waitForTimeout(200); await dialog(page).getByRole("button", { name: zh ? "全部展开" : "Show all of it" }).first().click(); await page.waitForTimeout(200); } },
  "room-tensors": { go: async (page, zh) => { await library["room-inside"].go(page, zh); await dialog(page).getByRole("tab").nth(1).click(); await page.waitForTimeout(300); } },
  "room-delete": { go: async (page, zh) => { await details(ALPACA)(page); await inAside(page, zh, "删除", "Delete"); } },
  "room-remove": { go: async (page, zh) => { await details("deepseek-r1:7b")(page); await inAside(page, zh, "移出列表", "Take off the list"); } },
  "room-deleted": { go: async (page, zh) => { await library["room-delete"].go(page, zh); await dialog(page).getByRole("button").last().click(); await page.waitForTimeout(400); } },
  "room-add": { go: add(0) },
  "room-adding": { options: { adding: true }, go: async (page, zh) => { await add(0)(page, zh); await page.evaluate(() => window.__EMIT__("huacaya://dropped", { chosen: [{ id: 8, name: "Chinese-LLaMA-2-13B-16K", bytes: 0 }] })); await page.waitForTimeout(300); } },
  "room-broken": { go: async (page, zh) => { await add(0)(page, zh); await dialog(page).getByText(zh ? "在原处使用" : "Use it where it is").click(); await page.waitForTimeout(400); } },
  "room-elsewhere": { go: async (page, zh) => { await add(2)(page, zh); await dialog(page).getByRole("checkbox").nth(1).check(); await page.waitForTimeout(200); } },
  "room-elsewhere-none": { options: { nothingElsewhere: true }, go: add(2) },
  "room-recognising": { options: { jobTick: 400 }, go: add(3) },
  "room-recognised": { options: { jobTick: 5 }, go: async (page, zh) => { await add(3)(page, zh); await page.waitForTimeout(500); } },
  "room-truncated": { options: { jobTick: 5, recognised: "truncated" }, go: async (page, zh) => { await add(3)(page, zh); await page.waitForTimeout(500); } },
  "room-unknown": { options: { jobTick: 5, recognised: "unknown" }, go: async (page, zh) => { await add(3)(page, zh); await page.waitForTimeout(500); } },
  "room-merge": { go: async (page, zh) => { await details(ADAPTER)(page); await inAside(page, zh, "与基座合并", "Merge onto a base"); } },
  "room-refused": { options: { jobTick: 5, mergeRefused: true }, go: async (page, zh) => { await library["room-merge"].go(page, zh); await dialog(page).getByRole("button", { name: zh ? "合并" : "Merge", exact: true }).click(); await page.waitForTimeout(700); } },
  "room-network": { go: section(NETWORK) },
  "room-network-tested": { options: { environment: true }, go: async (page, zh) => { await section(NETWORK)(page); await page.getByRole("button", { name: zh ? "全部测试" : "Test all" }).click(); await page.waitForTimeout(400); } },
  "room-network-end": { options: { settings: { proxy: "http://127.0.0.1:7890", download_limit: 2_500_000 } }, go: async (page) => { await section(NETWORK)(page); await page.locator("table").scrollIntoViewIfNeeded(); await page.waitForTimeout(200); } },
  "room-network-none": { options: { noConnections: true }, go: async (page) => { await section(NETWORK)(page); await page.locator("#connections").scrollIntoViewIfNeeded(); await page.waitForTimeout(200); } },
  "room-offline": { options: { settings: { offline: true } }, go: section(NETWORK) },
  "room-endpoint": { go: async (page, zh) => { await section(NETWORK)(page); await page.getByRole("button", { name: zh ? "添加来源" : "Add an endpoint" }).click(); await page.waitForTimeout(300); await page.keyboard.type("mirror.example"); await page.keyboard.press("Enter"); await page.waitForTimeout(200); } },
  "room-token": { go: async (page, zh) => { await section(NETWORK)(page); await page.getByRole("button", { name: zh ? "HF-Mirror 的更多操作" : "More for HF-Mirror" }).click(); await page.waitForTimeout(200); await page.getByRole("menuitem").first().click(); await page.waitForTimeout(300); } },
  "room-storage": { options: { deleted: 4_080_000_000 }, go: section(STORAGE) },
  "room-moving": { options: { jobTick: 400 }, go: async (page, zh) => { await section(STORAGE)(page); await page.getByRole("button", { name: zh ? "移到别的文件夹" : "Move to another folder" }).click(); await page.waitForTimeout(300); await dialog(page).getByRole("button").last().click(); await page.waitForTimeout(1200); } },
  "room-move-failed": { options: { jobTick: 2, moveFails: true }, go: async (page, zh) => { await library["room-moving"].go(page, zh); } },
  "room-purge": { options: { deleted: 4_080_000_000 }, go: async (page, zh) => { await section(STORAGE)(page); await page.getByRole("button", { name: zh ? /现在就腾出/ : /Free it now/ }).click(); await page.waitForTimeout(300); } },
  "room-zoomed-network": { options: { settings: { zoom: 2 } }, go: section(NETWORK) },
  "room-zoomed-inside": { options: { settings: { zoom: 2 } }, go: async (page, zh) => { await library["room-inside"].go(page, zh); } },
};
