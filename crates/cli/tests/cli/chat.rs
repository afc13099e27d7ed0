//! `chat`: from a script, on a terminal, and as the window sees it.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Output, Stdio},
};

use huacaya_app::{App, Change, Places, rows::MessageState};
use serde_json::Value;

use crate::{demo, run};

fn chat(home: &Path, arguments: &[&str], lines: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_huacaya-cli"));
    run(command.env("HUACAYA_HOME", home).arg("chat").args(arguments), lines)
}

fn cli(home: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_huacaya-cli"));
    let output = run(command.env("HUACAYA_HOME", home).args(arguments), "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Each line of `--json`.
fn answers(output: &Output) -> Vec<Value> {
    said(output).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn lines_are_answered_one_after_the_other_and_kept_as_one_chat() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let lines = "/parameters temperature 0\n/parameters tokens_max 12\n你好\nWhat is \\\nan alpaca?\n/regenerate\n/edit 数到三\n";
    let output = chat(home, &["--json", "--quiet"], lines);
    let answers = answers(&output);
    assert_eq!(answers.len(), 4);
    assert!(
        answers.iter().all(|answer| answer["chat"] == answers[0]["chat"] && answer["state"] == "done"),
        "{answers:?}"
    );
    // The same question at temperature 0 has the same answer.
    assert_eq!(answers[1]["text"], answers[2]["text"]);
    let number = answers[0]["chat"].to_string();
    let kept = cli(home, &["chats", "export", &number]);
    assert!(
        kept.contains("你好") && kept.contains("数到三") && !kept.contains("alpaca"),
        "the path that is shown: {kept}"
    );
    let whole = cli(home, &["chats", "export", &number, "--format", "json"]);
    assert!(whole.contains(r"What is \nan alpaca?"), "{whole}");
    // It goes on where it was, with the values that were set for it.
    let more = chat(home, &["--chat", &number, "--json", "--quiet"], "再见\n");
    assert_eq!(self::answers(&more)[0]["chat"].to_string(), number);
    let listed: Value = serde_json::from_str(&cli(home, &["chats", "list", "--json"])).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["parameters"]["tokens_max"], 12);
}

#[test]
fn orders_tell_change_and_save_and_what_is_wrong_is_said_and_ends_nothing() {
    let home = tempfile::tempdir().unwrap();
    let home = home.path();
    let copy = home.join("my copy.gguf");
    fs::copy(demo(), &copy).unwrap();
    let file = home.join("saved.md");
    let lines = format!(
        "/dance\n/parameters tokens_max 4\n/parameters top_k many\n/system You are 华.\n/system\n/load 99\n你好\n/save {}\n\
         /clear\n/system default\n/system\n/chats\n/parameters\n/model\n/exit\nnever said\n",
        file.display()
    );
    let output = chat(home, &[copy.to_str().unwrap(), "--quiet"], &lines);
    let (out, error) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1), "{error}");
    for wrong in ["/dance is not known", "top_k", "no chat \"99\""] {
        assert!(error.contains(wrong), "{wrong}: {error}");
    }
    assert!(out.contains("You are 华.\n") && out.contains("You are a helpful assistant."), "{out}");
    assert!(out.contains("tokens_max           4\n"), "what was set goes over into the next chat: {out}");
    assert!(out.contains("  你好\n"), "the list of chats: {out}");
    let models: Vec<&str> = out.lines().filter(|line| line.contains("Huacaya Demo") || line.contains("copy")).collect();
    assert!(models.len() == 2 && models.iter().filter(|line| line.starts_with('*')).count() == 1, "{models:?}");
    let saved = fs::read_to_string(file).unwrap();
    assert!(saved.contains("你好") && !saved.contains("never said"), "{saved}");
    assert_eq!(chat(home, &["gpt-9"], "").status.code(), Some(3));
}

#[cfg(unix)]
#[test]
fn a_chat_that_waits_for_a_line_ends_when_it_is_told_to() {
    use std::io::{BufRead, BufReader};
    let home = tempfile::tempdir().unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_huacaya-cli"))
        .env("HUACAYA_HOME", home.path())
        .args(["chat", "--quiet"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = child.stdin.take().unwrap();
    lines.write_all(b"/help\n").unwrap();
    // Kept to the end: what is written to nobody ends the program too.
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(said.next().is_some());
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop((lines, said));
}

#[test]
fn the_window_sees_the_words_while_they_are_written() {
    let home = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let app = App::open(Places::at(home.path()).unwrap()).await.unwrap();
        let mut changes = app.subscribe();
        changes.next().await.unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_huacaya-cli"))
            .env("HUACAYA_HOME", home.path())
            .args(["chat", "--json", "--quiet"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.as_mut().unwrap().write_all("/parameters tokens_max 4\n你好\n".as_bytes()).unwrap();
        let mut states = Vec::new();
        while states.last() != Some(&MessageState::Done) {
            let wait = std::time::Duration::from_secs(60);
            for change in tokio::time::timeout(wait, changes.next()).await.unwrap().unwrap() {
                match change {
                    // Another program's chat, opened as the window does.
                    Change::Chat(chat) => {
                        app.call("open_chat", serde_json::json!({"chat": chat.id})).await.unwrap();
                    }
                    Change::Message(row) if row.made.is_some() => states.push(row.state),
                    Change::Opened { messages, .. } => {
                        states.extend(messages.iter().filter(|row| row.made.is_some()).map(|row| row.state));
                    }
                    _ => {}
                }
            }
        }
        // The end of its input has not come: it still waits for the next line.
        assert_eq!(child.try_wait().unwrap(), None);
        drop(child.stdin.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success() && !output.stdout.is_empty());
        app.shut_down().await;
    });
}

#[cfg(unix)]
mod terminal {
    //! A person at a terminal.

    use std::{
        fs::{self, File},
        io::{Read, Write},
        os::unix::fs::PermissionsExt,
        path::Path,
        process::{Child, Command},
        sync::mpsc::{Receiver, channel},
        time::{Duration, Instant},
    };

    struct Terminal {
        keys: File,
        screen: Receiver<Vec<u8>>,
        /// All of it, and how much of that was waited for.
        shown: String,
        seen: usize,
        child: Child,
    }

    impl Terminal {
        fn open(home: &Path, no_color: bool) -> Terminal {
            let pair = nix::pty::openpty(None, None).unwrap();
            let slave = File::from(pair.slave);
            let mut command = Command::new(env!("CARGO_BIN_EXE_huacaya-cli"));
            command.env("HUACAYA_HOME", home).env("TERM", "xterm-256color").env_remove("NO_COLOR").arg("chat");
            if no_color {
                command.env("NO_COLOR", "1");
            }
            let end = || slave.try_clone().unwrap();
            let child = command.stdin(end()).stdout(end()).stderr(end()).spawn().unwrap();
            let keys = File::from(pair.master);
            let mut from = keys.try_clone().unwrap();
            let (sender, screen) = channel();
            std::thread::spawn(move || {
                let mut bytes = [0; 4096];
                while let Ok(count @ 1..) = from.read(&mut bytes) {
                    if sender.send(bytes[..count].to_vec()).is_err() {
                        break;
                    }
                }
            });
            Terminal { keys, screen, shown: String::new(), seen: 0, child }
        }

        fn press(&mut self, keys: &str) {
            self.keys.write_all(keys.as_bytes()).unwrap();
        }

        /// Waits until this stands on the screen, behind what was waited for before.
        fn see(&mut self, wanted: &str) {
            let until = Instant::now() + Duration::from_secs(60);
            loop {
                if let Some(at) = self.shown[self.seen..].find(wanted) {
                    self.seen += at + wanted.len();
                    return;
                }
                assert!(Instant::now() < until, "{wanted:?} is not in {:?}", &self.shown[self.seen..]);
                self.read();
            }
        }

        /// More of the screen, in whole characters.
        fn read(&mut self) -> bool {
            let Ok(mut bytes) = self.screen.recv_timeout(Duration::from_millis(500)) else { return false };
            while std::str::from_utf8(&bytes).is_err_and(|error| error.error_len().is_none()) {
                bytes.extend(self.screen.recv_timeout(Duration::from_secs(10)).unwrap());
            }
            self.shown += &String::from_utf8(bytes).unwrap();
            true
        }

        /// How it ends, and all that was shown.
        fn rest(mut self) -> (Option<i32>, String) {
            let status = self.child.wait().unwrap().code();
            while self.read() {}
            (status, self.shown)
        }
    }

    /// Pastes are marked while a line is edited, and only then.
    const READY: &str = "\x1b[?2004h";
    const TAKEN: &str = "\x1b[?2004l";
    /// Faint words, as thoughts and figures are shown.
    const FAINT: &str = "\x1b[2m";

    /// Whether there are colours, or letters that are faint or bold.
    fn has_style(text: &str) -> bool {
        let mut codes = text.split("\x1b[").skip(1);
        codes.any(|code| code.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').starts_with('m'))
    }

    #[test]
    fn wide_characters_are_edited_whole_lines_go_on_and_history_is_private() {
        let home = tempfile::tempdir().unwrap();
        let mut terminal = Terminal::open(home.path(), false);
        terminal.see("/help says");
        terminal.see(READY);
        terminal.press("/parameters tokens_max 4\r");
        terminal.see(READY);
        // Backspace takes one character, Alt-Enter makes a line.
        terminal.press("你好错\x7f\x1b\rworld\r");
        terminal.see(FAINT);
        terminal.see("tokens/s");
        terminal.see(READY);
        // Up brings it back.
        terminal.press("\x1b[A");
        terminal.see("world");
        terminal.press("\x03");
        terminal.see("Ctrl-C again");
        terminal.see(READY);
        terminal.press("\x03");
        assert_eq!(terminal.rest().0, Some(0));
        let history = home.path().join("chat_history");
        assert_eq!(fs::metadata(&history).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(fs::read_to_string(history).unwrap().contains("你好"));
        let exported = super::cli(home.path(), &["chats", "export", "1"]);
        assert!(exported.contains("你好\nworld") && !exported.contains('错'), "{exported}");
    }

    #[test]
    fn no_color_is_kept_to_and_control_d_ends() {
        let home = tempfile::tempdir().unwrap();
        let mut terminal = Terminal::open(home.path(), true);
        terminal.see(READY);
        terminal.press("/parameters tokens_max 4\r");
        terminal.see(READY);
        terminal.press("你好\r");
        terminal.see("tokens/s");
        terminal.see(READY);
        terminal.press("\x04");
        let (status, shown) = terminal.rest();
        assert!(status == Some(0) && !has_style(&shown), "{shown:?}");
        assert!(has_style(FAINT));
    }

    #[test]
    fn ctrl_c_stops_the_answer_and_not_the_chat() {
        let home = tempfile::tempdir().unwrap();
        let mut terminal = Terminal::open(home.path(), true);
        terminal.see(READY);
        for line in ["/parameters tokens_max 100000", "/parameters temperature 10", "/parameters stop [\"no end\"]"] {
            terminal.press(&format!("{line}\r"));
            terminal.see(READY);
        }
        terminal.press("写一个很长的故事\r");
        terminal.see(TAKEN);
        Command::new("kill").args(["-INT", &terminal.child.id().to_string()]).status().unwrap();
        terminal.see("tokens/s");
        terminal.see(READY);
        terminal.press("/chats\r");
        terminal.see("写一个很长的故事");
        terminal.press("/exit\r");
        assert_eq!(terminal.rest().0, Some(0));
    }
}
