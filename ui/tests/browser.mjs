//! A page of the window in Chromium, over the mock back end.

import { chromium } from "playwright-core";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const catalogue = JSON.parse(readFileSync(new URL("../../assets/catalogue.json", import.meta.url), "utf8"));
const mock = (file) => fileURLToPath(new URL(`./mock/${file}`, import.meta.url));

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
