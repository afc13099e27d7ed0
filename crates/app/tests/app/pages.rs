//! Completion pages: text in, more text out.

use huacaya_app::rows::{Chat, MessageId, Role};
use serde_json::{Value, json};

use crate::home::{Home, Mirror, call};

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
