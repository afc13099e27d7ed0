//! Lets tauri read its configuration from the workspace root and writes nothing into the checkout.
//!
//! tauri-build generates schemas and permission files under the current folder, so it runs in a folder of the build's own.

use std::{env, error::Error, fs, path::PathBuf};

use tauri_build::{AppManifest, Attributes, WindowsAttributes};

/// What the window may ask of this program. Everything else is a name in `huacaya_app`'s table, behind `call`.
const COMMANDS: &[&str] = &["call", "subscribe", "choose", "open_link", "close_window", "reveal", "start_at_login"];

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let page = root.join("ui/dist/index.html");
    if !page.exists() {
        fs::create_dir_all(root.join("ui/dist"))?;
        fs::write(
            &page,
            "<!doctype html><title>Huacaya</title><p>Run <code>cargo xtask run</code> to build the window.",
        )?;
    }
    for watched in ["ui/dist", "src-tauri/capabilities", "src-tauri/permissions", "tauri.conf.json", "assets/icons"] {
        println!("cargo:rerun-if-changed={}", root.join(watched).display());
    }

    let work = PathBuf::from(env::var("OUT_DIR")?).join("tauri");
    fs::create_dir_all(&work)?;
    fs::copy(root.join("Cargo.toml"), work.join("Cargo.toml"))?;
    env::set_current_dir(&work)?;
    let leaked =
        |path: &str| -> &'static str { Box::leak(root.join(path).to_string_lossy().into_owned().into_boxed_str()) };
    let attributes = Attributes::new()
        .config_path(root.join("tauri.conf.json"))
        .capabilities_path_pattern(leaked("src-tauri/capabilities/**/*"))
        .app_manifest(
            AppManifest::new().commands(COMMANDS).permissions_path_pattern(leaked("src-tauri/permissions/**/*.toml")),
        )
        .windows_attributes(WindowsAttributes::new().window_icon_path(root.join("assets/icons/icon.ico")));
    tauri_build::try_build(attributes)?;
    Ok(())
}
