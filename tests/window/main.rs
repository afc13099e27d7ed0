//! Journeys in the real window, as a person takes them: the debug binary, WebKitGTK, a display of its own.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used)]

#[path = "../../crates/weights/tests/common/demo_folder.rs"]
mod demo_folder;
mod harness;
mod history;
mod library;
mod safety;
mod start;
mod talking;
mod workshop;
// The same random model that the use cases are tested with; not every test binary uses all of it.
#[allow(dead_code)]
#[path = "../../crates/app/tests/app/tiny.rs"]
mod tiny;

use harness::{Desk, Window};

const ENTER: &str = "\u{E007}";
const ESCAPE: &str = "\u{E00C}";

/// Selectors by the names that a screen reader says, in Chinese.
const COMPOSER: &str = "textarea[aria-label='消息']";
const LAST: &str =
    "const articles = [...document.querySelectorAll('article[data-message]')]; const last = articles.at(-1);
     const words = last?.querySelector('div[lang]')?.innerText ?? '';";

/// Goes through the first screen into the chats.
async fn past_welcome(desk: &Desk) -> Window {
    let window = desk.start(&[]).await;
    window.click_text("button", "开始对话").await;
    window.find(COMPOSER).await;
    window
}

/// Starts an empty chat, so that the first screen's words are not in the way.
async fn fresh_chat(window: &Window) {
    window.click_text("button", "新对话").await;
    window.until("an empty chat", "return document.querySelectorAll('article[data-message]').length === 0").await;
}

/// Sends words and waits until the answer is there and done.
async fn ask(window: &Window, words: &str) {
    let before = window.run("return document.querySelectorAll('article[data-message]').length").await;
    window.write(COMPOSER, words).await;
    window.write(COMPOSER, ENTER).await;
    let grown = format!("return document.querySelectorAll('article[data-message]').length >= {before} + 2");
    window.until("a question and its answer", &grown).await;
    answered(window).await;
}

/// Waits until the last answer is done: its actions are there.
async fn answered(window: &Window) {
    let done = format!("{LAST} return last && last.querySelector('[aria-label=重新回答]') !== null");
    window.until("a finished answer", &done).await;
}

/// Presses a button of the n-th message, also while the pointer is elsewhere and the button is not painted.
async fn press(window: &Window, message: usize, name: &str) {
    let script = format!(
        "const article = document.querySelectorAll('article[data-message]')[{message}];
         const button = article && article.querySelector(`button[aria-label=\"{name}\"]`);
         if (button) button.click(); return button !== null && button !== undefined"
    );
    window.until(&format!("a button {name} on message {message}"), &script).await;
}
