//! Measures what the window promises: opening 5,000 messages, the time of a key there, layout shifts while an answer streams,
//! switching theme and language, the size of the bundle. Prints figures; fails where a promise is broken.
//!
//! Run after `npm run build`: node tests/measure.mjs

import { readFile, readdir } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import { launch, open } from "./browser.mjs";
import { serve } from "./server.mjs";

const MESSAGES = 5_000;
const OPEN_MS_MAX = 1_000;
const KEY_MS_MAX = 16;
const SWITCH_MS_MAX = 100;
const BUNDLE_BYTES_MAX = 1_500_000;

let failed = 0;
function report(name, value, unit, most) {
  const good = value <= most;
  if (!good) failed += 1;
  console.log(`${good ? "ok  " : "FAIL"} ${name}: ${Math.round(value * 1000) / 1000} ${unit} (at most ${most})`);
}

const server = await serve();
const browser = await launch();
const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

/** The page's own work, in ms of processor time: the wall clock of a busy machine measures the others too. */
async function clock(page, context) {
  const driver = await context.newCDPSession(page);
  await driver.send("Performance.enable", { timeDomain: "threadTicks" });
  return async () => (await driver.send("Performance.getMetrics")).metrics.find((metric) => metric.name === "ThreadTime").value * 1_000;
}

async function longChat() {
  const { page, context, problems } = await open(browser, server.url, { language: "zh", many: MESSAGES });
  await page.waitForSelector("nav");
  await page.waitForTimeout(300);
  const worked = await clock(page, context);
  const before = await worked();
  const opened = await page.evaluate(async (title) => {
    const button = [...document.querySelectorAll("nav button")].find((one) => one.textContent.includes(title));
    const start = performance.now();
    button.click();
    const last = () => [...document.querySelectorAll("article[data-message]")].some((article) => article.textContent.includes("第 4999 个回答"));
    while (!last()) await new Promise((resolve) => requestAnimationFrame(resolve));
    await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
    return performance.now() - start;
  }, `${MESSAGES} messages`);
  report("opening 5,000 messages, processor time", (await worked()) - before, "ms", OPEN_MS_MAX);
  console.log(`     by the clock: ${Math.round(opened)} ms`);
  await page.waitForTimeout(800);
  const end = await page.evaluate(() => {
    const thread = document.querySelector(".thread");
    return thread.scrollHeight - thread.clientHeight - thread.scrollTop;
  });
  report("distance from the end after opening", end, "px", 2);

  // The script's time for one key: from the event to the end of the work it causes, the frame's layout included.
  const times = await page.evaluate(async () => {
    const field = document.querySelector("main textarea");
    field.focus();
    const times = [];
    for (let at = 0; at < 60; at += 1) {
      await new Promise((resolve) => requestAnimationFrame(resolve));
      const start = performance.now();
      document.execCommand("insertText", false, at % 2 ? "字" : "a");
      await Promise.resolve();
      void document.body.offsetHeight;
      times.push(performance.now() - start);
    }
    return times;
  });
  report("a key at 5,000 messages, median", median(times), "ms", KEY_MS_MAX);
  console.log(`     worst of 60: ${Math.round(Math.max(...times) * 10) / 10} ms`);

  const frames = await page.evaluate(async () => {
    const thread = document.querySelector(".thread");
    const times = [];
    let before = performance.now();
    for (let at = 0; at < 60; at += 1) {
      thread.scrollTop -= 400;
      await new Promise((resolve) => requestAnimationFrame(resolve));
      times.push(performance.now() - before);
      before = performance.now();
    }
    return times;
  });
  console.log(`     a frame while scrolling, median: ${Math.round(median(frames) * 10) / 10} ms`);
  if (problems.length) console.log(problems);
  await context.close();
}

async function shifts(name, chat, height) {
  const { page, context } = await open(browser, server.url, { language: "zh", perTick: 3 }, { height, motion: true });
  await page.waitForSelector("nav");
  if (chat) await page.evaluate((title) => [...document.querySelectorAll("nav button")].find((one) => one.textContent.includes(title)).click(), chat);
  await page.waitForTimeout(700);
  await page.locator("main textarea").first().fill("你好");
  await page.keyboard.press("Enter");
  // The person's message and the answer's first line have come; from here on nothing may move.
  await page.waitForTimeout(250);
  await page.evaluate(() => {
    window.shifts = [];
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) window.shifts.push({ value: entry.value, sources: entry.sources.map((source) => `${source.node?.nodeName}.${source.node?.className ?? ""} ${JSON.stringify(source.previousRect)} -> ${JSON.stringify(source.currentRect)}`) });
    }).observe({ type: "layout-shift", buffered: false });
  });
  await page.waitForFunction(() => ![...document.querySelectorAll("button")].some((one) => one.getAttribute("aria-label") === "停止"), null, { timeout: 30_000 });
  await page.waitForTimeout(500);
  const found = await page.evaluate(() => window.shifts);
  for (const shift of found.slice(0, 4)) console.log("    ", shift.value, shift.sources.slice(0, 3).join("\n           "));
  report(`layout shift while streaming, ${name}`, found.reduce((sum, shift) => sum + shift.value, 0), "", 0);
  await context.close();
}

async function switches() {
  const { page, context } = await open(browser, server.url, { language: "zh", theme: "light" });
  await page.waitForSelector("nav");
  await page.evaluate(() => [...document.querySelectorAll("nav button")].find((one) => one.textContent.includes("怎么安装")).click());
  await page.waitForTimeout(800);
  const worked = await clock(page, context);
  for (const [key, values] of [["theme", ["dark", "light", "dark", "light", "dark"]], ["language", ["en", "zh", "en", "zh", "en"]]]) {
    const times = [];
    for (const value of values) {
      await page.waitForTimeout(300);
      const before = await worked();
      await page.evaluate(async (change) => {
        window.__SEND__({ kind: "setting", value: change });
        await new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve)));
      }, { key, value });
      times.push((await worked()) - before);
    }
    report(`switching the ${key}, processor time, median of ${times.length}`, median(times), "ms", SWITCH_MS_MAX);
  }
  await context.close();
}

async function bundle() {
  const folder = new URL("../dist/", import.meta.url);
  let total = 0;
  let first = 0;
  for (const file of await readdir(folder, { recursive: true })) {
    const bytes = await readFile(new URL(file, folder)).catch(() => null);
    if (!bytes) continue;
    const size = file.endsWith(".woff2") ? bytes.length : gzipSync(bytes).length;
    total += size;
    if (/index/.test(file)) first += size;
  }
  report("bundle, compressed", total, "bytes", BUNDLE_BYTES_MAX);
  console.log(`     of it at start: ${first} bytes`);
}

await bundle();
await longChat();
await shifts("new chat", null, 800);
await shifts("long chat", "怎么安装", 800);
await shifts("small window", "怎么安装", 420);
await switches();
await browser.close();
server.close();
process.exitCode = failed === 0 ? 0 : 1;
