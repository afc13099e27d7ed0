//! The desktop face: a window over `huacaya_app`. Glue, no logic; the only code that names tauri.

mod commands;
mod login;
mod window;

use huacaya_app::{App, Error, Places};
use tauri::Manager;
use tokio::sync::watch;

/// What the commands share: the use cases, once they have started.
pub struct Desktop {
    started: watch::Receiver<Option<Result<App, Error>>>,
    /// Whether the page listens: what it should hear waits until then.
    listening: watch::Sender<bool>,
}

impl Desktop {
    /// Starts the use cases beside the window, so that the window does not wait for the disk.
    fn start(places: Places) -> Desktop {
        let (sender, started) = watch::channel(None);
        tauri::async_runtime::spawn(async move {
            // The receiver lives as long as the program: nobody is left to tell when this fails.
            let outcome = App::start(places).await;
            let server = outcome.as_ref().ok().map(|app| huacaya_server::follow(app.clone()));
            let _ = sender.send(Some(outcome));
            if let Some(server) = server {
                server.await;
            }
        });
        Desktop::of(started)
    }

    fn of(started: watch::Receiver<Option<Result<App, Error>>>) -> Desktop {
        Desktop { started, listening: watch::Sender::new(false) }
    }

    /// Waits until the page listens.
    pub async fn page(&self) {
        // The sender lives in `self`: waiting cannot fail.
        let _ = self.listening.subscribe().wait_for(|listening| *listening).await;
    }

    pub fn page_listens(&self) {
        self.listening.send_replace(true);
    }

    /// Waits for the start. The error is the one that the start ended with.
    pub async fn app(&self) -> Result<App, Error> {
        let mut started = self.started.clone();
        match started.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(outcome)) => outcome.clone(),
            Ok(None) | Err(_) => Err(Error::stopped()),
        }
    }

    /// The use cases where they have started, without waiting.
    pub fn app_now(&self) -> Option<App> {
        self.started.borrow().as_ref()?.as_ref().ok().cloned()
    }
}

/// Opens the window and returns when the program ends.
pub fn run() -> tauri::Result<()> {
    if huacaya_app::engine::graphics_child() {
        return Ok(());
    }
    let places = Places::find();
    let single = {
        let plugin = tauri_plugin_single_instance::Builder::new().callback(|handle, arguments, folder| {
            // At login it is there already, and nobody asked to see it.
            if !arguments.iter().any(|argument| argument == window::HIDDEN) {
                window::show(handle);
            }
            window::offer_arguments(handle, arguments.into_iter().skip(1), folder.as_ref());
        });
        // A data folder of its own is a program of its own.
        match places.as_ref().ok().and_then(Places::own_name) {
            Some(name) => plugin.dbus_id(format!("org.huacaya.desktop.{name}")),
            None => plugin,
        }
    };
    let app = tauri::Builder::default()
        .plugin(single.build())
        .plugin(tauri_plugin_autostart::Builder::new().arg(window::HIDDEN).build())
        .plugin(tauri_plugin_dialog::init())
        .plugin(tauri_plugin_opener::Builder::new().open_js_links_on_click(false).build())
        .plugin(tauri_plugin_window_state::Builder::default().with_state_flags(window::kept()).build())
        .invoke_handler(commands::handler())
        .setup(move |app| {
            let desktop = match places {
                Ok(places) => Desktop::start(places),
                Err(error) => Desktop::of(watch::channel(Some(Err(error))).1),
            };
            app.manage(desktop);
            let hidden = std::env::args().any(|argument| argument == window::HIDDEN);
            window::open(app.handle(), hidden)?;
            if hidden {
                window::stay_hidden(app.handle().clone());
            }
            window::offer_arguments(app.handle(), std::env::args().skip(1), &std::env::current_dir()?);
            Ok(())
        })
        .build(tauri::generate_context!())?;
    app.run(window::on_run_event);
    Ok(())
}
