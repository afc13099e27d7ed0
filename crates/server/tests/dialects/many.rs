//! Many clients at once: each gets the answer that it would get alone, who goes away leaves nothing, and memory stays flat.

use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, time::timeout};

use crate::{
    answers::chunks,
    served::{PATIENCE, Served, alone, with},
};
use huacaya_app::rows::RequestState;
use huacaya_server::Limits;

const CLIENTS: usize = 32;
/// Memory that a second and a third crowd may take beyond the first, in bytes: what allocators keep of freed pages differs
/// from run to run, and the keys and values of one forgotten answer would be more.
const GROWTH_MAX: u64 = 24 << 20;

/// What a client asks, by its number. Each has a secret of its own, prompts and answers have many lengths, and a third of
/// them begin alike.
fn request(number: usize) -> (&'static str, Value) {
    let secret = format!("密码是{}。", 1_000 + number * 37);
    let text = secret + &"天地人和".repeat(1 + number % 5 * 9) + &"你我他".repeat(number % 7);
    let shared = "用一句话回答我的问题，不要多说。".repeat(3);
    let tokens = 3 + number * 7 % 40;
    let drawing = json!({"temperature": 0, "max_tokens": tokens, "logit_bias": {"2": -100}});
    match number % 3 {
        0 => ("/v1/completions", with(drawing, "prompt", json!(text))),
        1 => ("/v1/chat/completions", with(drawing, "messages", json!([{"role": "user", "content": text}]))),
        _ => {
            let messages = json!([{"role": "system", "content": shared}, {"role": "user", "content": text}]);
            ("/v1/chat/completions", with(drawing, "messages", messages))
        }
    }
}

/// As long as the context allows, to a prompt that takes some time to read.
fn endless(number: usize) -> Value {
    let text = format!("密码是{}。", 9_000 + number) + &"春夏秋冬".repeat(60);
    json!({"messages": [{"role": "user", "content": text}], "temperature": 0, "logit_bias": {"2": -100}})
}

fn text(answer: &Value) -> (String, Value) {
    let choice = &answer["choices"][0];
    let text = choice["text"].as_str().or(choice["message"]["content"].as_str());
    (text.unwrap_or_else(|| panic!("{answer}")).to_string(), choice["finish_reason"].clone())
}

/// All of them at once: a half whole, a half in streams; and as many again that go away.
async fn crowd(served: &Served, expected: &[(String, Value)]) {
    let whole = (0..CLIENTS).map(async |number| {
        let (path, body) = request(number);
        if number % 2 == 0 {
            return text(&served.post(path, body).await.json());
        }
        let heard = chunks(&served.post(path, with(body, "stream", json!(true))).await);
        let piece = |chunk: &Value| {
            let choice = &chunk["choices"][0];
            choice["text"].as_str().or(choice["delta"]["content"].as_str()).unwrap_or_default().to_string()
        };
        (heard.iter().map(piece).collect(), heard.last().unwrap()["choices"][0]["finish_reason"].clone())
    });
    let gone = (0..CLIENTS).map(async |number| {
        let path = "/v1/chat/completions";
        let streams = with(endless(number), "stream", json!(number % 2 == 0));
        let mut stream = served.ask(path, &streams).await;
        match number % 4 {
            // While the prompt is read, or while it stands in the line.
            0 | 1 => tokio::time::sleep(std::time::Duration::from_millis(number as u64)).await,
            // After some text.
            2 => drop(timeout(PATIENCE, stream.read(&mut [0; 2_000])).await.unwrap().unwrap()),
            // While the answer is gathered.
            _ => tokio::time::sleep(std::time::Duration::from_millis(300)).await,
        }
        drop(stream);
    });
    let (heard, _) =
        futures_util::future::join(futures_util::future::join_all(whole), futures_util::future::join_all(gone)).await;
    for (number, (heard, expected)) in heard.iter().zip(expected).enumerate() {
        assert_eq!(heard, expected, "client {number}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_of_many_clients_gets_its_own_answer_and_nothing_stays_behind() {
    let here = alone().await;
    let served = Served::start_beside(Limits::default()).await;
    let mut expected = Vec::new();
    for number in 0..CLIENTS {
        let (path, body) = request(number);
        expected.push(text(&served.post(path, body).await.json()));
    }
    let mut seen = Vec::new();
    for _ in 0..3 {
        crowd(&served, &expected).await;
        served.idle().await;
        seen.push(resident_bytes());
    }
    if let [Some(first), Some(second), Some(third)] = seen[..] {
        println!("{first} bytes after the first crowd, {second} after the second, {third} after the third");
        assert!(second.max(third) <= first + GROWTH_MAX, "{seen:?}");
    }
    let rows = served.rows().await;
    let count = |state| rows.iter().filter(|row| row.state == state).count();
    let (done, stopped) = (count(RequestState::Done), count(RequestState::Stopped));
    // Who goes away at once may not have been heard at all.
    assert!(done == 4 * CLIENTS && (CLIENTS..=3 * CLIENTS).contains(&stopped), "{done} done, {stopped} stopped");
    assert_eq!(rows.len(), done + stopped);
    // All eight places are free, and the engine has nothing left to do.
    let eight = with(request(1).1, "n", json!(8));
    let answered = served.post(request(1).0, eight).await.json();
    assert_eq!(answered["choices"].as_array().unwrap().len(), 8);
    assert!(answered["choices"].as_array().unwrap().iter().all(|choice| choice["message"]["content"] == expected[1].0));
    served.end().await;
    drop(here);
}

/// Memory that this process has now; `None` where the system does not say.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}
