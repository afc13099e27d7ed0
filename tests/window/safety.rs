//! What is untrusted stays harmless: a hostile model file, markup in an answer.

use serde_json::json;

use crate::{ask, fresh_chat, harness::Desk, past_welcome, press};

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_model_file_gives_a_clear_message() {
    let desk = Desk::new("zh_CN.UTF-8");
    let models = desk.data().join("models");
    std::fs::create_dir_all(&models).unwrap();
    // Version 3, and 2^64 - 1 tensors.
    let mut hostile = b"GGUF\x03\0\0\0".to_vec();
    hostile.extend([0xFF; 8]);
    hostile.extend([1, 0, 0, 0, 0, 0, 0, 0]);
    std::fs::write(models.join("hostile.gguf"), hostile).unwrap();
    let window = past_welcome(&desk).await;
    window.click("nav button[aria-label='模型']").await;
    window.click_text("button", "添加").await;
    window.click_text("[role=menuitem]", "扫描文件夹").await;
    window.until("a message that names the file", "return document.body.innerText.includes('hostile.gguf')").await;
    window.picture("hostile-zh").await;
    let listed = "return [...document.querySelectorAll('main li button')].filter((button) => button.innerText.trim() === '载入').length";
    assert_eq!(window.run(listed).await, json!(0), "no broken file is offered");
}

#[tokio::test(flavor = "multi_thread")]
async fn markup_in_an_answer_does_nothing() {
    let desk = Desk::new("zh_CN.UTF-8");
    let window = past_welcome(&desk).await;
    fresh_chat(&window).await;
    ask(&window, "你好").await;
    window.run("window.harmed = 0").await;
    press(&window, 1, "编辑").await;
    let field = "textarea[aria-label='消息内容']";
    window.find(field).await.clear().await.unwrap();
    let payload = "<img src=x onerror=\"window.harmed=1\"> <svg onload=\"window.harmed=1\"></svg> \
                   ![a](http://127.0.0.1:9/pixel.png) [press](javascript:window.harmed=1) [data](data:text/html,x) 结束了";
    window.write(field, payload).await;
    window.click_text("button", "存为新版本").await;
    let shown = "const all = [...document.querySelectorAll('article[data-message]')]; return all.at(-1).innerText.includes('结束了') && !document.querySelector('article textarea')";
    window.until("the edited answer", shown).await;
    window.picture("markup-zh").await;
    let links = "return [...document.querySelectorAll('article a')].map((link) => [link.href, link.dataset.url])
         .filter(([href, url]) => href || !/^https?:/.test(url))";
    assert_eq!(window.run(links).await, json!([]), "no link leads anywhere but to the web, and none by itself");
    let press = "document.querySelectorAll('article a, article svg')
         .forEach((element) => element.dispatchEvent(new MouseEvent('click', { bubbles: true })))";
    window.run(press).await;
    assert_eq!(
        window.run("return document.querySelectorAll('article img, article svg[onload]').length").await,
        json!(0)
    );
    assert_eq!(window.run("return window.harmed").await, json!(0));
}
