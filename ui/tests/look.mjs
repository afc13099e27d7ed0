//! Looks at the window: pictures of its states in both languages and themes, several widths, and at 200 % zoom, into /tmp/looks
//! (or LOOKS); complains of page errors, CSP violations, requests that leave, and what axe finds. A few are looked at side by side,
//! each in a browser context of its own; what is said of them comes in their order.
//!
//! Run with `npm run look`, or `npm run look -- PATTERN` for the pictures whose names fit. Needs Chromium (CHROMIUM, else /usr/bin/chromium).

import { readFile, mkdir } from "node:fs/promises";
import { createRequire } from "node:module";
import { launch, open } from "./browser.mjs";
import { finding } from "./finding.mjs";
import { rooms } from "./rooms.mjs";
import { serve } from "./server.mjs";
import { workshop } from "./workshop.mjs";

const folder = process.env.LOOKS ?? "/tmp/looks";
const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const only = process.argv[2];
/** Pages wait a good part of their time: one more than a small machine has cores keeps those busy. */
const AT_ONCE = 3;
/** A page that stands still for so long has done what it was asked. */
const QUIET_MS = 150;
/** What goes on without an end (an answer that is being written) is looked at after this. */
const QUIET_MOST_MS = 1_500;
await mkdir(folder, { recursive: true });
const server = await serve();
const browser = await launch();

/** What axe finds, a line each. */
async function audit(page, name) {
  // Evaluated by the driver, not inserted as a script element: the CSP stays in force.
  await page.evaluate(axe);
  // A menu or a tooltip floats at the end of the page, outside every landmark, as they do: the rule of landmarks leaves it out.
  const violations = await page.evaluate(async () => {
    const all = await window.axe.run(document, { resultTypes: ["violations"], rules: { region: { enabled: false } } });
    const regions = await window.axe.run({ exclude: [["[data-bits-floating-content-wrapper]"], ["#tip"]] }, { resultTypes: ["violations"], runOnly: ["region"] });
    return [...all.violations, ...regions.violations];
  });
  return violations.map((violation) => `axe ${name}: ${violation.id} (${violation.impact}) ${violation.nodes.slice(0, 3).map((node) => node.html.slice(0, 160)).join(" | ")}`);
}

/** Waits until nothing changes and nothing moves: on a busy machine that takes longer than any fixed time would allow for. */
function settled(page) {
  return page.evaluate(
    ([quiet, most]) =>
      new Promise((done) => {
        const begun = performance.now();
        let changed = begun;
        const watch = new MutationObserver(() => (changed = performance.now()));
        watch.observe(document, { subtree: true, childList: true, attributes: true, characterData: true });
        const moves = () => document.getAnimations().some((one) => one.playState === "running" && one.effect?.getComputedTiming().endTime !== Infinity);
        const look = () => {
          const now = performance.now();
          if ((now - changed < quiet || moves()) && now - begun < most) return void requestAnimationFrame(look);
          watch.disconnect();
          done();
        };
        requestAnimationFrame(look);
      }),
    [QUIET_MS, QUIET_MOST_MS],
  );
}

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
      await settled(page);
    }
    await go?.(page, language === "zh");
    await settled(page);
    await page.screenshot({ path: `${folder}/${name}.png` });
    // What axe finds while something comes or goes (a tooltip under a pointer that stands still) is looked at once more.
    let wrong = await audit(page, name);
    if (wrong.length) {
      await settled(page);
      wrong = await audit(page, name);
    }
    found.push(...wrong);
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
