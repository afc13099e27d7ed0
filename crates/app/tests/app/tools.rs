//! Programs that offer tools: by a random model whose template takes them, so that only the grammar makes it call.

use huacaya_app::{
    App, Code,
    serving::{Asked, Asking, Piece, Reason, Said, ToolChoice},
};
use serde_json::{Value, json};

use crate::{
    home::{Home, import},
    serving::{asking, greedy, question, said},
    tiny,
};

/// In the shape of Hermes and Qwen.
const TEMPLATE: &str = "{% if tools %}{% for tool in tools %}{{ tool | tojson }}\n{% endfor %}<tool_call>{% endif %}\
    {% for m in messages %}{{ m.role }}: {{ m.content }}{% for call in m.tool_calls %}<tool_call>\
    {{ call.function | tojson }}</tool_call>{% endfor %}{{ m.name }}\n{% endfor %}{{ style }}assistant: ";

fn tool(name: &str) -> Value {
    let parameters = json!({"type": "object", "properties": {"day": {"type": "integer", "minimum": 1, "maximum": 9}},
        "required": ["day"], "additionalProperties": false});
    json!({"type": "function", "function": {"name": name, "parameters": parameters}})
}

async fn start(home: &Home, name: &str, template: &str) -> (App, Asking) {
    let app = home.start().await;
    let file = home.outside().join(name);
    tiny::write_with_template(&file, template);
    let model = Some(import(&app, &file, false).await.0.to_string());
    let base =
        Asking { model, tools: vec![tool("weather"), tool("time")], ..asking(question("几点了"), greedy(200)) };
    (app, base)
}

/// Text, calls by name with their arguments, and why it ended.
async fn heard(app: &App, asking: Asking) -> (String, Vec<(String, Value)>, Reason) {
    let mut answers = app.ask(asking).await.unwrap();
    let (mut text, mut calls, mut ids) = (String::new(), Vec::new(), Vec::new());
    while let Some(piece) = answers.next().await {
        match piece.unwrap() {
            Piece::Text { text: more, .. } => text += &more,
            Piece::Call { id, name, arguments, .. } => {
                assert!(id.len() == 9 && !ids.contains(&id));
                ids.push(id);
                calls.push((name, serde_json::from_str(&arguments).unwrap()));
            }
            Piece::Finished { reason, .. } => return (text, calls, reason),
            _ => {}
        }
    }
    panic!("an answer without an end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_required_call_is_one_of_a_tool_that_was_offered_in_every_familys_form() {
    let home = Home::new();
    for (at, template) in [
        TEMPLATE.to_string(),
        TEMPLATE.replace("<tool_call>", "[TOOL_CALLS]").replace("</tool_call>", ""),
        TEMPLATE.replace("<tool_call>", "[TOOL_CALLS]").replace("</tool_call>", "[ARGS]"),
        TEMPLATE.replace("<tool_call>", "").replace("</tool_call>", ""),
    ]
    .iter()
    .enumerate()
    {
        let (app, base) = start(&home, &format!("tools-{at}.gguf"), template).await;
        let one = Asking { tool_choice: ToolChoice::Required, several_calls: false, ..base.clone() };
        let (text, calls, reason) = heard(&app, one).await;
        assert_eq!((text.as_str(), calls.len(), reason), ("", 1, Reason::ToolCalls), "{template}");
        let choice = ToolChoice::Named("time".into());
        let (_, calls, _) = heard(&app, Asking { tool_choice: choice, ..base.clone() }).await;
        assert!(!calls.is_empty(), "{template}");
        for (name, arguments) in &calls {
            assert!(name == "time" && (1..=9).contains(&arguments["day"].as_i64().unwrap()), "{arguments}");
        }
        app.shut_down().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_model_that_calls_nothing_answers_as_ever() {
    let home = Home::new();
    let (app, base) = start(&home, "tools.gguf", TEMPLATE).await;
    let free = Asking { tools: Vec::new(), ..base.clone() };
    let never = Asking { tool_choice: ToolChoice::Never, ..base.clone() };
    assert_eq!(heard(&app, never).await, heard(&app, free).await);
    let auto = Asking { logprobs: Some(0), ..base.clone() };
    let mut answers = app.ask(auto.clone()).await.unwrap();
    let (mut tokens, mut bytes, mut text) = (0, Vec::new(), String::new());
    while let Some(piece) = answers.next().await {
        if let Piece::Text { text: more, token, .. } = piece.unwrap() {
            tokens += usize::from(token.is_some());
            bytes.extend(token.into_iter().flat_map(|token| token.bytes));
            text += &more;
        }
    }
    assert_eq!(tokens, 200, "every token is told of, whatever is held back");
    assert_eq!(String::from_utf8_lossy(&bytes).trim(), text.trim());
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_tools_answered_and_values_for_the_template_are_read() {
    let home = Home::new();
    let (app, base) = start(&home, "tools.gguf", TEMPLATE).await;
    let call = json!({"id": "a1", "type": "function", "function": {"name": "time", "arguments": "{\"day\":3}"}});
    let talk = vec![
        said("user", "几点了"),
        Said { calls: vec![call], ..said("assistant", "") },
        Said { call_id: Some("a1".into()), ..said("tool", "九点") },
    ];
    let told = Asking { prompt: Asked::Chat(talk), ..base.clone() };
    let counts = [
        app.api_count_prompt(&Asking { tools: Vec::new(), ..base.clone() }).await.unwrap(),
        app.api_count_prompt(&base).await.unwrap(),
        app.api_count_prompt(&told).await.unwrap(),
    ];
    assert!(counts[0] < counts[1] && counts[1] < counts[2], "{counts:?}");
    // The answer of the tool is known by its call: seven letters more than of a call that is not known.
    let Asked::Chat(mut talk) = told.prompt.clone() else { panic!() };
    talk[2].call_id = Some("b2".into());
    let unknown = app.api_count_prompt(&Asking { prompt: Asked::Chat(talk), ..base.clone() }).await.unwrap();
    assert_eq!(counts[2] - unknown, "time".len());
    let style =
        |value: Value| Asking { template: [("style".to_string(), value)].into_iter().collect(), ..base.clone() };
    assert_eq!(
        app.api_count_prompt(&style(json!("简短"))).await.unwrap() - counts[1],
        6,
        "by bytes in this vocabulary"
    );
    let odd = Asking { template: [("odd".to_string(), json!(1))].into_iter().collect(), ..base.clone() };
    assert_eq!(app.api_count_prompt(&odd).await.unwrap(), counts[1]);
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_template_without_tools_says_so() {
    let home = Home::new();
    let (app, base) = start(&home, "plain.gguf", "{% for m in messages %}{{ m.content }}{% endfor %}").await;
    let error = app.ask(base.clone()).await.err().unwrap();
    assert_eq!((error.code, error.values["model"].is_empty()), (Code::ToolsUnsupported, false));
    let never = Asking { tool_choice: ToolChoice::Never, ..base.clone() };
    assert!(app.ask(never).await.is_ok());
    let unknown = Asking { tool_choice: ToolChoice::Named("fire".into()), ..base };
    assert_eq!(app.ask(unknown).await.err().unwrap().code, Code::ToolsInvalid);
    app.shut_down().await;
}
