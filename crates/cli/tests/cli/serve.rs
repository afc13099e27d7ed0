//! `serve` as a program starts it: the line that says it is ready, the token, the end.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Stdio},
};

use serde_json::Value;

use crate::{cli, run};

/// A server on any free port, and what it said when it was ready.
struct Server {
    child: Child,
    ready: Value,
}

impl Server {
    fn start(home: &Path, more: &[&str]) -> Server {
        let mut child = Command::new(env!("CARGO_BIN_EXE_huacaya-cli"))
            .env("HUACAYA_HOME", home)
            .args(["serve", "--json", "--quiet", "--port", "0"])
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{line:?}: {error}"));
        Server { child, ready }
    }

    /// Status line, headers and body of an answer.
    fn ask(&self, token: &str, head: &str, body: &str) -> String {
        let at = format!("{}:{}", self.ready["address"].as_str().unwrap(), self.ready["port"]);
        let mut stream = TcpStream::connect(&at).unwrap();
        let length = body.len();
        write!(
            stream,
            "{head} HTTP/1.1\r\nHost: {at}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_ready_line_names_the_port_and_the_token_file_that_open_the_server() {
    let home = tempfile::tempdir().unwrap();
    let server = Server::start(home.path(), &["--backend", "cpu", "--threads", "1"]);
    assert_eq!(server.ready["token_source"], "library");
    assert_eq!(server.ready["url"], format!("http://127.0.0.1:{}/v1", server.ready["port"]));
    let token = fs::read_to_string(server.ready["token_file"].as_str().unwrap()).unwrap();
    assert!(server.ask("wrong", "GET /v1/models", "").starts_with("HTTP/1.1 401"));
    let models = server.ask(token.trim(), "GET /v1/models", "");
    let body: Value = serde_json::from_str(models.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let question = serde_json::json!({"model": body["data"][0]["id"], "prompt": "1, 2, 3", "max_tokens": 4});
    let answer = server.ask(token.trim(), "POST /v1/completions", &question.to_string());
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"text\":"), "{answer}");
}

#[test]
fn a_token_of_ones_own_is_taken_and_only_that() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("my token");
    fs::write(&file, "a-word-of-mine\n").unwrap();
    let server = Server::start(home.path(), &["--token-file", file.to_str().unwrap()]);
    assert_eq!(server.ready["token_source"], "file");
    assert_eq!(server.ready["token_file"], file.to_str().unwrap());
    assert!(server.ask("a-word-of-mine", "GET /v1/models", "").starts_with("HTTP/1.1 200"));
    assert!(server.ask("another", "GET /v1/models", "").starts_with("HTTP/1.1 401"));
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_the_server_as_done() {
    let home = tempfile::tempdir().unwrap();
    let mut server = Server::start(home.path(), &[]);
    Command::new("kill").args(["-INT", &server.child.id().to_string()]).status().unwrap();
    assert_eq!(server.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_device_that_there_is_not_is_refused_with_those_that_there_are() {
    let home = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_huacaya-cli"));
    let output =
        run(command.env("HUACAYA_HOME", home.path()).args(["serve", "--port", "0", "--backend", "abacus"]), "");
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && error.contains("abacus") && error.contains("cpu"), "{error}");
    assert_eq!(cli(&["serve", "--threads", "0"], "").status.code(), Some(2));
}
