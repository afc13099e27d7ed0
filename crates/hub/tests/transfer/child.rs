//! The transfer in a process of its own, to be killed or run beside another: this test binary, started once more.

use std::{
    env,
    process::{self, Command, Stdio},
};

use huacaya_hub::{FileSource, Hub, Wanted};
use huacaya_progress::unwatched;

use crate::setting::{direct, in_time, patience};

/// The address, then the place, the size, the hash.
const ASKED: [&str; 4] = ["CHILD_URL", "CHILD_PLACE", "CHILD_BYTES", "CHILD_SHA256"];

pub struct Child(process::Child);

impl Child {
    pub fn start(wanted: &Wanted) -> Child {
        Child(command(wanted).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap())
    }

    pub fn runs(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    pub fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }

    /// What it said: the hash, or its error.
    pub fn finish(self) -> String {
        said(&self.0.wait_with_output().unwrap().stdout)
    }
}

/// This binary, to fetch what is wanted.
pub fn command(wanted: &Wanted) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "child::fetches_what_its_parent_wants", "--nocapture", "--quiet"]);
    command.env(ASKED[0], wanted.sources[0].url.as_str()).env(ASKED[1], &wanted.place);
    if let Some(bytes) = wanted.bytes {
        command.env(ASKED[2], bytes.to_string());
    }
    if let Some(sha256) = &wanted.sha256 {
        command.env(ASKED[3], sha256);
    }
    command
}

/// The child's word among what the test harness prints.
pub fn said(output: &[u8]) -> String {
    let text = String::from_utf8_lossy(output);
    let word = text.lines().find_map(|line| line.split_once("CHILD SAYS ")).map(|(_, word)| word.to_owned());
    word.unwrap_or_else(|| panic!("the child said nothing: {text}"))
}

/// Not a test by itself: the process that other tests start.
#[tokio::test(flavor = "multi_thread")]
async fn fetches_what_its_parent_wants() {
    let [Some(url), Some(place), bytes, sha256] = ASKED.map(env::var_os) else { return };
    let text = |value: std::ffi::OsString| value.into_string().unwrap();
    let wanted = Wanted {
        sources: vec![FileSource { url: text(url).parse().unwrap(), etag: None }],
        place: place.into(),
        bytes: bytes.map(|bytes| text(bytes).parse().unwrap()),
        sha256: sha256.map(text),
    };
    let hub = Hub::with_patience(direct(), patience()).unwrap();
    match in_time(hub.fetch(&wanted, &mut unwatched())).await {
        Ok(fetched) => println!("CHILD SAYS {}", fetched.sha256),
        Err(error) => println!("CHILD SAYS {error:?}"),
    }
}
