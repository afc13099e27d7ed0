//! Journeys through the window in a browser, against the real server: `huacaya-cli serve --ui` with the built-in model.
//!
//! Run after `npm run build` and `cargo build -p huacaya-cli`: node tests/journeys.mjs [PROGRAM]. With LOOKS, pictures of what is
//! seen on the way go into that folder.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { audit, launch } from "./browser.mjs";

const program = process.argv[2] ?? fileURLToPath(new URL(`../../target/debug/huacaya-cli${process.platform === "win32" ? ".exe" : ""}`, import.meta.url));
const demo = fileURLToPath(new URL("../../assets/demo/huacaya-demo.gguf", import.meta.url));
/** A busy machine takes this long for anything a person waits for. */
const PATIENCE_MS = 30_000;
const desk = mkdtempSync(join(tmpdir(), "huacaya-journeys-"));
const home = join(desk, "数 据");
const listed = join(desk, "我的 文件");
mkdirSync(join(listed, "模 型"), { recursive: true });
cpSync(demo, join(listed, "模 型/另一个.gguf"));
writeFileSync(join(listed, "notes.txt"), "no model");
writeFileSync(join(listed, ".secret.gguf"), "hidden");
if (process.platform !== "win32") symlinkSync("/etc", join(listed, "out"));

/** The program and the link that it prints. */
async function start(port = 0) {
  const child = spawn(program, ["serve", "--ui", "--port", String(port), "--folder", listed], { env: { ...process.env, HUACAYA_HOME: home }, stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const line = await Promise.race([createInterface({ input: child.stdout })[Symbol.asyncIterator]().next(), ended]);
  assert.ok(line?.value, "the program prints a link");
  const stop = () => (child.kill("SIGINT"), ended);
  return { link: line.value, url: new URL("/", line.value).href, stop };
}

const problems = [];
/** Words that a browser says of what is meant to fail here. */
const MEANT = /401 \(Unauthorized\)|ERR_CONNECTION_REFUSED|ERR_EMPTY_RESPONSE|ERR_INCOMPLETE_CHUNKED_ENCODING|ERR_CONNECTION_RESET/;

async function enter(locale, view = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, locale, colorScheme: "light", reducedMotion: "reduce", ...view });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE_MS);
  page.on("pageerror", (error) => problems.push(`error: ${error.message}`));
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && !MEANT.test(message.text()) && problems.push(`console: ${message.text()}`));
  page.on("request", (request) => !request.url().startsWith(server.url) && !request.url().startsWith("data:") && problems.push(`request: ${request.url()}`));
  await page.addInitScript(() => document.addEventListener("securitypolicyviolation", (event) => console.error(`CSP: ${event.violatedDirective} ${event.blockedURI}`)));
  return page;
}

async function look(page, name) {
  if (process.env.LOOKS) await page.screenshot({ path: join(process.env.LOOKS, `${name}.png`) });
}

/** What axe finds is a problem. */
const check = async (page, name) => problems.push(...(await audit(page, name)));

/** A request as any program can send it: its status. */
const status = (path, { method = "GET", headers = {}, body = "" } = {}) =>
  new Promise((resolve, reject) => {
    const request = http.request(new URL(path, server.url), { method, headers }, (response) => (response.destroy(), resolve(response.statusCode)));
    request.once("error", reject).end(body);
  });

/** A command of the table, sent by the page as its own code does. */
const call = (page, name, args) =>
  page.evaluate(async ([name, args]) => {
    const response = await fetch("/ui/call", { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ name, arguments: args }) });
    return response.json();
  }, [name, args]);

/** All rows, as a page that comes in gets them. */
const rows = (page) =>
  page.evaluate(
    () =>
      new Promise((resolve) => {
        const source = new EventSource("/ui/changes");
        source.onmessage = (event) => (source.close(), resolve(JSON.parse(event.data)[0].value));
      }),
  );

const field = (page) => page.locator("textarea[data-composer]");
const answers = (page) => page.locator("article[data-message]");
const settled = (page) => page.waitForFunction(() => document.querySelectorAll("article[data-message]").length > 1 && !document.querySelector("button[aria-label='停止'], button[aria-label='Stop']"));

let passed = 0;
async function journey(name, steps) {
  const begun = performance.now();
  await steps();
  assert.deepEqual(problems.splice(0), [], name);
  passed += 1;
  console.log(`ok   ${name} (${((performance.now() - begun) / 1_000).toFixed(1)} s)`);
}

let server = await start();
const browser = await launch();
let first;
let second;
/** Gives the model its own parameters again. */
let restore;
try {
  await journey("nobody comes in without a link or the token", async () => {
    const json = { "content-type": "application/json" };
    const own = { ...json, origin: server.url.slice(0, -1) };
    const body = JSON.stringify({ name: "diagnostics", arguments: {} });
    assert.deepEqual([await status("/"), await status("/ui/changes"), await status("/assets/index.js"), await status("/v1/models")], [401, 401, 401, 401]);
    assert.equal(await status("/ui/call", { method: "POST", headers: own, body }), 401);
    assert.equal(await status("/ui/call", { method: "POST", headers: { ...own, origin: "http://evil.example" }, body }), 403);
    assert.equal(await status("/", { headers: { host: "attacker.example" } }), 403);
    const page = await enter("zh-CN");
    await page.goto(server.url);
    await page.getByText("令牌", { exact: false }).first().waitFor();
    await check(page, "enter");
    await look(page, "enter-zh-light");
    await page.context().close();
  });

  await journey("the link opens the first start, and the built-in model answers in Chinese", async () => {
    first = await enter("zh-CN");
    await first.goto(server.link);
    assert.equal(first.url(), server.url);
    const log = first.getByRole("log").locator("> div");
    await first.waitForFunction(() => (document.querySelectorAll("[role=log] > div")[1]?.textContent.match(/\p{Script=Han}/gu) ?? []).length > 5);
    await look(first, "welcome-zh-light");
    await first.locator("main input[type=text]").fill("你是谁？");
    await first.keyboard.press("Enter");
    await first.waitForFunction(() => document.querySelectorAll("[role=log] > div")[3]?.textContent.includes("Huacaya"));
    assert.equal(await log.count(), 4);
    await first.getByRole("button", { name: "开始对话" }).click();
    await settled(first);
    assert.equal(await answers(first).count(), 4);
  });

  await journey("a used link asks for the token, and the token opens a second window", async () => {
    second = await enter("en-US", { colorScheme: "dark" });
    await second.goto(server.link);
    await second.getByRole("alert").waitFor();
    await look(second, "enter-wrong-dark");
    await second.getByRole("textbox").fill("hk-wrong");
    await second.keyboard.press("Enter");
    await second.waitForURL("**/open");
    await second.getByRole("alert").waitFor();
    await second.getByRole("textbox").fill(readFileSync(join(home, "server.token"), "utf8"));
    await second.keyboard.press("Enter");
    await second.waitForURL(server.url);
    await second.getByRole("navigation").first().waitFor();
    await call(second, "set_setting", { key: "language", value: "en" });
    await second.locator("nav button", { hasText: "你好" }).or(second.locator("nav button", { hasText: "Hello" })).first().click();
    await second.waitForFunction(() => document.querySelectorAll("article[data-message]").length === 4);
    await look(second, "chat-en-dark");
    await call(first, "set_setting", { key: "language", value: "zh" });
  });

  await journey("both windows see the same words while they are written; a reload goes on with them", async () => {
    // Without an end of its own the answer is as long as the context lets it be.
    const [model] = (await rows(first)).models;
    const own = model.parameters;
    const set = (parameters) => call(first, "set_model", { model: model.id, parameters });
    await set({ ...own, tokens_max: 900, logit_bias: [[2, -100]] });
    restore = () => set(own);
    await first.getByRole("button", { name: "新对话" }).first().click();
    await field(first).fill("讲一个很长的故事。");
    await field(first).press("Enter");
    await first.getByRole("button", { name: "停止" }).waitFor();
    await second.locator("nav button", { hasText: "讲一个很长的故事" }).first().click();
    await second.waitForFunction(() => document.querySelectorAll("article[data-message]").length === 2);
    await first.reload();
    await first.locator("nav button", { hasText: "讲一个很长的故事" }).first().click();
    await Promise.all([settled(first), settled(second)]);
    const words = async (page) => {
      await page.waitForFunction(() => [...document.querySelectorAll("article[data-message] .markdown")].at(-1)?.innerText.length > 100);
      // Words as they are: a paragraph that came piece by piece may be broken into lines elsewhere.
      return (await page.locator("article[data-message] .markdown").last().innerText()).replace(/\s+/g, "");
    };
    const [one, other] = await Promise.all([words(first), words(second)]);
    assert.equal(one, other);
  });

  await journey("an answer is stopped, and made again as a version", async () => {
    await first.getByRole("button", { name: "新对话" }).first().click();
    await field(first).fill("再讲一个很长的故事。");
    await field(first).press("Enter");
    await first.getByRole("button", { name: "停止" }).waitFor();
    await first.keyboard.press("Escape");
    await second.locator("nav button", { hasText: "再讲一个很长的故事" }).first().click();
    await first.getByText("已停止").first().waitFor();
    await second.getByText("已停止").first().waitFor();
    await restore();
    await answers(first).last().hover();
    await first.getByRole("button", { name: "重新回答" }).last().click();
    await first.getByText("2/2").first().waitFor();
    await second.getByText("2/2").first().waitFor();
    await settled(first);
    await look(first, "chat-zh-light");
  });

  await journey("a model is added through the listed folders, by keyboard, and both windows list it", async () => {
    await first.getByRole("button", { name: "模型", exact: true }).first().click();
    await second.getByRole("button", { name: "模型", exact: true }).first().click();
    await first.getByRole("button", { name: "添加" }).first().click();
    await first.getByRole("menuitem", { name: "添加模型文件", exact: true }).click();
    const dialog = first.getByRole("dialog", { name: "选择文件" });
    await dialog.getByRole("option", { name: /我的 文件/ }).waitFor();
    await check(first, "pick");
    await look(first, "pick-top-zh-light");
    await first.keyboard.type("我的");
    await first.keyboard.press("Enter");
    await dialog.getByRole("option", { name: "模 型" }).waitFor();
    // Hidden files, links that lead out and files of other kinds are not offered.
    assert.equal(await dialog.getByRole("option").count(), 1);
    await first.keyboard.press("Enter");
    await dialog.getByRole("option", { name: /另一个/ }).waitFor();
    await look(first, "pick-zh-light");
    await check(first, "pick in a folder");
    await first.keyboard.press("Enter");
    await first.getByRole("button", { name: /复制到模型文件夹/ }).click();
    await second.locator("[data-row]", { hasText: "Huacaya" }).nth(1).waitFor();
    await look(second, "models-en-dark");
  });

  await journey("chats are exported into a listed folder, and not over a file without asking", async () => {
    await call(second, "set_setting", { key: "language", value: "en" });
    await second.getByRole("button", { name: "Settings", exact: true }).click();
    await second.getByRole("navigation", { name: "Settings" }).getByRole("button", { name: "Storage" }).click();
    for (const button of ["Save", "Replace it"]) {
      await second.getByRole("button", { name: "JSON" }).click();
      const dialog = second.getByRole("dialog");
      await dialog.waitFor();
      const folder = dialog.getByRole("option", { name: /我的 文件/ });
      await folder.or(dialog.getByRole("option", { name: "模 型" })).first().waitFor();
      if (await folder.isVisible()) await folder.click();
      await dialog.getByRole("button", { name: button }).waitFor();
      await look(second, `save-${button === "Save" ? "new" : "replace"}-en-dark`);
      await check(second, "save");
      await dialog.getByRole("button", { name: button }).click();
      await dialog.waitFor({ state: "hidden" });
    }
    await second.waitForTimeout(200);
    const exported = JSON.parse(readFileSync(join(listed, "huacaya.json"), "utf8"));
    assert.ok(JSON.stringify(exported).includes("讲一个很长的故事"));
    // What a browser cannot do is not offered.
    assert.equal(await second.getByRole("button", { name: /^(Show|Open) .*folder/i }).count(), 0);
    await second.getByRole("navigation", { name: "Settings" }).getByRole("button", { name: "Server" }).click();
    await second.getByText(server.url).first().waitFor();
    assert.equal(await second.getByRole("switch", { name: /login|tray/i }).count(), 0);
    await look(second, "server-en-dark");
    await call(second, "set_setting", { key: "language", value: "zh" });
  });

  await journey("a text that is dropped on the page is attached", async () => {
    await first.getByRole("button", { name: "对话", exact: true }).first().click();
    await field(first).waitFor();
    const data = await first.evaluateHandle(() => {
      const data = new DataTransfer();
      data.items.add(new File(["羊驼有两种毛。"], "羊驼.txt", { type: "text/plain" }));
      return data;
    });
    await first.dispatchEvent("main", "drop", { dataTransfer: data });
    await first.getByText("羊驼.txt").first().waitFor();
  });

  await journey("a lost server is told of; when it is back, it asks for a way in", async () => {
    const { port } = new URL(server.url);
    await server.stop();
    await first.getByText("与服务器的连接断了").waitFor();
    await look(first, "lost-zh-light");
    server = await start(Number(port));
    await first.getByText("令牌", { exact: false }).first().waitFor();
    await first.goto(server.link);
    await first.getByRole("navigation").first().waitFor();
    await first.locator("nav button", { hasText: "讲一个很长的故事" }).first().waitFor();
  });
} catch (error) {
  console.log(`FAIL after ${passed}: ${error.stack}\n${problems.join("\n")}`);
  for (const [name, page] of Object.entries({ first, second })) await page?.screenshot({ path: `/tmp/journeys-${name}.png` }).catch(() => undefined);
  process.exitCode = 1;
} finally {
  await browser.close();
  await server.stop();
  rmSync(desk, { recursive: true, force: true });
}
console.log(`${passed} journeys passed`);
