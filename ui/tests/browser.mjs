//! A page of the window in Chromium, over the mock back end.

import { chromium } from "playwright-core";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";

const catalogue = JSON.parse(readFileSync(new URL("../../assets/catalogue.json", import.meta.url), "utf8"));
const mock = (file) => fileURLToPath(new URL(`./mock/${file}`, import.meta.url));

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
/** A page that stands still for so long has done what it was asked. */
const QUIET_MS = 150;
/** What goes on without an end (an answer that is being written) is looked at after this. */
const QUIET_MOST_MS = 1_500;

/** Waits until nothing changes and nothing moves: on a busy machine that takes longer than any fixed time would allow for. */
export function still(page) {
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

/** What axe finds, a line each. What it finds while something comes or goes (a tooltip under a pointer that stands still) is looked at once more. */
export async function audit(page, name) {
  const once = await wrong(page, name);
  if (once.length === 0) return once;
  await still(page);
  return wrong(page, name);
}

async function wrong(page, name) {
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

export async function launch() {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu", "--font-render-hinting=none"] });
}

/** Opens the window. `problems` gathers what the page complains of: errors, CSP violations, requests that leave. */
export async function open(browser, url, options = {}, view = {}) {
  const context = await browser.newContext({
    viewport: { width: view.width ?? 1280, height: view.height ?? 800 },
    deviceScaleFactor: view.scale ?? 1,
    locale: options.language === "en" ? "en-US" : "zh-CN",
    reducedMotion: view.motion ? "no-preference" : "reduce",
  });
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  const page = await context.newPage();
  const problems = [];
  page.on("pageerror", (error) => problems.push(`error: ${error.message}`));
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && problems.push(`console: ${message.text()}`));
  page.on("request", (request) => !request.url().startsWith(url) && !request.url().startsWith("data:") && problems.push(`request: ${request.url()}`));
  await page.addInitScript(([given, entries]) => {
    window.__MOCK__ = given;
    window.__CATALOGUE__ = entries;
    document.addEventListener("securitypolicyviolation", (event) => console.error(`CSP: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
  }, [options, catalogue]);
  await page.addInitScript({ path: mock("hub.js") });
  await page.addInitScript({ path: mock("serving.js") });
  await page.addInitScript({ path: mock("rows.js") });
  await page.addInitScript({ path: mock("library.js") });
  await page.addInitScript({ path: mock("workshop.js") });
  await page.addInitScript({ path: mock("backend.js") });
  await page.goto(url);
  return { context, page, problems };
}
