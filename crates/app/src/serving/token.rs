//! The token that every request must bring: random, one for each data folder, in a file that only the person can read.

use std::{fs, io::Write, path::PathBuf};

use crate::{
    App, blocking,
    error::{Error, Result},
};

/// Bytes of chance: nobody guesses 2^256.
const TOKEN_BYTES: usize = 32;
/// Says what it is where it turns up by accident.
const PREFIX: &str = "hk-";

impl App {
    /// The token; made where there is none yet.
    pub async fn server_token(&self) -> Result<String> {
        let path = self.token_path();
        let known = blocking({
            let path = path.clone();
            move || Ok(fs::read_to_string(path).ok())
        });
        match known.await?.map(|token| token.trim().to_string()).filter(|token| token.starts_with(PREFIX)) {
            Some(token) => Ok(token),
            None => self.renew_server_token().await,
        }
    }

    /// A new token; the one before is worth nothing from now on.
    pub async fn renew_server_token(&self) -> Result<String> {
        let path = self.token_path();
        let token = blocking(move || {
            let mut bytes = [0u8; TOKEN_BYTES];
            getrandom::fill(&mut bytes).map_err(Error::internal)?;
            let token = PREFIX.to_string() + &bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
            write_private(&path, &token).map_err(|error| Error::unwritable(&path, &error))?;
            Ok(token)
        });
        let token = token.await?;
        Ok(token)
    }

    fn token_path(&self) -> PathBuf {
        self.inner.places.home().join("server.token")
    }
}

/// Beside, then renamed: never half a token, never readable by others.
fn write_private(path: &std::path::Path, token: &str) -> std::io::Result<()> {
    let beside = path.with_extension("token.part");
    // What an earlier write left might be open to others.
    let _ = fs::remove_file(&beside);
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&beside)?;
    file.write_all(token.as_bytes())?;
    file.sync_all()?;
    fs::rename(&beside, path)
}
