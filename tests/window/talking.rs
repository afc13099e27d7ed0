//! Talking: regenerate, edit and branch, stop, continue.

use crate::{
    COMPOSER, ENTER, ESCAPE, LAST, answered, ask, fresh_chat,
    harness::{Desk, Window},
    past_welcome, press,
    tiny::{Shape, write_shape},
};
use huacaya_weights::Format;

/// Slow enough that a person, or a test, can act while it talks.
pub const SLOW: Shape = Shape { hidden: 768, ffn: 2048, layers: 8, format: Format::Q8_0 };

/// A window whose chat answers with a model that talks nonsense for a long time.
pub async fn beside_a_slow_model(desk: &Desk) -> Window {
    let models = desk.data().join("models");
    std::fs::create_dir_all(&models).unwrap();
    write_shape(&models.join("慢 slow.gguf"), &SLOW);
    let window = past_welcome(desk).await;
    window.click("nav button[aria-label='模型']").await;
    window.click_text("button", "添加").await;
    window.click_text("[role=menuitem]", "扫描文件夹").await;
    // One button whose word changes: load it, then chat with it.
    let start = "const row = [...document.querySelectorAll('main li')].find((row) => row.innerText.includes('Tiny'));
         const named = (word) => row && [...row.querySelectorAll('button')].find((one) => one.innerText.trim() === word);
         named('载入')?.click(); const chat = named('对话'); chat?.click(); return !!chat";
    window.until("a chat with the slow model", start).await;
    window.until("an empty chat", "return document.querySelectorAll('article[data-message]').length === 0").await;
    window.find(COMPOSER).await;
    window
}

/// Sends words and waits until some of the answer can be read.
pub async fn begun(window: &Window) -> String {
    window.write(COMPOSER, "说下去").await;
    window.write(COMPOSER, ENTER).await;
    let words = format!("{LAST} return articles.length === 2 && words.length > 40 && words");
    window.until("the first words", &words).await.as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn asking_again_and_editing_make_versions_that_one_can_go_back_to() {
    let desk = Desk::new("zh_CN.UTF-8");
    let window = past_welcome(&desk).await;
    fresh_chat(&window).await;
    ask(&window, "你好").await;
    press(&window, 1, "重新回答").await;
    window.until("a second version", "return document.body.innerText.includes('2/2')").await;
    answered(&window).await;

    press(&window, 0, "编辑").await;
    let field = "textarea[aria-label='消息内容']";
    window.find(field).await.clear().await.unwrap();
    window.write(field, "谢谢你").await;
    window.write(field, ENTER).await;
    window.until("the edited question", "const first = document.querySelector('article[data-message]'); return first.innerText.includes('谢谢你') && first.innerText.includes('2/2')").await;
    answered(&window).await;
    window.picture("versions-zh").await;
    press(&window, 0, "上一版").await;
    window.until("the first question and its two answers", "const all = [...document.querySelectorAll('article[data-message]')]; return all[0].innerText.includes('你好') && all[0].innerText.includes('1/2') && all[1].innerText.includes('2/2')").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn escape_stops_an_answer_and_it_can_be_continued() {
    let desk = Desk::new("zh_CN.UTF-8");
    let window = beside_a_slow_model(&desk).await;
    begun(&window).await;
    window.picture("streaming-zh").await;
    window.write(COMPOSER, ESCAPE).await;
    let stopped = format!("{LAST} return last?.innerText.includes('已停止') && words.length");
    let length = window.until("a stopped answer", &stopped).await.as_u64().unwrap();
    window.click_text("button", "继续写").await;
    let longer = format!("{LAST} return words.length > {length} + 10");
    window.until("more words than before", &longer).await;
}
