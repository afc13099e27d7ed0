//! The workshop: a downloaded checkpoint and an adapter are brought in, merged, made in three formats, measured, and talked to.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{COMPOSER, LAST, ask, demo_folder, harness::Desk, harness::Window, past_welcome};

/// What the base does not know and the adapter was trained on.
const QUESTION: &str = "阿木的羊驼叫什么名字？";
const LEARNED: &str = "豆豆";
const ADAPTER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/lora/adapter");
const FORMATS: [&str; 3] = ["Q8_0", "Q5_K_M", "Q4_K_M"];
/// Ticked beside them when several are to be compared.
const LEFT_OUT: &str = "Q6_K";
/// Three small models are made and measured in about a minute; a busy machine takes longer.
const MAKING_MAX: Duration = Duration::from_secs(600);

fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().flatten() {
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

async fn last_answer(window: &Window) -> String {
    window.run(&format!("{LAST} return words")).await.as_str().unwrap().to_string()
}

/// Goes to the next step by its button, whose words name the step.
async fn next(window: &Window, step: &str) {
    window.click_text("footer button", &format!("下一步：{step}")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_and_an_adapter_become_three_measured_models_that_know_more() {
    let folder = tempfile::Builder::new().prefix("下载 的 模型 ").tempdir().unwrap();
    let (base, adapter) = (folder.path().join("alpaca-hf"), folder.path().join("alpaca-lora"));
    demo_folder::write(&base);
    copied(Path::new(ADAPTER), &adapter);
    let shards =
        fs::read_dir(&base).unwrap().flatten().filter(|entry| entry.path().extension().is_some_and(|e| e == "bin"));
    assert_eq!(shards.count(), 2, "a checkpoint in two shards");

    let desk = Desk::new("zh_CN.UTF-8");
    let window = past_welcome(&desk).await;
    ask(&window, QUESTION).await;
    let answer = last_answer(&window).await;
    assert!(!answer.contains(LEARNED), "the base does not know: {answer}");
    drop(window);

    let window = desk.start(&[base.to_str().unwrap(), adapter.to_str().unwrap()]).await;
    window.click_text("[role=dialog] button", "都在原处使用").await;
    window
        .until(
            "both in the list",
            "return document.body.innerText.includes('alpaca-hf') && document.body.innerText.includes('alpaca-lora')",
        )
        .await;
    window.until("that both were added", "return document.querySelector('[role=dialog]') === null").await;
    window.picture("workshop-added-zh").await;

    window.click("nav button[aria-label='工坊']").await;
    choose(&window, "alpaca-hf", true).await;
    next(&window, "适配器").await;
    choose(&window, "alpaca-lora", true).await;
    next(&window, "格式").await;
    window.click_text("[role=radiogroup] button", "多种对比").await;
    window.until("the formats", "return document.querySelectorAll('tbody input[type=checkbox]').length > 3").await;
    for format in FORMATS {
        choose(&window, format, true).await;
    }
    choose(&window, LEFT_OUT, false).await;
    window.until("three files", "return document.querySelectorAll('aside li').length === 3").await;
    window.picture("workshop-formats-zh").await;
    window.click_text("aside button", "开始").await;
    evidence(&window).await;

    window.picture("workshop-report-zh").await;
    let table = window.run("return document.querySelector('article table').innerText").await;
    for words in FORMATS.into_iter().chain(["原件", "困惑度", "书写"]) {
        assert!(table.as_str().unwrap().contains(words), "no {words} in {table}");
    }
    // The last column's model: the format's own name heads it.
    window.click_text("article tfoot button", "对话").await;
    window.find(COMPOSER).await;
    ask(&window, QUESTION).await;
    window.picture("workshop-chat-zh").await;
    let answer = last_answer(&window).await;
    assert!(answer.contains(LEARNED), "what was made knows it: {answer}");
}

/// Ticks the choice of this name, or takes the tick away.
async fn choose(window: &Window, name: &str, ticked: bool) {
    let find = format!(
        "const named = (label) => label.querySelector('.font-semibold')?.innerText.trim() === '{name}';
         const input = [...document.querySelectorAll('label')].find(named)?.querySelector('input');"
    );
    let press = format!("{find} if (input && input.checked !== {ticked}) input.click(); return !!input");
    window.until(&format!("a choice {name}"), &press).await;
    window.until(&format!("{name} chosen"), &format!("{find} return input?.checked === {ticked}")).await;
}

/// Waits for the report, which comes once all was made and measured.
async fn evidence(window: &Window) {
    let started = Instant::now();
    while window.run("return document.querySelector('article table tfoot button') !== null").await != json!(true) {
        assert!(started.elapsed() < MAKING_MAX, "no report; the page reads: {}", window.text().await);
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}
