//! ChatGPT's `conversations.json`: a list of conversations, each a map of nodes with parents.
//!
//! Nodes without words (the root, hidden system messages, calls of tools and what they returned) are stepped over:
//! what hangs on them hangs on the next one above that has words.

use std::collections::{HashMap, HashSet};

use huacaya_store::{
    Body, Chat, ChatId, ChatKind, Message, MessageId, MessageState, Parameters, Role, Time, WholeChat,
};
use serde_json::{Map, Value};

use crate::exchange::archive::first_words;
use crate::exchange::grown::{Node, grow};
use crate::exchange::loose::{Report, bounded, name, time};

const SECONDS: f64 = 1000.0;

/// Tools leave some tens of nodes without words in a row.
const STEPS_MAX: usize = 1_000;

pub fn read(items: &[Value], now_ms: Time, report: &mut Report) -> Vec<WholeChat> {
    let chats = items.iter().enumerate().filter_map(|(index, item)| read_conversation(index, item, now_ms, report));
    chats.collect()
}

fn read_conversation(index: usize, item: &Value, now_ms: Time, report: &mut Report) -> Option<WholeChat> {
    let title = name(item.get("title"));
    let part = if title.is_empty() { format!("#{}", index + 1) } else { title.clone() };
    let Some(mapping) = item.get("mapping").and_then(Value::as_object) else {
        report.skip(&part, "it is not a conversation of ChatGPT");
        return None;
    };
    let id = ChatId(index as i64 + 1);
    let created_ms = time(item.get("create_time"), SECONDS).unwrap_or(now_ms);
    let mut cut = 0;
    let mut worded: Vec<(&str, Message)> = Vec::new();
    for (key, node) in mapping {
        let mut is_cut = false;
        worded.extend(read_message(node, id, created_ms, &mut is_cut).map(|message| (key.as_str(), message)));
        cut += usize::from(is_cut);
    }
    if cut > 0 {
        report.skip(&part, &format!("{cut} messages are longer than is taken and were cut"));
    }
    let keys: HashSet<&str> = worded.iter().map(|(key, _)| *key).collect();
    let current = item.get("current_node").and_then(Value::as_str);
    let mut leaf = current.and_then(|key| match keys.contains(key) {
        true => Some(key.to_string()),
        false => worded_parent(mapping, &keys, key),
    });
    let node = |(key, message): (&str, Message)| Node {
        key: key.to_string(),
        parent: worded_parent(mapping, &keys, key),
        message,
    };
    let mut nodes: Vec<Node> = worded.into_iter().map(node).collect();
    join_turns(&mut nodes, &mut leaf);
    let grown = grow(nodes, id, &part, report);
    if grown.messages.is_empty() {
        report.skip(&part, "there are no words in it");
        return None;
    }
    let chat = Chat {
        id,
        kind: ChatKind::Chat,
        title,
        heading: first_words(&grown.messages),
        folder: None,
        pinned: false,
        persona: None,
        model: None,
        system: None,
        parameters: Parameters::default(),
        adapters: Vec::new(),
        leaf: leaf.and_then(|leaf| grown.ids.get(&leaf).copied()),
        created_ms,
        changed_ms: time(item.get("update_time"), SECONDS).unwrap_or(created_ms),
    };
    Some(WholeChat { chat, messages: grown.messages, persona: None })
}

fn parent_of<'a>(mapping: &'a Map<String, Value>, key: &str) -> Option<&'a str> {
    mapping.get(key)?.get("parent")?.as_str()
}

/// The next node above that has words. Where the way up leads nowhere (a missing node, a circle, a chain longer than
/// any real one) the last step is named, so that it is missed and told.
fn worded_parent(mapping: &Map<String, Value>, worded: &HashSet<&str>, key: &str) -> Option<String> {
    let mut above = parent_of(mapping, key)?;
    for _ in 0..STEPS_MAX {
        if worded.contains(above) || !mapping.contains_key(above) {
            break;
        }
        above = parent_of(mapping, above)?;
    }
    Some(above.to_string())
}

/// Whose words a node holds, if they are for the person to see.
fn speaker(node: &Value) -> Option<Role> {
    let message = node.get("message").filter(|message| message.is_object())?;
    let metadata = message.get("metadata");
    let is_hidden = metadata.and_then(|metadata| metadata.get("is_visually_hidden_from_conversation"));
    if is_hidden.and_then(Value::as_bool) == Some(true) {
        return None;
    }
    let to_all = message.get("recipient").and_then(Value::as_str).is_none_or(|recipient| recipient == "all");
    match message.get("author")?.get("role")?.as_str()? {
        "user" => Some(Role::User),
        "assistant" if to_all => Some(Role::Assistant),
        _ => None,
    }
}

fn words(node: &Value, cut: &mut bool) -> Body {
    let content = node.get("message").and_then(|message| message.get("content"));
    let field = |key: &str| content.and_then(|content| content.get(key));
    let list = |key: &str| field(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let mut body = Body::default();
    match field("content_type").and_then(Value::as_str) {
        Some("text" | "multimodal_text") | None => {
            let parts: Vec<&str> = list("parts")
                .iter()
                .filter_map(|part| part.as_str().or_else(|| part.get("text").and_then(Value::as_str)))
                .filter(|part| !part.is_empty())
                .collect();
            body.text = bounded(&parts.join("\n\n"), cut);
        }
        Some("code") => {
            let text = field("text").and_then(Value::as_str).unwrap_or_default();
            let language =
                field("language").and_then(Value::as_str).filter(|name| name.chars().all(char::is_alphanumeric));
            if !text.is_empty() {
                body.text = bounded(&format!("```{}\n{text}\n```", language.unwrap_or_default()), cut);
            }
        }
        Some("thoughts") => {
            let thoughts: Vec<&str> =
                list("thoughts").iter().filter_map(|thought| thought.get("content").and_then(Value::as_str)).collect();
            body.thought = bounded(&thoughts.join("\n\n"), cut);
        }
        Some(_) => {}
    }
    body
}

fn read_message(node: &Value, chat: ChatId, created_ms: Time, cut: &mut bool) -> Option<Message> {
    let role = speaker(node)?;
    let body = words(node, cut);
    if body.text.trim().is_empty() && body.thought.trim().is_empty() {
        return None;
    }
    let message = node.get("message")?;
    Some(Message {
        id: MessageId(0),
        chat,
        parent: None,
        role,
        state: MessageState::Done,
        error: None,
        made: None,
        stats: None,
        created_ms: time(message.get("create_time"), SECONDS).unwrap_or(created_ms),
        body: Some(body),
    })
}

/// An answer that was written in several nodes (thoughts, then words; words, a tool, more words) is one message.
fn join_turns(nodes: &mut Vec<Node>, leaf: &mut Option<String>) {
    let places: HashMap<String, usize> = nodes.iter().enumerate().map(|(at, node)| (node.key.clone(), at)).collect();
    let mut children: HashMap<usize, Vec<usize>> = HashMap::new();
    for (at, node) in nodes.iter().enumerate() {
        if let Some(parent) = node.parent.as_ref().and_then(|parent| places.get(parent)) {
            children.entry(*parent).or_default().push(at);
        }
    }
    let is_answer = |at: usize| nodes[at].message.role == Role::Assistant;
    // Each joint is a node that goes into its parent. Chains are walked from their heads, so no circle is entered.
    let only_child = |at: usize| children.get(&at).filter(|below| below.len() == 1).map(|below| below[0]);
    let tail_of = |at: usize| only_child(at).filter(|below| is_answer(at) && is_answer(*below));
    let tails: HashSet<usize> = (0..nodes.len()).filter_map(tail_of).collect();
    let chain = |head: usize| -> Vec<usize> { std::iter::successors(tail_of(head), |at| tail_of(*at)).collect() };
    let chains: Vec<(usize, Vec<usize>)> =
        (0..nodes.len()).filter(|at| !tails.contains(at)).map(|head| (head, chain(head))).collect();
    let mut joined: HashMap<String, String> = HashMap::new();
    let mut gone = HashSet::new();
    for (head, chain) in chains {
        for at in chain {
            let (tail, name) = (nodes[at].message.body.take().unwrap_or_default(), nodes[head].key.clone());
            joined.insert(nodes[at].key.clone(), name);
            gone.insert(nodes[at].key.clone());
            if let Some(body) = &mut nodes[head].message.body {
                append(&mut body.text, &tail.text);
                append(&mut body.thought, &tail.thought);
            }
        }
    }
    nodes.retain(|node| !gone.contains(&node.key));
    for node in nodes.iter_mut() {
        if let Some(head) = node.parent.as_ref().and_then(|parent| joined.get(parent)) {
            node.parent = Some(head.clone());
        }
    }
    if let Some(head) = leaf.as_ref().and_then(|leaf| joined.get(leaf)) {
        *leaf = Some(head.clone());
    }
}

fn append(text: &mut String, more: &str) {
    if !text.is_empty() && !more.is_empty() {
        text.push_str("\n\n");
    }
    text.push_str(more);
}
