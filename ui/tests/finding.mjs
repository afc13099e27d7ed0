//! The scenes of finding and downloading: the list, its filters, the hub, a repository, the queue.

const models = async (page) => {
  await page.locator("nav").first().getByRole("button").nth(1).click();
  await page.waitForTimeout(400);
};
const ask = async (page, words, wait = 500) => {
  await models(page);
  await page.locator("#models-search").fill(words);
  await page.keyboard.press("Enter");
  await page.waitForTimeout(wait);
};
const list = (page) => page.locator("main .overflow-y-auto").first();
const failed = (code, values) => ({ hubProblem: { code, values } });

export const finding = {
  "room-list-rest": { go: async (page) => { await models(page); await list(page).evaluate((element) => (element.scrollTop = element.scrollHeight)); await page.waitForTimeout(200); } },
  "room-list-filter": { go: async (page, zh) => { await models(page); await page.getByRole("button", { name: zh ? /^类型/ : /^Kind/ }).click(); await page.waitForTimeout(250); } },
  "room-list-found": { go: async (page) => { await models(page); await page.locator("#models-search").fill("alpaca 7b"); await page.waitForTimeout(250); } },
  "room-list-nothing": { go: async (page) => { await models(page); await page.locator("#models-search").fill("mixtral 8x22b"); await page.waitForTimeout(250); } },
  "room-list-failed": { options: { noCatalogue: true }, go: models },
  "room-list-add": { go: async (page, zh) => { await models(page); await page.getByRole("button", { name: zh ? "添加" : "Add", exact: true }).click(); await page.waitForTimeout(250); } },
  "room-entry": { go: async (page) => { await models(page); await page.getByRole("button", { name: "Chinese-LLaMA-2-1.3B", exact: true }).click(); await page.waitForTimeout(250); } },
  "room-entry-lora": { go: async (page) => { await models(page); await page.locator("#models-search").fill("alpaca lora 13b"); await page.getByRole("button", { name: "Chinese-Alpaca-2-LoRA-13B", exact: true }).click(); await page.waitForTimeout(250); } },
  "room-entry-token": { go: async (page) => { await models(page); await page.locator("#models-search").fill("llama-2-7b meta"); await page.getByRole("button", { name: "Llama-2-7B", exact: true }).click(); await page.waitForTimeout(250); } },
  "room-entry-files": { go: async (page, zh) => { await models(page); await page.getByRole("button", { name: zh ? /^Chinese-Alpaca-2-13B 的文件/ : /^Files of Chinese-Alpaca-2-13B:/ }).click(); await page.waitForTimeout(250); } },
  "room-hub": { go: (page) => ask(page, "qwen3") },
  "room-hub-asking": { options: { latency: 900 }, go: (page) => ask(page, "qwen3", 450) },
  "room-hub-nothing": { options: { noHits: true }, go: (page) => ask(page, "qwen3000 quantum") },
  "room-hub-failed": { options: failed("host_unreachable", { host: "hub.example", reason: "no answer within 10 s" }), go: (page) => ask(page, "qwen3") },
  "room-hub-limited": { options: failed("rate_limited", { host: "hub.example", seconds: "60" }), go: (page) => ask(page, "qwen3") },
  "room-hub-offline": { options: { settings: { offline: true } }, go: (page) => ask(page, "qwen3") },
  "room-repository": { go: (page) => ask(page, "Qwen/Qwen3-4B-GGUF") },
  "room-repository-card": { go: async (page) => { await ask(page, "Qwen/Qwen3-4B-GGUF"); await list(page).evaluate((element) => (element.scrollTop = element.scrollHeight)); await page.waitForTimeout(200); } },
  "room-repository-gated": { go: (page) => ask(page, "meta-llama/Llama-2-7b-hf") },
  "room-repository-lora": { go: (page) => ask(page, "https://hub.example/hfl/chinese-alpaca-2-lora-7b") },
  "room-repository-unfit": { options: { emptyRepository: true }, go: (page) => ask(page, "Qwen/Qwen3-4B") },
  "room-repository-none": { go: (page) => ask(page, "nobody/nothing") },
  "room-downloads": { options: { downloads: true }, go: async (page) => { await models(page); await page.waitForTimeout(2_500); } },
  "room-downloads-strip": { options: { downloads: true }, go: async (page) => { if (!(await page.locator("#list-search").count())) await page.keyboard.press("Control+b"); await page.waitForTimeout(2_500); } },
  "room-downloads-picker": { options: { downloads: true }, go: async (page) => { await page.keyboard.press("Control+l"); await page.waitForTimeout(400); } },
  "room-downloads-cancel": { options: { downloads: true }, go: async (page, zh) => { await models(page); await page.getByRole("button", { name: zh ? /^取消下载 Qwen3-4B/ : /^End the download of Qwen3-4B/ }).first().click(); await page.waitForTimeout(300); } },
  "room-downloads-done": { options: { hubSpeed: 3e9 }, go: async (page, zh) => { await models(page); await page.getByRole("button", { name: zh ? "下载 2.5 GB" : "Download 2.5 GB" }).first().click(); await page.waitForTimeout(2_200); } },
  "room-zoomed-list": { options: { settings: { zoom: 2 } }, go: async (page) => { await models(page); await list(page).evaluate((element) => (element.scrollTop = 900)); await page.waitForTimeout(200); } },
  "room-zoomed-repository": { options: { settings: { zoom: 2 } }, go: (page) => ask(page, "Qwen/Qwen3-4B-GGUF") },
  "room-zoomed-downloads": { options: { downloads: true, settings: { zoom: 2 } }, go: async (page) => { await models(page); await page.waitForTimeout(1_200); } },
};
