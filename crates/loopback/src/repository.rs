//! What is on the hub: repositories, their files, who may read them.

use serde_json::Value;

use crate::content::{Content, sha256_of};

/// Files kept by Git LFS on the real hub, by their ending: what its default `.gitattributes` says of models.
const LFS_ENDINGS: &[&str] = &[".gguf", ".safetensors", ".bin", ".pt", ".pth", ".model", ".zip", ".onnx"];
/// Any larger file is kept by LFS, too: the real hub refuses it elsewhere.
const PLAIN_BYTES_MAX: u64 = 10 << 20;

/// One repository. `RepositorySpec::new("owner/name").file("model.gguf", content)`.
#[derive(Clone)]
pub struct RepositorySpec {
    /// `owner/name`.
    pub id: String,
    /// Its files; `README.md` comes from `card` where that is given.
    pub files: Vec<FileSpec>,
    /// Its files want a token that was granted access.
    pub gated: bool,
    /// Without a token it does not exist.
    pub private: bool,
    /// `README.md`, front matter included.
    pub card: Option<String>,
    /// Labels, as `gguf`, `text-generation`, `license:apache-2.0`.
    pub tags: Vec<String>,
    /// `gguf`, `transformers`, `peft`.
    pub library: Option<String>,
    /// The card's front matter as the API gives it.
    pub card_data: Value,
    /// What the API says of a GGUF repository's header.
    pub gguf: Option<Value>,
    /// Downloads of the last month.
    pub downloads: u64,
    /// Hearts.
    pub likes: u64,
    /// The day of its last change, as `2024-05-02T08:00:00.000Z`.
    pub changed: String,
    /// Names it had before; they redirect.
    pub former: Vec<String>,
    /// Only there: a repository is on both hubs unless said otherwise.
    pub only: Option<Face>,
}

/// Which of the loopback's hosts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// The hub that speaks as huggingface.co does.
    Hub,
    /// The host that its files are redirected to.
    Cdn,
    /// The hub that speaks as modelscope.cn does.
    ModelScope,
    /// The HTTP proxy.
    Proxy,
}

/// One file of a repository.
#[derive(Clone)]
pub struct FileSpec {
    /// Its path in the repository; anything, hostile names included.
    pub path: String,
    /// Its bytes.
    pub content: Content,
    /// The SHA-256 that listings claim; none: the true one.
    pub claimed_sha256: Option<String>,
    /// The size that listings claim; none: the true one.
    pub claimed_bytes: Option<u64>,
}

impl RepositorySpec {
    /// An empty public repository.
    pub fn new(id: &str) -> RepositorySpec {
        RepositorySpec {
            id: id.to_owned(),
            files: Vec::new(),
            gated: false,
            private: false,
            card: None,
            tags: vec!["text-generation".to_owned()],
            library: None,
            card_data: Value::Null,
            gguf: None,
            downloads: 100,
            likes: 10,
            changed: "2024-05-02T08:00:00.000Z".to_owned(),
            former: Vec::new(),
            only: None,
        }
    }

    /// With this file.
    pub fn file(mut self, path: &str, content: impl Into<Content>) -> RepositorySpec {
        self.files.push(FileSpec::new(path, content));
        self
    }

    /// With this model card.
    pub fn card(mut self, text: &str) -> RepositorySpec {
        self.card = Some(text.to_owned());
        self
    }

    /// With this label.
    pub fn tag(mut self, tag: &str) -> RepositorySpec {
        self.tags.push(tag.to_owned());
        self
    }

    /// With its files behind a granted token.
    pub fn gated(self) -> RepositorySpec {
        RepositorySpec { gated: true, ..self }
    }

    /// Seen only with a token.
    pub fn private(self) -> RepositorySpec {
        RepositorySpec { private: true, ..self }
    }

    /// On this hub alone.
    pub fn only_on(self, face: Face) -> RepositorySpec {
        RepositorySpec { only: Some(face), ..self }
    }

    /// The commit that its branch is at: 40 hexadecimal digits that change with any file.
    pub fn commit(&self) -> String {
        let mut all = self.id.clone();
        for file in self.all_files() {
            all.push_str(&format!("\0{}\0{}", file.path, file.content.sha256()));
        }
        sha256_of(&all)[..40].to_owned()
    }

    /// Its files, the card among them.
    pub(crate) fn all_files(&self) -> Vec<FileSpec> {
        let mut files = self.files.clone();
        if let Some(card) = &self.card {
            files.push(FileSpec::new("README.md", card.as_str()));
        }
        files
    }

    pub(crate) fn find(&self, path: &str) -> Option<FileSpec> {
        self.all_files().into_iter().find(|file| file.path == path)
    }

    /// The repository's part of its files' addresses on the CDN.
    pub(crate) fn digest(&self) -> String {
        sha256_of(&self.id)
    }

    pub(crate) fn owner(&self) -> &str {
        self.id.split_once('/').map_or("", |(owner, _)| owner)
    }

    pub(crate) fn name(&self) -> &str {
        self.id.split_once('/').map_or(&self.id, |(_, name)| name)
    }
}

impl FileSpec {
    /// A file that listings tell the truth about.
    pub fn new(path: &str, content: impl Into<Content>) -> FileSpec {
        FileSpec { path: path.to_owned(), content: content.into(), claimed_sha256: None, claimed_bytes: None }
    }

    /// The SHA-256 that listings give.
    pub fn sha256(&self) -> String {
        self.claimed_sha256.clone().unwrap_or_else(|| self.content.sha256())
    }

    /// The size that listings give.
    pub fn bytes(&self) -> u64 {
        self.claimed_bytes.unwrap_or_else(|| self.content.len())
    }

    /// Whether Git LFS keeps it.
    pub fn is_lfs(&self) -> bool {
        LFS_ENDINGS.iter().any(|ending| self.path.ends_with(ending)) || self.content.len() > PLAIN_BYTES_MAX
    }

    /// Forty hexadecimal digits in the place of git's blob id.
    pub(crate) fn blob(&self) -> String {
        sha256_of(&format!("blob {}", self.content.sha256()))[..40].to_owned()
    }

    /// The CDN's own ETag: as object stores give it for a file uploaded in parts, not the SHA-256.
    pub fn cdn_etag(&self) -> String {
        let parts = self.content.len().div_ceil(16 << 20).max(1);
        format!("{}-{parts}", &sha256_of(&format!("object {}", self.content.sha256()))[..32])
    }

    /// What git holds in the place of an LFS file.
    pub(crate) fn pointer(&self) -> String {
        format!(
            "version https://git-lfs.github.com/spec/v1\noid sha256:{}\nsize {}\n",
            self.content.sha256(),
            self.content.len()
        )
    }
}
