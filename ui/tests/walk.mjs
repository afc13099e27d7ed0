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
    await page.waitForSelector("nav, main");
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

const models = (page) => page.getByRole("button", { name: "模型", exact: true }).click();

await walk("from the search to a chat: hub, repository, download, pause, go on, done", { hubSpeed: 400_000_000 }, async (page) => {
  await models(page);
  await page.getByRole("searchbox", { name: "搜索模型，或粘贴地址" }).fill("qwen3");
  await page.getByRole("button", { name: "Qwen3-4B", exact: true }).waitFor();
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Qwen/Qwen3-4B-GGUF" }).click();
  const row = page.locator("article li", { hasText: "Qwen3-4B-Q6_K.gguf" });
  await row.getByRole("button", { name: "下载 3.3 GB" }).click();
  await row.getByRole("progressbar").waitFor();
  await row.getByRole("button", { name: "暂停" }).click();
  await row.getByText("已暂停").waitFor();
  const halted = await row.getByRole("progressbar").getAttribute("aria-valuenow");
  await page.waitForTimeout(400);
  assert.equal(await row.getByRole("progressbar").getAttribute("aria-valuenow"), halted);
  await row.getByRole("button", { name: "继续" }).click();
  await page.getByText("已下载好").waitFor();
  await row.getByRole("button", { name: "载入" }).waitFor();
  await page.getByRole("button", { name: "返回" }).click();
  await page.getByRole("heading", { name: "在线搜索“qwen3”" }).waitFor();
  assert.equal((await calls(page, "search_hub")).length, 1);
  await page.getByRole("button", { name: "对话", exact: true }).last().click();
  await page.waitForSelector("main textarea[aria-label='消息']");
  assert.equal((await called(page, "new_chat")).kind, "chat");
  assert.ok(await called(page, "load_model"));
});

await walk("the row of a model that came is the first", { hubSpeed: 9_000_000_000 }, async (page) => {
  await models(page);
  await page.getByRole("button", { name: "下载 2.5 GB" }).first().click();
  await page.getByText("已下载好").waitFor();
  const first = page.locator("section[aria-labelledby='here-title'] li").first();
  assert.match(await first.innerText(), /Qwen3-4B/);
});

await walk("an address that is pasted opens its page; the card does nothing by itself", {}, async (page) => {
  await models(page);
  await page.locator("#models-search").fill("https://hub.example/Qwen/Qwen3-4B-GGUF");
  await page.getByRole("button", { name: /^打开/ }).click();
  await page.getByRole("heading", { name: "Qwen/Qwen3-4B-GGUF" }).waitFor();
  await page.getByText("Do not use greedy decoding").waitFor();
  assert.equal(await page.evaluate(() => window.hit), undefined);
  assert.equal(await page.locator("article :is(img, script, iframe, style, [href], [onerror])").count(), 0);
  assert.equal((await called(page, "read_repository")).address, "https://hub.example/Qwen/Qwen3-4B-GGUF");
  await page.getByRole("link", { name: "technical report" }).click();
  await page.getByRole("dialog").getByText("https://example.org/qwen3").waitFor();
});

await walk("offline, a search says so; with the switch off it goes on", { settings: { offline: true } }, async (page) => {
  await models(page);
  await page.locator("#models-search").fill("qwen3");
  await page.keyboard.press("Enter");
  await page.getByRole("alert").waitFor();
  await page.getByRole("alert").getByRole("button", { name: "关闭离线" }).click();
  await page.getByRole("button", { name: "Qwen/Qwen3-4B-GGUF" }).waitFor();
});

await walk("ending a download asks where much is here; the order changes by keyboard", { downloads: true }, async (page) => {
  await models(page);
  const rows = page.locator("section[aria-labelledby='downloads-title'] > ul > li");
  await rows.first().waitFor();
  await page.getByRole("button", { name: "DeepSeek-R1-Distill-Qwen-1.5B Q4_K_M 上移一位" }).focus();
  await page.keyboard.press("Enter");
  await page.waitForFunction(() => document.querySelectorAll("section[aria-labelledby='downloads-title'] > ul > li")[2].textContent.includes("DeepSeek"));
  await page.getByRole("button", { name: "取消下载 Qwen3-4B Q4_K_M" }).click();
  await page.getByRole("button", { name: "保留" }).click();
  assert.equal((await calls(page, "stop_job")).length, 0);
  await page.getByRole("button", { name: "取消下载 Qwen3-4B Q4_K_M" }).click();
  await page.getByRole("dialog").getByRole("button", { name: /^丢弃/ }).click();
  assert.equal((await called(page, "stop_job")).job, 11);
  await page.waitForFunction(() => document.querySelectorAll("section[aria-labelledby='downloads-title'] > ul > li").length === 4);
});

await walk("from the first start to a recommended model in three clicks", { welcome: true, hubSpeed: 9_000_000_000 }, async (page) => {
  await page.getByRole("button", { name: /找个更大的模型/ }).click();
  const advice = page.locator("section[aria-labelledby='recommended-title']");
  await advice.getByRole("button", { name: /^下载/ }).click();
  await advice.getByRole("button", { name: "对话" }).click();
  await page.waitForSelector("main textarea[aria-label='消息']");
  await page.getByRole("button", { name: /^选择模型: Qwen3-4B/ }).waitFor();
});

await walk("nothing moves under the pointer while a download begins and ends", { hubSpeed: 9_000_000_000 }, async (page) => {
  await models(page);
  const row = page.locator("section[aria-labelledby='fitting-title'] li", { hasText: "Chinese-Alpaca-2-1.3B-RLHF" });
  await row.scrollIntoViewIfNeeded();
  await row.hover();
  const top = () => row.evaluate((element) => Math.round(element.getBoundingClientRect().top));
  const before = await top();
  await row.getByRole("button", { name: /^下载/ }).click();
  await page.locator("section[aria-labelledby='downloads-title']").waitFor({ state: "attached" });
  assert.ok(Math.abs((await top()) - before) <= 1, `${await top()} and ${before}`);
  await page.getByText("已下载好").waitFor();
  assert.ok(Math.abs((await top()) - before) <= 1, `${await top()} and ${before}`);
});

const details = async (page, name) => {
  await page.getByRole("button", { name: "模型", exact: true }).first().click();
  await page.getByRole("button", { name, exact: true }).first().click();
  await page.getByRole("complementary", { name: `详情: ${name}` }).waitFor();
};
const settings = async (page, part) => {
  await page.keyboard.press("Control+,");
  await page.getByRole("navigation").last().getByRole("button", { name: part, exact: true }).click();
};

await walk("a model is looked into by keyboard: searched, unfolded, copied, its 1,083 tensors windowed", { layers: 120 }, async (page) => {
  await details(page, "Chinese-Alpaca-2-7B");
  await page.getByRole("button", { name: "查看文件内部" }).press("Enter");
  const dialog = page.getByRole("dialog");
  await dialog.getByText("GGUF 3 · 19 个键 · 1,083 个张量").waitFor();
  await page.keyboard.type("chat_template");
  await dialog.getByRole("button", { name: "全部展开" }).press("Enter");
  await dialog.getByRole("button", { name: "复制 tokenizer.chat_template 的值" }).press("Enter");
  await page.getByText("已复制").waitFor();
  assert.ok((await page.evaluate(() => navigator.clipboard.readText())).includes("{% for message in loop_messages %}"));
  await dialog.getByRole("searchbox").fill("");
  await dialog.getByRole("tab", { name: /张量/ }).click();
  await dialog.getByRole("row").nth(5).waitFor();
  assert.ok((await dialog.getByRole("row").count()) < 80);
  const table = dialog.getByRole("table");
  await table.focus();
  await page.keyboard.press("End");
  await dialog.getByText("output.weight", { exact: true }).waitFor();
  await dialog.getByRole("searchbox").fill("q6_k attn_v");
  await dialog.getByText(/^120 个张量，共/).waitFor();
  await page.keyboard.press("Escape");
  await page.waitForFunction(() => !document.querySelector("[role=dialog]"));
});

await walk("a model is verified, deleted after a preview, and brought back", { jobTick: 20 }, async (page) => {
  await details(page, "deepseek-r1:7b");
  await page.getByRole("button", { name: "校验", exact: true }).click();
  await page.getByText("已计算").waitFor();
  await details(page, "Chinese-Alpaca-2-7B");
  await page.getByRole("complementary").getByRole("button", { name: "删除", exact: true }).click();
  await page.getByRole("dialog").getByText("有 3 个对话在用这个模型").waitFor();
  await page.getByRole("button", { name: "删除 4.1 GB" }).click();
  assert.deepEqual(await called(page, "delete_model"), { model: 2 });
  await page.waitForFunction(() => !document.querySelector("aside[aria-label^='详情']"));
  await page.getByRole("button", { name: "撤销" }).click();
  assert.deepEqual(await called(page, "restore_model"), { model: 2 });
  await details(page, "Chinese-Alpaca-2-7B");
});

await walk("an incomplete file says so in its place, and is recognised", { jobTick: 5, recognised: "truncated" }, async (page) => {
  await page.evaluate(() => window.__EMIT__("huacaya://dropped", { chosen: [{ id: 9, name: "下载.gguf", bytes: 3_100_000_000 }] }));
  await page.getByRole("button", { name: /在原处使用/ }).click();
  await page.getByRole("dialog").getByText("不完整：只有 3.1 GB，完整的是 3.9 GB").waitFor();
  await page.getByRole("button", { name: "这是什么文件" }).click();
  await page.getByText("这是 Chinese-Alpaca-2-7B · Q4_K 的前一部分").waitFor();
  assert.deepEqual(await called(page, "recognise"), { chosen: 9 });
});

await walk("models of other programs are found on request, and used where they are", { importSound: true }, async (page) => {
  await page.getByRole("button", { name: "模型", exact: true }).first().click();
  await page.getByRole("button", { name: "添加", exact: true }).click();
  assert.deepEqual(await calls(page, "find_elsewhere"), []);
  await page.getByRole("menuitem").nth(2).click();
  await page.getByRole("checkbox", { name: "Ollama 的全部模型" }).check();
  await page.getByText("已选 2 个模型，共 7.5 GB").waitFor();
  await page.getByRole("button", { name: "使用这 2 个模型" }).click();
  await page.getByText("2 个模型已在列表中").waitFor();
  assert.deepEqual(await calls(page, "import_model"), [{ chosen: 51, copy: false }, { chosen: 52, copy: false }]);
});

await walk("an adapter is merged onto its base, or says why not", { jobTick: 5, mergeRefused: true }, async (page) => {
  await details(page, "Chinese-Alpaca-2-LoRA-7B");
  await page.getByRole("button", { name: "与基座合并" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "合并", exact: true }).click();
  await page.getByRole("alert").getByText(/the adapter has 55,296 tokens/).first().waitFor();
  assert.deepEqual(await called(page, "merge"), { base: 7, adapter: 5, strength: 1, name: "Chinese-Alpaca-2-7B" });
});

await walk("the network: tested, put in order, a token set, offline shown in the rail", {}, async (page) => {
  await settings(page, "网络");
  await page.getByRole("button", { name: "全部测试" }).click();
  await page.getByText("最快", { exact: true }).waitFor();
  await page.getByText(/连不上 mirror\.example/).waitFor();
  await page.getByRole("button", { name: "上移 ModelScope" }).press("Enter");
  assert.deepEqual((await called(page, "set_endpoints")).endpoints.map((row) => row.name), ["Hugging Face", "ModelScope", "HF-Mirror"]);
  await page.waitForFunction(() => document.activeElement?.getAttribute("aria-label") === "上移 ModelScope");
  await page.getByRole("button", { name: "HF-Mirror 的更多操作" }).click();
  await page.getByRole("menuitem", { name: "设置令牌" }).click();
  await page.getByLabel("令牌", { exact: true }).fill("hf_secret");
  await page.keyboard.press("Enter");
  await page.getByText("令牌已存入系统钥匙串").waitFor();
  assert.equal(await page.evaluate(() => document.body.innerHTML.includes("hf_secret")), false);
  await page.getByRole("switch", { name: "离线" }).click();
  await page.getByRole("button", { name: "离线：没有数据离开这台电脑" }).waitFor();
  await page.getByRole("button", { name: "清空记录" }).click();
  await page.getByText("还没有建立过连接").waitFor();
});

await walk("the models folder is moved, with its progress; where it fails, it says why", { jobTick: 15, moveFails: true }, async (page) => {
  await settings(page, "存储");
  await page.getByRole("button", { name: "移到别的文件夹" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "移动", exact: true }).click();
  assert.deepEqual(await called(page, "move_storage"), { chosen: 7 });
  await page.getByRole("alert").getByText(/media\/disk\/models 不能用来存放模型/).waitFor();
});

const shop = (page) => page.getByRole("button", { name: "工坊", exact: true }).first().click();

await walk("the workshop: from a source to a report in two clicks, one kept with undo, and a chat with it", { jobTick: 5 }, async (page) => {
  await shop(page);
  await page.getByRole("radio", { name: "Llama-2-7b-hf" }).check();
  await page.getByText("Llama-2-7b-hf-Q4_K_M.gguf").first().waitFor();
  await page.getByRole("button", { name: /^第 3 步/ }).click();
  await page.getByRole("radio", { name: "多种对比" }).click();
  await page.getByRole("button", { name: "开始", exact: true }).click();
  assert.deepEqual((await called(page, "make")).targets.map((target) => target.scheme), ["Q5_K_M", "Q4_K_M", "IQ4_XS"]);
  await page.getByRole("heading", { name: "Llama-2-7b-hf", exact: true }).waitFor();
  await page.waitForFunction(() => document.querySelectorAll("figure canvas").length === 2);
  assert.equal(await page.getByRole("columnheader").count(), 4);
  await page.getByRole("button", { name: "书写" }).click();
  assert.equal(await page.getByRole("rowheader", { name: "书写" }).getAttribute("aria-sort"), "descending");
  await page.getByRole("button", { name: "留下这个" }).first().click();
  await page.getByText("其他 2 个已删除").waitFor();
  assert.equal(await page.getByRole("button", { name: "留下这个" }).count(), 0);
  await page.getByRole("button", { name: "撤销" }).click();
  await page.waitForFunction(() => [...document.querySelectorAll("button")].filter((button) => button.textContent.includes("留下这个")).length === 3);
  await page.getByRole("button", { name: "导出" }).click();
  await page.getByRole("menuitem", { name: "导出为 Markdown" }).click();
  assert.equal((await called(page, "export_report")).format, "markdown");
  await page.getByRole("button", { name: "对话", exact: true }).last().click();
  await page.locator("main textarea").last().waitFor();
  assert.equal((await called(page, "new_chat")).kind, "chat");
});

await walk("the workshop: leaving and coming back keeps the choices; work that fails says why and goes back to them", { jobTick: 5, makeFails: { code: "disk_full", values: { path: "/m" } } }, async (page) => {
  await shop(page);
  await page.getByRole("radio", { name: "Llama-2-7b-hf" }).check();
  await page.getByRole("button", { name: /下一步：适配器/ }).click();
  await page.getByRole("checkbox", { name: /Chinese-Alpaca-2-LoRA-7B/ }).check();
  await page.getByRole("button", { name: "对话", exact: true }).first().click();
  await shop(page);
  assert.equal(await page.getByRole("checkbox", { name: /Chinese-Alpaca-2-LoRA-7B/ }).isChecked(), true);
  await page.getByText("Chinese-Alpaca-2-7B-Q4_K_M.gguf").first().waitFor();
  await page.getByRole("button", { name: "开始", exact: true }).click();
  await page.getByRole("alert").getByText(/磁盘空间不够/).waitFor();
  await page.getByRole("button", { name: "回去修改选择" }).click();
  await page.getByRole("button", { name: /^第 2 步.*Chinese-Alpaca-2-LoRA-7B/ }).waitFor();
});

await walk("the workshop: a format for each group of weights, and models measured side by side", { jobTick: 5 }, async (page) => {
  await models(page);
  await page.getByRole("button", { name: "Llama-2-7b-hf 的更多操作" }).or(page.getByRole("button", { name: "“Llama-2-7b-hf”的更多操作" })).click();
  await page.getByRole("menuitem", { name: "量化…" }).click();
  await page.getByRole("radio", { name: /自定义/ }).check();
  await page.locator("[aria-label^='词表（输出）']").click();
  await page.getByRole("option", { name: "Q8_0" }).click();
  await page.getByRole("button", { name: "开始", exact: true }).click();
  assert.deepEqual((await called(page, "make")).targets, [{ scheme: "Q4_K_M", by_hand: [{ group: "output", format: "Q8_0" }] }]);
  await page.getByRole("button", { name: "测量模型" }).click();
  await page.getByRole("checkbox", { name: /Huacaya Demo/ }).check();
  await page.getByRole("checkbox", { name: /Chinese-Alpaca-2-7B / }).or(page.getByRole("checkbox", { name: /^Chinese-Alpaca-2-7B$/ })).first().check();
  await page.getByRole("button", { name: "测量 2 个模型" }).click();
  assert.deepEqual((await called(page, "measure")).models, [1, 2]);
  await page.getByRole("heading", { name: "Measured" }).waitFor();
});

await walk("an adapter takes part in a chat by its switch and its slider", { panel: true }, async (page) => {
  await page.evaluate(() => window.__SEND__({ kind: "setting", value: { key: "model", value: 7 } }));
  await page.getByRole("switch", { name: "使用 Chinese-Alpaca-2-LoRA-7B" }).click();
  assert.deepEqual((await called(page, "set_adapters")).adapters, [{ model: 5, strength: 1 }]);
  await page.getByRole("slider", { name: "Chinese-Alpaca-2-LoRA-7B 的强度" }).fill("0.5");
  await page.waitForFunction(() => window.__CALLS__.filter((call) => call[0] === "set_adapters").at(-1)[1].adapters[0]?.strength === 0.5);
});

await walk("a schema with a fault is not set, a mended one is, and the way back takes it away", { panel: true, reading: false }, async (page) => {
  await chat(page, "停止的回答");
  const panel = page.getByRole("region", { name: "这个对话用什么来回答" });
  await panel.getByRole("combobox", { name: "格式: 任意文字" }).click();
  await page.getByRole("option", { name: "JSON Schema" }).click();
  const field = panel.getByRole("textbox", { name: "内容：JSON Schema" });
  await field.fill('{"type": }');
  await field.blur();
  await panel.getByRole("alert").getByText("第 1 行第 10 列").waitFor();
  await field.fill('{"type": "object"}');
  await field.blur();
  assert.deepEqual((await called(page, "set_chat")).parameters.format, { kind: "json_schema", source: '{"type": "object"}' });
  await panel.getByRole("button", { name: "恢复格式" }).click();
  await page.waitForFunction(() => window.__CALLS__.filter((call) => call[0] === "set_chat").at(-1)[1].parameters.format === null);
});

await browser.close();
server.close();
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
