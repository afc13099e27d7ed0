//! Many programs at once: the line, the log, several models in memory, and nobody disturbed by anybody.

use std::time::{Duration, Instant};

use huacaya_app::{
    App, Code, Error,
    rows::{JobState, ModelId, Parameters, Request, RequestState},
    serving::{Answers, Asked, Asking, Piece},
};
use serde_json::{Value, json};

use crate::{
    home::{Home, Mirror, PATIENCE, call, ended, import},
    serving::{answer, asking, greedy, name_of, question, read, said, set},
    tiny,
};

/// As long as the context allows.
fn endless() -> Parameters {
    Parameters { tokens_max: None, ..greedy(1) }
}

/// Reads until there is some text.
async fn begun(answers: &mut Answers) {
    loop {
        match answers.next().await.unwrap().unwrap() {
            Piece::Text { .. } => return,
            Piece::Finished { .. } => panic!("it ended"),
            _ => {}
        }
    }
}

async fn last(mut answers: Answers) -> Option<Error> {
    while let Some(piece) = answers.next().await {
        if let Err(error) = piece {
            return Some(error);
        }
    }
    None
}

async fn idle(app: &App) {
    let work = async {
        while app.busy() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, work).await.expect("nothing runs any more");
}

/// The rows of the log, the oldest first, once they are over.
async fn rows(app: &App, count: usize) -> Vec<Request> {
    let mut mirror = Mirror::new(app).await;
    let over = |mirror: &Mirror| {
        mirror.requests.len() == count && mirror.requests.values().all(|row| row.state != RequestState::Running)
    };
    mirror.until(over).await;
    mirror.requests.into_values().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_line_says_when_to_come_again_and_moves_up_when_somebody_goes() {
    let home = Home::new();
    let (app, _) = home.start_with_tiny().await;
    set(&app, "server_queue", json!(0)).await;
    let mut first = Vec::new();
    for _ in 0..2 {
        first.push(app.ask(Asking { count: 4, ..asking(question("说"), endless()) }).await.unwrap());
    }
    let busy = app.ask(asking(question("说"), greedy(3))).await.err().unwrap();
    assert_eq!(busy.code, Code::Busy);
    assert!(busy.values["seconds"].parse::<u32>().unwrap() > 0);
    set(&app, "server_queue", json!(1)).await;
    let mut one = Box::pin(app.ask(asking(question("说"), greedy(3))));
    let mut two = Box::pin(app.ask(asking(question("说"), greedy(3))));
    let (refused, waiting) = tokio::select! {
        refused = &mut one => (refused, two),
        refused = &mut two => (refused, one),
    };
    assert_eq!(refused.err().unwrap().code, Code::Busy, "there is one place in the line");
    first.pop();
    let whole = read(tokio::time::timeout(PATIENCE, waiting).await.unwrap().unwrap()).await.unwrap();
    assert_eq!(whole[0].ended.unwrap().1.completion, 3);
    drop(first);
    idle(&app).await;
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_goes_away_frees_its_place_and_the_log_says_so() {
    let home = Home::new();
    let (app, model) = home.start_with_tiny().await;
    let name = name_of(&app, model).await;
    let mut eight = app.ask(Asking { count: 8, ..asking(question("说个不停"), endless()) }).await.unwrap();
    begun(&mut eight).await;
    assert!(app.busy());
    // One that goes while it waits in the line, too.
    let mut waiting = Box::pin(app.ask(asking(question("等"), greedy(3))));
    assert!(tokio::time::timeout(Duration::from_millis(200), &mut waiting).await.is_err(), "it has to wait");
    drop(waiting);
    drop(eight);
    let rows = rows(&app, 2).await;
    assert!(rows.iter().all(|row| row.state == RequestState::Stopped && row.took_ms.is_some()), "{rows:?}");
    assert_eq!((rows[0].model.as_str(), rows[0].method.as_str()), (name.as_str(), "POST"));
    assert!(rows[0].tokens > 0 && rows[0].prompt_tokens > 0 && rows[1].tokens == 0, "{rows:?}");
    idle(&app).await;
    let whole = answer(&app, Asking { count: 8, ..asking(question("好"), greedy(2)) }).await;
    assert_eq!(whole.ended.unwrap().1.completion, 2, "all eight places are free again");
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_are_in_the_log_only_where_the_person_wants_that() {
    let home = Home::new();
    let (app, _) = home.start_with_tiny().await;
    answer(&app, asking(question("悄悄话"), greedy(4))).await;
    set(&app, "server_log_text", json!(true)).await;
    let talk = Asked::Chat(vec![said("system", "小声"), said("user", "大声话")]);
    let heard = answer(&app, asking(talk, greedy(6))).await;
    app.ask(Asking { model: Some("没有".into()), ..asking(question("在吗"), greedy(1)) }).await.err().unwrap();
    app.api_embed(None, vec![Asked::Text("向量".into())]).await.unwrap();
    let rows = rows(&app, 4).await;
    assert_eq!((rows[0].state, rows[0].tokens, &rows[0].text), (RequestState::Done, 4, &None));
    let text = rows[1].text.as_deref().unwrap();
    assert!(text.contains("小声") && text.contains("大声话") && text.ends_with(&heard.text), "{text:?}");
    let failed = (rows[2].state, rows[2].error.as_deref(), rows[2].model.as_str());
    assert_eq!(failed, (RequestState::Failed, Some("model_unknown"), "没有"));
    assert_eq!((rows[3].state, rows[3].path.as_str()), (RequestState::Done, "/v1/embeddings"));
    assert!(rows[3].prompt_tokens > 0);
    call::<()>(&app, "forget_requests", json!({})).await;
    assert!(Mirror::new(&app).await.requests.is_empty());
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_is_closed_ends_its_answers_and_says_so() {
    let home = Home::new();
    let (app, _) = home.start_with_tiny().await;
    let mut answers = app.ask(asking(question("说个不停"), endless())).await.unwrap();
    begun(&mut answers).await;
    let closing = app.clone();
    let closed = tokio::spawn(async move { closing.shut_down().await });
    assert_eq!(last(answers).await.unwrap().code, Code::Closing);
    closed.await.unwrap();
    assert_eq!(app.ask(asking(question("在"), greedy(1))).await.err().unwrap().code, Code::Closing);
    drop(app);
    let app = home.start().await;
    assert_eq!(rows(&app, 1).await[0].state, RequestState::Interrupted);
    app.shut_down().await;
}

/// A model of another width, with words of its own.
async fn other(home: &Home, app: &App, name: &str, hidden: usize) -> ModelId {
    let file = home.outside().join(name);
    tiny::write_shape(&file, &tiny::Shape { hidden, ffn: 64, layers: 2, format: huacaya_weights::Format::F32 });
    import(app, &file, false).await
}

/// Waits until exactly these are in memory.
async fn in_memory(app: &App, wanted: &[ModelId]) {
    let mut wanted: Vec<i64> = wanted.iter().map(|id| id.0).collect();
    wanted.sort_unstable();
    let mut mirror = Mirror::new(app).await;
    let there = |mirror: &Mirror| -> Vec<i64> {
        mirror.models.values().filter(|row| row.loaded_by.is_some()).map(|row| row.id.0).collect()
    };
    mirror.until(|mirror| there(mirror) == wanted).await;
}

fn of(model: ModelId, text: &str, parameters: Parameters) -> Asking {
    Asking { model: Some(model.0.to_string()), ..asking(question(text), parameters) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn programs_have_several_models_in_memory_and_the_window_one() {
    let home = Home::new();
    let (app, tiny) = home.start_with_tiny().await;
    let broad = other(&home, &app, "broad.gguf", 64).await;
    let wide = other(&home, &app, "wide.gguf", 96).await;
    drop(app.lease(tiny, None).await.unwrap());
    in_memory(&app, &[tiny]).await;
    let alone = answer(&app, of(broad, "你好", greedy(20))).await.text;
    in_memory(&app, &[tiny, broad]).await;
    // Two models answer at the same time, each in its own words.
    let (mut long, same) = tokio::join!(
        async { app.ask(of(tiny, "说", endless())).await.unwrap() },
        answer(&app, of(broad, "你好", greedy(20))),
    );
    begun(&mut long).await;
    assert_eq!(same.text, alone);
    drop(long);
    // The window takes another: what programs use stays.
    drop(app.lease(wide, None).await.unwrap());
    in_memory(&app, &[tiny, broad, wide]).await;
    // Only the window had this one.
    let demo = Mirror::new(&app).await.models.values().find(|row| row.bundled).unwrap().id;
    drop(app.lease(demo, None).await.unwrap());
    in_memory(&app, &[tiny, broad, demo]).await;
    // Nothing leaves by itself where the person set no time; then what was not used for so long does, but not in use.
    let later = |seconds| Instant::now() + Duration::from_secs(seconds);
    app.unload_unused(later(1_000_000)).await.unwrap();
    set(&app, "server_ttl", json!(2)).await;
    app.unload_unused(later(60)).await.unwrap();
    in_memory(&app, &[tiny, broad, demo]).await;
    let mut long = app.ask(of(tiny, "说", endless())).await.unwrap();
    app.unload_unused(later(130)).await.unwrap();
    in_memory(&app, &[tiny, demo]).await;
    // The person takes it out although it answers.
    begun(&mut long).await;
    let (ending, ()) = tokio::join!(last(long), call::<()>(&app, "unload_model", json!({"model": tiny})));
    assert_eq!(ending.unwrap().code, Code::Stopped);
    in_memory(&app, &[demo]).await;
    assert_eq!(answer(&app, of(broad, "你好", greedy(20))).await.text, alone, "it comes again when it is asked for");
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_memory_is_short_models_leave_but_none_that_answers() {
    let home = Home::new();
    let (app, tiny) = home.start_with_tiny().await;
    let broad = other(&home, &app, "broad.gguf", 64).await;
    let file = home.outside().join("vast.gguf");
    tiny::write_shape(&file, &tiny::Shape { hidden: 256, ffn: 64, layers: 8, format: huacaya_weights::Format::F32 });
    let vast = import(&app, &file, false).await;
    answer(&app, of(broad, "你好", greedy(2))).await;
    let mut long = app.ask(of(tiny, "说", endless())).await.unwrap();
    begun(&mut long).await;
    // Its keys and values would take more than a hundred gigabytes: the person wants it anyway.
    let context = 16_000_000;
    let fit: Value = call(&app, "estimate", json!({"model": vast, "context": context})).await;
    assert_eq!(fit["verdict"], "too_large");
    let job = call(&app, "load_model", json!({"model": vast, "context": context, "anyway": true})).await;
    for _ in 0..5 {
        begun(&mut long).await;
    }
    let there = Mirror::new(&app).await.models;
    assert!(there[&tiny.0].loaded_by.is_some(), "it answers");
    assert!(there[&vast.0].loaded_by.is_none(), "there is no room yet");
    drop(long);
    assert_eq!(ended(&app, job).await.state, JobState::Done);
    in_memory(&app, &[vast]).await;
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_many_clients_gets_the_answer_that_it_would_get_alone() {
    let home = Home::new();
    let (app, _) = home.start_with_tiny().await;
    let client = |number: usize| {
        let text = "天地人和".repeat(1 + number % 5 * 9) + &"你我他".repeat(number % 7);
        let prompt = if number.is_multiple_of(3) { Asked::Text(text) } else { question(&text) };
        asking(prompt, greedy(3 + (number * 7 % 40) as u32))
    };
    let mut alone = Vec::new();
    for number in 0..32 {
        alone.push(answer(&app, client(number)).await);
    }
    let clients: Vec<_> = (0..32)
        .map(|number| {
            let (app, asking) = (app.clone(), client(number));
            tokio::spawn(async move {
                if number % 4 == 1 {
                    // It goes away in the middle.
                    let mut answers = app.ask(Asking { parameters: endless(), ..asking }).await.unwrap();
                    begun(&mut answers).await;
                    return None;
                }
                Some(answer(&app, asking).await)
            })
        })
        .collect();
    for (number, (client, alone)) in clients.into_iter().zip(&alone).enumerate() {
        let Some(got) = tokio::time::timeout(PATIENCE, client).await.unwrap().unwrap() else { continue };
        assert_eq!(got.text, alone.text, "client {number}");
        let (got, alone) = (got.ended.unwrap(), alone.ended.unwrap());
        assert_eq!((got.0, got.1.prompt, got.1.completion), (alone.0, alone.1.prompt, alone.1.completion));
    }
    idle(&app).await;
    let rows = rows(&app, 64).await;
    let stopped = rows.iter().filter(|row| row.state == RequestState::Stopped).count();
    assert_eq!((stopped, rows.iter().filter(|row| row.state == RequestState::Done).count()), (8, 56));
    assert!(rows.iter().all(|row| row.text.is_none()));
    app.shut_down().await;
}
