//! Chats out into files and in from them; the forms themselves are in `exchange`.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
};

use huacaya_store::ChatId;

use crate::{
    App, blocking,
    chosen::Purpose,
    error::{Code, Error, Result},
    exchange::{self, Format, Imported, Sound},
    now_ms,
};

impl App {
    pub(crate) async fn export_chats(&self, chats: Option<Vec<ChatId>>, format: Format, chosen: u32) -> Result<()> {
        let path = self.chosen(chosen, Purpose::Write)?;
        let whole = self.inner.store.whole_chats(chats.as_deref()).await?;
        blocking(move || replace_file(&path, exchange::export(&whole, format, now_ms()).as_bytes())).await
    }

    pub(crate) async fn export_text(&self, chat: ChatId, format: Format) -> Result<String> {
        let whole = self.inner.store.whole_chats(Some(&[chat])).await?;
        blocking(move || Ok(exchange::export(&whole, format, now_ms()))).await
    }

    pub(crate) async fn import_chats(&self, name: String, base64: String) -> Result<Imported> {
        let bytes = decode(&name, &base64)?;
        let Sound { chats, skipped } = blocking(move || exchange::read_chats(&name, &bytes, now_ms())).await?;
        let messages = chats.iter().map(|chat| chat.messages.len() as u32).sum();
        let added = self.inner.store.add_chats(chats).await?;
        Ok(Imported { chats: added.len() as u32, messages, skipped })
    }
}

/// The whole text or, where that fails, the file as it was.
fn replace_file(path: &Path, text: &[u8]) -> Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".part");
    let part = path.with_file_name(name);
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&part)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&part, path)
    };
    write().map_err(|error| {
        // What is left of the attempt is of no use; that it cannot be removed changes nothing.
        let _ = fs::remove_file(&part);
        Error::unwritable(path, &error)
    })
}

/// Files that a page hands over whole.
pub(crate) const UPLOAD_BYTES_MAX: usize = 256 << 20;

/// The bytes of a file that a page read.
pub(crate) fn decode(name: &str, base64: &str) -> Result<Vec<u8>> {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let broken = |reason: String| {
        Error::new(Code::ImportBroken, format!("{name}: {reason}")).with("name", name).with("reason", reason)
    };
    if base64.len() / 4 * 3 > UPLOAD_BYTES_MAX {
        return Err(broken(format!("it is larger than {} MiB", UPLOAD_BYTES_MAX >> 20)));
    }
    BASE64_STANDARD.decode(base64).map_err(|error| broken(format!("it did not arrive whole: {error}")))
}
