//! Completion pages: text in, more text out.

use std::{fs, ops::ControlFlow, path::Path};

use huacaya_app::rows::{Chat, ChatId, MessageId, ModelId, Role};
use serde_json::{Value, json};

use crate::home::{Home, Mirror, call, import, refused};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_goes_on_from_its_text_and_an_edit_starts_a_new_root() {
    let home = Home::new();
    let (app, _) = home.start_with_tiny().await;
    let parameters = json!({"tokens_max": 6, "logit_bias": [[2, -100.0]]});
    call::<()>(&app, "set_setting", json!({"key": "parameters", "value": parameters})).await;
    let page: Chat = call(&app, "new_chat", json!({"kind": "page"})).await;
    let mut mirror = Mirror::new(&app).await;
    call::<()>(&app, "open_chat", json!({"chat": page.id})).await;
    let first: MessageId = call(&app, "continue_page", json!({"chat": page.id, "text": "从前有"})).await;
    let row = mirror.answer(first).await;
    assert!(row.made.unwrap().template.is_empty());
    let text = format!("从前有{}", mirror.text(first));
    let second: MessageId = call(&app, "continue_page", json!({"chat": page.id, "text": text})).await;
    let row = mirror.answer(second).await;
    assert_eq!(row.parent, Some(first));
    let third: MessageId = call(&app, "continue_page", json!({"chat": page.id, "text": "另一个"})).await;
    mirror.answer(third).await;
    let roots: Vec<_> = mirror.messages.values().filter(|row| row.parent.is_none()).collect();
    assert_eq!(roots.len(), 2);
    assert!(roots.iter().all(|row| row.role == Role::User));
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_tokens_come_likeliest_first_with_probabilities() {
    let home = Home::new();
    let (app, _) = home.start_with_tiny().await;
    let page: Chat = call(&app, "new_chat", json!({"kind": "page"})).await;
    let next: Vec<Value> = call(&app, "next_tokens", json!({"chat": page.id, "text": "我有", "count": 5})).await;
    let probabilities: Vec<f64> = next.iter().map(|token| token["probability"].as_f64().unwrap()).collect();
    assert_eq!(probabilities.len(), 5);
    assert!(probabilities.is_sorted_by(|a, b| a >= b), "{probabilities:?}");
    assert!(probabilities.iter().sum::<f64>() <= 1.0 + 1e-6 && probabilities[4] > 0.0);
    app.shut_down().await;
}

/// As the files of the merge's golden cases stand beside each other, and a tokenizer for as many words.
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../weights/tests/golden/merge");

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chats_adapters_answer_as_the_merged_model_does_and_a_wrong_one_is_refused() {
    let home = Home::new();
    let app = home.start().await;
    let golden = |path: &str| Path::new(GOLDEN).join(path);
    let folder = home.outside().join("base");
    fs::create_dir_all(&folder).unwrap();
    for file in ["two/base/config.json", "two/base/model.safetensors", "plain/base/tokenizer.model"] {
        fs::copy(golden(file), folder.join(Path::new(file).file_name().unwrap())).unwrap();
    }
    let whole = home.outside().join("merged");
    huacaya_weights::merge(&folder, &[(golden("two/first"), 0.5)], &whole, &mut |_| ControlFlow::Continue(())).unwrap();
    let base = import(&app, &folder.join("config.json"), true).await;
    let whole = import(&app, &whole.join("config.json"), true).await;
    let first = import(&app, &golden("two/first/adapter_config.json"), true).await;
    let wrong = import(&app, &golden("vocabulary/adapter/adapter_config.json"), true).await;
    let page: Chat = call(&app, "new_chat", json!({"kind": "page", "model": base})).await;
    let other: Chat = call(&app, "new_chat", json!({"kind": "page", "model": whole})).await;
    let with =
        |model: ModelId, strength: f32| json!({"chat": page.id, "adapters": [{"model": model, "strength": strength}]});
    let ask = |chat: ChatId| json!({"chat": chat, "text": "ab", "count": 5});
    let plain: Vec<Value> = call(&app, "next_tokens", ask(page.id)).await;
    call::<()>(&app, "set_adapters", with(first, 0.5)).await;
    let beside: Vec<Value> = call(&app, "next_tokens", ask(page.id)).await;
    let merged: Vec<Value> = call(&app, "next_tokens", ask(other.id)).await;
    assert_ne!(beside, plain);
    for (found, wanted) in beside.iter().zip(&merged) {
        let apart = found["probability"].as_f64().unwrap() - wanted["probability"].as_f64().unwrap();
        assert!(found["id"] == wanted["id"] && apart.abs() < 1e-5, "{found}, {wanted}");
    }
    let mut mirror = Mirror::new(&app).await;
    call::<()>(&app, "open_chat", json!({"chat": page.id})).await;
    let answer: MessageId = call(&app, "continue_page", json!({"chat": page.id, "text": "ab"})).await;
    let name = mirror.models[&first.0].name.clone();
    assert_eq!(mirror.answer(answer).await.made.unwrap().adapters, [(name, 0.5)]);
    call::<()>(&app, "set_adapters", with(wrong, 1.0)).await;
    assert_eq!(refused(&app, "next_tokens", ask(page.id)).await, "merge_refused");
}
