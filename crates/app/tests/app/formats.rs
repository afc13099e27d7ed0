//! Answers to programs that keep to a form, and the prompt's own tokens.

use huacaya_app::{
    App, Code, Error,
    rows::{Chat, MessageId, MessageState, Parameters},
    serving::{Asked, Asking, Format, Piece, Reason, Said, Source, TokenProbability},
};
use serde_json::{Value, json};

use crate::home::{Home, Mirror, call};

fn chat(text: &str) -> Asked {
    Asked::Chat(vec![Said { role: "user".to_string(), text: text.to_string(), ..Said::default() }])
}

fn asking(prompt: Asked, format: Option<Format>) -> Asking {
    let parameters = Parameters { tokens_max: Some(200), seed: Some(3), ..Parameters::default() };
    Asking { prompt, format, parameters, ..Asking::default() }
}

#[derive(Debug, Default)]
struct Heard {
    texts: Vec<String>,
    reasons: Vec<Reason>,
    prompt: Vec<TokenProbability>,
}

async fn hear(app: &App, asking: Asking) -> Result<Heard, Error> {
    let mut heard = Heard { texts: vec![String::new(); asking.count as usize], ..Heard::default() };
    let mut answers = app.ask(asking).await?;
    while let Some(piece) = answers.next().await {
        match piece? {
            Piece::Text { index, text, .. } => heard.texts[index as usize] += &text,
            Piece::Prompt { index: 0, tokens, .. } => heard.prompt.extend(tokens),
            Piece::Finished { reason, .. } => heard.reasons.push(reason),
            _ => {}
        }
    }
    Ok(heard)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_to_programs_keep_to_their_format() {
    let home = Home::new();
    let app = home.start().await;
    let schema = json!({
        "type": "object",
        "properties": {"city": {"type": "string", "maxLength": 10}, "large": {"type": "boolean"}},
        "required": ["city", "large"],
        "additionalProperties": false,
    });
    let asked = asking(chat("Name a city."), Some(Format::JsonSchema(schema)));
    let heard = hear(&app, Asking { count: 3, ..asked }).await.unwrap();
    assert_eq!(heard.reasons, [Reason::End; 3]);
    for text in &heard.texts {
        let value: Value = serde_json::from_str(text).unwrap();
        assert!(value["city"].as_str().is_some_and(|city| city.chars().count() <= 10), "{text}");
        assert!(value["large"].is_boolean() && value.as_object().is_some_and(|fields| fields.len() == 2), "{text}");
    }
    let yes = asking(chat("Yes or no?"), Some(Format::Regex("yes|no".to_string())));
    assert!(["yes", "no"].contains(&hear(&app, yes).await.unwrap().texts[0].as_str()));
    let animal = asking(chat("?"), Some(Format::Lark("start: \"羊驼\" | \"llama\"".to_string())));
    assert!(["羊驼", "llama"].contains(&hear(&app, animal).await.unwrap().texts[0].as_str()));
    let object = hear(&app, asking(chat("Hello"), Some(Format::JsonObject))).await.unwrap();
    assert!(object.texts[0].starts_with('{'), "{object:?}");
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_in_the_window_keep_to_the_format_of_the_highest_layer_that_has_one() {
    let home = Home::new();
    let app = home.start().await;
    let chat: Chat = call(&app, "new_chat", json!({"kind": "chat"})).await;
    let mut mirror = Mirror::new(&app).await;
    call::<()>(&app, "open_chat", json!({"chat": chat.id})).await;
    let schema = r#"{
        "type": "object", "additionalProperties": false, "required": ["city", "large"],
        "properties": {"city": {"type": "string", "maxLength": 10}, "large": {"type": "boolean"}}
    }"#;
    let set = async |parameters: Value| {
        let values = json!({"chat": chat.id, "parameters": parameters});
        call::<()>(&app, "set_chat", values).await;
    };
    let person = json!({"tokens_max": 200, "format": {"kind": "regex", "source": "yes|no"}});
    call::<()>(&app, "set_setting", json!({"key": "parameters", "value": person})).await;
    let ask = json!({"chat": chat.id, "text": "Name a city.", "attachments": [], "begin": ""});
    let answer = async |mirror: &mut Mirror| {
        let sent: Value = call(&app, "send_message", ask.clone()).await;
        let id = MessageId(sent["answer"].as_i64().unwrap());
        let row = mirror.answer(id).await;
        assert_eq!(row.state, MessageState::Done, "{:?}", row.error);
        mirror.text(id)
    };
    assert!(["yes", "no"].contains(&answer(&mut mirror).await.as_str()));
    set(json!({"format": {"kind": "json_schema", "source": schema}})).await;
    let text = answer(&mut mirror).await;
    let value: Value = serde_json::from_str(&text).unwrap();
    assert!(value["city"].as_str().is_some_and(|city| city.chars().count() <= 10), "{text}");
    assert!(value["large"].is_boolean() && value.as_object().is_some_and(|fields| fields.len() == 2), "{text}");
    set(json!({"format": {"kind": "free"}, "tokens_max": 8})).await;
    let text = answer(&mut mirror).await;
    assert!(serde_json::from_str::<Value>(&text).is_err() && !["yes", "no"].contains(&text.as_str()), "{text}");
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_format_with_a_fault_is_not_set_and_its_place_is_told() {
    let home = Home::new();
    let app = home.start().await;
    let format = json!({"kind": "json_schema", "source": "{\n  \"type\": }"});
    let chat: Chat = call(&app, "new_chat", json!({"kind": "chat"})).await;
    for (name, arguments) in [
        ("check_format", json!({"format": format})),
        ("set_setting", json!({"key": "parameters", "value": {"format": format}})),
        ("set_chat", json!({"chat": chat.id, "parameters": {"format": format}})),
    ] {
        let error = app.call(name, arguments).await.unwrap_err();
        assert_eq!(
            (error.code, error.values["line"].as_str(), error.values["column"].as_str()),
            (Code::FormatFault, "2", "11")
        );
    }
    call::<()>(&app, "check_format", json!({"format": {"kind": "lark", "source": "start: \"羊驼\""}})).await;
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_format_that_is_not_understood_is_refused_with_the_reason() {
    let home = Home::new();
    let app = home.start().await;
    for (format, reason) in [
        (Format::JsonSchema(json!({"type": "objekt"})), "objekt"),
        (Format::Lark("start: nothing".to_string()), "nothing"),
        (Format::Regex("(".to_string()), "regex"),
    ] {
        let error = hear(&app, asking(chat("Hello"), Some(format))).await.unwrap_err();
        assert_eq!(error.code, Code::FormatInvalid);
        assert!(error.values["reason"].contains(reason), "{error:?}");
    }
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_echo_tells_the_tokens_of_the_prompt() {
    let home = Home::new();
    let app = home.start().await;
    let text = "Alpacas live in the mountains.";
    let tokens = app.api_tokenize(&Source::default(), None, text.to_string(), true).await.unwrap();
    let asked = Asking { echo: true, logprobs: Some(2), count: 2, ..asking(Asked::Text(text.to_string()), None) };
    let heard = hear(&app, asked).await.unwrap();
    assert_eq!(heard.prompt.iter().map(|token| token.id).collect::<Vec<_>>(), tokens);
    let (first, rest) = heard.prompt.split_first().unwrap();
    assert!(first.logprob.is_nan() && first.top.is_empty());
    assert!(rest.iter().all(|token| token.logprob <= 0.0 && token.top.len() == 2 && token.top[0].1 >= token.logprob));
    let said: Vec<u8> = rest.iter().flat_map(|token| token.bytes.clone()).collect();
    assert_eq!(String::from_utf8(said).unwrap().trim_start(), text);
    app.shut_down().await;
}
