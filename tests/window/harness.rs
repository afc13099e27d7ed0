//! The real window under a display of its own: Xvfb, a session bus, WebKitWebDriver and the debug binary.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use fantoccini::{Client, ClientBuilder, Locator, elements::Element};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

/// A debug build on two busy cores may take this long for anything a person waits for.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// One window at a time: two cores, and a picture of what a person sees.
static ONE: Mutex<()> = Mutex::new(());

/// A started program that is killed, with all that it started, when it is dropped.
struct Group(Child);

impl Group {
    fn spawn(command: &mut Command) -> Group {
        let name = format!("{command:?}");
        Group(command.process_group(0).spawn().unwrap_or_else(|error| panic!("cannot start {name}: {error}")))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", self.0.id())]).status();
        let _ = self.0.wait();
    }
}

/// A display and a home folder in which the program may be started, killed and started again.
pub struct Desk {
    display: String,
    home: tempfile::TempDir,
    language: &'static str,
    /// What the program finds in its environment besides.
    environment: Vec<(&'static str, String)>,
    _screen: Group,
    _one: MutexGuard<'static, ()>,
}

impl Desk {
    /// `language` is the system's, as in `LANG`.
    pub fn new(language: &'static str) -> Desk {
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut screen = Group::spawn(
            Command::new("Xvfb")
                .args(["-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp"])
                .stdout(Stdio::piped())
                .stderr(Stdio::null()),
        );
        let mut number = String::new();
        BufReader::new(screen.0.stdout.take().unwrap()).read_line(&mut number).unwrap();
        let number = number.trim();
        assert!(!number.is_empty(), "Xvfb picks a display");
        Desk {
            display: format!(":{number}"),
            home: tempfile::Builder::new().prefix("张 庭 綱 ").tempdir().unwrap(),
            language,
            environment: Vec::new(),
            _screen: screen,
            _one: one,
        }
    }

    /// Sets a variable of the program's environment.
    pub fn set(&mut self, name: &'static str, value: &str) {
        self.environment.push((name, value.to_owned()));
    }

    /// Where the program keeps its data.
    pub fn data(&self) -> PathBuf {
        self.home.path().join("　data")
    }

    /// Starts the program with these arguments and waits until its page is there.
    pub async fn start(&self, arguments: &[&str]) -> Window {
        let home = self.home.path();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folders = ["config", "cache", "share", "run"].map(|name| home.join(name));
        folders.iter().for_each(|folder| fs::create_dir_all(folder).unwrap());
        let driver = Group::spawn(
            Command::new("dbus-run-session")
                .args(["--", "WebKitWebDriver", &format!("--port={port}")])
                .env("DISPLAY", &self.display)
                .env_remove("WAYLAND_DISPLAY")
                .env("GDK_BACKEND", "x11")
                .env("LIBGL_ALWAYS_SOFTWARE", "1")
                .env("NO_AT_BRIDGE", "1")
                .env("TAURI_AUTOMATION", "true")
                .env("TAURI_WEBVIEW_AUTOMATION", "true")
                .env("LANG", self.language)
                .env("LANGUAGE", self.language)
                .env("HOME", home)
                .env("XDG_CONFIG_HOME", &folders[0])
                .env("XDG_CACHE_HOME", &folders[1])
                .env("XDG_DATA_HOME", &folders[2])
                .env("XDG_RUNTIME_DIR", &folders[3])
                .env("HUACAYA_HOME", self.data())
                .envs(self.environment.iter().map(|(name, value)| (name, value)))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        );
        let address = format!("http://127.0.0.1:{port}");
        let started = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(started.elapsed() < PATIENCE, "WebKitWebDriver answers");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let wanted =
            json!({ "webkitgtk:browserOptions": { "binary": env!("CARGO_BIN_EXE_huacaya"), "args": arguments } });
        let Value::Object(wanted) = wanted else { unreachable!("json! of an object") };
        let client = ClientBuilder::new(HttpConnector::new())
            .capabilities(wanted)
            .connect(&address)
            .await
            .unwrap_or_else(|error| panic!("the window opens: {error}"));
        Window { client, display: self.display.clone(), _driver: driver }
    }
}

/// The open window. Dropping it kills the program as `kill -9` does.
pub struct Window {
    pub client: Client,
    display: String,
    _driver: Group,
}

impl Window {
    /// Waits for an element to be there and visible.
    pub async fn find(&self, css: &str) -> Element {
        let started = Instant::now();
        loop {
            for element in self.client.find_all(Locator::Css(css)).await.unwrap_or_default() {
                if element.is_displayed().await.unwrap_or(false) {
                    return element;
                }
            }
            if started.elapsed() > PATIENCE {
                panic!("no visible `{css}`; the page reads: {}", self.text().await);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Clicks an element, again while something covers it or it is being drawn anew.
    pub async fn click(&self, css: &str) {
        let started = Instant::now();
        while let Err(error) = self.find(css).await.click().await {
            assert!(started.elapsed() < PATIENCE, "cannot click `{css}`: {error}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Clicks the first element of this selector whose text, or its first line, is `words`.
    pub async fn click_text(&self, css: &str, words: &str) {
        let mark = format!(
            "const named = [...document.querySelectorAll(\"{css}\")].find((element) => element.offsetParent !== null
                && element.innerText.trim().split('\\n')[0].trim() === '{words}');
             document.querySelectorAll('[data-here]').forEach((element) => element.removeAttribute('data-here'));
             if (named) named.setAttribute('data-here', ''); return !!named"
        );
        // Rows are drawn anew when what they show changes: then the mark is gone and is made again.
        let started = Instant::now();
        loop {
            let marked = self.run(&mark).await == json!(true);
            let here = if marked { self.client.find(Locator::Css("[data-here]")).await.ok() } else { None };
            if let Some(element) = here
                && element.click().await.is_ok()
            {
                return;
            }
            if started.elapsed() > PATIENCE {
                panic!("no `{css}` that says {words} can be clicked; the page reads: {}", self.text().await);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Types into an element. `\u{E007}` is Enter.
    pub async fn write(&self, css: &str, text: &str) {
        self.find(css).await.send_keys(text).await.unwrap_or_else(|error| panic!("cannot type into `{css}`: {error}"));
    }

    /// All that the page shows.
    pub async fn text(&self) -> String {
        let shown = self.run("return document.body.innerText").await;
        shown.as_str().unwrap_or_default().to_owned()
    }

    /// Waits until a script's answer is truthy, and returns it. `what` is named when it never is.
    pub async fn until(&self, what: &str, script: &str) -> Value {
        let started = Instant::now();
        loop {
            let answer = self.run(script).await;
            let truthy =
                !matches!(&answer, Value::Null | Value::Bool(false)) && answer != json!("") && answer != json!(0);
            if truthy {
                return answer;
            }
            if started.elapsed() > PATIENCE {
                panic!("never {what}; the page reads: {}", self.text().await);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Runs a script in the page and returns its answer.
    pub async fn run(&self, script: &str) -> Value {
        self.client.execute(script, vec![]).await.unwrap_or_else(|error| panic!("script `{script}`: {error}"))
    }

    /// Writes a picture of the display where `HUACAYA_PICTURES` names a folder (ImageMagick's `import` takes it).
    pub async fn picture(&self, name: &str) {
        let Some(folder) = std::env::var_os("HUACAYA_PICTURES") else { return };
        tokio::time::sleep(Duration::from_millis(300)).await;
        let file = Path::new(&folder).join(format!("{name}.png"));
        let taken = Command::new("import").args(["-display", &self.display, "-window", "root"]).arg(file).status();
        assert!(taken.is_ok_and(|status| status.success()), "`import` of ImageMagick takes the picture");
    }
}
