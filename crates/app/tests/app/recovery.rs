//! What a start finds after a process that ended in the middle of something.

use huacaya_app::rows::{JobState, MessageId, MessageState};
use serde_json::json;

use crate::{
    home::{Home, Mirror, call},
    tiny,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_cut_by_closing_is_interrupted_and_goes_on_after_the_restart() {
    let home = Home::new();
    let (app, _) = home.start_with_tiny().await;
    let parameters = json!({"tokens_max": 1500, "logit_bias": [[2, -100.0]]});
    call::<()>(&app, "set_setting", json!({"key": "parameters", "value": parameters})).await;
    let mut mirror = Mirror::new(&app).await;
    let sent: serde_json::Value =
        call(&app, "send_message", json!({"text": "说下去", "attachments": [], "begin": ""})).await;
    call::<()>(&app, "open_chat", json!({"chat": sent["chat"]})).await;
    let answer: MessageId = serde_json::from_value(sent["answer"].clone()).unwrap();
    mirror.grown(answer, 30).await;
    app.shut_down().await;
    let code = app.call("send_message", json!({"text": "x", "attachments": [], "begin": ""})).await;
    assert!(code.is_err(), "a closed program takes nothing more");
    drop(app);

    let app = home.start().await;
    let mut mirror = Mirror::new(&app).await;
    mirror.until(|mirror| !mirror.chats.is_empty()).await;
    call::<()>(&app, "open_chat", json!({"chat": sent["chat"]})).await;
    let row = mirror.answer(answer).await;
    assert_eq!(row.state, MessageState::Interrupted);
    let before = row.body.unwrap().text;
    assert!(before.len() >= 30);
    call::<()>(&app, "continue_message", json!({"message": answer})).await;
    mirror.until(|mirror| mirror.text(answer).len() > before.len()).await;
    assert!(mirror.text(answer).starts_with(&before));
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_of_an_earlier_run_are_offered_again_or_done_again() {
    let home = Home::new();
    let app = home.start().await;
    let file = home.outside().join("later.gguf");
    tiny::write(&file);
    let chosen = app.offer(&file, huacaya_app::Purpose::Read).unwrap();
    app.shut_down().await;
    drop(app);
    let app = home.start().await;
    // An id from before the restart is not taken for another file.
    let code = crate::home::refused(&app, "import_model", json!({"chosen": chosen.id, "copy": true})).await;
    assert_eq!(code, "chosen_gone");
    let chosen = app.offer(&file, huacaya_app::Purpose::Read).unwrap();
    std::fs::remove_file(&file).unwrap();
    let job = call(&app, "import_model", json!({"chosen": chosen.id, "copy": true})).await;
    assert_eq!(crate::home::ended(&app, job).await.error.unwrap().code, "model_missing");
    app.shut_down().await;
    drop(app);
    let app = home.start().await;
    let mut mirror = Mirror::new(&app).await;
    mirror.until(|mirror| mirror.jobs.contains_key(&job.0)).await;
    assert_eq!(mirror.jobs[&job.0].state, JobState::Failed);
    tiny::write(&file);
    let again = call(&app, "retry_job", json!({"job": job})).await;
    assert_eq!(crate::home::ended(&app, again).await.state, JobState::Done);
    assert!(!Mirror::new(&app).await.jobs.contains_key(&job.0), "the retried one is gone");
    app.shut_down().await;
}
