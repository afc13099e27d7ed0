//! A smaller model that guesses ahead for another: chosen, checked, loaded beside it, used, and told of.

use huacaya_app::{
    App,
    rows::{Message, MessageId, MessageState, ModelId},
    serving::Asked,
};
use serde_json::{Value, json};

use crate::{
    home::{Home, Mirror, call, import, refused},
    serving::{asking, greedy, read},
    tiny,
};

/// The likeliest words, and no end.
const TOKENS: u32 = 40;

async fn set_draft(app: &App, model: Value, draft: Value) {
    let values = json!({"model": model, "template": null, "parameters": {}, "persona": null, "draft": draft});
    call::<()>(app, "set_model", values).await;
}

async fn answer(app: &App) -> (Message, String) {
    let mut mirror = Mirror::new(app).await;
    let sent: Value =
        call(app, "send_message", json!({"chat": null, "text": "你说", "attachments": [], "begin": ""})).await;
    call::<()>(app, "open_chat", json!({"chat": sent["chat"]})).await;
    let id: MessageId = serde_json::from_value(sent["answer"].clone()).unwrap();
    let row = mirror.answer(id).await;
    assert_eq!(row.state, MessageState::Done, "{:?}", row.error);
    let text = row.body.as_ref().unwrap().text.clone();
    (row, text)
}

async fn name_of(app: &App, model: ModelId) -> String {
    Mirror::new(app).await.models[&model.0].name.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_draft_model_guesses_for_chat_and_programs_and_greedy_words_stay_the_same() {
    let home = Home::new();
    let (app, model) = home.start_with_tiny().await;
    let parameters =
        json!({"temperature": 0.0, "repetition_penalty": 1.0, "tokens_max": TOKENS, "logit_bias": [[2, -100.0]]});
    call::<()>(&app, "set_setting", json!({"key": "parameters", "value": parameters})).await;
    // As good a guesser as there is: the same weights.
    let file = home.outside().join("guesser.gguf");
    tiny::write(&file);
    let draft = import(&app, &file, false).await;
    let (plain, words) = answer(&app).await;
    assert_eq!(plain.made.unwrap().draft, None);
    let alone: Value = call(&app, "estimate", json!({"model": model})).await;
    set_draft(&app, json!(model), json!(draft)).await;
    let both: Value = call(&app, "estimate", json!({"model": model})).await;
    let beside = both["draft"].as_u64().unwrap();
    assert!(alone["draft"] == 0 && beside > 0, "{both}");
    assert_eq!(both["total"].as_u64().unwrap(), alone["total"].as_u64().unwrap() + beside);

    let (drafted, same) = answer(&app).await;
    assert_eq!(same, words);
    let stats = drafted.stats.unwrap();
    // All guesses of an equal model are right, but for those behind the end.
    assert!(stats.accepted_tokens >= TOKENS / 2 && stats.accepted_tokens <= stats.drafted_tokens, "{stats:?}");
    let made = drafted.made.unwrap().draft.unwrap();
    assert_eq!(made.model_name, name_of(&app, draft).await);
    let asked = asking(Asked::Text("你说".into()), greedy(TOKENS));
    let (_, usage) = read(app.ask(asked).await.unwrap()).await.unwrap().remove(0).ended.unwrap();
    assert!(usage.accepted >= TOKENS / 2 && usage.accepted <= usage.drafted, "{usage:?}");

    // What was made with a draft is not called the same without.
    set_draft(&app, json!(model), Value::Null).await;
    let again: MessageId = call(&app, "run_again", json!({"message": drafted.id})).await;
    let mut mirror = Mirror::new(&app).await;
    assert_eq!(mirror.answer(again).await.error.unwrap().code, "cannot_run_again");
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_model_with_the_same_tokens_can_guess() {
    let home = Home::new();
    let (app, model) = home.start_with_tiny().await;
    let mut mirror = Mirror::new(&app).await;
    mirror.until(|mirror| mirror.models.len() == 2).await;
    let bundled = mirror.models.values().find(|row| row.bundled).unwrap().id;
    let with =
        |draft: Value| json!({"model": model, "template": null, "parameters": {}, "persona": null, "draft": draft});
    for draft in [json!(bundled), json!(model)] {
        assert_eq!(refused(&app, "set_model", with(draft)).await, "draft_unfit");
    }
    assert_eq!(refused(&app, "set_model", with(json!(999))).await, "gone");
    // A draft that is taken off the list is no reason to be without answers.
    let file = home.outside().join("guesser.gguf");
    tiny::write(&file);
    let draft = import(&app, &file, false).await;
    call::<()>(&app, "set_model", with(json!(draft))).await;
    call::<()>(&app, "remove_model", json!({"model": draft})).await;
    let lease = app.lease(model, None).await.unwrap();
    assert_eq!(lease.model.backend_name(), "native");
    drop(lease);
    app.shut_down().await;
}
