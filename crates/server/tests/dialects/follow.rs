//! The server of a program with a window: the settings switch it, and it stops in good order.

use std::time::Duration;

use huacaya_app::{App, Change, Places, serving::ServerState};
use huacaya_server::{Limits, follow};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::served::{Heard, PATIENCE, Served};

/// Waits until the page would see a state like this.
async fn state(app: &App, wanted: impl Fn(&ServerState) -> bool) -> ServerState {
    let look = async {
        let mut changes = app.subscribe();
        loop {
            for change in changes.next().await.expect("the program runs") {
                let settings = match change {
                    Change::Snapshot(snapshot) => snapshot.settings,
                    Change::Setting(setting) => vec![setting],
                    _ => continue,
                };
                let told = settings.into_iter().find(|setting| setting.key == "server_state");
                let told = told.and_then(|setting| serde_json::from_value::<ServerState>(setting.value).ok());
                if let Some(state) = told.filter(|state| wanted(state)) {
                    return state;
                }
            }
        }
    };
    timeout(PATIENCE, look).await.expect("the page is told")
}

async fn get(address: &str, path: &str, headers: &str) -> std::io::Result<Heard> {
    let mut stream = TcpStream::connect(address).await?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await?;
    Ok(Heard::parse(&bytes))
}

/// A port that is free now.
fn port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_settings_switch_the_server_and_move_it() {
    let folder = tempfile::tempdir().unwrap();
    let app = App::start(Places::at(&folder.path().join("data")).unwrap()).await.unwrap();
    let following = tokio::spawn(follow(app.clone()));
    let set = async |key: &str, value: Value| {
        app.call("set_setting", json!({"key": key, "value": value})).await.unwrap();
    };
    state(&app, |state| *state == ServerState::Off).await;
    let (first, second) = (port(), port());
    set("server_port", json!(first)).await;
    let address = format!("127.0.0.1:{first}");
    assert!(TcpStream::connect(&address).await.is_err(), "it is off until switched on");
    set("server_on", json!(true)).await;
    let on = state(&app, |state| matches!(state, ServerState::On { .. })).await;
    assert_eq!(on, ServerState::On { address: address.clone() });
    assert_eq!(get(&address, "/health", "").await.unwrap().status, 200);
    assert_eq!(get(&address, "/v1/models", "").await.unwrap().status, 401);
    let bearer = |token: &str| format!("Authorization: Bearer {token}\r\n");
    let token = app.server_token().await.unwrap();
    assert_eq!(get(&address, "/v1/models", &bearer(&token)).await.unwrap().status, 200);
    // A new token holds at once.
    let renewed = app.renew_server_token().await.unwrap();
    assert_eq!(get(&address, "/v1/models", &bearer(&token)).await.unwrap().status, 401);
    assert_eq!(get(&address, "/v1/models", &bearer(&renewed)).await.unwrap().status, 200);
    // So does a page that is listed.
    let page = bearer(&renewed) + "Origin: http://localhost:3000\r\n";
    assert_eq!(get(&address, "/v1/models", &page).await.unwrap().status, 403);
    set("server_origins", json!(["http://localhost:3000"])).await;
    let listed = async {
        // It begins anew for that.
        while !get(&address, "/v1/models", &page).await.is_ok_and(|heard| heard.status == 200) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, listed).await.expect("the listed page may ask");
    set("server_port", json!(second)).await;
    let moved = ServerState::On { address: format!("127.0.0.1:{second}") };
    state(&app, |state| *state == moved).await;
    assert!(TcpStream::connect(&address).await.is_err());
    // A port that another program has is said.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    set("server_port", json!(taken.local_addr().unwrap().port())).await;
    let failed = state(&app, |state| matches!(state, ServerState::Failed { .. })).await;
    assert!(matches!(failed, ServerState::Failed { reason } if reason.contains("in use")));
    set("server_on", json!(false)).await;
    state(&app, |state| *state == ServerState::Off).await;
    assert!(TcpStream::connect(format!("127.0.0.1:{second}")).await.is_err());
    app.shut_down().await;
    timeout(PATIENCE, following).await.expect("it ends with the program").unwrap();
}

fn ask(tokens: u32, count: u32, stream: bool) -> Value {
    json!({"messages": [{"role": "user", "content": "你好"}], "max_tokens": tokens, "n": count, "temperature": 0,
        "stream": stream, "logit_bias": {"2": -100}})
}

const PATH: &str = "/v1/chat/completions";

/// Reads a stream until there is some text.
async fn begun(stream: &mut TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    while !String::from_utf8_lossy(&bytes).contains("\"content\":\"") || bytes.len() < 4_000 {
        let mut more = [0; 4_096];
        let count = timeout(PATIENCE, stream.read(&mut more)).await.unwrap().unwrap();
        assert!(count > 0, "{}", String::from_utf8_lossy(&bytes));
        bytes.extend_from_slice(&more[..count]);
    }
    bytes
}

async fn rest(mut stream: TcpStream, mut bytes: Vec<u8>) -> Vec<u8> {
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the connection ends");
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_says_which_answers_were_cut() {
    // No machine writes eight thousand tokens in this time.
    let served = Served::start_within(Limits { grace: Duration::from_millis(50), ..Limits::default() }).await;
    let idle = served.connect().await;
    let mut streamed = served.ask(PATH, &ask(900, 8, true)).await;
    let bytes = begun(&mut streamed).await;
    // It waits for its turn.
    let whole = served.ask(PATH, &ask(900, 8, false)).await;
    let address = served.address.clone();
    let heard =
        tokio::spawn(
            async move { tokio::join!(rest(streamed, bytes), rest(whole, Vec::new()), rest(idle, Vec::new())) },
        );
    tokio::time::sleep(Duration::from_millis(50)).await;
    let app = timeout(PATIENCE, served.stop()).await.expect("it stops");
    assert!(TcpStream::connect(&address).await.is_err(), "nothing new is taken");
    let (streamed, whole, idle) = heard.await.unwrap();
    let streamed = Heard::parse(&streamed);
    let (_, last) = streamed.events().pop().unwrap();
    let last: Value = serde_json::from_str(&last).unwrap();
    assert_eq!((streamed.status, &last["error"]["code"]), (200, &json!("closing")), "{last}");
    let whole = Heard::parse(&whole);
    assert_eq!((whole.status, &whole.json()["error"]["code"]), (503, &json!("closing")));
    assert!(idle.is_empty());
    app.shut_down().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_lets_answers_come_to_their_end() {
    let served = Served::start().await;
    let mut streamed = served.ask(PATH, &ask(60, 1, true)).await;
    let bytes = begun(&mut streamed).await;
    let heard = tokio::spawn(rest(streamed, bytes));
    let app = timeout(PATIENCE, served.stop()).await.expect("it stops");
    let heard = Heard::parse(&heard.await.unwrap());
    assert_eq!(heard.events().pop().unwrap().1, "[DONE]");
    app.shut_down().await;
}
