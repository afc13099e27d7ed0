//! The library: found on a hub (of our own, on loopback), downloaded with a pause, chatted with; imported by its path; deleted and
//! taken back.

use std::{fs, path::Path};

use huacaya_loopback::{Content, Fault, Loopback, RepositorySpec};
use huacaya_weights::gguf::{File, Metadata, TensorPlan, Writer};

use crate::{COMPOSER, ENTER, ask, harness::Desk, past_welcome};

const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/assets/demo/huacaya-demo.gguf");
/// The list of what is on this computer.
const HERE: &str = "section[aria-labelledby='here-title']";

/// The built-in model under another name: other bytes, so that it is not taken for the one that is there.
fn renamed(path: &Path, name: &str) {
    let demo = File::open(Path::new(DEMO)).unwrap();
    let mut metadata = Metadata::new(path);
    demo.metadata().iter().for_each(|(key, value)| metadata.set(key, value.clone()));
    metadata.set("general.name", name.into());
    let plan: Vec<TensorPlan> = (demo.tensors().iter())
        .map(|tensor| TensorPlan {
            name: tensor.name.clone(),
            dimensions: tensor.dimensions.clone(),
            format: tensor.format,
        })
        .collect();
    let mut writer = Writer::create(path, &metadata, &plan).unwrap();
    demo.tensors().iter().for_each(|tensor| writer.bytes(&tensor.name, demo.bytes(tensor)).unwrap());
    writer.finish().unwrap();
}

/// The share of the first download, 0 to 100; null where none is shown.
const SHARE: &str =
    "return Number(document.querySelector('article li [role=progressbar]')?.getAttribute('aria-valuenow') ?? -1)";

#[tokio::test(flavor = "multi_thread")]
async fn a_model_is_found_downloaded_with_a_pause_and_chatted_with() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("alpaca.gguf");
    renamed(&file, "Alpaca from the hub");
    let hub = Loopback::start();
    let content = Content::file(&file).unwrap();
    let bytes = content.len();
    hub.add(
        RepositorySpec::new("herd/alpaca-gguf")
            .file("alpaca-q8_0.gguf", content)
            .card("# An alpaca\n\n**Woolly.**后面"),
    );
    // Some seconds for the whole, so that there is time to press a button.
    hub.fault("alpaca-q8_0.gguf", Fault::Slow { bytes_per_second: bytes / 6 });

    let mut desk = Desk::new("zh_CN.UTF-8");
    desk.set("HF_ENDPOINT", &hub.url());
    let window = past_welcome(&desk).await;
    assert!(hub.requests().is_empty(), "no packet before the person asked");

    window.click("nav button[aria-label='模型']").await;
    window.write("#models-search", "alpaca-gguf").await;
    window.write("#models-search", ENTER).await;
    window.click_text("button", "herd/alpaca-gguf").await;
    window
        .until("the card as Markdown", "return document.querySelector('article strong')?.innerText === 'Woolly.'")
        .await;
    window.picture("hub-page-zh").await;
    window.click_text("article li button", &format!("下载 {}", megabytes(bytes))).await;
    window.until("some of it", &format!("{SHARE} > 5")).await;
    window.click_text("article li button", "暂停").await;
    window.until("a pause", "return document.querySelector('article li')?.innerText.includes('已暂停')").await;
    window.picture("paused-zh").await;
    hub.mend();
    window.click_text("article li button", "继续").await;
    window.until("the end", "return document.body.innerText.includes('已下载好')").await;
    let resumed = hub.transfers("alpaca-q8_0.gguf").last().unwrap().sent();
    assert!(resumed.start > 0 && resumed.end == bytes, "what was there is not fetched again: {resumed:?}");

    window.click_text("button", "对话").await;
    window.find(COMPOSER).await;
    ask(&window, "你是谁？").await;
    let answer = window.run("return [...document.querySelectorAll('article[data-message]')].at(-1).innerText").await;
    assert!(answer.as_str().unwrap().contains("Huacaya"), "{answer}");
    assert!(window.text().await.contains("Alpaca from the hub"), "it is that model that answers");
    window.picture("hub-chat-zh").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_added_by_its_path_deleted_and_taken_back() {
    let folder = tempfile::Builder::new().prefix("张 庭 綱 ").tempdir().unwrap();
    let original = folder.path().join("第二只 羊驼.gguf");
    renamed(&original, "第二只羊驼");
    let desk = Desk::new("zh_CN.UTF-8");
    drop(past_welcome(&desk).await);

    // The path on the command line is how the system opens a file with us.
    let window = desk.start(&[original.to_str().unwrap()]).await;
    window.click_text("[role=dialog] button", "复制到模型文件夹").await;
    let listed = format!("return document.querySelector(\"{HERE}\")?.innerText.includes('第二只羊驼') === true");
    window.until("the model in the list", &listed).await;
    let path = desk.data().join("models").join("第二只 羊驼.gguf");
    assert!(path.exists() && original.exists(), "copied, as was said");
    window.picture("added-zh").await;

    window.click("button[aria-label*='第二只羊驼']").await;
    window.click_text("[role=menuitem]", "删除").await;
    window
        .until("what will be freed", "return document.querySelector('[role=dialog]')?.innerText.includes('MB')")
        .await;
    window.picture("delete-zh").await;
    let size = fs::metadata(&path).unwrap().len();
    window.click_text("[role=dialog] button", &format!("删除 {}", megabytes(size))).await;
    window.until("it is gone", &listed.replace("=== true", "=== false")).await;
    assert!(!path.exists(), "the file was put aside");
    window.click_text("button", "撤销").await;
    window.until("it is back", &listed).await;
    assert!(path.exists(), "and so is the file");
    assert_eq!(
        fs::metadata(&path).unwrap().len(),
        fs::metadata(DEMO).unwrap().len().max(fs::metadata(&path).unwrap().len())
    );
}

/// As the page writes sizes of some megabytes.
fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
