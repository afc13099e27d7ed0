//! Talking: a message goes out, an answer streams in.

use huacaya_store::{
    Attachment, Body, Chat, ChatId, ChatKind, Draft, Made, Message, MessageId, MessageState, Model, ModelId, NewAnswer,
    NewChat, Parameters, Role,
};
use serde::Serialize;
use ts_rs::TS;

use crate::{
    App,
    answer::Plan,
    attachments,
    chats::bounded,
    error::{Code, Error, Result},
    parameters,
    prompt::{Asked, Settled, Turns},
};

/// A pasted book; what is longer fits into no context.
pub(crate) const TEXT_CHARACTERS_MAX: usize = 4 << 20;

/// A message to be sent.
pub struct Sending {
    /// Absent: a new chat is made.
    pub chat: Option<ChatId>,
    /// Absent: the chat's leaf.
    pub parent: Option<MessageId>,
    pub text: String,
    pub attachments: Vec<Attachment>,
    /// The words that the reply begins with.
    pub begin: String,
}

/// The rows that sending made.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct Sent {
    pub chat: ChatId,
    pub user: MessageId,
    pub answer: MessageId,
}

impl App {
    pub(crate) async fn send_message(&self, sending: Sending) -> Result<Sent> {
        let Sending { chat: id, parent, text, attachments, begin } = sending;
        let body = self.question(text, attachments, &begin)?;
        let store = &self.inner.store;
        let chat = match id {
            Some(chat) => Some(store.chat(chat).await?),
            None => None,
        };
        let settled = self.settle(chat.as_ref(), None, &Parameters::default()).await?;
        settled.check_kind(ChatKind::Chat)?;
        let parent = parent.or(chat.as_ref().and_then(|chat| chat.leaf));
        let path = self.path(parent).await?;
        if path.last().is_some_and(|last| last.state == MessageState::Writing) {
            return Err(already_writing());
        }
        let body = self.fitting(&settled, body).await?;
        let chat = match chat {
            Some(chat) => chat,
            None => {
                let new = NewChat { kind: ChatKind::Chat, folder: None, persona: None, model: None };
                self.new_chat(new).await?
            }
        };
        let mut turns = Turns::new(&settled.examples, &path);
        turns.ask(&body, None);
        let new = NewAnswer { chat: chat.id, parent, question: Some(body), begin: begin.clone(), made: None };
        let begun = store.begin_answer(new).await?;
        store.save_draft(&Draft { chat: id, text: String::new(), attachments: Vec::new() }).await?;
        let asked = Asked::Chat { turns, begin, begin_thought: String::new() };
        self.answer(begun.answer, chat.id, settled, asked);
        let user = begun.question.ok_or_else(|| Error::internal("a question without a row"))?;
        Ok(Sent { chat: chat.id, user, answer: begun.answer })
    }

    pub(crate) async fn regenerate(
        &self,
        message: MessageId,
        model: Option<ModelId>,
        parameters: Option<Parameters>,
        begin: String,
    ) -> Result<MessageId> {
        let once = parameters.unwrap_or_default();
        parameters::check(&once)?;
        bounded(&begin, TEXT_CHARACTERS_MAX)?;
        let (chat, row) = self.chat_of(message).await?;
        // A question whose answers are all gone is answered anew.
        let parent = if row.role == Role::User { Some(message) } else { row.parent };
        let Some(parent) = parent else { return Err(not_an_answer()) };
        let settled = self.settle(Some(&chat), model, &once).await?;
        settled.check_kind(chat.kind)?;
        let asked = match chat.kind {
            ChatKind::Page => Asked::Page(self.inner.store.path_text(parent).await?),
            ChatKind::Chat => {
                let turns = Turns::new(&settled.examples, &self.path(Some(parent)).await?);
                Asked::Chat { turns, begin: begin.clone(), begin_thought: String::new() }
            }
        };
        let new = NewAnswer { chat: chat.id, parent: Some(parent), question: None, begin, made: None };
        let answer = self.inner.store.begin_answer(new).await?.answer;
        self.answer(answer, chat.id, settled, asked);
        Ok(answer)
    }

    pub(crate) async fn run_again(&self, message: MessageId) -> Result<MessageId> {
        let (chat, row) = self.chat_of(message).await?;
        let cannot = |reason: &str| {
            Error::new(Code::CannotRunAgain, format!("cannot run again exactly: {reason}")).with("reason", reason)
        };
        let (Some(made), Some(parent)) = (row.made, row.parent) else { return Err(not_an_answer()) };
        let model = self.model_that_made(&made).await?;
        let mut settled = self.settle(Some(&chat), Some(model), &made.parameters).await.map_err(|error| {
            if error.code == Code::Gone { cannot("the model is no longer in the list") } else { error }
        })?;
        settled.system = made.system.clone();
        let asked = match chat.kind {
            ChatKind::Page => Asked::Page(self.inner.store.path_text(parent).await?),
            ChatKind::Chat => {
                let turns = Turns::new(&settled.examples, &self.path(Some(parent)).await?);
                Asked::Chat { turns, begin: made.begin.clone(), begin_thought: String::new() }
            }
        };
        let begin = made.begin.clone();
        let new = NewAnswer { chat: chat.id, parent: Some(parent), question: None, begin, made: Some(made.clone()) };
        let answer = self.inner.store.begin_answer(new).await?.answer;
        self.write_answer(answer, Plan { chat: chat.id, settled, asked, again: Some(made), before: None });
        Ok(answer)
    }

    pub(crate) async fn continue_message(&self, message: MessageId) -> Result<()> {
        let (chat, row) = self.chat_of(message).await?;
        if row.role != Role::Assistant {
            return Err(not_an_answer());
        }
        if row.state == MessageState::Writing {
            return Err(already_writing());
        }
        let settled = self.settle_as_made(&chat, &row).await?;
        settled.check_kind(chat.kind)?;
        let before =
            row.stats.clone().zip(row.body.as_ref()).map(|(stats, body)| (stats, body.thought_tokens, body.thought_ms));
        let path = self.path(row.parent).await?;
        let asked = match chat.kind {
            ChatKind::Page => {
                let body = self.inner.store.resume_answer(message).await?;
                let above = match row.parent {
                    Some(parent) => self.inner.store.path_text(parent).await?,
                    None => String::new(),
                };
                Asked::Page(above + &body.text)
            }
            ChatKind::Chat => {
                let body = self.inner.store.resume_answer(message).await?;
                Asked::Chat {
                    turns: Turns::new(&settled.examples, &path),
                    begin: body.text,
                    begin_thought: body.thought,
                }
            }
        };
        let mut settled = settled;
        parameters::draw_seed(&mut settled.parameters);
        self.write_answer(message, Plan { chat: chat.id, settled, asked, again: None, before });
        Ok(())
    }

    /// The model that made an answer: by its id, or where that is gone (a chat that was taken in from a file never had
    /// one) by its hash.
    async fn model_that_made(&self, made: &Made) -> Result<ModelId> {
        let models = self.inner.store.models().await?;
        let same = |model: &&Model| made.model_sha256.is_some() && model.sha256 == made.model_sha256;
        if models.iter().any(|model| model.id == made.model) {
            return Ok(made.model);
        }
        Ok(models.iter().find(same).map_or(made.model, |model| model.id))
    }

    /// What made a message, where that is known and its model is still there; else what the chat says now.
    async fn settle_as_made(&self, chat: &Chat, row: &Message) -> Result<Settled> {
        if let Some(made) = &row.made {
            let mut once = made.parameters.clone();
            once.context = None;
            let model = self.model_that_made(made).await?;
            match self.settle(Some(chat), Some(model), &once).await {
                Ok(mut settled) => {
                    settled.system = made.system.clone();
                    return Ok(settled);
                }
                Err(error) if error.code == Code::Gone => {}
                Err(error) => return Err(error),
            }
        }
        self.settle(Some(chat), None, &Parameters::default()).await
    }

    pub(crate) async fn stop_message(&self, message: MessageId) -> Result<()> {
        if self.stop_answer(message).await {
            return Ok(());
        }
        let row = self.inner.store.message(message).await?;
        if row.state == MessageState::Writing {
            let reason = "another Huacaya writes this answer";
            return Err(Error::new(Code::Unfit, format!("{reason}; stop it there")).with("reason", reason));
        }
        Ok(())
    }

    pub(crate) async fn edit_message(
        &self,
        message: MessageId,
        text: String,
        attachments: Vec<Attachment>,
        answer: bool,
    ) -> Result<MessageId> {
        let (chat, row) = self.chat_of(message).await?;
        let store = &self.inner.store;
        if row.role == Role::Assistant {
            bounded(&text, TEXT_CHARACTERS_MAX)?;
            let body = Body { text, ..row.body.unwrap_or_default() };
            return Ok(store.add_message(chat.id, row.parent, Role::Assistant, body).await?);
        }
        let body = self.question(text, attachments, "")?;
        if !answer || chat.kind == ChatKind::Page {
            return Ok(store.add_message(chat.id, row.parent, Role::User, body).await?);
        }
        let settled = self.settle(Some(&chat), None, &Parameters::default()).await?;
        settled.check_kind(chat.kind)?;
        let body = self.fitting(&settled, body).await?;
        let mut turns = Turns::new(&settled.examples, &self.path(row.parent).await?);
        turns.ask(&body, None);
        let begin = String::new();
        let new = NewAnswer { chat: chat.id, parent: row.parent, question: Some(body), begin, made: None };
        let begun = store.begin_answer(new).await?;
        let asked = Asked::Chat { turns, begin: String::new(), begin_thought: String::new() };
        self.answer(begun.answer, chat.id, settled, asked);
        begun.question.ok_or_else(|| Error::internal("a question without a row"))
    }

    pub(crate) async fn choose_leaf(&self, chat: ChatId, message: MessageId) -> Result<()> {
        self.inner.store.choose_leaf(chat, message).await?;
        Ok(())
    }

    pub(crate) async fn delete_message(&self, message: MessageId) -> Result<()> {
        let (chat, _) = self.chat_of(message).await?;
        for answer in self.inner.answers.of(chat.id) {
            if self.path(Some(answer)).await?.iter().any(|above| above.id == message) {
                self.stop_answer(answer).await;
            }
        }
        Ok(self.inner.store.delete_message(message).await?)
    }

    pub(crate) async fn restore_message(&self, message: MessageId) -> Result<()> {
        Ok(self.inner.store.restore_message(message).await?)
    }

    pub(crate) async fn save_draft(
        &self,
        chat: Option<ChatId>,
        text: String,
        attachments: Vec<Attachment>,
    ) -> Result<()> {
        bounded(&text, TEXT_CHARACTERS_MAX)?;
        Ok(self.inner.store.save_draft(&Draft { chat, text, attachments }).await?)
    }

    /// Has an answer written whose row is there.
    pub(crate) fn answer(&self, message: MessageId, chat: ChatId, mut settled: Settled, asked: Asked) {
        parameters::draw_seed(&mut settled.parameters);
        self.write_answer(message, Plan { chat, settled, asked, again: None, before: None });
    }

    /// A message with the chat that it belongs to.
    pub(crate) async fn chat_of(&self, message: MessageId) -> Result<(Chat, Message)> {
        let row = self.inner.store.message(message).await?;
        Ok((self.inner.store.chat(row.chat).await?, row))
    }

    /// From the root to this message.
    pub(crate) async fn path(&self, leaf: Option<MessageId>) -> Result<Vec<Message>> {
        let Some(leaf) = leaf else { return Ok(Vec::new()) };
        Ok(self.inner.store.path(leaf).await?)
    }

    /// The person's message, within bounds and not empty.
    fn question(&self, text: String, attachments: Vec<Attachment>, begin: &str) -> Result<Body> {
        bounded(&text, TEXT_CHARACTERS_MAX)?;
        bounded(begin, TEXT_CHARACTERS_MAX)?;
        attachments::check(&attachments)?;
        if text.trim().is_empty() && attachments.is_empty() {
            return Err(Error::new(Code::MessageEmpty, "there is nothing to send"));
        }
        Ok(Body { text, attachments, ..Body::default() })
    }
}

fn not_an_answer() -> Error {
    Error::new(Code::NotAnAnswer, "this is done with answers of a model only")
}

fn already_writing() -> Error {
    Error::new(Code::AlreadyWriting, "this answer is still being written")
}
