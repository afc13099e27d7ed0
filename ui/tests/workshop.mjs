//! The scenes of the workshop: each step of the wizard, work and how it may end, the report.

const room = async (page) => {
  await page.locator("nav").first().getByRole("button").nth(2).click();
  await page.waitForTimeout(350);
};
const SOURCE = "Llama-2-7b-hf";
const source = async (page) => {
  await room(page);
  await page.getByRole("radio", { name: SOURCE }).first().check();
  await page.waitForTimeout(250);
};
const step = (at) => async (page) => {
  await source(page);
  await page.locator("main nav ol button").nth(at).click();
  await page.waitForTimeout(250);
};
const begin = async (page, zh) => {
  await source(page);
  await page.getByRole("button", { name: zh ? "开始" : "Start", exact: true }).last().click();
};
const report = async (page) => {
  await page.keyboard.press("Control+k");
  await page.keyboard.type("Chinese-LLaMA-2-7B");
  await page.waitForTimeout(300);
  await page.getByRole("option").filter({ hasText: /报告|Report/ }).first().click();
  await page.waitForTimeout(900);
};
const scroll = (share) => async (page) => {
  await page.locator("main [role=region]").first().evaluate((element, part) => (element.scrollTop = element.scrollHeight * part), share);
  await page.waitForTimeout(250);
};

export const workshop = {
  "room-shop": { options: { reports: true }, go: room },
  "room-shop-first": { options: { noModels: true }, go: room },
  "room-shop-source": { go: source },
  "room-shop-adapters": { go: async (page) => { await step(1)(page); await page.getByRole("checkbox").first().check(); await page.waitForTimeout(250); } },
  "room-shop-targets": { go: step(2) },
  "room-shop-compare": { go: async (page, zh) => { await step(2)(page); await page.getByRole("radio", { name: zh ? "多种对比" : "Compare several" }).click(); await page.waitForTimeout(250); } },
  "room-shop-all": { go: async (page, zh) => { await step(2)(page); await page.getByRole("button", { name: zh ? /显示全部/ : /Show all/ }).click(); await page.waitForTimeout(250); } },
  "room-shop-custom": { go: async (page, zh) => { await step(2)(page); await page.getByRole("radio", { name: zh ? /自定义/ : /Custom/ }).check(); await page.waitForTimeout(250); await scroll(0.6)(page); } },
  "room-shop-requantizes": { go: async (page) => { await room(page); await page.getByRole("radio", { name: "Chinese-Alpaca-2-7B" }).first().check(); await page.locator("main nav ol button").nth(2).click(); await page.waitForTimeout(300); } },
  "room-shop-refused": { options: { planFails: true }, go: step(2) },
  "room-shop-importance": { go: async (page) => { await step(3)(page); await page.getByRole("radio").nth(2).check(); await page.waitForTimeout(250); } },
  "room-shop-measure": { go: step(4) },
  "room-shop-start": { go: step(5) },
  "room-shop-short": { options: { diskFree: 2 }, go: step(5) },
  "room-shop-working": { options: { reports: true, jobTick: 150 }, go: async (page, zh) => { await step(3)(page); await page.getByRole("radio").nth(1).check(); await page.getByRole("button", { name: zh ? "开始" : "Start", exact: true }).last().click(); await page.waitForTimeout(5_500); } },
  "room-shop-failed": { options: { jobTick: 4, makeFails: { code: "disk_full", values: { path: "/home/x/models/made" } } }, go: async (page, zh) => { await begin(page, zh); await page.waitForTimeout(1_000); } },
  "room-shop-done": { options: { jobTick: 4 }, go: async (page, zh) => { await begin(page, zh); await page.waitForTimeout(1_800); } },
  "room-shop-report": { options: { reports: true }, go: report },
  "room-shop-report-plots": { options: { reports: true }, go: async (page) => { await report(page); await scroll(0.34)(page); } },
  "room-shop-report-end": { options: { reports: true }, go: async (page) => { await report(page); await scroll(1)(page); } },
  "room-shop-measuring": { go: async (page, zh) => { await room(page); await page.getByRole("button", { name: zh ? "测量模型" : "Measure models" }).click(); await page.waitForTimeout(250); } },
  "room-zoomed-shop": { options: { settings: { zoom: 2 } }, go: step(2) },
  "room-zoomed-report": { options: { reports: true, settings: { zoom: 2 } }, go: report },
};
