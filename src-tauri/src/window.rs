//! The window: opening, closing while something still runs, the tray, what is dropped on it.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use huacaya_app::{Chosen, Purpose};
use serde::Serialize;
use tauri::{
    AppHandle, DragDropEvent, Emitter, Manager, RunEvent, Runtime, WebviewUrl, WebviewWindowBuilder, WindowEvent,
    menu::{Menu, MenuItem},
    tray::{TrayIconBuilder, TrayIconEvent},
};
use tauri_plugin_window_state::StateFlags;

use crate::Desktop;

const NAME: &str = "main";
/// How often the hidden program looks whether its work is done.
const IDLE_LOOK: Duration = Duration::from_millis(500);

/// How long the server may take to run after a login before the window opens after all.
const SERVER_PATIENCE: Duration = Duration::from_secs(10);
/// The argument of a start at login: the window stays closed while there is a server to stay for.
pub const HIDDEN: &str = "--hidden";

/// What is remembered of the window from one start to the next: never that it was hidden.
pub fn kept() -> StateFlags {
    StateFlags::SIZE | StateFlags::POSITION | StateFlags::MAXIMIZED
}

/// Opens the main window. It shows our own page and goes nowhere else.
pub fn open<R: Runtime>(handle: &AppHandle<R>, hidden: bool) -> tauri::Result<()> {
    let language = sys_locale::get_locale().unwrap_or_default();
    let language: String = language.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let page = format!("index.html?language={language}");
    WebviewWindowBuilder::new(handle, NAME, WebviewUrl::App(page.into()))
        .title("Huacaya")
        // Copying an answer or a block of code is the page's own button.
        .enable_clipboard_access()
        .inner_size(1240.0, 820.0)
        .min_inner_size(640.0, 480.0)
        .visible(!hidden)
        .on_navigation(|address| {
            let ours = matches!(address.scheme(), "tauri" | "about") || address.host_str() == Some("tauri.localhost");
            ours || (cfg!(debug_assertions) && address.host_str() == Some("localhost"))
        })
        .build()?;
    Ok(())
}

pub fn show<R: Runtime>(handle: &AppHandle<R>) {
    if let Some(window) = handle.get_webview_window(NAME) {
        // A window system that refuses to raise a window leaves it where it is.
        let _ = window.show().and_then(|()| window.unminimize()).and_then(|()| window.set_focus());
    }
}

/// Events of the whole program; the window's closing and what is dropped on it among them.
pub fn on_run_event<R: Runtime>(handle: &AppHandle<R>, event: RunEvent) {
    if let RunEvent::WindowEvent { event, .. } = event {
        match event {
            WindowEvent::CloseRequested { api, .. } if handle.state::<Desktop>().app_now().is_some() => {
                api.prevent_close();
                close(handle);
            }
            WindowEvent::DragDrop(DragDropEvent::Drop { paths, position }) => {
                offer(handle, paths, Some((position.x, position.y)));
            }
            _ => {}
        }
    }
}

/// Ends when nothing runs and no server is to stay; else goes on from the tray, or asks where there is none.
fn close<R: Runtime>(handle: &AppHandle<R>) {
    let handle = handle.clone();
    tauri::async_runtime::spawn(async move {
        let keeps = keeps_running(&handle).await;
        let on_main = handle.clone();
        // It fails only for an event loop that has ended, and the window with it.
        let _ = handle.run_on_main_thread(move || {
            if !keeps {
                end(&on_main);
            } else if tray_shown(&on_main) {
                hide(&on_main);
                end_when_idle(on_main);
            } else {
                // A page that cannot hear the question is as good as closed by the person's next try.
                let _ = on_main.emit("huacaya://close-asked", ());
            }
        });
    });
}

/// Whether there is something to go on for without a window: an answer, a job, or a server that is to stay.
async fn keeps_running<R: Runtime>(handle: &AppHandle<R>) -> bool {
    let Some(app) = handle.state::<Desktop>().app_now() else { return false };
    // A database that cannot be read is no reason to stay.
    app.busy() || app.server_stays().await.unwrap_or(false)
}

fn hide<R: Runtime>(handle: &AppHandle<R>) {
    if let Some(window) = handle.get_webview_window(NAME) {
        // Hiding fails only for a window that is gone already.
        let _ = window.hide();
    }
}

/// After a start at login: stays in the tray where the server is to, else opens the window.
pub fn stay_hidden<R: Runtime>(handle: AppHandle<R>) {
    tauri::async_runtime::spawn(async move {
        let stays = server_came(&handle).await;
        let on_main = handle.clone();
        // It fails only for an event loop that has ended, and the window with it.
        let _ = handle.run_on_main_thread(move || {
            if stays && tray_shown(&on_main) {
                end_when_idle(on_main);
            } else {
                show(&on_main);
            }
        });
    });
}

/// Waits for the server, where it is to stay.
async fn server_came<R: Runtime>(handle: &AppHandle<R>) -> bool {
    let Ok(app) = handle.state::<Desktop>().app().await else { return false };
    if !app.server_settings().await.is_ok_and(|wanted| wanted.on && wanted.tray) {
        return false;
    }
    let until = Instant::now() + SERVER_PATIENCE;
    while !app.server_stays().await.unwrap_or(false) {
        if Instant::now() > until {
            return false;
        }
        tokio::time::sleep(IDLE_LOOK).await;
    }
    true
}

/// Stops what runs, saves it and ends the program. The window disappears at once.
pub fn end<R: Runtime>(handle: &AppHandle<R>) {
    hide(handle);
    let handle = handle.clone();
    tauri::async_runtime::spawn(async move {
        let app = handle.state::<Desktop>().app_now();
        if let Some(app) = app {
            app.shut_down().await;
        }
        handle.exit(0);
    });
}

/// Ends the program once the last answer or job is done and the server is off, unless the window was opened again.
fn end_when_idle<R: Runtime>(handle: AppHandle<R>) {
    tauri::async_runtime::spawn(async move {
        loop {
            tokio::time::sleep(IDLE_LOOK).await;
            let hidden = handle.get_webview_window(NAME).is_some_and(|window| !window.is_visible().unwrap_or(true));
            if !hidden {
                return;
            }
            if !keeps_running(&handle).await {
                end(&handle);
                return;
            }
        }
    });
}

/// Puts our icon into the tray; `false` where there is no tray to put it into.
fn tray_shown<R: Runtime>(handle: &AppHandle<R>) -> bool {
    const TRAY: &str = "running";
    if !tray_exists() {
        return false;
    }
    if handle.tray_by_id(TRAY).is_some() {
        return true;
    }
    let build = || -> tauri::Result<()> {
        let show_item = MenuItem::with_id(handle, "show", "打开 Huacaya · Open", true, None::<&str>)?;
        let end_item = MenuItem::with_id(handle, "end", "停止并退出 · Stop and quit", true, None::<&str>)?;
        let menu = Menu::with_items(handle, &[&show_item, &end_item])?;
        let mut tray = TrayIconBuilder::with_id(TRAY).tooltip("Huacaya").menu(&menu);
        if let Some(icon) = handle.default_window_icon() {
            tray = tray.icon(icon.clone());
        }
        tray.on_menu_event(|handle, event| match event.id().as_ref() {
            "show" => show(handle),
            _ => end(handle),
        })
        .on_tray_icon_event(|tray, event| {
            if let TrayIconEvent::DoubleClick { .. } = event {
                show(tray.app_handle());
            }
        })
        .build(handle)?;
        Ok(())
    };
    build().is_ok()
}

/// On Linux a tray exists where somebody owns the name of its watcher on the session bus.
#[cfg(target_os = "linux")]
fn tray_exists() -> bool {
    let owned = || -> zbus::Result<bool> {
        let connection = zbus::blocking::Connection::session()?;
        let name = "org.kde.StatusNotifierWatcher".try_into().map_err(zbus::Error::from)?;
        Ok(zbus::blocking::fdo::DBusProxy::new(&connection)?.name_has_owner(name)?)
    };
    owned().unwrap_or(false)
}

#[cfg(not(target_os = "linux"))]
fn tray_exists() -> bool {
    true
}

/// What was dropped, as the page learns of it.
#[derive(Clone, Serialize)]
struct Dropped {
    chosen: Vec<Chosen>,
    /// Physical pixels from the window's left and top edge; none for files named when the program was started.
    position: Option<(f64, f64)>,
}

/// Files named on the command line, ours or a second start's, relative to `folder`.
pub fn offer_arguments<R: Runtime>(handle: &AppHandle<R>, arguments: impl Iterator<Item = String>, folder: &Path) {
    let files = arguments.filter(|argument| !argument.starts_with('-')).map(|argument| folder.join(argument)).collect();
    offer(handle, files, None);
}

fn offer<R: Runtime>(handle: &AppHandle<R>, paths: Vec<std::path::PathBuf>, position: Option<(f64, f64)>) {
    if paths.is_empty() {
        return;
    }
    let handle = handle.clone();
    tauri::async_runtime::spawn(async move {
        let Ok(app) = handle.state::<Desktop>().app().await else { return };
        let chosen: Vec<Chosen> = paths.iter().filter_map(|path| app.offer(path, Purpose::Read).ok()).collect();
        handle.state::<Desktop>().page().await;
        // A page that is gone needs no news.
        let _ = handle.emit("huacaya://dropped", Dropped { chosen, position });
    });
}
