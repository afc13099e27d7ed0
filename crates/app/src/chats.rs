//! Chats and folders: made, named, moved, branched, opened.

use huacaya_store::{
    Body, Chat, ChatId, ChatKind, Folder, FolderId, Found, MessageId, ModelId, Parameters, PersonaId, Role,
};

use crate::{
    App,
    error::{Code, Error, Result},
    parameters,
};

pub use huacaya_store::NewChat;

/// Titles and names are one line in a narrow list.
const NAME_CHARACTERS_MAX: usize = 200;
/// A system prompt longer than this fits into no context.
const SYSTEM_CHARACTERS_MAX: usize = 1 << 20;

/// Longer than anyone types into a search field.
const QUERY_CHARACTERS_MAX: usize = 1_000;
/// More than a person looks through.
const FOUND_MAX: u32 = 500;

/// What a chat answers with.
pub struct ChatEdit {
    pub persona: Option<PersonaId>,
    pub model: Option<ModelId>,
    pub system: Option<String>,
    pub parameters: Parameters,
}

impl App {
    pub(crate) async fn new_chat(&self, mut new: NewChat) -> Result<Chat> {
        if new.persona.is_none() && new.kind == ChatKind::Chat {
            new.persona = self.persona_of_model(new.model).await?;
        }
        let chat = self.inner.store.new_chat(new).await?;
        self.greet(&chat).await?;
        Ok(self.inner.store.chat(chat.id).await?)
    }

    /// The persona that new chats with a model (absent: the default one) take.
    async fn persona_of_model(&self, model: Option<ModelId>) -> Result<Option<PersonaId>> {
        let model = model.or(self.default_model().await.ok());
        let models = self.inner.store.models().await?;
        Ok(models.into_iter().find(|row| Some(row.id) == model).and_then(|row| row.persona))
    }

    pub(crate) async fn rename_chat(&self, chat: ChatId, title: String) -> Result<()> {
        let title = one_line(&title)?;
        self.inner.store.update_chat(chat, |row| row.title = title).await?;
        Ok(())
    }

    pub(crate) async fn pin_chat(&self, chat: ChatId, pinned: bool) -> Result<()> {
        self.inner.store.update_chat(chat, |row| row.pinned = pinned).await?;
        Ok(())
    }

    pub(crate) async fn move_chat(&self, chat: ChatId, folder: Option<FolderId>) -> Result<()> {
        self.inner.store.update_chat(chat, |row| row.folder = folder).await?;
        Ok(())
    }

    pub(crate) async fn delete_chat(&self, chat: ChatId) -> Result<()> {
        self.stop_answers_of(chat).await;
        Ok(self.inner.store.delete_chat(chat).await?)
    }

    pub(crate) async fn restore_chat(&self, chat: ChatId) -> Result<()> {
        self.inner.store.restore_chat(chat).await?;
        Ok(())
    }

    pub(crate) async fn set_chat(&self, chat: ChatId, edit: ChatEdit) -> Result<()> {
        parameters::check(&edit.parameters)?;
        bounded(edit.system.as_deref().unwrap_or_default(), SYSTEM_CHARACTERS_MAX)?;
        let before = self.inner.store.chat(chat).await?;
        let ChatEdit { persona, model, system, parameters } = edit;
        let change = move |row: &mut Chat| {
            (row.persona, row.model, row.system, row.parameters) = (persona, model, system, parameters);
        };
        let after = self.inner.store.update_chat(chat, change).await?;
        if before.persona != after.persona {
            self.greet(&after).await?;
        }
        Ok(())
    }

    /// The persona's greeting is the first message of a chat in which nothing was said yet.
    async fn greet(&self, chat: &Chat) -> Result<()> {
        if chat.kind != ChatKind::Chat {
            return Ok(());
        }
        let store = &self.inner.store;
        if let Some(leaf) = chat.leaf {
            // Only the greeting of the persona before: a root that nobody answered.
            let said = store.messages(chat.id).await?;
            let [only] = said.as_slice() else { return Ok(()) };
            if only.role != Role::Assistant || only.made.is_some() {
                return Ok(());
            }
            store.delete_message(leaf).await?;
        }
        let Some(persona) = chat.persona else { return Ok(()) };
        let persona = store.persona(persona).await?;
        if !persona.greeting.trim().is_empty() {
            let body = Body { text: persona.greeting, ..Body::default() };
            store.add_message(chat.id, None, Role::Assistant, body).await?;
        }
        Ok(())
    }

    pub(crate) async fn branch_chat(&self, message: MessageId) -> Result<Chat> {
        Ok(self.inner.store.copy_path(message).await?)
    }

    pub(crate) async fn open_chat(&self, chat: ChatId) -> Result<()> {
        Ok(self.inner.store.open_chat(chat).await?)
    }

    pub(crate) async fn close_chat(&self, chat: ChatId) -> Result<()> {
        self.inner.store.close_chat(chat);
        Ok(())
    }

    pub(crate) async fn read_messages(&self, messages: Vec<MessageId>) -> Result<()> {
        Ok(self.inner.store.read_messages(&messages).await?)
    }

    pub(crate) async fn search(&self, text: &str, limit: u32) -> Result<Vec<Found>> {
        bounded(text, QUERY_CHARACTERS_MAX)?;
        Ok(self.inner.store.search(text, limit.min(FOUND_MAX)).await?)
    }

    pub(crate) async fn new_folder(&self, name: String) -> Result<Folder> {
        Ok(self.inner.store.new_folder(&one_line(&name)?).await?)
    }

    pub(crate) async fn set_folder(&self, folder: FolderId, name: String, open: bool) -> Result<()> {
        let name = one_line(&name)?;
        self.inner.store.update_folder(folder, |row| (row.name, row.open) = (name, open)).await?;
        Ok(())
    }

    pub(crate) async fn delete_folder(&self, folder: FolderId) -> Result<()> {
        Ok(self.inner.store.delete_folder(folder).await?)
    }
}

/// A name as it is kept: trimmed, its white space single spaces.
pub(crate) fn one_line(name: &str) -> Result<String> {
    bounded(name, SYSTEM_CHARACTERS_MAX)?;
    let line = name.split_whitespace().collect::<Vec<_>>().join(" ");
    bounded(&line, NAME_CHARACTERS_MAX)?;
    Ok(line)
}

/// Refuses a text of more than `most` characters.
pub(crate) fn bounded(text: &str, most: usize) -> Result<()> {
    let length = text.chars().count();
    if length > most {
        let detail = format!("a text has {length} characters, {most} at most are taken");
        return Err(Error::new(Code::TextTooLong, detail).with("length", length).with("most", most));
    }
    Ok(())
}
