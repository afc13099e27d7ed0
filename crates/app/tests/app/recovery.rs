//! What a start finds after a process that ended in the middle of something.

use huacaya_app::rows::{JobState, MessageId, MessageState};
use serde_json::json;

use crate::{
    home::{Home, Mirror, PATIENCE, call},
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
async fn whatever_is_pressed_in_whatever_order_every_answer_comes_to_an_end() {
    const PRESSED: usize = 120;
    let home = Home::new();
    let (app, model) = home.start_with_tiny().await;
    let demo = Mirror::new(&app).await.models.values().find(|row| row.bundled).unwrap().id;
    let parameters = json!({"tokens_max": 60, "logit_bias": [[2, -100.0]]});
    call::<()>(&app, "set_setting", json!({"key": "parameters", "value": parameters})).await;
    let mut random = 88_172_645_463_325_252_u64;
    let mut below = |end: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % end.max(1) as u64) as usize
    };
    let mut answers: Vec<MessageId> = Vec::new();
    let mut chats = vec![serde_json::Value::Null];
    for _ in 0..PRESSED {
        let either = if below(2) == 0 { model } else { demo };
        let some = answers.get(below(answers.len())).copied().unwrap_or(MessageId(1));
        let (name, arguments) = match below(9) {
            0..=2 => {
                let chat = chats[below(chats.len())].clone();
                ("send_message", json!({"chat": chat, "text": "说", "attachments": [], "begin": ""}))
            }
            3 => ("regenerate", json!({"message": some, "begin": "", "model": either})),
            4 => ("continue_message", json!({"message": some})),
            5 | 6 => ("stop_message", json!({"message": some})),
            7 => ("delete_message", json!({"message": some})),
            _ => ("unload_model", json!({"model": either})),
        };
        // Some of it makes no sense at that moment, and is refused; none of it may hang or leave something behind.
        let pressed = tokio::time::timeout(PATIENCE, app.call(name, arguments)).await.expect("an answer in time");
        match pressed {
            Ok(serde_json::Value::Object(sent)) => {
                chats.push(sent["chat"].clone());
                answers.push(serde_json::from_value(sent["answer"].clone()).unwrap());
            }
            Ok(serde_json::Value::Number(answer)) => answers.push(MessageId(answer.as_i64().unwrap())),
            Ok(_) => {}
            Err(error) => assert!(
                ["already_writing", "not_an_answer", "gone", "cannot_run_again", "unfit"]
                    .contains(&error.code.as_str()),
                "{name}: {} {error}",
                error.code
            ),
        }
        tokio::time::sleep(std::time::Duration::from_millis(below(30) as u64)).await;
    }
    let idle = async {
        while app.busy() {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, idle).await.expect("everything comes to an end");
    let mut mirror = Mirror::new(&app).await;
    for chat in chats.iter().filter(|chat| !chat.is_null()) {
        call::<()>(&app, "open_chat", json!({"chat": chat})).await;
    }
    let shown = |mirror: &Mirror| {
        mirror.chats.values().all(|chat| chat.leaf.is_none_or(|leaf| mirror.messages.contains_key(&leaf.0)))
    };
    mirror.until(shown).await;
    assert!(mirror.messages.values().all(|row| row.state != MessageState::Writing));
    let failed: Vec<_> = mirror.messages.values().filter(|row| row.state == MessageState::Failed).collect();
    assert!(failed.is_empty(), "{failed:?}");
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_programs_on_one_data_folder_see_each_other_and_leave_each_others_answers_alone() {
    let home = Home::new();
    let (first, _) = home.start_with_tiny().await;
    let parameters = json!({"tokens_max": 1500, "logit_bias": [[2, -100.0]]});
    call::<()>(&first, "set_setting", json!({"key": "parameters", "value": parameters})).await;
    let mut mirror = Mirror::new(&first).await;
    let sent: serde_json::Value =
        call(&first, "send_message", json!({"text": "说下去", "attachments": [], "begin": ""})).await;
    call::<()>(&first, "open_chat", json!({"chat": sent["chat"]})).await;
    let answer: MessageId = serde_json::from_value(sent["answer"].clone()).unwrap();
    mirror.grown(answer, 10).await;

    let second = home.start().await;
    let code = crate::home::refused(&second, "stop_message", json!({"message": answer})).await;
    assert_eq!(code, "unfit", "another program writes it");
    let chat: huacaya_app::rows::Chat = call(&second, "new_chat", json!({"kind": "chat"})).await;
    mirror.until(|mirror| mirror.chats.contains_key(&chat.id.0)).await;
    second.shut_down().await;
    let before = mirror.text(answer).len();
    mirror.grown(answer, before + 10).await;
    call::<()>(&first, "stop_message", json!({"message": answer})).await;
    assert_eq!(mirror.answer(answer).await.state, MessageState::Stopped);
    first.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_data_folder_that_cannot_be_used_is_named() {
    let home = Home::new();
    let file = home.outside().join("a file");
    std::fs::write(&file, b"").unwrap();
    let places = huacaya_app::Places::at(&file).unwrap();
    let error = huacaya_app::App::start(places).await.err().unwrap();
    assert_eq!((error.code.as_str(), error.values["path"].contains("a file")), ("place_unusable", true));
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
