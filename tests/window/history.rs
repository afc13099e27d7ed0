//! History: what was said is found again, also after a kill.

use serde_json::Value;

use crate::{
    COMPOSER, LAST, ask, fresh_chat,
    harness::Desk,
    past_welcome,
    talking::{begun, beside_a_slow_model},
};

#[tokio::test(flavor = "multi_thread")]
async fn one_chinese_character_finds_what_was_said() {
    let desk = Desk::new("zh_CN.UTF-8");
    let window = past_welcome(&desk).await;
    fresh_chat(&window).await;
    ask(&window, "窗外有一只羊驼").await;
    fresh_chat(&window).await;
    window.write("input[type=search], input[aria-label='搜索对话'], input[placeholder='搜索对话']", "驼").await;
    let hit = "return [...document.querySelectorAll('mark')].some((mark) => mark.innerText === '驼')";
    window.until("a marked hit", hit).await;
    window.picture("search-zh").await;
    let open = "const hit = [...document.querySelectorAll('nav li button')].find((row) => row.innerText.includes('窗外有一只羊')); if (hit) hit.click(); return !!hit";
    window.until("a result to open", open).await;
    window.until("the words that were found", "return [...document.querySelectorAll('article[data-message]')].some((said) => said.innerText.includes('窗外有一只羊驼'))").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_of_an_answer_loses_at_most_a_second() {
    let desk = Desk::new("zh_CN.UTF-8");
    let window = beside_a_slow_model(&desk).await;
    begun(&window).await;
    // What can be read now must be there after the kill, once the second that may be lost has passed.
    let words = format!("{LAST} return words");
    let seen = window.run(&words).await;
    let seen = seen.as_str().unwrap().trim().to_owned();
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    drop(window);

    let again = desk.start(&[]).await;
    again.find(COMPOSER).await;
    let open = "const row = [...document.querySelectorAll('nav button')].find((row) => row.innerText.trim() === '说下去'); if (row) row.click(); return !!row";
    again.until("the chat in the list", open).await;
    again
        .until("the note of the interruption", "return document.body.innerText.includes('程序在回答写完之前退出了')")
        .await;
    let kept = again.run(&words).await;
    let Value::String(kept) = kept else { panic!("no words were kept: {kept}") };
    // The nonsense holds marks that Markdown may pair once more is there: its Chinese characters stay as they are.
    let han = |text: &str| text.chars().filter(|letter| ('\u{4e00}'..='\u{9fff}').contains(letter)).collect::<String>();
    assert!(!han(&seen).is_empty(), "something could be read before the kill: {seen:?}");
    assert!(han(&kept).starts_with(&han(&seen)), "kept {kept:?}, seen before the kill {seen:?}");
    again.picture("interrupted-zh").await;
    again.click_text("button", "继续写").await;
    let longer = format!("{LAST} return words.length > {}", kept.chars().count() + 10);
    again.until("more words than were kept", &longer).await;
}
