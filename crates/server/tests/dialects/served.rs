//! A server on a port of its own with the demo model, and a client that knows nothing but sockets.

use std::path::Path;

use huacaya_app::{
    App, Places, Purpose,
    rows::{JobState, Model},
    weights::gguf::{File, TensorPlan, Writer},
};
use huacaya_server::{Options, bind};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
};

pub const TOKEN: &str = "hk-0123";
/// A page that may ask as a program.
pub const LISTED: &str = "http://localhost:3000";
/// A chat template that takes tools, in the shape of Hermes and Qwen.
const TEMPLATE: &str = "{% for tool in tools or [] %}{{ tool.function.name }} <tool_call>\n{% endfor %}\
    {% for m in messages %}{{ m.role }}: {{ m.content }}{% for call in m.tool_calls %}<tool_call>\
    {{ call.function | tojson }}</tool_call>{% endfor %}{{ m.name }}\n{% endfor %}assistant: ";

pub struct Served {
    app: App,
    pub address: String,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    _folder: tempfile::TempDir,
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
        Served::start_as(false).await.0
    }

    /// With the window, and the path of the link that opens it.
    pub async fn start_with_window() -> (Served, String) {
        let (served, link) = Served::start_as(true).await;
        let path = link.unwrap().strip_prefix(&format!("http://{}", served.address)).unwrap().to_string();
        (served, path)
    }

    async fn start_as(with_window: bool) -> (Served, Option<String>) {
        let folder = tempfile::tempdir().unwrap();
        let app = App::start(Places::at(&folder.path().join("data")).unwrap()).await.unwrap();
        let loopback = std::net::Ipv4Addr::LOCALHOST.into();
        let origins = vec![LISTED.to_string()];
        let options = Options { address: loopback, port: 0, origins, token: Some(TOKEN.into()) };
        let mut bound = bind(options).await.unwrap();
        let link = with_window.then(|| bound.open_window().unwrap());
        let address = bound.address().to_string();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(bound.serve(app.clone(), async { drop(stopped.await) }));
        (Served { app, address, stop, task, _folder: folder }, link)
    }

    /// With the demo model under a template that takes tools, as "tools".
    pub async fn start_with_tools() -> Served {
        let served = Served::start().await;
        let path = served._folder.path().join("tools.gguf");
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
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
            body.len()
        );
        stream.write_all((head + body).as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
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

    pub async fn end(self) {
        let _ = self.stop.send(());
        self.task.await.unwrap();
        self.app.shut_down().await;
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
