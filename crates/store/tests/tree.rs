//! The tree of messages: versions, the path that is shown, deletion and undo, copies.

#![allow(clippy::unwrap_used)]

mod common;

use common::{Folder, answer_again, ask, body, ending, finish, new_chat, texts, turn};
use huacaya_store::{ChatId, Error, MessageId, MessageState, Role, Store};

async fn leaf(store: &Store, chat: ChatId) -> Option<MessageId> {
    store.chat(chat).await.unwrap().leaf
}

#[tokio::test]
async fn a_version_that_is_chosen_again_shows_what_was_chosen_below_it() {
    let folder = Folder::new();
    let store = folder.open().await;
    let chat = new_chat(&store).await.id;
    let first = turn(&store, chat, None, "一", "甲").await;
    let question = first.question.unwrap();
    let old = turn(&store, chat, Some(first.answer), "二", "旧").await;
    let older_branch = turn(&store, chat, Some(first.answer), "二改", "改").await;
    assert_eq!(leaf(&store, chat).await, Some(older_branch.answer));
    assert_eq!(store.choose_leaf(chat, old.question.unwrap()).await.unwrap(), old.answer);
    let second = answer_again(&store, chat, question).await;
    finish(&store, second, "乙").await;
    assert_eq!(texts(&store, second).await, ["一", "乙"]);
    let siblings: Vec<MessageId> =
        store.siblings(second).await.unwrap().into_iter().map(|message| message.id).collect();
    assert_eq!(siblings, [first.answer, second]);
    // Back to the first version: the branch that was chosen below it, not the newest.
    assert_eq!(store.choose_leaf(chat, first.answer).await.unwrap(), old.answer);
    assert_eq!(texts(&store, old.answer).await, ["一", "甲", "二", "旧"]);
    assert_eq!(leaf(&store, chat).await, Some(old.answer));
    assert_eq!(store.path_text(old.answer).await.unwrap(), "一甲二旧");
}

#[tokio::test]
async fn deleting_moves_the_leaf_to_the_version_beside_it_else_up_and_undo_puts_it_back() {
    let folder = Folder::new();
    let store = folder.open().await;
    let chat = new_chat(&store).await.id;
    let first = turn(&store, chat, None, "一", "甲").await;
    let below = turn(&store, chat, Some(first.answer), "二", "丙").await;
    let second = answer_again(&store, chat, first.question.unwrap()).await;
    finish(&store, second, "乙").await;

    store.delete_message(second).await.unwrap();
    assert_eq!(leaf(&store, chat).await, Some(below.answer));
    store.delete_message(first.answer).await.unwrap();
    assert_eq!(leaf(&store, chat).await, first.question);
    assert_eq!(store.messages(chat).await.unwrap().len(), 1);
    store.delete_message(first.question.unwrap()).await.unwrap();
    assert_eq!(leaf(&store, chat).await, None);
    // What hangs on a deleted message waits for it.
    assert!(matches!(store.restore_message(first.answer).await, Err(Error::Missing(_))));

    store.restore_message(first.question.unwrap()).await.unwrap();
    assert_eq!(leaf(&store, chat).await, first.question);
    store.restore_message(first.answer).await.unwrap();
    assert_eq!(leaf(&store, chat).await, Some(below.answer));
    store.restore_message(second).await.unwrap();
    assert_eq!(leaf(&store, chat).await, Some(second));
    assert_eq!(store.messages(chat).await.unwrap().len(), 5);
    assert!(matches!(store.restore_message(second).await, Err(Error::Missing(_))));
}

#[tokio::test]
async fn a_copied_path_is_a_chat_of_its_own() {
    let folder = Folder::new();
    let store = folder.open().await;
    let chat = new_chat(&store).await.id;
    let first = turn(&store, chat, None, "一", "甲").await;
    let writing = ask(&store, chat, Some(first.answer), "二").await;
    store.publish_text(writing.answer, false, "写到一半");
    let copy = store.copy_path(writing.answer).await.unwrap();
    assert_ne!(copy.id, chat);
    assert_eq!(copy.heading, "一");
    let rows = store.path(copy.leaf.unwrap()).await.unwrap();
    assert_eq!(rows.last().unwrap().state, MessageState::Interrupted);
    assert_eq!(texts(&store, copy.leaf.unwrap()).await, ["一", "甲", "二", "写到一半"]);
    finish(&store, writing.answer, "了").await;
    assert_eq!(texts(&store, copy.leaf.unwrap()).await.last().unwrap(), "写到一半");
    assert_eq!(texts(&store, writing.answer).await.last().unwrap(), "写到一半了");
}

#[tokio::test]
async fn an_answer_is_continued_in_its_place() {
    let folder = Folder::new();
    let store = folder.open().await;
    let chat = new_chat(&store).await.id;
    let begun = ask(&store, chat, None, "讲").await;
    store.publish_text(begun.answer, true, "想");
    store.publish_text(begun.answer, false, "从前");
    store.finish_answer(begun.answer, ending(MessageState::Stopped)).await.unwrap();
    store.publish_text(begun.answer, false, "太迟");
    assert!(matches!(store.save_answer(begun.answer, 0, 0).await, Err(Error::Unfit { .. })));
    let so_far = store.resume_answer(begun.answer).await.unwrap();
    assert_eq!((so_far.text.as_str(), so_far.thought.as_str()), ("从前", "想"));
    assert!(matches!(store.resume_answer(begun.answer).await, Err(Error::Unfit { .. })));
    finish(&store, begun.answer, "有只羊驼").await;
    let message = store.message(begun.answer).await.unwrap();
    assert_eq!((message.state, message.body.unwrap().text.as_str()), (MessageState::Done, "从前有只羊驼"));
    assert!(matches!(store.resume_answer(begun.question.unwrap()).await, Err(Error::Unfit { .. })));
}

#[tokio::test]
async fn a_message_of_another_chat_is_no_parent() {
    let folder = Folder::new();
    let store = folder.open().await;
    let here = new_chat(&store).await.id;
    let there = new_chat(&store).await.id;
    let begun = turn(&store, there, None, "一", "甲").await;
    let misplaced = store.add_message(here, Some(begun.answer), Role::User, body("二")).await;
    assert!(matches!(misplaced, Err(Error::Unfit { .. })), "{misplaced:?}");
    assert!(matches!(store.choose_leaf(here, begun.answer).await, Err(Error::Unfit { .. })));
    assert!(matches!(store.path(MessageId(99)).await, Err(Error::Missing(_))));
}

#[tokio::test]
async fn a_chat_of_5000_turns_deep_is_walked_cut_and_put_back() {
    let folder = Folder::new();
    let store = folder.open().await;
    let chat = new_chat(&store).await;
    let top = store.add_message(chat.id, None, Role::User, body("顶")).await.unwrap();
    let mut whole = store.whole_chats(Some(&[chat.id])).await.unwrap().remove(0);
    let pattern = whole.messages[0].clone();
    for id in top.0 + 1..top.0 + 5000 {
        let mut row = pattern.clone();
        (row.id, row.parent, row.role) = (MessageId(id), Some(MessageId(id - 1)), Role::Assistant);
        whole.messages.push(row);
    }
    whole.chat.leaf = None;
    let copy = store.add_chats(vec![whole]).await.unwrap()[0];
    let end = leaf(&store, copy).await.unwrap();
    assert_eq!(store.path(end).await.unwrap().len(), 5000);
    let root = store.path(end).await.unwrap()[0].id;
    store.delete_message(root).await.unwrap();
    assert_eq!(store.messages(copy).await.unwrap(), []);
    store.restore_message(root).await.unwrap();
    assert_eq!(store.messages(copy).await.unwrap().len(), 5000);
    assert_eq!(store.choose_leaf(copy, root).await.unwrap(), end);
}
