//! Killed at any point, the next start has every message that was sent and all but the unsaved end of the answer.

#![cfg(unix)]
#![allow(clippy::unwrap_used)]

mod common;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Folder, ask, ending, open};
use huacaya_store::{JobState, MessageId, MessageState, Role};

const FOLDER: &str = "HUACAYA_TRIAL_FOLDER";
const TRIALS: u64 = 12;

/// The words of piece n: a text says by itself whether something is missing.
fn piece(number: usize) -> String {
    format!("第{number}段。")
}

fn told(line: std::fmt::Arguments<'_>) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "told {line}").unwrap();
    out.flush().unwrap();
}

/// Not a test by itself: the process that is killed. It says what is on the disk, after it is there.
#[tokio::test]
async fn the_process_that_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let store = open(Path::new(&folder)).await;
    let chat = match store.snapshot().await.unwrap().chats.first() {
        Some(chat) => chat.id,
        None => common::new_chat(&store).await.id,
    };
    store.add_job(serde_json::json!({"kind": "load"})).await.unwrap();
    store.take_job().await.unwrap();
    let mut parent = store.chat(chat).await.unwrap().leaf;
    loop {
        let begun = ask(&store, chat, parent, "请讲").await;
        told(format_args!("sent {} {}", begun.question.unwrap().0, begun.answer.0));
        for number in 0..40 {
            store.publish_text(begun.answer, false, &piece(number));
            if number % 4 == 3 {
                store.save_answer(begun.answer, 0, 0).await.unwrap();
                told(format_args!("saved {} {}", begun.answer.0, number + 1));
            }
        }
        store.finish_answer(begun.answer, ending(MessageState::Done)).await.unwrap();
        told(format_args!("finished {} 40", begun.answer.0));
        parent = Some(begun.answer);
    }
}

#[tokio::test]
async fn no_message_is_lost_and_no_more_of_an_answer_than_was_unsaved() {
    let folder = Folder::new();
    let mut questions: Vec<i64> = Vec::new();
    let mut answers: Vec<(i64, usize, bool)> = Vec::new();
    for trial in 0..TRIALS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "the_process_that_is_killed", "--nocapture"])
            .env(FOLDER, &folder.path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut heard = Vec::new();
        // The first message is sent before the clock runs: a slow machine must not make the trial empty.
        for line in lines.by_ref().map(Result::unwrap) {
            let is_first = line.contains("told sent");
            heard.push(line);
            if is_first {
                break;
            }
        }
        std::thread::sleep(Duration::from_millis(trial * 37 % 211));
        child.kill().unwrap();
        child.wait().unwrap();
        heard.extend(lines.map(Result::unwrap));
        for line in heard {
            let Some((_, told)) = line.split_once("told ") else { continue };
            let words: Vec<&str> = told.split(' ').collect();
            let number: Vec<i64> = words[1..].iter().map(|word| word.parse().unwrap()).collect();
            match words[0] {
                "sent" => {
                    questions.push(number[0]);
                    answers.push((number[1], 0, false));
                }
                _ => *answers.last_mut().unwrap() = (number[0], number[1] as usize, words[0] == "finished"),
            }
        }

        let store = open(&folder.path).await;
        for question in &questions {
            let message = store.message(MessageId(*question)).await.unwrap();
            assert_eq!((message.role, message.body.unwrap().text.as_str()), (Role::User, "请讲"));
        }
        let pieces: Vec<String> = (0..40).map(piece).collect();
        for (answer, saved, finished) in &answers {
            let message = store.message(MessageId(*answer)).await.unwrap();
            let text = message.body.unwrap().text;
            let least = pieces[..*saved].concat();
            assert!(text.starts_with(&least) && pieces.concat().starts_with(&text), "{saved} saved, found {text}");
            assert_ne!(message.state, MessageState::Writing);
            if *finished {
                assert_eq!(message.state, MessageState::Done);
            }
        }
        let jobs = store.snapshot().await.unwrap().jobs;
        assert_eq!(jobs.len() as u64, trial + 1);
        assert!(jobs.iter().all(|job| job.state == JobState::Interrupted), "{jobs:?}");
        store.close().await;
    }
    let unfinished = answers.iter().filter(|answer| !answer.2).count();
    println!("{} messages sent, {unfinished} answers cut off, in {TRIALS} kills", questions.len());
    assert!(unfinished >= 1);
}
