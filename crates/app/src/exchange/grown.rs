//! A tree of messages out of untrusted nodes: every parent before its children, no cycle, no node twice.

use std::collections::HashMap;

use huacaya_store::{ChatId, Message, MessageId};

use crate::exchange::loose::Report;

/// More than one chat can be shown with.
const MESSAGES_MAX: usize = 100_000;

/// A message as the file has it: `key` and `parent` are the file's own names.
pub struct Node {
    pub key: String,
    pub parent: Option<String>,
    pub message: Message,
}

/// The sound part of a tree.
pub struct Grown {
    pub messages: Vec<Message>,
    /// The id that each of the file's names got.
    pub ids: HashMap<String, MessageId>,
}

/// Gives new ids from 1 on, in the order of the file as far as parents allow. A message whose parent is missing begins
/// a version of its own; one that leads back to itself is left out.
pub fn grow(mut nodes: Vec<Node>, chat: ChatId, part: &str, report: &mut Report) -> Grown {
    if nodes.len() > MESSAGES_MAX {
        report.skip(part, &format!("it has {} messages; the first {MESSAGES_MAX} are taken", nodes.len()));
        nodes.truncate(MESSAGES_MAX);
    }
    let mut places: HashMap<String, usize> = HashMap::with_capacity(nodes.len());
    let mut twice = 0;
    for (index, node) in nodes.iter().enumerate() {
        if places.contains_key(&node.key) {
            twice += 1;
        } else {
            places.insert(node.key.clone(), index);
        }
    }
    let mut children: HashMap<usize, Vec<usize>> = HashMap::new();
    let mut waiting: Vec<usize> = Vec::new();
    let mut orphans = 0;
    for (index, node) in nodes.iter().enumerate().filter(|(index, node)| places.get(&node.key) == Some(index)) {
        match node.parent.as_ref().map(|parent| places.get(parent)) {
            Some(Some(parent)) => children.entry(*parent).or_default().push(index),
            Some(None) => {
                orphans += 1;
                waiting.push(index);
            }
            None => waiting.push(index),
        }
    }
    waiting.reverse();
    let mut order: Vec<usize> = Vec::with_capacity(nodes.len());
    while let Some(index) = waiting.pop() {
        order.push(index);
        waiting.extend(children.remove(&index).unwrap_or_default().into_iter().rev());
    }
    let circling = places.len() - order.len();
    let told = [
        (twice, "messages have an id that another has; the first of each is taken"),
        (orphans, "messages hang on one that is not there; each begins a version of its own"),
        (circling, "messages lead back to themselves and are left out"),
    ];
    for (count, reason) in told.iter().filter(|(count, _)| *count > 0) {
        report.skip(part, &format!("{count} {reason}"));
    }
    number(nodes, &order, chat)
}

fn number(nodes: Vec<Node>, order: &[usize], chat: ChatId) -> Grown {
    let mut nodes: Vec<Option<Node>> = nodes.into_iter().map(Some).collect();
    let mut grown = Grown { messages: Vec::with_capacity(order.len()), ids: HashMap::with_capacity(order.len()) };
    for index in order {
        let Some(node) = nodes[*index].take() else { continue };
        let id = MessageId(grown.messages.len() as i64 + 1);
        let parent = node.parent.and_then(|parent| grown.ids.get(&parent).copied());
        grown.messages.push(Message { id, chat, parent, ..node.message });
        grown.ids.insert(node.key, id);
    }
    grown
}
