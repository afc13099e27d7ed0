//! A server on a port of its own with the demo model, and a client that knows nothing but sockets.

use std::{path::Path, time::Duration};

use huacaya_app::{
    App, Change, Places, Purpose,
    rows::{JobState, Model, Request},
    weights::gguf::{File, TensorPlan, Writer},
};
use huacaya_server::{Limits, Options, bind};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{RwLock, RwLockReadGuard, RwLockWriteGuard, oneshot},
    task::JoinHandle,
};

pub const TOKEN: &str = "hk-0123";
/// The origin of a page that may ask.
pub const LISTED: &str = "http://localhost:3000";
/// No test waits longer for what must come.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Held by every server; alone by a test that measures this process.
static HERE: RwLock<()> = RwLock::const_new(());
/// A chat template that takes tools, in the shape of Hermes and Qwen.
const TEMPLATE: &str = "{% for tool in tools or [] %}{{ tool.function.name }} <tool_call>\n{% endfor %}\
    {% for m in messages %}{{ m.role }}: {{ m.content }}{% for call in m.tool_calls %}<tool_call>\
    {{ call.function | tojson }}</tool_call>{% endfor %}{{ m.name }}\n{% endfor %}assistant: ";

pub struct Served {
    pub app: App,
    pub address: String,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    pub folder: tempfile::TempDir,
    _here: Option<RwLockReadGuard<'static, ()>>,
}

/// While it lives, no other server runs in this process.
pub async fn alone() -> RwLockWriteGuard<'static, ()> {
    HERE.write().await
}

/// What came back.
pub struct Heard {
    pub status: u16,
    /// Names in small letters.
    pub headers: Vec<(String, String)>,
    pub text: String,
}

impl Heard {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The last answer of a connection that is closed.
    pub fn parse(bytes: &[u8]) -> Heard {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {text:?}"));
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_lowercase(), value.to_string()))
            .collect();
        let mut heard = Heard { status, headers, text: body.to_string() };
        if heard.header("transfer-encoding") == Some("chunked") {
            heard.text = unchunked(body);
        }
        heard
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// The events of a stream: their names and data.
    pub fn events(&self) -> Vec<(Option<String>, String)> {
        let blocks = self.text.split("\n\n").filter(|block| !block.is_empty() && !block.starts_with(':'));
        let field = |block: &str, name: &str| {
            block.lines().find_map(|line| line.strip_prefix(name)).map(|value| value.trim_start().to_string())
        };
        blocks.map(|block| (field(block, "event:"), field(block, "data:").unwrap())).collect()
    }

    /// The lines of a stream.
    pub fn lines(&self) -> Vec<Value> {
        self.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Served {
    pub async fn start() -> Served {
        Served::start_within(Limits::default()).await
    }

    pub async fn start_within(limits: Limits) -> Served {
        let here = HERE.read().await;
        Served { _here: Some(here), ..Served::start_beside(limits).await }
    }

    /// For who holds [`alone`].
    pub async fn start_beside(limits: Limits) -> Served {
        Served::start_as(limits, false).await.0
    }

    /// With the window, and the path of the link that opens it.
    pub async fn start_with_window() -> (Served, String) {
        let here = HERE.read().await;
        let (served, link) = Served::start_as(Limits::default(), true).await;
        let path = link.unwrap().strip_prefix(&format!("http://{}", served.address)).unwrap().to_string();
        (Served { _here: Some(here), ..served }, path)
    }

    async fn start_as(limits: Limits, with_window: bool) -> (Served, Option<String>) {
        let folder = tempfile::tempdir().unwrap();
        let app = App::start(Places::at(&folder.path().join("data")).unwrap()).await.unwrap();
        let loopback = std::net::Ipv4Addr::LOCALHOST.into();
        let origins = vec![LISTED.to_string()];
        let options = Options { address: loopback, port: 0, origins, token: Some(TOKEN.into()), limits };
        let mut bound = bind(options).await.unwrap();
        let link = with_window.then(|| bound.open_window().unwrap());
        let address = bound.address().to_string();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(bound.serve(app.clone(), async { drop(stopped.await) }));
        (Served { app, address, stop, task, folder, _here: None }, link)
    }

    /// With the demo model under a template that takes tools, as "tools".
    pub async fn start_with_tools() -> Served {
        let served = Served::start().await;
        let path = served.folder.path().join("tools.gguf");
        write_with_tools(&path);
        let chosen = served.app.offer(&path, Purpose::Read).unwrap();
        let job = served.app.call("import_model", json!({"chosen": chosen.id, "copy": false})).await.unwrap();
        let mut changes = served.app.subscribe();
        while let Some(batch) = changes.next().await {
            for change in batch {
                let jobs = match change {
                    huacaya_app::Change::Snapshot(snapshot) => snapshot.jobs,
                    huacaya_app::Change::Job(job) => vec![job],
                    _ => continue,
                };
                let Some(job) = jobs.into_iter().find(|found| json!(found.id) == job) else { continue };
                match job.state {
                    JobState::Waiting | JobState::Running => {}
                    state => {
                        assert_eq!(state, JobState::Done, "{:?}", job.error);
                        return served;
                    }
                }
            }
        }
        panic!("the program ended");
    }

    /// The demo model's row.
    pub async fn demo(&self) -> Model {
        let models = self.app.api_models().await.unwrap();
        models.into_iter().find(|model| model.row.bundled).unwrap().row
    }

    /// The model with tools.
    pub async fn tools(&self) -> String {
        let models = self.app.api_models().await.unwrap();
        models.into_iter().find(|model| !model.row.bundled).unwrap().id
    }

    pub async fn post(&self, path: &str, body: Value) -> Heard {
        self.send("POST", path, &format!("Authorization: Bearer {TOKEN}\r\n"), &body.to_string()).await
    }

    pub async fn get(&self, path: &str) -> Heard {
        self.send("GET", path, &format!("x-api-key: {TOKEN}\r\n"), "").await
    }

    pub async fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> Heard {
        self.send_to(&self.address, method, path, headers, body).await
    }

    /// Under another name of this server.
    pub async fn send_to(&self, host: &str, method: &str, path: &str, headers: &str, body: &str) -> Heard {
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
            body.len()
        );
        self.say(head + body).await
    }

    /// Exactly these bytes, and what comes back until the server closes the connection.
    pub async fn say(&self, request: impl AsRef<[u8]>) -> Heard {
        let mut stream = self.connect().await;
        // It may answer and close before it has heard all.
        let _ = stream.write_all(request.as_ref()).await;
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes).await;
        Heard::parse(&bytes)
    }

    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).await.unwrap()
    }

    /// A connection that has asked for this, and hears nothing yet.
    pub async fn ask(&self, path: &str, body: &Value) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(self.request(path, body).as_bytes()).await.unwrap();
        stream
    }

    pub fn request(&self, path: &str, body: &Value) -> String {
        let (address, body) = (&self.address, body.to_string());
        let length = body.len();
        format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {TOKEN}\r\nConnection: close\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
    }

    /// Sets what the person would.
    pub async fn set(&self, key: &str, value: Value) {
        self.app.call("set_setting", json!({"key": key, "value": value})).await.unwrap();
    }

    /// Waits until nothing is under way any more.
    pub async fn idle(&self) {
        let work = async {
            while self.app.busy() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, work).await.expect("nothing runs any more");
    }

    /// The rows of the log, the oldest first, once nothing is under way.
    pub async fn rows(&self) -> Vec<Request> {
        self.idle().await;
        let mut changes = self.app.subscribe();
        while let Some(batch) = changes.next().await {
            for change in batch {
                if let Change::Snapshot(snapshot) = change {
                    let mut rows = snapshot.requests;
                    rows.sort_by_key(|row| row.id.0);
                    return rows;
                }
            }
        }
        panic!("the program ended");
    }

    pub async fn end(self) {
        let app = self.stop().await;
        app.shut_down().await;
    }

    /// Stops the server and leaves the program.
    pub async fn stop(self) -> App {
        let _ = self.stop.send(());
        self.task.await.unwrap();
        self.app
    }
}

/// Sizes count bytes, and a piece may end within a letter.
fn unchunked(body: &str) -> String {
    let (mut rest, mut out) = (body.as_bytes(), Vec::new());
    loop {
        let end = rest.windows(2).position(|pair| pair == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return String::from_utf8(out).unwrap();
        }
        out.extend(&rest[end + 2..end + 2 + size]);
        rest = &rest[end + 4 + size..];
    }
}

fn write_with_tools(path: &Path) {
    let demo = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../assets/demo/huacaya-demo.gguf");
    let file = File::open(&demo).unwrap();
    let mut metadata = file.metadata().clone();
    metadata.set("general.name", "tools".into());
    metadata.set("tokenizer.chat_template", TEMPLATE.into());
    let plan = |tensor: &huacaya_app::weights::gguf::Tensor| TensorPlan {
        name: tensor.name.clone(),
        dimensions: tensor.dimensions.clone(),
        format: tensor.format,
    };
    let plan: Vec<TensorPlan> = file.tensors().iter().map(plan).collect();
    let mut writer = Writer::create(path, &metadata, &plan).unwrap();
    for tensor in file.tensors() {
        writer.bytes(&tensor.name, file.bytes(tensor)).unwrap();
    }
    writer.finish().unwrap();
}

/// The request with another field.
pub fn with(mut request: Value, key: &str, value: Value) -> Value {
    request[key] = value;
    request
}

/// A tool as OpenAI's clients tell of it.
pub fn tool() -> Value {
    json!({"type": "function", "function": {"name": "weather", "description": "天气", "parameters": parameters()}})
}

pub fn parameters() -> Value {
    json!({"type": "object", "properties": {"day": {"type": "integer", "minimum": 1, "maximum": 9}},
        "required": ["day"], "additionalProperties": false})
}

#[track_caller]
pub fn assert_arguments(arguments: &Value) {
    let fields = arguments.as_object().unwrap();
    assert!(fields.len() == 1 && (1..=9).contains(&fields["day"].as_i64().unwrap()), "{arguments}");
}
