//! Finding models on the hub: by name, by repository, by an address that was pasted.

use huacaya_store::{JobId, ModelId};
use serde::Serialize;
use ts_rs::TS;

use crate::{
    App,
    error::{Error, Result},
    models::Verdict,
};

/// A repository that was found by its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, TS)]
pub struct HubHit {
    pub repository: String,
    pub downloads: u64,
    pub likes: u64,
    /// As the hub writes it (ISO 8601); empty where it does not say.
    pub updated: String,
    pub gated: bool,
    pub formats: Vec<HubFormat>,
    /// Which endpoint told of it, by name.
    pub endpoint: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum HubFormat {
    Gguf,
    Safetensors,
    Pytorch,
    Lora,
}

/// A repository, or a file at an address, with what can be downloaded of it.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct RepositoryPage {
    /// `owner/name`; of a direct address the file's name.
    pub repository: String,
    /// By name; of a direct address its host.
    pub endpoint: String,
    pub revision: String,
    /// Its page in a browser.
    pub url: String,
    pub gated: bool,
    /// As the card says it; empty where it does not.
    pub licence: String,
    pub base_model: Option<String>,
    /// The catalogue's entry for it.
    pub entry: Option<String>,
    /// The model card: untrusted Markdown.
    pub card: Option<String>,
    pub choices: Vec<HubChoice>,
    /// How many files belong to none of the choices.
    pub other_files: u32,
}

/// Something that becomes one model.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct HubChoice {
    /// Stands for it in `download`.
    pub id: String,
    pub name: String,
    pub kind: ChoiceKind,
    /// Empty where neither name nor header says it.
    pub quantization: String,
    pub bytes: u64,
    pub files: u32,
    /// Of a single file, where the hub tells it.
    pub sha256: Option<String>,
    pub memory_bytes: Option<u64>,
    pub verdict: Option<Verdict>,
    /// The model in the list that it is.
    pub here: Option<ModelId>,
    /// Another program downloaded it: it would be used in its place.
    pub in_cache: bool,
    /// Bytes that an earlier download left here.
    pub partial: u64,
    /// The download that is under way.
    pub job: Option<JobId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum ChoiceKind {
    /// One file, or the parts of one.
    Gguf,
    /// A folder as `transformers` reads it.
    Folder,
    Lora,
}

impl App {
    pub(crate) async fn search_hub(&self, _text: String) -> Result<Vec<HubHit>> {
        Err(Error::internal("not yet"))
    }

    pub(crate) async fn read_repository(&self, _address: String) -> Result<RepositoryPage> {
        Err(Error::internal("not yet"))
    }
}
