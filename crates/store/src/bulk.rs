//! Whole chats in and out: what export reads and import writes.

use std::collections::HashMap;

use crate::change::require_chat;
use crate::error::Attempt;
use crate::store::Write;
use crate::{
    Chat, ChatId, Key, Message, MessageId, MessageState, Persona, PersonaId, Result, Store, chat, message, persona,
    search, tree,
};

/// A chat with everything that belongs to it. On the way in, ids only say who belongs to whom: rows get new ones.
#[derive(Clone, Debug, PartialEq)]
pub struct WholeChat {
    pub chat: Chat,
    /// Parents before children.
    pub messages: Vec<Message>,
    pub persona: Option<Persona>,
}

impl Store {
    /// `None`: all, oldest first.
    pub async fn whole_chats(&self, chats: Option<&[ChatId]>) -> Result<Vec<WholeChat>> {
        let attempt = "read the chats";
        let mut tx = self.read(attempt).await?;
        let chats = match chats {
            Some(ids) => {
                let mut chats = Vec::with_capacity(ids.len());
                for id in ids {
                    chats.push(require_chat(&mut tx, *id).await?);
                }
                chats
            }
            None => {
                let mut chats = chat::load_all(&mut tx).await.attempt(attempt)?;
                chats.sort_by_key(|chat| (chat.created_ms, chat.id));
                chats
            }
        };
        let mut whole = Vec::with_capacity(chats.len());
        for chat in chats {
            let mut messages = message::load_tree(&mut tx, chat.id, true).await.attempt(attempt)?;
            self.put_in_words(&mut messages);
            let persona = match chat.persona {
                Some(id) => persona::load(&mut tx, id).await.attempt(attempt)?,
                None => None,
            };
            whole.push(WholeChat { chat, messages, persona });
        }
        Ok(whole)
    }

    /// Adds chats in one transaction. A persona equal to one that is there is taken for it. Messages whose parent is
    /// not before them are left out; one that was being written comes in as interrupted.
    pub async fn add_chats(&self, chats: Vec<WholeChat>) -> Result<Vec<ChatId>> {
        let mut write = self.write("import the chats").await?;
        let attempt = write.attempt;
        let mut personas = persona::load_all(write.conn()).await.attempt(attempt)?;
        let mut added = Vec::with_capacity(chats.len());
        for whole in chats {
            let persona = match whole.persona {
                Some(persona) => Some(same_or_new(&mut write, &mut personas, persona).await?),
                None => None,
            };
            let chat = Chat { persona, folder: None, model: None, adapters: Vec::new(), ..whole.chat };
            let id = chat::insert(write.conn(), &chat).await.attempt(attempt)?;
            let leaf = add_messages(&mut write, id, whole.messages, chat.leaf).await?;
            tree::set_leaf(write.conn(), id, leaf).await.attempt(attempt)?;
            write.note(Key::Chat(id));
            added.push(id);
        }
        write.commit().await?;
        Ok(added)
    }
}

/// Returns the chosen leaf's new id, else that of the last message.
async fn add_messages(
    write: &mut Write,
    chat: ChatId,
    messages: Vec<Message>,
    leaf: Option<MessageId>,
) -> Result<Option<MessageId>> {
    let attempt = write.attempt;
    let mut ids: HashMap<MessageId, MessageId> = HashMap::with_capacity(messages.len());
    let mut newest = None;
    for mut message in messages {
        let parent = match message.parent {
            None => None,
            Some(parent) => match ids.get(&parent) {
                Some(parent) => Some(*parent),
                None => continue,
            },
        };
        if message.state == MessageState::Writing {
            message.state = MessageState::Interrupted;
        }
        (message.chat, message.parent) = (chat, parent);
        if let Some(stats) = &mut message.stats {
            stats.memory_starts_at = stats.memory_starts_at.and_then(|old| ids.get(&old).copied());
        }
        let id = message::insert(write.conn(), &message, None).await.attempt(attempt)?;
        let text = message.body.map(|body| body.text).unwrap_or_default();
        search::index_message(write.conn(), id, &text).await.attempt(attempt)?;
        ids.insert(message.id, id);
        newest = Some(id);
    }
    Ok(leaf.and_then(|leaf| ids.get(&leaf).copied()).or(newest))
}

async fn same_or_new(write: &mut Write, personas: &mut Vec<Persona>, persona: Persona) -> Result<PersonaId> {
    let attempt = write.attempt;
    let is_same = |other: &&Persona| **other == Persona { id: other.id, ..persona.clone() };
    if let Some(same) = personas.iter().find(is_same) {
        return Ok(same.id);
    }
    let id = persona::insert(write.conn(), &persona).await.attempt(attempt)?;
    write.note(Key::Persona(id));
    personas.push(Persona { id, ..persona });
    Ok(id)
}
