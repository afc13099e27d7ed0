//! Walks through the window as a person would, in Chromium over the mock back end: what is pressed must do what it says.
//!
//! Run after `npm run build`: node tests/walk.mjs [regular expression of walks]

import assert from "node:assert/strict";
import { launch, open } from "./browser.mjs";
import { serve } from "./server.mjs";

const server = await serve();
const browser = await launch();
const only = process.argv[2] ? new RegExp(process.argv[2]) : /./;
/** A busy machine takes this long for anything a person waits for. */
const PATIENCE_MS = 20_000;
let failed = 0;
let passed = 0;

async function walk(name, options, steps, view) {
  if (!only.test(name)) return;
  const { page, context, problems } = await open(browser, server.url, { language: "zh", ...options }, view);
  page.setDefaultTimeout(PATIENCE_MS);
  try {
    await page.waitForSelector("nav");
    await steps(page);
    assert.deepEqual(problems, []);
    passed += 1;
    console.log(`ok   ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL ${name}: ${error.message.split("\n").slice(0, 6).join("\n     ")}`);
    await page.screenshot({ path: `/tmp/walk-${failed}.png` });
  }
  await context.close();
}

const field = (page) => page.locator("main textarea").last();
const calls = (page, name) => page.evaluate((wanted) => window.__CALLS__.filter((call) => call[0] === wanted).map((call) => call[1]), name);
const chat = async (page, title) => {
  await page.locator("nav[aria-label='对话列表'] button", { hasText: title }).first().click();
  await page.waitForFunction((wanted) => document.querySelector("h1")?.textContent.includes(wanted) && document.querySelector("article[data-message]"), title);
};
/** The arguments of the first call of this name, as soon as there is one. */
const called = async (page, name) => {
  await page.waitForFunction((wanted) => window.__CALLS__.some((call) => call[0] === wanted), name);
  return (await calls(page, name))[0];
};
const answered = (page) => page.waitForFunction(() => !document.querySelector("button[aria-label='停止']"));
const fromEnd = (page) => page.evaluate(() => {
  const thread = document.querySelector(".thread");
  return Math.round(thread.scrollHeight - thread.clientHeight - thread.scrollTop);
});

await walk("a first message makes a chat, streams, and stays at the end", { perTick: 6 }, async (page) => {
  await field(page).fill("你好");
  await page.keyboard.press("Enter");
  await page.waitForSelector("button[aria-label='停止']");
  await answered(page);
  await page.waitForTimeout(200);
  assert.ok((await fromEnd(page)) <= 2);
  assert.equal(await page.evaluate(() => window.hit), undefined);
  assert.equal(await page.locator(".katex").count() > 0, true);
  assert.equal(await page.locator("article img, article script, article [href], article [onerror]").count(), 0);
});

await walk("the wheel up leaves the end while it streams, and the button goes back", { perTick: 2, tick: 20 }, async (page) => {
  await chat(page, "怎么安装");
  await field(page).fill("你好");
  await page.keyboard.press("Enter");
  await page.waitForTimeout(800);
  await page.locator(".thread").hover();
  await page.mouse.wheel(0, -300);
  await page.getByRole("button", { name: "到最后" }).waitFor();
  await page.waitForTimeout(300);
  const top = await page.evaluate(() => document.querySelector(".thread").scrollTop);
  await page.waitForTimeout(500);
  assert.equal(await page.evaluate(() => document.querySelector(".thread").scrollTop), top);
  await page.getByRole("button", { name: "到最后" }).click();
  await answered(page);
  await page.waitForTimeout(300);
  assert.ok((await fromEnd(page)) <= 2);
});

await walk("switching away and back joins the answer", { tick: 120 }, async (page) => {
  await chat(page, "停止的回答");
  await field(page).fill("继续说");
  await page.keyboard.press("Enter");
  await page.waitForTimeout(900);
  await chat(page, "怎么安装");
  await page.waitForTimeout(300);
  await chat(page, "停止的回答");
  const length = () => page.locator("article").last().innerText().then((text) => text.length);
  const before = await length();
  await page.waitForTimeout(500);
  assert.ok((await length()) > before);
  await page.keyboard.press("Escape");
  await answered(page);
  await page.getByText("已停止").first().waitFor();
});

await walk("Escape stops; continue goes on", { tick: 120 }, async (page) => {
  await field(page).fill("你好");
  await page.keyboard.press("Enter");
  await page.waitForTimeout(1_000);
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "继续写" }).click();
  await page.locator("article").last().getByText("接着写下去的话").waitFor();
});

await walk("editing the last message makes a branch; versions go back", { perTick: 50, reading: false }, async (page) => {
  await chat(page, "停止的回答");
  await field(page).focus();
  await page.keyboard.press("ArrowUp");
  const edit = page.getByRole("textbox", { name: "消息内容" });
  await edit.fill("从一数到十。");
  await page.keyboard.press("Enter");
  await page.getByText("从一数到十。").waitFor();
  await answered(page);
  assert.equal(await page.getByText("2/2").count(), 1);
  await page.locator("article").first().hover();
  await page.getByRole("button", { name: "上一版" }).click();
  await page.getByText("从一数到一百。").waitFor();
});

await walk("the model's own message can be edited, and no new answer comes", {}, async (page) => {
  await chat(page, "停止的回答");
  await page.locator("article").last().hover();
  await page.locator("article").last().getByRole("button", { name: "编辑" }).click();
  await page.getByRole("textbox", { name: "消息内容" }).fill("四、五、六");
  await page.getByRole("button", { name: "存为新版本" }).click();
  await page.getByText("四、五、六").waitFor();
  assert.equal((await called(page, "edit_message")).answer, false);
});

await walk("answering again with given words", { perTick: 50, reading: false }, async (page) => {
  await chat(page, "停止的回答");
  await page.locator("article").last().hover();
  await page.locator("article").last().getByRole("button", { name: "这条消息的操作" }).click();
  await page.getByRole("menuitem", { name: "指定开头的话" }).click();
  await page.getByRole("textbox", { name: "回答的开头" }).fill("好，");
  await page.getByRole("dialog").getByRole("button", { name: "重新回答" }).click();
  assert.equal((await called(page, "regenerate")).begin, "好，");
});

await walk("answering again with another temperature sends the chat's other values along", { perTick: 50, reading: false }, async (page) => {
  await chat(page, "停止的回答");
  await page.locator("article").last().hover();
  await page.locator("article").last().getByRole("button", { name: "这条消息的操作" }).click();
  await page.getByRole("menuitem", { name: "换模型或参数" }).click();
  await page.getByRole("textbox", { name: "温度" }).fill("0.1");
  await page.getByRole("dialog").getByRole("button", { name: "重新回答" }).click();
  assert.equal((await called(page, "regenerate")).parameters.temperature, 0.1);
});

await walk("deleting a message can be undone", {}, async (page) => {
  await chat(page, "停止的回答");
  await page.locator("article").last().hover();
  await page.locator("article").last().getByRole("button", { name: "这条消息的操作" }).click();
  await page.getByRole("menuitem", { name: "删除" }).click();
  await page.waitForFunction(() => document.querySelectorAll("article[data-message]").length === 1);
  await page.getByRole("button", { name: "撤销" }).click();
  await page.waitForFunction(() => document.querySelectorAll("article[data-message]").length === 2);
});

await walk("branching opens a copy", {}, async (page) => {
  await chat(page, "停止的回答");
  await page.locator("article").last().hover();
  await page.locator("article").last().getByRole("button", { name: "这条消息的操作" }).click();
  await page.getByRole("menuitem", { name: "从这里另开对话" }).click();
  await page.getByText("这是截至那条消息的副本").waitFor();
  assert.equal((await calls(page, "branch_chat")).length, 1);
});

await walk("a link asks before it opens", {}, async (page) => {
  await chat(page, "怎么安装");
  await page.getByRole("link", { name: /example\.org/ }).click();
  await page.getByRole("dialog").getByText("https://example.org/docs").waitFor();
  await page.getByRole("button", { name: "取消" }).click();
  assert.deepEqual(await calls(page, "open_link"), []);
  await page.getByRole("link", { name: /example\.org/ }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "打开链接" }).click();
  assert.equal(await called(page, "open_link"), "https://example.org/docs");
});

await walk("renaming in place, pinning, deleting with undo", {}, async (page) => {
  const row = page.locator("nav[aria-label='对话列表'] button", { hasText: "停止的回答" }).first();
  await row.focus();
  await page.keyboard.press("F2");
  await page.keyboard.type("新名字");
  await page.keyboard.press("Enter");
  await page.locator("nav button", { hasText: "新名字" }).waitFor();
  await page.getByRole("button", { name: "“新名字”的操作" }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("menuitem", { name: "删除" }).click();
  await page.getByRole("button", { name: "撤销" }).click();
  await page.locator("nav button", { hasText: "新名字" }).waitFor();
});

await walk("an input method's Enter does not end renaming", {}, async (page) => {
  await page.locator("nav[aria-label='对话列表'] button", { hasText: "停止的回答" }).first().focus();
  await page.keyboard.press("F2");
  const input = page.getByRole("textbox", { name: "对话标题" });
  await input.evaluate((element) => {
    const event = new KeyboardEvent("keydown", { key: "Enter", bubbles: true, isComposing: true });
    element.dispatchEvent(event);
  });
  assert.equal(await input.count(), 1);
});

await walk("a folder is made, and a chat moves into it", {}, async (page) => {
  await page.getByRole("button", { name: "新建文件夹" }).click();
  await page.keyboard.type("旅行");
  await page.keyboard.press("Enter");
  await page.locator("nav button", { hasText: "旅行" }).waitFor();
  await page.getByRole("button", { name: "“停止的回答”的操作" }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("menuitem", { name: "移到“旅行”" }).click();
  assert.ok(await called(page, "move_chat"));
});

await walk("search opens the chat at the message", { many: 1_000 }, async (page) => {
  await page.locator("#list-search").fill("第 101 个回答");
  await page.locator("mark").first().waitFor();
  await page.locator("nav li button").first().click();
  await page.waitForSelector("article[data-message='200101']");
  await page.waitForFunction(() => {
    const { top, bottom } = document.querySelector("article[data-message='200101']").getBoundingClientRect();
    return bottom > 0 && top < innerHeight;
  });
});

await walk("find in the chat", { many: 1_000 }, async (page) => {
  await chat(page, "1000 messages");
  await page.keyboard.press("Control+f");
  await page.keyboard.type("第 100 个");
  await page.waitForSelector("article[data-message='200100']");
  await page.getByText("1 / 1").waitFor();
  await page.keyboard.press("Escape");
  assert.equal(await page.getByRole("search").count(), 0);
});

await walk("keys: new, list, models, zoom, settings, palette", {}, async (page) => {
  await chat(page, "怎么安装");
  await page.keyboard.press("Control+n");
  await page.getByText("想聊点什么").waitFor();
  await page.keyboard.press("Control+b");
  await page.waitForFunction(() => !document.querySelector("#list-search"));
  await page.keyboard.press("Control+=");
  await page.waitForFunction(() => document.documentElement.style.fontSize === "110%");
  await page.keyboard.press("Control+0");
  await page.waitForFunction(() => document.documentElement.style.fontSize === "100%");
  await page.keyboard.press("Control+k");
  await page.getByRole("dialog").waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("Control+l");
  await page.locator("[data-bits-floating-content-wrapper], [role=listbox], [role=menu], [role=dialog]").first().waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("Control+,");
  await page.waitForFunction(() => !document.querySelector("main textarea[aria-label='消息']"));
});

await walk("a draft waits in its chat", {}, async (page) => {
  await chat(page, "停止的回答");
  await field(page).fill("没写完的话");
  await chat(page, "怎么安装");
  assert.equal(await field(page).inputValue(), "");
  await chat(page, "停止的回答");
  assert.equal(await field(page).inputValue(), "没写完的话");
});

await walk("files are dropped", {}, async (page) => {
  await page.evaluate(() => {
    const transfer = new DataTransfer();
    transfer.items.add(new File(["甲,乙\n1,2"], "数据.csv", { type: "text/csv" }));
    for (const kind of ["dragover", "drop"]) document.querySelector("main").dispatchEvent(new DragEvent(kind, { bubbles: true, cancelable: true, dataTransfer: transfer }));
  });
  await page.locator("button[aria-label='发送']:enabled").waitFor();
  await field(page).press("Enter");
  await page.waitForSelector("article[data-message]");
  assert.equal((await called(page, "send_message")).attachments[0].text, "甲,乙\n1,2");
});

await walk("the language changes at once, without a reload", {}, async (page) => {
  await chat(page, "怎么安装");
  await page.evaluate(() => (window.stays = true));
  await page.evaluate(() => window.__SEND__({ kind: "setting", value: { key: "language", value: "en" } }));
  await page.getByPlaceholder("Write a message").waitFor();
  assert.equal(await page.evaluate(() => window.stays && document.documentElement.lang), "en");
});

await walk("by keyboard alone: from the field to the actions of the last answer", {}, async (page) => {
  await chat(page, "停止的回答");
  await page.waitForTimeout(200);
  await field(page).focus();
  const names = [];
  for (let at = 0; at < 8; at += 1) {
    await page.keyboard.press("Shift+Tab");
    names.push(await page.evaluate(() => document.activeElement.getAttribute("aria-label")));
  }
  assert.ok(names.includes("复制") && names.includes("重新回答"), names.join());
  const shown = await page.evaluate(() => getComputedStyle(document.querySelector("article:last-of-type .actions, article .actions")).opacity);
  assert.ok(["0", "1"].includes(shown));
});

await walk("below 900 px the list lies over the chat, and Escape closes it", {}, async (page) => {
  assert.equal(await page.locator("#list-search").count(), 0);
  await page.keyboard.press("Control+b");
  await page.locator("#list-search").waitFor();
  await page.keyboard.press("Escape");
  await page.waitForFunction(() => !document.querySelector("#list-search"));
}, { width: 640, height: 700 });

await walk("nothing is wider than the window at 640 px and 200 %", {}, async (page) => {
  await page.keyboard.press("Control+b");
  await chat(page, "怎么安装");
  await page.waitForTimeout(400);
  assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 640);
  assert.ok(await page.evaluate(() => [...document.querySelectorAll("article, .thread")].every((element) => element.scrollWidth <= element.clientWidth + 1)));
}, { width: 640, height: 400, scale: 2 });

const HOSTILE = [
  '<img src=x onerror="window.hit=1">',
  "<script>window.hit=1</script>",
  "<svg onload='window.hit=1'><style><img src=x onerror=window.hit=1></style></svg>",
  "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=window.hit=1&gt;'>",
  '<iframe srcdoc="<script>parent.hit=1</script>"></iframe>',
  "[a](javascript:window.hit=1) [b](data:text/html,x) <javascript:window.hit=1>",
  "![p](http://evil.example/p.png) ![q](data:image/svg+xml;base64,PHN2Zy8+)",
  "$\\href{javascript:window.hit=1}{x}$ $\\includegraphics{http://evil.example/x.png}$",
  "<style>*{background:url(http://evil.example/x)}</style><div style='background:url(http://evil.example)'>x</div>",
  '```"><img src=x onerror=window.hit=1>\nx\n```',
].join("\n\n");

await walk("markup does nothing: streamed, sent, edited, as a title, found, in an error", { answer: HOSTILE, perTick: 1, tick: 4, reading: false }, async (page) => {
  await field(page).fill(HOSTILE);
  await page.keyboard.press("Enter");
  await page.waitForSelector("button[aria-label='停止']");
  await answered(page);
  await page.locator("article").last().hover();
  await page.locator("article").last().getByRole("button", { name: "编辑" }).click();
  await page.getByRole("button", { name: "存为新版本" }).click();
  await page.waitForTimeout(300);
  await page.evaluate((title) => {
    const [, args] = window.__CALLS__.find((call) => call[0] === "open_chat");
    return window.__TAURI_INTERNALS__.invoke("call", { name: "rename_chat", arguments: { chat: args.chat, title } });
  }, HOSTILE);
  await page.locator("#list-search").fill("onerror");
  await page.locator("mark").first().waitFor();
  await page.evaluate((detail) => window.__SEND__({ kind: "message", value: { id: 21, chat: 2, parent: 20, role: "assistant", state: "failed", error: { code: "engine_failed", values: { reason: detail }, detail }, made: null, stats: null, created_ms: 0, body: null } }), HOSTILE);
  await page.locator("#list-search").fill("");
  await page.waitForTimeout(300);
  assert.equal(await page.evaluate(() => window.hit), undefined);
  assert.equal(await page.locator("main :is(img, script, iframe, style, [href], [onerror], [onload])").count(), 0);
});

await walk("a long text of the person is folded, and opens", {}, async (page) => {
  await field(page).fill("很长的一行字。\n".repeat(200));
  await page.waitForTimeout(100);
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: /展开全部/ }).click();
  await page.getByRole("button", { name: "收起", exact: true }).waitFor();
});

await walk("who types while nothing has the focus writes a message; a press beside the words does too", {}, async (page) => {
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.type("hi");
  assert.equal(await field(page).inputValue(), "hi");
  await page.evaluate(() => document.activeElement.blur());
  await field(page).fill("");
  await page.evaluate(() => document.activeElement.blur());
  await page.locator("#composer-hint").click();
  assert.equal(await page.evaluate(() => document.activeElement.tagName), "TEXTAREA");
});

await walk("Escape stops from anywhere in the room, but closes a menu first", { tick: 120 }, async (page) => {
  await field(page).fill("你好");
  await page.keyboard.press("Enter");
  await page.waitForSelector("button[aria-label='停止']");
  await page.locator(".thread").focus();
  await page.keyboard.press("Escape");
  await page.getByText("已停止").first().waitFor();
});

await browser.close();
server.close();
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
