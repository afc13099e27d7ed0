//! The scenes of the local server, its log of requests, and how models are computed.

const [DEVICE, SERVER, REQUESTS] = [3, 6, 7];

const section = (place) => async (page) => {
  await page.keyboard.press("Control+,");
  await page.waitForTimeout(200);
  await page.getByRole("navigation").last().getByRole("button").nth(place).click();
  await page.waitForTimeout(350);
};
const to = (place, selector) => async (page) => {
  await section(place)(page);
  await page.locator(selector).first().evaluate((there) => there.scrollIntoView({ block: "start" }));
  await page.waitForTimeout(200);
};
const press = (page, zh, chinese, english) => page.getByRole("button", { name: zh ? chinese : english, exact: true }).click();

const ON = { server_on: true, server_state: { state: "on", address: "127.0.0.1:11711" } };
const OPEN = { server_on: true, server_address: "0.0.0.0", server_port: 8080, server_origins: ["https://example.org", "http://localhost:3000"], server_queue: 8, server_ttl: 30, server_tray: true, server_state: { state: "on", address: "0.0.0.0:8080" } };

export const serving = {
  "room-computing": { options: { tunings: true, settings: { compute_kv: "q4_0", compute_threads: 6 } }, go: to(DEVICE, "h3") },
  "room-computing-kv": { go: async (page, zh) => { await to(DEVICE, "h3")(page); await page.getByLabel(zh ? /^对话的缓存.*：|^对话的缓存.*:/ : /^Memory of the conversation.*:/).click(); await page.waitForTimeout(300); } },
  "room-tuned": { options: { tunings: true }, go: to(DEVICE, "#tuning") },
  "room-tuned-faster": { options: { tunings: true }, go: async (page) => { await to(DEVICE, "#tuning")(page); await page.locator("section[aria-labelledby=tuning] [aria-haspopup=listbox]").click(); await page.waitForTimeout(300); await page.getByRole("option").filter({ hasText: "Chinese-Alpaca-2-7B" }).click(); await page.waitForTimeout(300); } },
  "room-tuning": { options: { loadTick: 400 }, go: async (page, zh) => { await to(DEVICE, "#tuning")(page); await press(page, zh, "测量", "Measure"); await page.waitForTimeout(900); } },
  "room-candle": { options: { settings: { compute_backend: "candle" } }, go: to(DEVICE, "h3") },
  "room-server-off": { go: section(SERVER) },
  "room-server": { options: { requests: true, settings: ON }, go: section(SERVER) },
  "room-server-on": { go: async (page, zh) => { await section(SERVER)(page); await page.getByRole("switch").first().click(); await page.getByText(zh ? "运行中" : "On", { exact: true }).waitFor(); } },
  "room-server-silent": { options: { serverSilent: true, settings: { server_on: true } }, go: section(SERVER) },
  "room-server-failed": { options: { serverFails: true }, go: async (page) => { await section(SERVER)(page); await page.getByRole("switch").first().click(); await page.getByRole("alert").waitFor(); } },
  "room-server-open": { options: { settings: OPEN }, go: async (page, zh) => { await to(SERVER, "h3:text-is('" + (zh ? "谁能访问" : "Who can reach it") + "')")(page); } },
  "room-server-end": { options: { settings: OPEN }, go: async (page, zh) => { await section(SERVER)(page); await press(page, zh, "显示令牌", "Show the token"); await page.getByRole("tab").nth(1).click(); await page.locator("#examples").evaluate((there) => there.scrollIntoView({ block: "end" })); await page.mouse.wheel(0, 2_000); await page.waitForTimeout(200); } },
  "room-renew": { options: { settings: ON }, go: async (page, zh) => { await section(SERVER)(page); await press(page, zh, "更换", "Renew"); await page.waitForTimeout(300); } },
  "room-requests": { options: { requests: true, settings: ON }, go: section(REQUESTS) },
  "room-requests-words": { options: { requests: true, settings: { ...ON, server_log_text: true } }, go: async (page, zh) => { await section(REQUESTS)(page); await page.getByRole("button", { name: zh ? "显示文字" : "Show the words" }).first().click(); await page.waitForTimeout(200); } },
  "room-requests-none": { go: section(REQUESTS) },
  "room-close-server": { options: { settings: { ...ON, server_tray: true } }, go: async (page) => { await page.evaluate(() => window.__EMIT__("huacaya://close-asked", null)); await page.waitForTimeout(300); } },
  "room-zoomed-server": { options: { requests: true, settings: { ...ON, zoom: 2 } }, go: section(SERVER) },
  "room-zoomed-computing": { options: { tunings: true, settings: { zoom: 2 } }, go: to(DEVICE, "#tuning") },
};
