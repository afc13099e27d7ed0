//! Search: Chinese from one character on, English, both mixed; ranked; deleted things and thoughts left out.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Folder, body, new_chat, open, turn};
use huacaya_store::{Body, ChatId, Found, MessageId, Role, Store};

async fn messages(store: &Store, chat: ChatId, texts: &[&str]) -> Vec<MessageId> {
    let mut ids = Vec::new();
    for text in texts {
        ids.push(store.add_message(chat, None, Role::User, body(text)).await.unwrap());
    }
    ids
}

async fn found(store: &Store, query: &str) -> Vec<MessageId> {
    let mut ids: Vec<_> =
        store.search(query, 100).await.unwrap().into_iter().filter_map(|found| found.message).collect();
    ids.sort();
    ids
}

fn marked(found: &Found) -> String {
    found.snippet.iter().map(|part| if part.hit { format!("[{}]", part.text) } else { part.text.clone() }).collect()
}

#[tokio::test]
async fn every_query_finds_what_a_person_would_expect() {
    let folder = Folder::new();
    let store = folder.open().await;
    let chat = new_chat(&store).await.id;
    let texts = [
        "羊驼是什么动物？",
        "Alpacas live in Peru; 羊驼住在秘鲁。",
        "驼羊不是羊驼。",
        "我用GPT模型写作",
        "The cat sat on the mat. Version v1.2.3, C++ code",
        "全角：ＨＵＡＣＡＹＡ",
        "𠮷野家🦙很好吃",
        "안녕하세요 세계",
        "Привет, мир",
        "<img src=x onerror=alert(1)> 100%_\"quoted\" OR NOT NEAR(",
    ];
    let ids = messages(&store, chat, &texts).await;
    let expected: &[(&str, &[usize])] = &[
        ("羊", &[0, 1, 2]),
        ("羊驼", &[0, 1, 2]),
        ("驼羊", &[2]),
        ("是羊", &[2]),
        ("羊驼住在", &[1]),
        ("羊驼 peru", &[1]),
        ("ALPACA", &[1]),
        ("lpaca", &[]),
        ("用gpt", &[3]),
        ("gpt模", &[3]),
        ("GPT 写", &[3]),
        ("p", &[1]),
        ("v1.2", &[4]),
        ("c++", &[4]),
        ("cat mat", &[4]),
        ("huacaya", &[5]),
        ("ｃａｔ", &[4]),
        ("𠮷", &[6]),
        ("𠮷野", &[6]),
        ("🦙", &[6]),
        ("안녕", &[7]),
        ("세", &[7]),
        ("привет", &[8]),
        ("\"quoted\"", &[9]),
        ("OR", &[9]),
        ("NEAR(", &[9]),
        ("onerror=alert(1)", &[9]),
        ("动物秘鲁", &[]),
        ("", &[]),
        ("   ", &[]),
        ("*\"'()", &[]),
    ];
    for (query, expected) in expected {
        let expected: Vec<MessageId> = expected.iter().map(|index| ids[*index]).collect();
        assert_eq!(found(&store, query).await, expected, "{query:?}");
    }
    let hits = store.search("gpt模", 9).await.unwrap();
    assert_eq!(marked(&hits[0]), "我用[GPT模]型写作");
}

#[tokio::test]
async fn titles_come_first_then_the_whole_words_then_the_newest() {
    let folder = Folder::new();
    let store = folder.open().await;
    let chat = new_chat(&store).await.id;
    let ids =
        messages(&store, chat, &["别的话", "随便说说羊毛和驼峰，很长很长的一段话", "羊毛 驼峰", "羊毛 驼峰"]).await;
    let titled = new_chat(&store).await.id;
    store.update_chat(titled, |chat| chat.title = "羊毛与驼峰".into()).await.unwrap();
    let order: Vec<_> = store.search("羊毛 驼峰", 9).await.unwrap().into_iter().map(|found| found.message).collect();
    assert_eq!(order, [None, Some(ids[3]), Some(ids[2]), Some(ids[1])]);
    store.update_chat(titled, |chat| chat.title = "改了".into()).await.unwrap();
    assert_eq!(store.search("羊毛 驼峰", 9).await.unwrap().len(), 3);
    assert_eq!(store.search("改了", 9).await.unwrap()[0].chat, titled);
    // A chat without a title is found by its heading.
    assert_eq!(store.search("别的", 9).await.unwrap().len(), 2);
}

#[tokio::test]
async fn thoughts_and_what_was_deleted_are_not_found_until_it_comes_back() {
    let folder = Folder::new();
    let store = folder.open().await;
    let chat = new_chat(&store).await.id;
    let thinking = Body { text: "答案".into(), thought: "心里想".into(), ..Body::default() };
    let id = store.add_message(chat, None, Role::Assistant, thinking).await.unwrap();
    assert!(store.search("心里", 9).await.unwrap().is_empty());
    store.delete_message(id).await.unwrap();
    assert!(store.search("答案", 9).await.unwrap().is_empty());
    store.restore_message(id).await.unwrap();
    assert_eq!(store.search("答案", 9).await.unwrap().len(), 1);
    store.delete_chat(chat).await.unwrap();
    assert!(store.search("答案", 9).await.unwrap().is_empty());
    store.restore_chat(chat).await.unwrap();
    assert_eq!(store.search("答案", 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn an_answer_is_found_when_it_is_finished_and_after_it_was_cut_off() {
    let folder = Folder::new();
    let store = folder.open().await;
    let chat = new_chat(&store).await.id;
    turn(&store, chat, None, "问题", "完整回答").await;
    assert_eq!(store.search("完整", 9).await.unwrap().len(), 1);
    let begun = common::ask(&store, chat, None, "再问").await;
    store.publish_text(begun.answer, false, "残缺回答");
    store.save_answer(begun.answer, 0, 0).await.unwrap();
    store.close().await;
    let store = open(&folder.path).await;
    assert_eq!(store.search("残缺", 9).await.unwrap().len(), 1);
}
