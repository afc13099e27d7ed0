//! What the page may call: the table of `huacaya_app` behind one name, and the few things that only a desktop has.

use huacaya_app::{Change, Chosen, Error, Purpose};
use serde::Deserialize;
use tauri::{AppHandle, Runtime, State, WebviewWindow, ipc::Channel};
use tauri_plugin_dialog::DialogExt;
use tauri_plugin_opener::OpenerExt;
use tokio::sync::oneshot;

use crate::{Desktop, login, window};

/// The handlers, for this and for the tests' runtime.
pub fn handler<R: Runtime>() -> impl Fn(tauri::ipc::Invoke<R>) -> bool + Send + Sync + 'static {
    tauri::generate_handler![call, subscribe, choose, open_link, close_window, reveal, start_at_login]
}

/// Runs one command of the table in `huacaya_app`.
#[tauri::command]
async fn call(
    desktop: State<'_, Desktop>,
    name: String,
    arguments: serde_json::Value,
) -> Result<serde_json::Value, Error> {
    desktop.app().await?.call(&name, arguments).await
}

/// Sends a snapshot and then every change, in order, until the page is gone.
#[tauri::command]
async fn subscribe(desktop: State<'_, Desktop>, channel: Channel<Vec<Change>>) -> Result<(), Error> {
    let mut changes = desktop.app().await?.subscribe();
    desktop.page_listens();
    tauri::async_runtime::spawn(async move {
        while let Some(batch) = changes.next().await {
            if channel.send(batch).is_err() {
                break;
            }
        }
    });
    Ok(())
}

/// What a system dialog is opened for.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Choice {
    ModelFile,
    ModelFolder,
    Save,
}

/// Opens a system dialog. The page gets an id for what was chosen, never the path.
#[tauri::command]
async fn choose<R: Runtime>(
    page: WebviewWindow<R>,
    desktop: State<'_, Desktop>,
    kind: Choice,
    name: Option<String>,
    extensions: Option<Vec<String>>,
) -> Result<Option<Chosen>, Error> {
    let app = desktop.app().await?;
    let mut dialog = page.dialog().file().set_parent(&page);
    let extensions = extensions.unwrap_or_default();
    if !extensions.is_empty() {
        let extensions: Vec<&str> = extensions.iter().map(String::as_str).collect();
        dialog = dialog.add_filter(extensions.join(", "), &extensions);
    }
    if let Some(name) = name {
        dialog = dialog.set_file_name(name);
    }
    let (answer, chosen) = oneshot::channel();
    // The receiver waits below; a page that went away needs no answer.
    let done = move |path| drop(answer.send(path));
    let purpose = match kind {
        Choice::ModelFile => {
            dialog.pick_file(done);
            Purpose::Read
        }
        Choice::ModelFolder => {
            dialog.pick_folder(done);
            Purpose::Read
        }
        Choice::Save => {
            dialog.save_file(done);
            Purpose::Write
        }
    };
    let path = chosen.await.ok().flatten().and_then(|path| path.into_path().ok());
    path.map(|path| app.offer(&path, purpose)).transpose()
}

/// Opens a web address in the system's browser, after the page has asked the person.
#[tauri::command]
async fn open_link<R: Runtime>(handle: AppHandle<R>, url: String) -> Result<(), Error> {
    let address = url.parse::<tauri::Url>().ok().filter(|address| matches!(address.scheme(), "http" | "https"));
    let Some(address) = address else {
        return Err(Error::link_refused(&url));
    };
    handle.opener().open_url(address, None::<&str>).map_err(|error| Error::system("open a link", &error))
}

/// Shows a folder or file of ours in the system's file manager.
#[tauri::command]
async fn reveal<R: Runtime>(
    handle: AppHandle<R>,
    desktop: State<'_, Desktop>,
    what: huacaya_app::Shown,
) -> Result<(), Error> {
    let path = desktop.app().await?.path_of(what).await?;
    let opened = if path.is_dir() {
        handle.opener().open_path(path.to_string_lossy(), None::<&str>)
    } else {
        handle.opener().reveal_item_in_dir(&path)
    };
    opened.map_err(|error| Error::system("open the file manager", &error))
}

/// Whether the program starts when the person logs in; with `on`, makes it so first.
#[tauri::command]
async fn start_at_login<R: Runtime>(handle: AppHandle<R>, on: Option<bool>) -> Result<bool, Error> {
    login::starts(&handle, on)
}

/// Really closes, after the page has asked the person: stops what runs, saves it, ends the program.
#[tauri::command]
async fn close_window<R: Runtime>(handle: AppHandle<R>) -> Result<(), Error> {
    window::end(&handle);
    Ok(())
}

#[cfg(test)]
mod tests {
    use huacaya_app::Places;
    use serde_json::{Value, json};
    use tauri::{
        Manager, WebviewWindowBuilder,
        ipc::{CallbackFn, InvokeBody},
        test::{INVOKE_KEY, MockRuntime, get_ipc_response, mock_builder, mock_context, noop_assets},
        webview::InvokeRequest,
    };

    use crate::Desktop;

    fn window(home: &std::path::Path) -> tauri::WebviewWindow<MockRuntime> {
        let app = mock_builder().invoke_handler(super::handler()).build(mock_context(noop_assets())).unwrap();
        app.manage(Desktop::start(Places::at(home).unwrap()));
        WebviewWindowBuilder::new(&app, "main", Default::default()).build().unwrap()
    }

    fn call(window: &tauri::WebviewWindow<MockRuntime>, command: &str, arguments: Value) -> Result<Value, Value> {
        let request = InvokeRequest {
            cmd: command.into(),
            callback: CallbackFn(0),
            error: CallbackFn(1),
            url: "tauri://localhost".parse().unwrap(),
            body: InvokeBody::Json(arguments),
            headers: Default::default(),
            invoke_key: INVOKE_KEY.to_string(),
        };
        get_ipc_response(window, request).map(|body| body.deserialize().unwrap())
    }

    #[test]
    fn the_page_reaches_the_table_and_errors_come_back_as_problems() {
        let home = tempfile::Builder::new().prefix("张 庭 綱 ").tempdir().unwrap();
        let window = window(home.path());
        let chat = call(&window, "call", json!({"name": "new_chat", "arguments": {"kind": "chat"}})).unwrap();
        assert!(chat["id"].is_number(), "{chat}");
        let refused = call(&window, "call", json!({"name": "format_disk", "arguments": {}})).unwrap_err();
        assert_eq!(refused["code"], "unknown_command");
    }

    #[test]
    fn only_web_addresses_are_handed_to_the_system() {
        let home = tempfile::tempdir().unwrap();
        let window = window(home.path());
        for url in ["file:///etc/passwd", "javascript:alert(1)", "smb://host/share", "not an address"] {
            let refused = call(&window, "open_link", json!({"url": url})).unwrap_err();
            assert_eq!(refused["code"], "link_refused", "{url}");
        }
    }
}
