//! Starts the window.

fn main() -> tauri::Result<()> {
    huacaya_app_desktop::run()
}
