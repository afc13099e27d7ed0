//! Chats as Markdown: the path that is shown, to read and to print. Nothing reads it back.

use std::collections::HashMap;

use huacaya_store::{ChatKind, Message, MessageId, Role, WholeChat};

pub fn write(chats: &[WholeChat]) -> String {
    let pages: Vec<String> = chats.iter().map(write_chat).collect();
    pages.join("\n---\n\n")
}

fn write_chat(whole: &WholeChat) -> String {
    let chat = &whole.chat;
    let mut page = format!("# {}\n\n", chat.shown_title());
    if chat.kind == ChatKind::Page {
        let path = path(whole);
        page.extend(path.iter().filter_map(|message| message.body.as_ref()).map(|body| body.text.as_str()));
        page.push('\n');
        return page;
    }
    let system = chat.system.as_ref().or(whole.persona.as_ref().map(|persona| &persona.system));
    if let Some(system) = system.filter(|system| !system.is_empty()) {
        let quoted: Vec<String> = system.lines().map(|line| format!("> {line}").trim_end().to_string()).collect();
        page.push_str(&format!("{}\n\n", quoted.join("\n")));
    }
    for message in path(whole) {
        page.push_str(&format!("## {}\n\n", speaker(message, whole)));
        let Some(body) = &message.body else { continue };
        for attachment in &body.attachments {
            let fence = fence(&attachment.text);
            let name = attachment.name.replace(['`', '\n'], " ");
            page.push_str(&format!("{fence}text {name}\n{}\n{fence}\n\n", attachment.text.trim_end_matches('\n')));
        }
        page.push_str(body.text.trim());
        page.push_str("\n\n");
    }
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

/// Who speaks: the person, or the model by its name.
fn speaker<'a>(message: &'a Message, whole: &'a WholeChat) -> &'a str {
    match (message.role, &whole.persona, &message.made) {
        (Role::User, ..) => "User",
        (Role::Assistant, Some(persona), _) if !persona.name.is_empty() => &persona.name,
        (Role::Assistant, _, Some(made)) => &made.model_name,
        (Role::Assistant, ..) => "Assistant",
    }
}

/// From the root to the leaf. Parents have smaller places in the list than their children, so it ends.
fn path(whole: &WholeChat) -> Vec<&Message> {
    let by_id: HashMap<MessageId, &Message> = whole.messages.iter().map(|message| (message.id, message)).collect();
    let mut path: Vec<&Message> = Vec::new();
    let mut next = whole.chat.leaf;
    while let Some(message) = next.and_then(|id| by_id.get(&id)) {
        path.push(message);
        next = message.parent.filter(|_| path.len() <= whole.messages.len());
    }
    path.reverse();
    path
}

/// Longer than any run of backticks in the text.
fn fence(text: &str) -> String {
    let mut longest = 0;
    let mut run = 0;
    for c in text.chars() {
        run = if c == '`' { run + 1 } else { 0 };
        longest = longest.max(run);
    }
    "`".repeat(longest.max(2) + 1)
}
