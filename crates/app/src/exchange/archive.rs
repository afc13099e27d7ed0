//! Our own export: every chat with its whole tree, what made each answer, its figures, attachments and persona.
//!
//! `{"format": "huacaya-chats", "version": 1, "exported_ms": …, "chats": [{"chat": …, "messages": […], "persona": …}]}`

use huacaya_store::{
    Attachment, Body, Chat, ChatId, ChatKind, Example, Message, MessageId, MessageState, ModelId, Persona, PersonaId,
    Role, Time, WholeChat, heading_of,
};
use serde_json::{Map, Value, json};

use crate::error::Result;
use crate::exchange::grown::{Grown, Node, grow};
use crate::exchange::loose::{Report, broken, name, parameters, text, time};

const FORMAT: &str = "huacaya-chats";
/// Newer files are read as far as they are understood.
const VERSION: u64 = 1;

const ATTACHMENTS_MAX: usize = 32;
const EXAMPLES_MAX: usize = 100;

pub fn write(chats: &[WholeChat], exported_ms: Time) -> String {
    let chats: Vec<Value> = chats
        .iter()
        .map(|whole| json!({"chat": whole.chat, "messages": whole.messages, "persona": whole.persona}))
        .collect();
    let file = json!({"format": FORMAT, "version": VERSION, "exported_ms": exported_ms, "chats": chats});
    serde_json::to_string_pretty(&file).unwrap_or_default()
}

pub fn read(
    file: &str,
    fields: &Map<String, Value>,
    items: &[Value],
    now_ms: Time,
    report: &mut Report,
) -> Result<Vec<WholeChat>> {
    if fields.get("format").and_then(Value::as_str) != Some(FORMAT) {
        return Err(broken(file, "it is neither an export of Huacaya nor a list of ChatGPT's conversations"));
    }
    if fields.get("version").and_then(Value::as_u64).is_none_or(|version| version > VERSION) {
        report.skip("", "it was written by a newer version; what is understood comes in");
    }
    let chats = items.iter().enumerate().filter_map(|(index, item)| read_chat(index, item, now_ms, report));
    Ok(chats.collect())
}

fn read_chat(index: usize, item: &Value, now_ms: Time, report: &mut Report) -> Option<WholeChat> {
    let place = format!("#{}", index + 1);
    let Some(row) = item.get("chat").filter(|row| row.is_object()) else {
        report.skip(&place, "it is not a chat");
        return None;
    };
    let title = name(row.get("title"));
    let part = if title.is_empty() { place } else { title.clone() };
    let id = ChatId(index as i64 + 1);
    let created_ms = time(row.get("created_ms"), 1.0).unwrap_or(now_ms);
    let persona = read_persona(item.get("persona"));
    let mut cut = false;
    let nodes = read_nodes(item.get("messages"), id, created_ms, &part, report);
    let Grown { mut messages, ids } = grow(nodes, id, &part, report);
    for stats in messages.iter_mut().filter_map(|message| message.stats.as_mut()) {
        stats.memory_starts_at = stats.memory_starts_at.and_then(|old| ids.get(&old.0.to_string()).copied());
    }
    let heading = match name(row.get("heading")) {
        heading if heading.is_empty() => first_words(&messages),
        heading => heading,
    };
    let chat = Chat {
        id,
        kind: if row.get("kind").and_then(Value::as_str) == Some("page") { ChatKind::Page } else { ChatKind::Chat },
        title,
        heading,
        folder: None,
        pinned: row.get("pinned").and_then(Value::as_bool).unwrap_or(false),
        persona: persona.as_ref().map(|persona| persona.id),
        model: None,
        system: row.get("system").filter(|system| system.is_string()).map(|system| text(Some(system), &mut cut)),
        parameters: parameters(row.get("parameters")),
        adapters: Vec::new(),
        leaf: row.get("leaf").and_then(Value::as_i64).and_then(|leaf| ids.get(&leaf.to_string()).copied()),
        created_ms,
        changed_ms: time(row.get("changed_ms"), 1.0).unwrap_or(created_ms),
    };
    Some(WholeChat { chat, messages, persona })
}

pub fn first_words(messages: &[Message]) -> String {
    let first = messages.iter().find(|message| message.role == Role::User).and_then(|message| message.body.as_ref());
    first.map(|body| heading_of(&body.text)).unwrap_or_default()
}

fn read_nodes(list: Option<&Value>, chat: ChatId, created_ms: Time, part: &str, report: &mut Report) -> Vec<Node> {
    let Some(list) = list.and_then(Value::as_array) else {
        report.skip(part, "it has no list of messages");
        return Vec::new();
    };
    let mut nodes = Vec::with_capacity(list.len());
    let (mut unfit, mut cut) = (0, 0);
    for item in list {
        let mut is_cut = false;
        match read_node(item, chat, created_ms, &mut is_cut) {
            Some(node) => nodes.push(node),
            None => unfit += 1,
        }
        cut += usize::from(is_cut);
    }
    if unfit > 0 {
        report.skip(part, &format!("{unfit} messages have no id, role or body and are left out"));
    }
    if cut > 0 {
        report.skip(part, &format!("{cut} messages are longer than is taken and were cut"));
    }
    nodes
}

fn read_node(item: &Value, chat: ChatId, created_ms: Time, cut: &mut bool) -> Option<Node> {
    let key = item.get("id")?.as_i64()?.to_string();
    let role = match item.get("role")?.as_str()? {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        _ => return None,
    };
    let state = match item.get("state").and_then(Value::as_str) {
        Some("done") => MessageState::Done,
        Some("stopped") => MessageState::Stopped,
        Some("failed") => MessageState::Failed,
        _ => MessageState::Interrupted,
    };
    let body = item.get("body").filter(|body| body.is_object())?;
    let count = |key| body.get(key).and_then(Value::as_u64).unwrap_or(0).min(u32::MAX.into()) as u32;
    let attachments = body.get("attachments").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let read = |key| item.get(key).filter(|value| value.is_object()).cloned();
    let mut made: Option<huacaya_store::Made> = read("made").and_then(|made| serde_json::from_value(made).ok());
    if let Some(made) = &mut made {
        // The id is another machine's; the hash says which model it was.
        made.model = ModelId(0);
    }
    let message = Message {
        id: MessageId(0),
        chat,
        parent: None,
        role,
        state,
        error: read("error").and_then(|error| serde_json::from_value(error).ok()),
        made,
        stats: read("stats").and_then(|stats| serde_json::from_value(stats).ok()),
        created_ms: time(item.get("created_ms"), 1.0).unwrap_or(created_ms),
        body: Some(Body {
            text: text(body.get("text"), cut),
            thought: text(body.get("thought"), cut),
            thought_tokens: count("thought_tokens"),
            thought_ms: count("thought_ms"),
            attachments: attachments
                .iter()
                .take(ATTACHMENTS_MAX)
                .filter_map(|item| read_attachment(item, cut))
                .collect(),
        }),
    };
    let parent = item.get("parent").filter(|parent| !parent.is_null()).map(|parent| match parent.as_i64() {
        Some(parent) => parent.to_string(),
        None => "?".to_string(),
    });
    Some(Node { key, parent, message })
}

fn read_attachment(item: &Value, cut: &mut bool) -> Option<Attachment> {
    item.get("text")?.as_str()?;
    Some(Attachment {
        name: name(item.get("name")),
        encoding: name(item.get("encoding")),
        text: text(item.get("text"), cut),
        tokens: item.get("tokens").and_then(Value::as_u64).unwrap_or(0).min(u32::MAX.into()) as u32,
    })
}

fn read_persona(item: Option<&Value>) -> Option<Persona> {
    let item = item.filter(|item| item.is_object())?;
    let mut cut = false;
    let example = |item: &Value| -> Option<Example> {
        let (user, assistant) = (item.get("user")?.as_str()?, item.get("assistant")?.as_str()?);
        Some(Example { user: user.to_string(), assistant: assistant.to_string() })
    };
    let examples = item.get("examples").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    Some(Persona {
        id: PersonaId(item.get("id").and_then(Value::as_i64).unwrap_or(0)),
        name: name(item.get("name")),
        system: text(item.get("system"), &mut cut),
        parameters: parameters(item.get("parameters")),
        greeting: text(item.get("greeting"), &mut cut),
        examples: examples.iter().take(EXAMPLES_MAX).filter_map(example).collect(),
    })
}
