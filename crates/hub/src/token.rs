//! Access tokens: kept in the system's keyring, else in a file that only this person can read; and the environment's.
//!
//! All of it blocks. The keyring may ask the person to unlock it, or have nobody behind it that answers, so it is asked on a
//! thread of its own and for a bounded time.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt, fs,
    io::Write,
    path::{Path, PathBuf},
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    cache::hugging_face_home,
    error::{Error, Result, host_of},
    network::Tokens,
};

/// The keyring's name for what is ours.
const KEYRING_NAME: &str = "huacaya";
/// Set to anything, the keyring is left alone: for machines whose keyring asks for a password that nobody knows.
const NO_KEYRING: &str = "HUACAYA_NO_KEYRING";
/// In the data folder: hosts, and the tokens that no keyring took.
const FILE_NAME: &str = "tokens.json";
/// Whoever keeps a token is looking at the screen and may be asked to unlock the keyring.
const KEEP_MAX: Duration = Duration::from_secs(30);
/// Nobody waits for a token to be read without wondering.
const READ_MAX: Duration = Duration::from_secs(5);
/// Tokens have some 40 characters; a signed one some hundreds.
const TOKEN_BYTES_MAX: usize = 4096;
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Where a token is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenPlace {
    Keyring,
    File,
}

/// Keeps a token for a host (`host`, or `host:port`), in the place of one before.
pub fn keep(host: &str, token: &str, folder: &Path) -> Result<TokenPlace> {
    let token = checked(token)?;
    let file = TokenFile::in_folder(folder);
    let place = match in_keyring(KEEP_MAX, host, Ask::Keep(token.to_owned())) {
        Ok(_) => TokenPlace::Keyring,
        Err(error) => {
            tracing::info!(%error, "the token is kept in a file");
            TokenPlace::File
        }
    };
    let kept = if place == TokenPlace::File { Kept::Here(token.to_owned()) } else { Kept::Keyring };
    file.change(|all| all.insert(host.to_ascii_lowercase(), kept))?;
    Ok(place)
}

/// The token that was kept for a host.
pub fn read(host: &str, folder: &Path) -> Result<Option<String>> {
    match TokenFile::in_folder(folder).read()?.remove(&host.to_ascii_lowercase()) {
        None => Ok(None),
        Some(Kept::Here(token)) => Ok(Some(token)),
        Some(Kept::Keyring) => in_keyring(READ_MAX, host, Ask::Read),
    }
}

/// Forgets the token of a host.
pub fn forget(host: &str, folder: &Path) -> Result<()> {
    let file = TokenFile::in_folder(folder);
    if let Some(Kept::Keyring) = file.read()?.get(&host.to_ascii_lowercase()) {
        in_keyring(KEEP_MAX, host, Ask::Forget)?;
    }
    file.change(|all| all.remove(&host.to_ascii_lowercase()))
}

/// Where the token of each host is, without asking the keyring.
pub fn places(folder: &Path) -> Result<BTreeMap<String, TokenPlace>> {
    let place = |kept: Kept| if matches!(kept, Kept::Keyring) { TokenPlace::Keyring } else { TokenPlace::File };
    Ok(TokenFile::in_folder(folder).read()?.into_iter().map(|(host, kept)| (host, place(kept))).collect())
}

/// The token that the environment gives to Hugging Face's programs, for the hosts that they would send it to: the hub, and
/// the one that `HF_ENDPOINT` names. `get` reads the environment.
pub fn of_environment(get: impl Fn(&str) -> Option<OsString>) -> Tokens {
    let text = |name: &str| Some(get(name)?.to_str()?.trim().to_owned()).filter(|text| !text.is_empty());
    let refused = text("HF_HUB_DISABLE_IMPLICIT_TOKEN").is_some_and(|value| !matches!(&*value, "0" | "false" | "no"));
    let in_file = || {
        let path = get("HF_TOKEN_PATH").map(PathBuf::from).or_else(|| Some(hugging_face_home(&get)?.join("token")))?;
        let small = fs::metadata(&path).ok()?.len() <= TOKEN_BYTES_MAX as u64;
        small.then(|| fs::read_to_string(path).ok()).flatten()
    };
    let token = text("HF_TOKEN").or_else(|| text("HUGGING_FACE_HUB_TOKEN")).or_else(in_file);
    let token = token.filter(|_| !refused).and_then(|token| checked(&token).map(str::to_owned).ok());
    let endpoint = text("HF_ENDPOINT").and_then(|endpoint| Url::parse(&endpoint).ok()).map(|url| host_of(&url));
    let hosts = ["huggingface.co".to_owned()].into_iter().chain(endpoint);
    token.map(|token| hosts.map(|host| (host, token.clone())).collect()).unwrap_or_default()
}

/// One word that a header can hold.
fn checked(token: &str) -> Result<&str> {
    let token = token.trim();
    let sound =
        !token.is_empty() && token.len() <= TOKEN_BYTES_MAX && token.bytes().all(|byte| byte.is_ascii_graphic());
    let reason = "a token is one word of letters, digits and signs; copy it again from the hub's settings";
    if sound { Ok(token) } else { Err(Error::Keyring { reason: reason.to_owned() }) }
}

enum Ask {
    Keep(String),
    Read,
    Forget,
}

/// Asks the keyring, for no longer than `most`.
fn in_keyring(most: Duration, host: &str, ask: Ask) -> Result<Option<String>> {
    /// One question at a time: threads that wait for a keyring which never answers must not pile up.
    static ASKING: AtomicBool = AtomicBool::new(false);
    let failed = |reason: &str| Error::Keyring { reason: reason.to_owned() };
    if std::env::var_os(NO_KEYRING).is_some() {
        return Err(failed("it is switched off"));
    }
    if ASKING.swap(true, Ordering::AcqRel) {
        return Err(failed("it has not answered an earlier question yet"));
    }
    let host = host.to_ascii_lowercase();
    let (tell, told) = mpsc::channel();
    let asked = thread::Builder::new().name("keyring".to_owned()).spawn(move || {
        let answer = ask_keyring(&host, &ask);
        ASKING.store(false, Ordering::Release);
        // Nobody waits any more: then the answer is of no use.
        tell.send(answer).ok();
    });
    if let Err(error) = asked {
        ASKING.store(false, Ordering::Release);
        return Err(failed(&error.to_string()));
    }
    match told.recv_timeout(most) {
        Ok(answer) => answer,
        Err(_) => Err(failed("it does not answer")),
    }
}

fn ask_keyring(host: &str, ask: &Ask) -> Result<Option<String>> {
    let failed = |error: keyring::Error| {
        let reason = error.to_string();
        // No keyring is known to repeat what it was given; none shall.
        let reason = if let Ask::Keep(token) = ask { reason.replace(token.as_str(), "…") } else { reason };
        Error::Keyring { reason }
    };
    let entry = keyring::Entry::new(KEYRING_NAME, host).map_err(failed)?;
    match ask {
        Ask::Keep(token) => entry.set_password(token).map(|()| None).map_err(failed),
        Ask::Read => match entry.get_password() {
            Err(keyring::Error::NoEntry) => Ok(None),
            token => token.map(Some).map_err(failed),
        },
        Ask::Forget => match entry.delete_credential() {
            Err(keyring::Error::NoEntry) => Ok(None),
            gone => gone.map(|()| None).map_err(failed),
        },
    }
}

/// What the file says of a host's token. Printing it never prints a token.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kept {
    Keyring,
    Here(String),
}

impl fmt::Debug for Kept {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if matches!(self, Kept::Keyring) { "Keyring" } else { "Here(…)" })
    }
}

struct TokenFile {
    path: PathBuf,
}

impl TokenFile {
    fn in_folder(folder: &Path) -> TokenFile {
        TokenFile { path: folder.join(FILE_NAME) }
    }

    fn read(&self) -> Result<BTreeMap<String, Kept>> {
        let failed = |source| Error::Io { path: self.path.clone(), source };
        let text = match fs::metadata(&self.path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(error) => return Err(failed(error)),
            Ok(metadata) if metadata.len() > FILE_BYTES_MAX => return Ok(BTreeMap::new()),
            Ok(_) => fs::read_to_string(&self.path).map_err(failed)?,
        };
        // A damaged file loses its tokens, which can be given again; it must not keep the program from the network.
        Ok(serde_json::from_str(&text).unwrap_or_else(|error| {
            tracing::warn!(path = %self.path.display(), line = error.line(), "the file of tokens is damaged");
            BTreeMap::new()
        }))
    }

    fn change<T>(&self, change: impl FnOnce(&mut BTreeMap<String, Kept>) -> Option<T>) -> Result<()> {
        let failed = |source| Error::Io { path: self.path.clone(), source };
        let mut all = self.read()?;
        change(&mut all);
        let text = serde_json::to_string_pretty(&all).map_err(|error| failed(error.into()))?;
        let new = self.path.with_extension("json.new");
        // Whatever lies there has rights of its own.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let mut file = only_for_us().open(&new).map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
        fs::rename(&new, &self.path).map_err(failed)
    }
}

/// A new file that nobody else can read. On Windows the data folder lies in the person's profile, which others cannot read.
fn only_for_us() -> fs::OpenOptions {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "hf_secretsecretsecret";

    fn kept(file: &TokenFile, host: &str) {
        file.change(|all| all.insert(host.to_owned(), Kept::Here(TOKEN.to_owned()))).expect("kept");
    }

    #[test]
    fn the_file_is_for_this_person_only_and_holds_what_was_kept() {
        let home = tempfile::tempdir().expect("a folder");
        let file = TokenFile::in_folder(home.path());
        assert!(file.read().expect("read").is_empty());
        kept(&file, "hub.test");
        kept(&file, "other.test:81");
        assert_eq!(read("HUB.test", home.path()).expect("read").as_deref(), Some(TOKEN));
        assert_eq!(read("hub.test:81", home.path()).expect("read"), None);
        assert_eq!(places(home.path()).expect("read")["hub.test"], TokenPlace::File);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(&file.path).expect("there").permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        forget("hub.test", home.path()).expect("forgotten");
        assert_eq!(places(home.path()).expect("read").into_keys().collect::<Vec<_>>(), ["other.test:81"]);
    }

    #[test]
    fn a_damaged_file_is_an_empty_one() {
        let home = tempfile::tempdir().expect("a folder");
        let file = TokenFile::in_folder(home.path());
        fs::write(&file.path, "{\"hub.test\": {\"here\"").expect("written");
        assert_eq!(read("hub.test", home.path()).expect("read"), None);
        kept(&file, "hub.test");
        assert_eq!(read("hub.test", home.path()).expect("read").as_deref(), Some(TOKEN));
    }

    #[test]
    fn what_is_printed_holds_no_token() {
        assert!(!format!("{:?}", Kept::Here(TOKEN.to_owned())).contains("secret"));
        let refused = keep("hub.test", "two words secret", Path::new("/nowhere")).expect_err("refused");
        assert!(!refused.to_string().contains("secret") && !format!("{refused:?}").contains("two words"));
    }

    #[test]
    fn the_environments_token_goes_to_the_hub_and_the_endpoint_named_there() {
        let home = tempfile::tempdir().expect("a folder");
        let path = home.path().join("token");
        fs::write(&path, format!("{TOKEN}\n")).expect("written");
        let path = path.to_str().expect("a path");
        let of = |pairs: &[(&str, &str)]| {
            let get = |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value));
            of_environment(get)
        };
        let hosts = |pairs: &[(&str, &str)]| of(pairs).hosts().map(str::to_owned).collect::<Vec<_>>();
        let endpoint = ("HF_ENDPOINT", "http://127.0.0.1:8080/hf");
        assert_eq!(hosts(&[("HF_TOKEN", TOKEN)]), ["huggingface.co"]);
        assert_eq!(hosts(&[("HF_TOKEN", TOKEN), endpoint]), ["127.0.0.1:8080", "huggingface.co"]);
        assert_eq!(hosts(&[("HF_TOKEN_PATH", path)]), ["huggingface.co"]);
        assert_eq!(hosts(&[("HF_HOME", home.path().to_str().expect("a path"))]), ["huggingface.co"]);
        assert!(of(&[("HF_TOKEN", TOKEN), ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1")]).is_empty());
        assert!(of(&[("HF_TOKEN", "two words")]).is_empty() && of(&[endpoint]).is_empty());
        let url = Url::parse("https://huggingface.co/x").expect("an address");
        assert_eq!(of(&[("HF_TOKEN_PATH", path)]).of(&url), Some(TOKEN));
    }
}
