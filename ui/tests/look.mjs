//! Looks at the window: pictures of its states in both languages and themes, several widths, and at 200 % zoom, into /tmp/looks
//! (or LOOKS); complains of page errors, CSP violations, requests that leave, and what axe finds. A few are looked at side by side,
//! each in a browser context of its own; what is said of them comes in their order.
//!
//! Run with `npm run look`, or `npm run look -- PATTERN` for the pictures whose names fit. Needs Chromium (CHROMIUM, else /usr/bin/chromium).

import { mkdir } from "node:fs/promises";
import { audit, launch, open, still } from "./browser.mjs";
import { finding } from "./finding.mjs";
import { rooms } from "./rooms.mjs";
import { serve } from "./server.mjs";
import { workshop } from "./workshop.mjs";

const folder = process.env.LOOKS ?? "/tmp/looks";
const only = process.argv[2];
/** Pages wait a good part of their time: one more than a small machine has cores keeps those busy. */
const AT_ONCE = 3;
await mkdir(folder, { recursive: true });
const server = await serve();
const browser = await launch();

const chat = (id) => async (page) => {
  await page.evaluate((wanted) => [...document.querySelectorAll("nav button")].find((button) => button.textContent.includes(wanted))?.click(), id);
  await page.waitForTimeout(500);
};
const scenes = {
  hello: {},
  answer: { go: async (page, zh) => { await chat(zh ? "怎么安装" : "How do I install")(page); } },
  top: { go: async (page, zh) => { await chat(zh ? "怎么安装" : "How do I install")(page); await page.locator(".thread").evaluate((thread) => (thread.scrollTop = 0)); await page.waitForTimeout(200); } },
  hover: { go: async (page, zh) => { await chat(zh ? "停止的回答" : "Stopped")(page); await page.locator("article").last().hover(); await page.waitForTimeout(300); } },
  interrupted: { go: (page, zh) => chat(zh ? "被打断" : "Interrupted")(page) },
  failed: { go: (page, zh) => chat(zh ? "失败的" : "Failed answer")(page) },
  panel: { options: { panel: true, job: true }, go: async (page, zh) => { await chat(zh ? "怎么安装" : "How do I install")(page); } },
  typing: { go: async (page) => { await page.locator("textarea").first().fill("第一行\n第二行，有一些字\n\n```js\nlet a = 1\n```"); await page.waitForTimeout(500); } },
  streaming: { options: { tick: 40 }, go: async (page) => { await page.locator("textarea").first().fill("你好"); await page.keyboard.press("Enter"); await page.waitForTimeout(1500); } },
  reading: { options: { tick: 400 }, go: async (page) => { await page.locator("textarea").first().fill("你好"); await page.keyboard.press("Enter"); await page.waitForTimeout(900); } },
  search: { go: async (page, zh) => { if (!(await page.locator("#list-search").count())) await page.keyboard.press("Control+b"); await page.locator("#list-search").fill(zh ? "首都" : "capital"); await page.waitForTimeout(400); } },
  edit: { go: async (page, zh) => { await chat(zh ? "停止的回答" : "Stopped")(page); await page.locator("textarea").first().focus(); await page.keyboard.press("ArrowUp"); await page.waitForTimeout(300); } },
  again: { go: async (page, zh) => { await chat(zh ? "停止的回答" : "Stopped")(page); await page.locator("article").last().hover(); await page.locator("article").last().getByRole("group").last().getByRole("button").last().click(); await page.waitForTimeout(200); await page.getByRole("menuitem").first().click(); await page.waitForTimeout(300); } },
  menu: { go: async (page, zh) => { await chat(zh ? "停止的回答" : "Stopped")(page); await page.locator("article").last().hover(); await page.locator("article").last().getByRole("group").last().getByRole("button").last().click(); await page.waitForTimeout(300); } },
  models: { go: async (page) => { await page.locator("nav").first().getByRole("button").nth(1).click(); await page.waitForTimeout(300); } },
  settings: { go: async (page) => { await page.keyboard.press("Control+,"); await page.waitForTimeout(300); } },
  palette: { go: async (page) => { await page.keyboard.press("Control+k"); await page.waitForTimeout(300); } },
  inspector: { go: async (page, zh) => { await chat(zh ? "停止的回答" : "Stopped")(page); await page.locator("textarea").first().focus(); await page.evaluate(() => undefined); await page.locator("article").last().hover(); await page.locator("article").last().getByRole("group").last().getByRole("button").last().click(); await page.waitForTimeout(200); await page.getByRole("menuitem").nth(5).click(); await page.waitForTimeout(400); } },
  welcome: { options: { welcome: true }, go: (page) => page.waitForTimeout(800) },
  page: { go: (page, zh) => chat(zh ? "一篇文稿" : "A page")(page) },
  ...rooms,
  ...finding,
  ...workshop,
};
const views = [
  { name: "wide", width: 1280, height: 800 },
  { name: "narrow", width: 640, height: 800 },
  { name: "zoom", width: 640, height: 400, scale: 2 },
];

/** Scenes that begin in the chat itself, where a narrow window keeps the list out of sight. */
const WITHOUT_LIST = ["typing", "streaming", "reading", "settings", "palette", "models", "welcome", "search"];

/** Looks at one scene; a line for each thing that is wrong. */
async function look({ name, scene, language, theme, view }) {
  const { options = {}, go } = scenes[scene];
  const { context, page, problems } = await open(browser, server.url, { language, theme, ...options }, view);
  const found = [];
  try {
    await page.waitForSelector("nav, main", { timeout: 30_000 });
    if (view.width < 900 && go && !scene.startsWith("room-") && !WITHOUT_LIST.includes(scene)) {
      await page.keyboard.press("Control+b");
      await still(page);
    }
    await go?.(page, language === "zh");
    await still(page);
    await page.screenshot({ path: `${folder}/${name}.png` });
    found.push(...(await audit(page, name)));
    if (await page.evaluate(() => window.hit)) problems.push("markup ran");
  } catch (error) {
    problems.push(`scene: ${error.message.split("\n")[0]}`);
  }
  await context.close();
  return [...found, ...problems.map((problem) => `${name}: ${problem}`)];
}

const jobs = [];
for (const language of ["zh", "en"])
  for (const theme of ["light", "dark"])
    for (const view of views)
      for (const scene of Object.keys(scenes)) {
        const name = `${scene}-${language}-${theme}-${view.name}`;
        if (!only || new RegExp(only).test(name)) jobs.push({ name, scene, language, theme, view });
      }

/** Of each job, once it is done; printed as far as there is no gap. */
const results = [];
let [taken, printed, failures] = [0, 0, 0];
async function work() {
  while (taken < jobs.length) {
    const at = taken++;
    results[at] = await look(jobs[at]);
    for (; results[printed]; printed++) {
      for (const line of results[printed]) console.log(line);
      failures += results[printed].length;
    }
  }
}
const begun = performance.now();
await Promise.all(Array.from({ length: AT_ONCE }, work));
await browser.close();
server.close();
const seconds = Math.round((performance.now() - begun) / 1000);
console.log(`${failures === 0 ? "nothing found" : `${failures} found`} in ${jobs.length} scenes, ${seconds} s`);
process.exitCode = failures === 0 ? 0 : 1;
