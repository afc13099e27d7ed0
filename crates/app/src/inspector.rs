//! The prompt made visible: rendered, token by token.

use huacaya_engine::{
    Model,
    template::{Prompt, Turn},
    tokenizer::Kind,
};
use huacaya_store::{Body, ChatId, ChatKind, Parameters};
use serde::Serialize;
use ts_rs::TS;

use crate::{
    App, blocking,
    chats::bounded,
    error::{Error, Result},
    prompt::{Asked, Settled, Turns},
    talking::TEXT_CHARACTERS_MAX,
};

/// The prompt as the model would see it.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct Inspection {
    /// The template's name, and where it came from.
    pub template: String,
    pub source: String,
    pub text: String,
    pub tokens: Vec<InspectedToken>,
    /// What ends an answer: stop tokens and texts.
    pub stops: Vec<String>,
    /// Of the person's and the model's own words, without the template's marks.
    pub tokens_per_100_characters: f32,
}

#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct InspectedToken {
    pub id: u32,
    pub text: String,
    /// A control token, which no typed text can become.
    pub special: bool,
}

impl App {
    pub(crate) async fn inspect_prompt(&self, chat: Option<ChatId>, text: String) -> Result<Inspection> {
        bounded(&text, TEXT_CHARACTERS_MAX)?;
        let chat = match chat {
            Some(chat) => Some(self.inner.store.chat(chat).await?),
            None => None,
        };
        let settled = self.settle(chat.as_ref(), None, &Parameters::default()).await?;
        let leaf = chat.as_ref().and_then(|chat| chat.leaf);
        let page = chat.as_ref().is_some_and(|chat| chat.kind == ChatKind::Page);
        let asked = match (page, leaf) {
            (true, Some(leaf)) if text.is_empty() => Asked::Page(self.inner.store.path_text(leaf).await?),
            (true, _) => Asked::Page(text),
            (false, _) => {
                let mut turns = Turns::new(&settled.examples, &self.path(leaf).await?);
                if !text.is_empty() {
                    turns.ask(&Body { text, ..Body::default() }, None);
                }
                Asked::Chat { turns, begin: String::new(), begin_thought: String::new() }
            }
        };
        let lease = self.lease(settled.model, settled.parameters.context).await?;
        blocking(move || inspect(&lease.model, &settled, &asked)).await
    }
}

fn inspect(model: &Model, settled: &Settled, asked: &Asked) -> Result<Inspection> {
    let cut = settled.cut(model, asked)?;
    let rendered = model.render(&cut.prompt).map_err(|error| Error::of_model(&settled.model_name, error))?;
    let tokenizer = model.tokenizer();
    let token = |id: &u32| InspectedToken {
        id: *id,
        text: tokenizer.display(*id),
        special: matches!(tokenizer.kind(*id), Kind::Control),
    };
    let ends = rendered.ends.iter().map(|id| tokenizer.display(*id));
    let own_stops = settled.parameters.stop.iter().flatten().cloned();
    let (template, source) = match &cut.prompt {
        Prompt::Chat(_) => (model.template().name(), model.template().source().name()),
        Prompt::Raw(_) | Prompt::Tokens(_) => ("", "none"),
    };
    Ok(Inspection {
        template: template.to_string(),
        source: source.to_string(),
        tokens: rendered.tokens.iter().map(token).collect(),
        stops: ends.chain(rendered.stops.iter().cloned()).chain(own_stops).collect(),
        tokens_per_100_characters: density(model, &cut.prompt),
        text: rendered.text,
    })
}

fn density(model: &Model, prompt: &Prompt) -> f32 {
    let words: Vec<&str> = match prompt {
        Prompt::Chat(chat) => chat.turns.iter().map(|Turn { text, .. }| text.as_str()).collect(),
        Prompt::Raw(text) => vec![text],
        Prompt::Tokens(_) => Vec::new(),
    };
    let characters: usize = words.iter().map(|text| text.chars().count()).sum();
    let tokens: usize = words.iter().map(|text| model.tokenize(text).len()).sum();
    tokens as f32 * 100.0 / characters.max(1) as f32
}
