//! What the store's tests share: a data folder whose name is hard on programs, and short ways to say common things.
#![allow(clippy::unwrap_used, dead_code)]

use std::path::{Path, PathBuf};

use huacaya_store::{
    Begun, Body, Change, Chat, ChatId, ChatKind, Ending, MessageId, MessageState, NewAnswer, NewChat, Store,
    Subscription,
};

pub struct Folder {
    _home: tempfile::TempDir,
    pub path: PathBuf,
}

impl Folder {
    pub fn new() -> Folder {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("张 庭 綱/　data");
        Folder { _home: home, path }
    }

    pub async fn open(&self) -> Store {
        open(&self.path).await
    }

    pub fn database(&self) -> PathBuf {
        self.path.join("huacaya.db")
    }
}

pub async fn open(path: &Path) -> Store {
    let opened = Store::open(path).await.unwrap();
    assert_eq!(opened.repaired, None);
    opened.store
}

pub async fn new_chat(store: &Store) -> Chat {
    store.new_chat(NewChat { kind: ChatKind::Chat, folder: None, persona: None, model: None }).await.unwrap()
}

pub fn body(text: &str) -> Body {
    Body { text: text.into(), ..Body::default() }
}

pub async fn ask(store: &Store, chat: ChatId, parent: Option<MessageId>, text: &str) -> Begun {
    let question = Some(body(text));
    store.begin_answer(NewAnswer { chat, parent, question, begin: String::new(), made: None }).await.unwrap()
}

pub async fn answer_again(store: &Store, chat: ChatId, parent: MessageId) -> MessageId {
    let new = NewAnswer { chat, parent: Some(parent), question: None, begin: String::new(), made: None };
    store.begin_answer(new).await.unwrap().answer
}

pub fn ending(state: MessageState) -> Ending {
    Ending { state, error: None, stats: None, body: None, thought_tokens: 0, thought_ms: 0 }
}

pub async fn finish(store: &Store, message: MessageId, text: &str) {
    store.publish_text(message, false, text);
    store.finish_answer(message, ending(MessageState::Done)).await.unwrap();
}

/// Question and finished answer; returns the answer.
pub async fn turn(store: &Store, chat: ChatId, parent: Option<MessageId>, question: &str, answer: &str) -> Begun {
    let begun = ask(store, chat, parent, question).await;
    finish(store, begun.answer, answer).await;
    begun
}

pub async fn texts(store: &Store, leaf: MessageId) -> Vec<String> {
    store.path(leaf).await.unwrap().into_iter().map(|message| message.body.unwrap().text).collect()
}

/// What has come so far; waits for at least one change, at most ten seconds.
pub async fn next(stream: &mut Subscription) -> Vec<Change> {
    tokio::time::timeout(std::time::Duration::from_secs(10), stream.next()).await.expect("no change came").unwrap()
}
