//! How much strangers may take, and how long: each limit with a server of its own, whose limits are short.

use std::time::{Duration, Instant};

use huacaya_server::Limits;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

use crate::{
    guard::assert_refused,
    served::{Heard, PATIENCE, Served, TOKEN},
};

const SHORT: Duration = Duration::from_millis(300);

/// What comes until the server closes the connection.
async fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the server closes the connection");
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_too_slow_or_says_too_much_is_cut() {
    let served = Served::start_within(Limits { head_time: SHORT, body_time: SHORT, ..Limits::default() }).await;
    let began = Instant::now();
    // A head that never ends: a byte now and then does not help.
    let mut slow = served.connect().await;
    slow.write_all(b"GET /health HTTP/1.1\r\nHost: ").await.unwrap();
    let (mut reader, mut writer) = slow.into_split();
    let drip = tokio::spawn(async move {
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let mut bytes = Vec::new();
    let _ = timeout(PATIENCE, reader.read_to_end(&mut bytes)).await.expect("a slow head is cut");
    timeout(PATIENCE, drip).await.expect("nobody listens any more").unwrap();
    // Nothing at all.
    assert!(rest(served.connect().await).await.is_empty());
    assert!(began.elapsed() >= SHORT);
    // A body that does not come.
    let head = |more: &str| {
        let address = &served.address;
        format!("POST /tokenize HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {TOKEN}\r\n{more}\r\n")
    };
    let mut stream = served.connect().await;
    stream.write_all((head("Content-Length: 100\r\n") + "{\"con").as_bytes()).await.unwrap();
    assert_refused(&Heard::parse(&rest(stream).await), 408, "POST /tokenize");
    // A body that is too large: by what it says of itself, and by what comes.
    let heard = served.say(head("Content-Length: 33554433\r\n")).await;
    assert_refused(&heard, 413, "POST /tokenize");
    assert_eq!(heard.json()["error"]["code"], "request_too_large");
    served.end().await;

    let served = Served::start().await;
    let address = &served.address;
    let mut stream = served.connect().await;
    let head = format!("POST /tokenize HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {TOKEN}\r\n");
    stream.write_all((head + "Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n").as_bytes()).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let write = tokio::spawn(async move {
        let chunk = [b"100000\r\n".as_slice(), &vec![b' '; 1 << 20], b"\r\n"].concat();
        for _ in 0..40 {
            if writer.write_all(&chunk).await.is_err() {
                break;
            }
        }
    });
    let mut bytes = Vec::new();
    let _ = timeout(PATIENCE, reader.read_to_end(&mut bytes)).await.expect("the server closes the connection");
    write.await.unwrap();
    assert_refused(&Heard::parse(&bytes), 413, "POST /tokenize");
    let own = format!("Host: {address}\r\nConnection: close\r\n");
    let many = (0..70).map(|number| format!("x-{number}: y\r\n")).collect::<String>();
    assert_eq!(served.say(format!("GET /health HTTP/1.1\r\n{own}{many}\r\n")).await.status, 431);
    let long = format!("GET /health HTTP/1.1\r\n{own}x-long: {}\r\n\r\n", "y".repeat(80 << 10));
    assert_eq!(served.say(long).await.status, 431);
    let path = format!("GET /{} HTTP/1.1\r\n{own}\r\n", "y".repeat(80 << 10));
    assert!([414, 431].contains(&served.say(path).await.status));
    assert_eq!(served.get("/health").await.status, 200, "and everybody else is answered");
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_beyond_the_limit_wait_for_one_to_close() {
    let served = Served::start_within(Limits { connections: 2, ..Limits::default() }).await;
    let open = [served.connect().await, served.connect().await];
    let mut third = served.connect().await;
    third.write_all(format!("GET /health HTTP/1.1\r\nHost: {}\r\n\r\n", served.address).as_bytes()).await.unwrap();
    let mut byte = [0];
    assert!(timeout(SHORT, third.read(&mut byte)).await.is_err(), "there is no seat for it");
    drop(open);
    assert_eq!(timeout(PATIENCE, third.read(&mut byte)).await.unwrap().unwrap(), 1);
    drop(third);
    served.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_does_not_read_its_answer_is_gone() {
    let limits = Limits { connections: 1, client_time: SHORT, ..Limits::default() };
    let served = Served::start_within(limits).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 << 10).unwrap();
    let mut deaf = socket.connect(served.address.parse().unwrap()).await.unwrap();
    // More than any socket's buffers hold: its answer has a number for each of the letters.
    let request = served.request("/tokenize", &json!({"content": "天地".repeat(1_500_000)}));
    deaf.write_all(request.as_bytes()).await.unwrap();
    // The only seat is free again once the deaf client is given up.
    let heard = timeout(PATIENCE, served.get("/health")).await.expect("the seat is free again");
    assert_eq!(heard.status, 200);
    let got = rest(deaf).await;
    assert!(String::from_utf8_lossy(&got).starts_with("HTTP/1.1 200") && !got.ends_with(b"]}"), "it was all sent");
    served.end().await;
}
