//! The first start, the languages and the colours.

use std::fs;

use serde_json::json;

use crate::{COMPOSER, ENTER, harness::Desk, past_welcome};

#[tokio::test(flavor = "multi_thread")]
async fn from_the_first_start_to_an_answer_in_chinese() {
    let desk = Desk::new("zh_CN.UTF-8");
    let window = desk.start(&[]).await;
    let heard = "return [...document.querySelectorAll('[role=log] > div')].map((said) => said.innerText).slice(-1)[0]";
    let settled = "const all = [...document.querySelectorAll('[role=log] > div')]; const field = document.querySelector('main input[type=text]');
         return all.length >= 2 && all.at(-1).innerText.trim().length > 6 && !document.querySelector('main button:disabled.rounded-full')";
    window.until("an answer to the first hello", settled).await;
    window.picture("first-start-zh").await;
    assert_eq!(window.run("return document.documentElement.lang").await, json!("zh-CN"));

    window.write("main input[type=text]", "你是谁？").await;
    window.write("main input[type=text]", ENTER).await;
    window.until("a second answer", "return document.querySelectorAll('[role=log] > div').length >= 4").await;
    window.until("an answer with words", settled).await;
    let answer = window.run(heard).await;
    assert!(answer.as_str().unwrap().contains("Huacaya"), "it says who it is: {answer}");

    window.click_text("button", "开始对话").await;
    window.find(COMPOSER).await;
    window
        .until("the same words in the chat", "return document.querySelectorAll('article[data-message]').length === 4")
        .await;
    window.picture("chat-zh").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn language_and_colours_change_at_once_and_stay() {
    let desk = Desk::new("en_US.UTF-8");
    let window = desk.start(&[]).await;
    window.click_text("button", "Start chatting").await;
    window.find("textarea[aria-label='Message']").await;
    assert_eq!(window.run("return document.documentElement.lang").await, json!("en"));

    window.click("nav button[aria-label='Settings']").await;
    window.click("button[aria-label^='Theme']").await;
    window.click_text("[role=option]", "Dark").await;
    window.until("dark colours", "return document.documentElement.dataset.theme === 'dark'").await;
    window.click("button[aria-label^='Language']").await;
    window.click_text("[role=option]", "中文").await;
    window
        .until(
            "Chinese words",
            "return document.documentElement.lang === 'zh-CN' && document.body.innerText.includes('设置')",
        )
        .await;
    window.picture("settings-zh-dark").await;
    drop(window);

    let again = desk.start(&[]).await;
    again.find(COMPOSER).await;
    again.until("dark colours again", "return document.documentElement.dataset.theme === 'dark'").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn words_and_formulas_are_laid_out_under_the_strict_policy() {
    let desk = Desk::new("zh_CN.UTF-8");
    let window = past_welcome(&desk).await;
    crate::fresh_chat(&window).await;
    crate::ask(&window, "你好").await;
    crate::press(&window, 1, "编辑").await;
    let field = "textarea[aria-label='消息内容']";
    window.find(field).await.clear().await.unwrap();
    window.write(field, "**重点。**后面 $\\frac{1}{2}$").await;
    window.click_text("button", "存为新版本").await;
    let laid_out = "const strong = document.querySelector('article strong'); const line = document.querySelector('article .katex .frac-line');
         const above = document.querySelector('article .katex .mfrac'); 
         return strong && strong.innerText === '重点。' && line && above && above.getBoundingClientRect().height > 20";
    window.until("bold words and a fraction with a height", laid_out).await;
    window.picture("formula-zh").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_starts_at_login_where_the_person_wants_it() {
    let desk = Desk::new("zh_CN.UTF-8");
    let window = past_welcome(&desk).await;
    window.click("nav button[aria-label='设置']").await;
    window.click_text("nav button", "本地服务").await;
    window.picture("server-zh").await;
    let entries = desk.data().parent().unwrap().join(".config/autostart");
    window.click("button[aria-label='登录时启动'][aria-checked=false]").await;
    window.find("button[aria-label='登录时启动'][aria-checked=true]").await;
    let entry = fs::read_dir(&entries).unwrap().next().unwrap().unwrap().path();
    let text = fs::read_to_string(&entry).unwrap();
    assert!(text.lines().any(|line| line.starts_with("Exec=\"/") && line.ends_with("\" --hidden")), "{text}");
    window.click("button[aria-label='登录时启动'][aria-checked=true]").await;
    window.find("button[aria-label='登录时启动'][aria-checked=false]").await;
    assert!(!entry.exists(), "nothing is left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn at_login_the_window_opens_where_no_server_is_to_stay() {
    let desk = Desk::new("zh_CN.UTF-8");
    let window = desk.start(&["--hidden"]).await;
    window.until("a window that can be seen", "return document.visibilityState === 'visible'").await;
}
