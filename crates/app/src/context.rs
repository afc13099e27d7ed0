//! The context meter: how the model's memory would be used if a message were sent now.

use huacaya_store::{Attachment, Body, ChatId, ChatKind, MessageId, Parameters};
use serde::Serialize;
use ts_rs::TS;

use crate::{
    App, blocking,
    chats::bounded,
    error::{Code, Result},
    prompt::{Asked, Settled, Turns, with_attachments},
    talking::TEXT_CHARACTERS_MAX,
};

/// In tokens. `system + history + draft + reserve` is at most `total` unless `over` is above 0.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct ContextUse {
    pub system: u32,
    /// What of the history will be sent.
    pub history: u32,
    /// The text and its attachments.
    pub draft: u32,
    /// Set aside for the reply.
    pub reserve: u32,
    pub total: u32,
    /// By how much even the newest message alone does not fit.
    pub over: u32,
    /// The oldest message that the model will see; absent: all of them.
    pub memory_starts_at: Option<MessageId>,
    /// Counted by the model's tokenizer; else estimated, because the model has not been opened yet.
    pub exact: bool,
}

impl App {
    pub(crate) async fn context(
        &self,
        chat: Option<ChatId>,
        text: String,
        attachments: Vec<Attachment>,
    ) -> Result<ContextUse> {
        bounded(&text, TEXT_CHARACTERS_MAX)?;
        let chat = match chat {
            Some(chat) => Some(self.inner.store.chat(chat).await?),
            None => None,
        };
        let settled = self.settle(chat.as_ref(), None, &Parameters::default()).await?;
        let made_for = self.inner.store.model(settled.model).await?.context_tokens;
        let draft = Body { text, attachments, ..Body::default() };
        let leaf = chat.as_ref().and_then(|chat| chat.leaf);
        let page = chat.as_ref().is_some_and(|chat| chat.kind == ChatKind::Page);
        let turns = match page {
            true => Turns::default(),
            false => Turns::new(&settled.examples, &self.path(leaf).await?),
        };
        let app = self.clone();
        blocking(move || app.measure(&settled, made_for, page, turns, &draft)).await
    }

    fn measure(&self, settled: &Settled, made_for: u32, page: bool, turns: Turns, draft: &Body) -> Result<ContextUse> {
        let loaded = self.inner.place.of(settled.model);
        let context = loaded.as_ref().map_or(made_for as usize, |loaded| loaded.model.context());
        let reserve = settled.reserve(context);
        let count = |text: &str| self.count(settled, text).0;
        let system = if page { 0 } else { count(&settled.system) };
        let words = count(&with_attachments(draft));
        let mut used = ContextUse {
            system: system as u32,
            history: 0,
            draft: words as u32,
            reserve: reserve as u32,
            total: context as u32,
            over: 0,
            memory_starts_at: None,
            exact: loaded.is_some(),
        };
        let Some(loaded) = loaded else {
            let history: usize = turns.turns.iter().map(|turn| count(&turn.text)).sum();
            let room = context.saturating_sub(system + words + reserve);
            used.history = history.min(room) as u32;
            used.over = (system + words + reserve).saturating_sub(context) as u32;
            return Ok(used);
        };
        let asked = match page {
            true => Asked::Page(draft.text.clone()),
            false => {
                let mut turns = turns;
                if !draft.text.is_empty() || !draft.attachments.is_empty() || turns.turns.is_empty() {
                    turns.ask(draft, None);
                }
                Asked::Chat { turns, begin: String::new(), begin_thought: String::new() }
            }
        };
        match settled.cut(&loaded.model, &asked) {
            Ok(cut) => {
                // The template's own marks count as history.
                used.history = (cut.tokens as usize).saturating_sub(system + words) as u32;
                used.memory_starts_at = cut.memory_starts_at;
            }
            Err(error) if error.code == Code::PromptTooLong => {
                used.over = error.values.get("over").and_then(|over| over.parse().ok()).unwrap_or_default();
            }
            // A base model in a chat: there is no prompt, only words.
            Err(error) if error.code == Code::ModelIsBase => {}
            Err(error) => return Err(error),
        }
        Ok(used)
    }
}
