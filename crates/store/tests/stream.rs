//! The stream: one order for rows and words, nothing missing and nothing twice, for one process and for several.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashMap;
use std::time::Duration;

use common::{Folder, ask, body, ending, finish, new_chat, next, open, turn};
use huacaya_store::{
    Body, Change, Chat, ChatId, ChatKind, Key, Message, MessageId, MessageState, NewChat, Role, Store, Subscription,
};

/// What a window does with the stream.
#[derive(Default)]
struct Mirror {
    snapshots: usize,
    chats: HashMap<ChatId, Chat>,
    messages: HashMap<MessageId, Message>,
}

impl Mirror {
    fn apply(&mut self, change: Change) {
        match change {
            Change::Snapshot(snapshot) => {
                self.snapshots += 1;
                self.chats = snapshot.chats.into_iter().map(|chat| (chat.id, chat)).collect();
                self.messages.clear();
            }
            Change::Chat(chat) => {
                self.chats.insert(chat.id, chat);
            }
            Change::Message(message) => {
                self.messages.insert(message.id, message);
            }
            Change::Opened { chat, messages } => {
                self.messages.retain(|_, message| message.chat != chat);
                self.messages.extend(messages.into_iter().map(|message| (message.id, message)));
            }
            Change::Text { message, thought, piece } => {
                if let Some(Message { body: Some(body), .. }) = self.messages.get_mut(&message) {
                    if thought { &mut body.thought } else { &mut body.text }.push_str(&piece);
                }
            }
            Change::Removed(Key::Message(id)) => drop(self.messages.remove(&id)),
            Change::Removed(Key::Chat(id)) => drop(self.chats.remove(&id)),
            _ => {}
        }
    }

    /// Takes what there is until `done` says so.
    async fn follow(&mut self, stream: &mut Subscription, done: impl Fn(&Mirror) -> bool) {
        while !done(self) {
            next(stream).await.into_iter().for_each(|change| self.apply(change));
        }
    }

    fn body(&self, message: MessageId) -> &Body {
        self.messages[&message].body.as_ref().unwrap()
    }

    fn is_done(&self, message: MessageId) -> bool {
        self.messages.get(&message).is_some_and(|message| message.state == MessageState::Done)
    }
}

#[tokio::test]
async fn a_stream_begins_with_a_snapshot_and_then_tells_every_change_in_order() {
    let folder = Folder::new();
    let store = folder.open().await;
    let old = new_chat(&store).await;
    let mut stream = store.subscribe().await.unwrap();
    let chat = new_chat(&store).await;
    let begun = ask(&store, chat.id, None, "问").await;
    store.publish_reading(begun.answer, 1, 9);
    store.publish_reading(begun.answer, 9, 9);
    store.publish_text(begun.answer, true, "想");
    store.publish_text(begun.answer, false, "答");
    store.publish_text(begun.answer, false, "案");
    store.save_answer(begun.answer, 1, 5).await.unwrap();
    store.finish_answer(begun.answer, ending(MessageState::Done)).await.unwrap();
    store.set_setting("theme", "dark".into()).await.unwrap();
    let told: Vec<String> = next(&mut stream)
        .await
        .into_iter()
        .map(|change| match change {
            Change::Snapshot(snapshot) => format!("snapshot {:?}", snapshot.chats == [old.clone()]),
            Change::Chat(chat) => format!("chat {}", chat.leaf.map_or(0, |leaf| leaf.0)),
            Change::Message(message) => format!("{:?} {}", message.state, message.body.unwrap().text),
            Change::Text { thought, piece, .. } => format!("{thought} {piece}"),
            Change::Reading { done, total, .. } => format!("read {done}/{total}"),
            Change::Setting(setting) => setting.key,
            other => panic!("{other:?}"),
        })
        .collect();
    // The save is told to other processes only: this one knows the words. Pieces that follow one another are one.
    let expected = [
        "snapshot true",
        "chat 0",
        "Done 问",
        "Writing ",
        "chat 2",
        "read 9/9",
        "true 想",
        "false 答案",
        "Done 答案",
        "chat 2",
        "theme",
    ];
    assert_eq!(told, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_chat_opened_in_the_middle_of_an_answer_misses_no_piece_and_gets_none_twice() {
    let folder = Folder::new();
    let store = folder.open().await;
    let chat = new_chat(&store).await.id;
    let begun = ask(&store, chat, None, "数").await;
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            let mut written = String::new();
            for number in 0..3000 {
                let piece = format!("{number}，");
                store.publish_text(begun.answer, false, &piece);
                written.push_str(&piece);
                if number % 100 == 7 {
                    store.save_answer(begun.answer, 0, 0).await.unwrap();
                }
                if number % 16 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            store.finish_answer(begun.answer, ending(MessageState::Done)).await.unwrap();
            written
        })
    };
    let mut readers = Vec::new();
    for reader in 0..6 {
        let store = store.clone();
        readers.push(tokio::spawn(async move {
            let mut stream = store.subscribe().await.unwrap();
            let mut mirror = Mirror::default();
            for _ in 0..reader * 3 {
                // Opened again and again while it grows, as by reloads.
                store.open_chat(chat).await.unwrap();
                next(&mut stream).await.into_iter().for_each(|change| mirror.apply(change));
                let before = mirror.messages.get(&begun.answer).map(|message| message.state);
                if before == Some(MessageState::Writing) {
                    let text = &mirror.body(begun.answer).text;
                    let numbers: Vec<&str> = text.split_terminator('，').collect();
                    assert!(numbers.iter().enumerate().all(|(at, number)| at.to_string() == **number), "{text}");
                }
            }
            mirror.follow(&mut stream, |mirror| mirror.is_done(begun.answer)).await;
            mirror.messages.remove(&begun.answer).unwrap().body.unwrap().text
        }));
    }
    let written = writer.await.unwrap();
    for reader in readers {
        assert_eq!(reader.await.unwrap(), written);
    }
}

#[tokio::test]
async fn an_answer_that_grows_out_of_sight_has_its_words_when_it_is_shown() {
    let folder = Folder::new();
    let store = folder.open().await;
    let chat = new_chat(&store).await.id;
    let shown = turn(&store, chat, None, "问", "甲").await;
    let growing = common::answer_again(&store, chat, shown.question.unwrap()).await;
    store.publish_text(growing, false, "一");
    store.choose_leaf(chat, shown.answer).await.unwrap();
    let mut stream = store.subscribe().await.unwrap();
    store.open_chat(chat).await.unwrap();
    store.publish_text(growing, false, "二");
    let mut mirror = Mirror::default();
    mirror.follow(&mut stream, |mirror| mirror.messages.len() == 3).await;
    assert_eq!(mirror.body(growing).text, "一二");
}

#[tokio::test]
async fn a_reader_that_falls_behind_gets_a_snapshot_and_its_open_chat_again() {
    let folder = Folder::new();
    let store = folder.open().await;
    let chat = new_chat(&store).await.id;
    let begun = ask(&store, chat, None, "问").await;
    let mut stream = store.subscribe().await.unwrap();
    store.open_chat(chat).await.unwrap();
    let mut mirror = Mirror::default();
    mirror.follow(&mut stream, |mirror| mirror.messages.len() == 2).await;
    let big = "字".repeat(1 << 20);
    for piece in 0..8 {
        store.publish_text(begun.answer, piece % 2 == 0, &big);
    }
    store.publish_text(begun.answer, false, "完");
    mirror.follow(&mut stream, |mirror| mirror.snapshots == 2 && mirror.messages.len() == 2).await;
    assert_eq!(mirror.body(begun.answer).text.chars().count(), (4 << 20) + 1);
    store.publish_text(begun.answer, false, "了");
    mirror.follow(&mut stream, |mirror| mirror.body(begun.answer).text.ends_with("完了")).await;
}

#[tokio::test]
async fn deletion_and_undo_and_versions_reach_the_mirror() {
    let folder = Folder::new();
    let store = folder.open().await;
    let chat = new_chat(&store).await.id;
    let first = turn(&store, chat, None, "问", "甲").await;
    let second = common::answer_again(&store, chat, first.question.unwrap()).await;
    finish(&store, second, "乙").await;
    let mut stream = store.subscribe().await.unwrap();
    store.open_chat(chat).await.unwrap();
    let mut mirror = Mirror::default();
    mirror.follow(&mut stream, |mirror| mirror.messages.len() == 3).await;
    assert_eq!(mirror.messages[&first.answer].body, None);
    store.choose_leaf(chat, first.answer).await.unwrap();
    mirror.follow(&mut stream, |mirror| mirror.chats[&chat].leaf == Some(first.answer)).await;
    assert_eq!(mirror.body(first.answer).text, "甲");
    store.delete_message(first.answer).await.unwrap();
    mirror.follow(&mut stream, |mirror| mirror.chats[&chat].leaf == Some(second)).await;
    mirror.follow(&mut stream, |mirror| mirror.messages.len() == 2).await;
    store.restore_message(first.answer).await.unwrap();
    mirror.follow(&mut stream, |mirror| mirror.chats[&chat].leaf == Some(first.answer)).await;
    assert_eq!(mirror.messages.len(), 3);
    store.delete_chat(chat).await.unwrap();
    mirror.follow(&mut stream, |mirror| mirror.chats.is_empty()).await;
    store.close().await;
    assert!(stream.next().await.is_none_or(|changes| changes.len() < 5));
    assert_eq!(stream.next().await, None);
}

/// Numbers that only look random: a failure can be repeated.
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        ((self.0 >> 33) as usize) % bound
    }
}

#[tokio::test]
async fn whatever_is_done_to_a_tree_the_mirror_is_the_database_and_the_leaf_is_alive() {
    let folder = Folder::new();
    let store = folder.open().await;
    for seed in 1..5 {
        let mut draw = Draw(seed);
        let chat = new_chat(&store).await.id;
        let mut stream = store.subscribe().await.unwrap();
        store.open_chat(chat).await.unwrap();
        let mut mirror = Mirror::default();
        let mut deleted: Vec<MessageId> = Vec::new();
        for step in 0..120 {
            let rows = store.messages(chat).await.unwrap();
            let any = (!rows.is_empty()).then(|| rows[draw.below(rows.len())].clone());
            match (draw.below(7), any) {
                (0 | 1, any) => {
                    let parent = any.map(|row| row.id).filter(|_| step % 5 > 0);
                    turn(&store, chat, parent, &format!("问{step}"), &format!("答{step}")).await;
                }
                (2, Some(row)) => {
                    let answer = common::answer_again(&store, chat, row.id).await;
                    finish(&store, answer, &format!("再{step}")).await;
                }
                (3, Some(row)) => {
                    let leaf = store.choose_leaf(chat, row.id).await.unwrap();
                    assert!(store.path(leaf).await.unwrap().iter().any(|above| above.id == row.id));
                }
                (4, Some(row)) => {
                    store.delete_message(row.id).await.unwrap();
                    deleted.push(row.id);
                }
                (_, _) if !deleted.is_empty() => {
                    // May wait for another deletion's undo.
                    let at = draw.below(deleted.len());
                    if store.restore_message(deleted[at]).await.is_ok() {
                        deleted.swap_remove(at);
                    }
                }
                _ => {}
            }
            let marker = serde_json::json!(format!("{seed} {step}"));
            store.set_setting("marker", marker.clone()).await.unwrap();
            'told: loop {
                for change in next(&mut stream).await {
                    let is_marker = matches!(&change, Change::Setting(setting) if setting.value == marker);
                    mirror.apply(change);
                    if is_marker {
                        break 'told;
                    }
                }
            }
            let rows = store.messages(chat).await.unwrap();
            let leaf = store.chat(chat).await.unwrap().leaf;
            assert_eq!(mirror.chats[&chat].leaf, leaf);
            assert_eq!(leaf.is_none(), rows.is_empty(), "seed {seed}, step {step}");
            assert!(leaf.is_none_or(|leaf| rows.iter().any(|row| row.id == leaf)), "seed {seed}, step {step}");
            let mut told: Vec<MessageId> =
                mirror.messages.values().filter(|row| row.chat == chat).map(|row| row.id).collect();
            told.sort();
            assert_eq!(told, rows.iter().map(|row| row.id).collect::<Vec<_>>(), "seed {seed}, step {step}");
            for row in rows {
                let told = &mirror.messages[&row.id];
                assert_eq!(Message { body: None, ..told.clone() }, Message { body: None, ..row.clone() });
                assert!(told.body.is_none() || told.body == row.body);
            }
            if let Some(leaf) = leaf {
                assert!(store.path(leaf).await.unwrap().iter().all(|row| mirror.messages[&row.id].body == row.body));
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_processes_write_at_once_and_lose_nothing() {
    let folder = Folder::new();
    let here = folder.open().await;
    let there = open(&folder.path).await;
    let write = |store: Store| {
        tokio::spawn(async move {
            for number in 0..40 {
                let chat = new_chat(&store).await.id;
                turn(&store, chat, None, &format!("问{number}"), "答").await;
            }
        })
    };
    let mut streams = [here.subscribe().await.unwrap(), there.subscribe().await.unwrap()];
    let writers = [write(here.clone()), write(there.clone()), write(here.clone())];
    for writer in writers {
        writer.await.unwrap();
    }
    for stream in &mut streams {
        let mut mirror = Mirror::default();
        mirror.follow(stream, |mirror| mirror.chats.values().filter(|chat| chat.leaf.is_some()).count() == 120).await;
    }
}

/// Two stores in one folder are what two processes are: own lock, own connections, nothing shared in memory.
#[tokio::test]
async fn two_processes_see_each_others_rows_and_each_others_words_as_they_are_saved() {
    let folder = Folder::new();
    let here = folder.open().await;
    let there = open(&folder.path).await;
    assert_ne!(here.owner(), there.owner());
    let chat = new_chat(&here).await.id;
    let mut stream = there.subscribe().await.unwrap();
    let mut mirror = Mirror::default();
    mirror.follow(&mut stream, |mirror| mirror.chats.contains_key(&chat)).await;
    there.open_chat(chat).await.unwrap();
    let begun = ask(&here, chat, None, "问").await;
    mirror.follow(&mut stream, |mirror| mirror.messages.len() == 2).await;
    here.publish_text(begun.answer, false, "保存");
    here.save_answer(begun.answer, 0, 0).await.unwrap();
    here.publish_text(begun.answer, false, "未存");
    mirror.follow(&mut stream, |mirror| mirror.body(begun.answer).text == "保存").await;
    here.finish_answer(begun.answer, ending(MessageState::Done)).await.unwrap();
    mirror.follow(&mut stream, |mirror| mirror.is_done(begun.answer)).await;
    assert_eq!(mirror.body(begun.answer).text, "保存未存");
    // And the other way, a write into the same chat.
    there.update_chat(chat, |chat| chat.title = "改名".into()).await.unwrap();
    assert_eq!(here.chat(chat).await.unwrap().title, "改名");
}

#[tokio::test]
async fn a_process_that_was_asleep_for_very_long_takes_a_snapshot() {
    let folder = Folder::new();
    let here = folder.open().await;
    let there = open(&folder.path).await;
    let mut stream = there.subscribe().await.unwrap();
    let mut mirror = Mirror::default();
    mirror.follow(&mut stream, |mirror| mirror.snapshots == 1).await;
    // One transaction with more changes than are told one by one.
    let pattern = here.whole_chats(Some(&[new_chat(&here).await.id])).await.unwrap().remove(0);
    here.add_chats(vec![pattern; 2_500]).await.unwrap();
    mirror.follow(&mut stream, |mirror| mirror.snapshots == 2).await;
    assert_eq!(mirror.chats.len(), 2_501);
}

#[tokio::test]
async fn only_rows_of_processes_that_are_gone_are_recovered() {
    let folder = Folder::new();
    let living = folder.open().await;
    let gone = open(&folder.path).await;
    let chat = new_chat(&living).await.id;
    let mine = ask(&living, chat, None, "在写").await;
    let lost = ask(&gone, chat, None, "写不完").await;
    gone.publish_text(lost.answer, false, "存了");
    gone.save_answer(lost.answer, 0, 0).await.unwrap();
    let job = gone.add_job(serde_json::json!({"kind": "load"})).await.unwrap();
    // As a kill does it: the lock goes, nothing is written.
    drop(gone);
    tokio::time::sleep(Duration::from_millis(400)).await;
    let third = open(&folder.path).await;
    let lost = third.message(lost.answer).await.unwrap();
    assert_eq!((lost.state, lost.body.unwrap().text.as_str()), (MessageState::Interrupted, "存了"));
    assert_eq!(third.job(job.id).await.unwrap().state, huacaya_store::JobState::Interrupted);
    assert_eq!(third.message(mine.answer).await.unwrap().state, MessageState::Writing);
    finish(&living, mine.answer, "写完").await;
    assert_eq!(third.search("存了", 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn closing_in_order_gives_up_what_is_unfinished() {
    let folder = Folder::new();
    let store = folder.open().await;
    let chat =
        store.new_chat(NewChat { kind: ChatKind::Page, folder: None, persona: None, model: None }).await.unwrap();
    store.add_message(chat.id, None, Role::User, body("从前")).await.unwrap();
    let begun = ask(&store, chat.id, None, "从前").await;
    store.save_answer(begun.answer, 0, 0).await.unwrap();
    store.close().await;
    store.close().await;
    assert!(store.new_chat(NewChat { kind: ChatKind::Chat, folder: None, persona: None, model: None }).await.is_err());
    let store: Store = open(&folder.path).await;
    assert_eq!(store.message(begun.answer).await.unwrap().state, MessageState::Interrupted);
    assert_eq!(std::fs::read_dir(folder.path.join("owners")).unwrap().count(), 1);
}
