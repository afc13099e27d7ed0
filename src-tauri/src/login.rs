//! The start at login: an entry of the plugin's, put right where the program's path has spaces.

use huacaya_app::Error;
use tauri::{AppHandle, Runtime};
use tauri_plugin_autostart::ManagerExt;

/// Whether the program starts when the person logs in; with `on`, makes it so first.
pub fn starts<R: Runtime>(handle: &AppHandle<R>, on: Option<bool>) -> Result<bool, Error> {
    const ATTEMPT: &str = "change what starts at login";
    let login = handle.autolaunch();
    let failed = |error| Error::system(ATTEMPT, &error);
    match on {
        Some(true) => {
            login.enable().map_err(failed)?;
            #[cfg(target_os = "linux")]
            linux::mend(handle).map_err(|error| Error::system(ATTEMPT, &error))?;
        }
        Some(false) => login.disable().map_err(failed)?,
        None => {}
    }
    login.is_enabled().map_err(failed)
}

#[cfg(target_os = "linux")]
mod linux {
    use std::{fs, io};

    use tauri::{AppHandle, Manager, Runtime};

    use crate::window::HIDDEN;

    /// Quotes the path in the entry that the plugin wrote.
    pub fn mend<R: Runtime>(handle: &AppHandle<R>) -> io::Result<()> {
        let home = handle.path().home_dir().map_err(io::Error::other)?;
        let file = home.join(".config/autostart").join(format!("{}.desktop", handle.package_info().name));
        let entry = fs::read_to_string(&file)?;
        fs::write(&file, with_quotes(&entry))
    }

    /// The path of the line `Exec`, quoted as the Desktop Entry Specification wants it.
    fn with_quotes(entry: &str) -> String {
        let line = |line: &str| match line.strip_prefix("Exec=").and_then(|rest| rest.trim_end().strip_suffix(HIDDEN)) {
            Some(path) if !path.starts_with('"') => format!("Exec={} {HIDDEN}", quoted(path.trim_end())),
            _ => line.to_string(),
        };
        entry.lines().map(line).collect::<Vec<_>>().join("\n") + "\n"
    }

    /// Escaped twice: as an argument in quotes, and as a string of the file. A percent sign begins a field code.
    fn quoted(path: &str) -> String {
        let escaped = |c: char| match c {
            '"' | '`' | '$' => format!(r"\\{c}"),
            '\\' => r"\\\\".to_string(),
            '%' => "%%".to_string(),
            c => c.to_string(),
        };
        format!("\"{}\"", path.chars().map(escaped).collect::<String>())
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn a_path_with_spaces_starts_the_program() {
            let entry = "[Desktop Entry]\nName=huacaya\nExec=/opt/张 庭 綱/100% a$b/huacaya --hidden\nTerminal=false";
            // https://specifications.freedesktop.org/desktop-entry-spec/latest/exec-variables.html: a dollar sign is written
            // as `\\$`, a percent sign twice.
            let mended = r#"[Desktop Entry]
Name=huacaya
Exec="/opt/张 庭 綱/100%% a\\$b/huacaya" --hidden
Terminal=false
"#;
            assert_eq!(with_quotes(entry), mended);
            assert_eq!(with_quotes(mended), mended, "once is enough");
        }
    }
}
