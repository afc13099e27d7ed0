//! Finding models on the hub: by name, by repository, by an address that was pasted.

use huacaya_engine::config::Config;
use huacaya_hub::{Address, Endpoint, FileName, Hit, Place, Repository, Weights, host_of, quantization};
use huacaya_store::{JobId, ModelId};
use serde::Serialize;
use ts_rs::TS;
use url::Url;

use crate::{
    App,
    catalogue::Catalogue,
    choices::{Choice, choices},
    downloads::{Pick, PickFile},
    error::{Code, Error, Result},
    fetching, loading,
    models::Verdict,
    shape,
};

/// More names than these are not looked through.
const HITS: usize = 50;
/// A name that is searched for.
const SEARCH_CHARACTERS_MAX: usize = 200;

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

/// What an address leads to.
pub(crate) enum Found {
    Repository(Box<Repository>),
    /// One file, at an address of its own.
    File(Pick),
}

impl Found {
    /// The picks that it offers, each with its choice.
    fn offers(&self) -> Vec<(Choice, Pick)> {
        match self {
            Found::File(pick) => vec![(choice_of(pick), pick.clone())],
            Found::Repository(repository) => {
                let with_pick = |choice: Choice| {
                    let pick = pick(repository, &choice);
                    (choice, pick)
                };
                choices(repository).into_iter().map(with_pick).collect()
            }
        }
    }
}

fn pick(repository: &Repository, choice: &Choice) -> Pick {
    let model = match choice.kind {
        ChoiceKind::Gguf => choice.id.clone(),
        ChoiceKind::Folder | ChoiceKind::Lora => choice.folder.clone(),
    };
    Pick {
        repository: repository.id.to_string(),
        revision: repository.revision.clone(),
        endpoint: repository.endpoint.url.to_string(),
        kind: choice.kind,
        files: choice.files.clone(),
        url: None,
        folder: repository.id.folder(),
        model,
    }
}

/// The only choice of a direct address.
fn choice_of(pick: &Pick) -> Choice {
    let file = pick.files.first();
    let id = file.map(|file| file.path.clone()).unwrap_or_default();
    let name = id.strip_suffix(".gguf").unwrap_or(&id).to_string();
    Choice {
        name,
        kind: pick.kind,
        quantization: quantization(&id),
        files: pick.files.clone(),
        folder: String::new(),
        id,
    }
}

impl App {
    pub(crate) async fn search_hub(&self, text: String) -> Result<Vec<HubHit>> {
        let text: String = text.trim().chars().take(SEARCH_CHARACTERS_MAX).collect();
        if text.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.hub().search(&text, HITS).await?.into_iter().map(hit).collect())
    }

    pub(crate) async fn read_repository(&self, address: String) -> Result<RepositoryPage> {
        let (found, place) = self.find(&address).await?;
        let card = async {
            match &found {
                Found::Repository(repository) => self.hub().card(repository).await.map(Some),
                Found::File(_) => Ok(None),
            }
        };
        let offers = found.offers();
        let (card, shape) = tokio::join!(card, shape::of(self, &found, &offers));
        let card = card.unwrap_or_else(|error| {
            tracing::warn!(%error, "a model card was not read");
            None
        });
        let mut choices = Vec::new();
        for (choice, pick) in &offers {
            choices.push(self.hub_choice(choice, pick, shape.as_ref()).await?);
        }
        // What the address pointed at comes first.
        choices.sort_by_key(|choice| !place.as_ref().is_some_and(|place| points_at(place, choice)));
        Ok(page(&found, card.filter(|card| !card.is_empty()), choices, &offers))
    }

    /// What an address leads to, as the hub says now; and where in it the address points.
    pub(crate) async fn find(&self, address: &str) -> Result<(Found, Option<Place>)> {
        let endpoints = self.hub().network().endpoints;
        match Address::parse(address, &endpoints)? {
            Address::File(url) => Ok((Found::File(self.remote(&url).await?), None)),
            Address::Repository(place) => {
                let asked = preferred(endpoints, place.host.as_deref());
                let revision = place.revision.as_deref();
                let repository = self.hub().repository_at(&asked, &place.id, revision).await?;
                Ok((Found::Repository(Box::new(repository)), Some(place)))
            }
        }
    }

    /// The pick behind a choice's id.
    pub(crate) async fn picked(&self, address: &str, choice: &str) -> Result<(String, Pick)> {
        let (found, _) = self.find(address).await?;
        let offers = found.offers();
        let fits = |(one, _): &&(Choice, Pick)| one.id == choice || one.files.iter().any(|file| file.path == choice);
        let exact = offers.iter().find(|(one, _)| one.id == choice);
        let Some((choice, pick)) = exact.or_else(|| offers.iter().find(fits)) else {
            let what = format!("{address}: {choice}");
            return Err(Error::new(Code::NotFound, format!("{what}: there is no such choice")).with("what", what));
        };
        Ok((choice.name.clone(), pick.clone()))
    }

    /// A file at an address of its own, as its host tells of it.
    async fn remote(&self, url: &Url) -> Result<Pick> {
        let file = self.hub().probe(url).await?;
        let path = file.name.as_str().to_string();
        Ok(Pick {
            repository: String::new(),
            revision: file.etag.unwrap_or_default(),
            endpoint: String::new(),
            kind: ChoiceKind::Gguf,
            files: vec![PickFile { path: path.clone(), bytes: file.bytes.unwrap_or(0), sha256: None }],
            url: Some(url.to_string()),
            folder: folder_of_host(url),
            model: path,
        })
    }

    async fn hub_choice(&self, choice: &Choice, pick: &Pick, shape: Option<&Config>) -> Result<HubChoice> {
        let memory_bytes = match choice.kind {
            ChoiceKind::Lora => None,
            kind => shape.and_then(|shape| shape::memory(shape, kind, &choice.quantization, choice.bytes())),
        };
        let free = loading::free_bytes().saturating_add(self.held_bytes());
        let storage = self.storage();
        let partial = choice.files.iter().map(|file| fetching::here(&storage, pick, file)).sum();
        let here = self.model_of(pick).await?;
        Ok(HubChoice {
            id: choice.id.clone(),
            name: choice.name.clone(),
            kind: choice.kind,
            quantization: choice.quantization.clone(),
            bytes: choice.bytes(),
            files: choice.files.len() as u32,
            sha256: if let [file] = &choice.files[..] { file.sha256.clone() } else { None },
            memory_bytes,
            verdict: memory_bytes.map(|bytes| loading::verdict(bytes, free)),
            here,
            in_cache: here.is_none() && fetching::in_cache(pick).is_some(),
            partial: if here.is_none() { partial } else { 0 },
            job: self.download_for(pick).await?,
        })
    }
}

/// The endpoints in the order in which they are asked: those of the address's own host first.
fn preferred(mut endpoints: Vec<Endpoint>, host: Option<&str>) -> Vec<Endpoint> {
    endpoints.sort_by_key(|endpoint| host != Some(&host_of(&endpoint.url)));
    endpoints
}

/// A folder's name for what a host outside the hubs gives.
fn folder_of_host(url: &Url) -> String {
    let name: String = host_of(url)
        .chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || letter == '.' { letter } else { '-' })
        .collect();
    if FileName::parse(&name).is_ok() { name } else { format!("host-{}", name.trim_matches(['.', '-'])) }
}

fn points_at(place: &Place, choice: &HubChoice) -> bool {
    let file = place.file.as_ref().is_some_and(|file| file.as_str() == choice.id);
    let quantization = place.quantization.as_ref().is_some_and(|name| name.eq_ignore_ascii_case(&choice.quantization));
    file || quantization
}

fn hit(hit: Hit) -> HubHit {
    let format = |weights: &Weights| match weights {
        Weights::Gguf => HubFormat::Gguf,
        Weights::Safetensors => HubFormat::Safetensors,
        Weights::Pytorch => HubFormat::Pytorch,
        Weights::Lora => HubFormat::Lora,
    };
    HubHit {
        repository: hit.id.to_string(),
        downloads: hit.downloads,
        likes: hit.likes,
        updated: hit.updated,
        gated: hit.gated,
        formats: hit.formats.iter().map(format).collect(),
        endpoint: hit.endpoint.name,
    }
}

fn page(found: &Found, card: Option<String>, choices: Vec<HubChoice>, offers: &[(Choice, Pick)]) -> RepositoryPage {
    match found {
        Found::Repository(repository) => {
            let id = repository.id.to_string();
            let of_a_choice =
                |path: &str| offers.iter().any(|(choice, _)| choice.files.iter().any(|file| file.path == path));
            let other = repository.files.iter().filter(|file| !of_a_choice(file.name.as_str())).count();
            RepositoryPage {
                entry: Catalogue::bundled().entry_of(&id).map(|entry| entry.id.clone()),
                repository: id,
                endpoint: repository.endpoint.name.clone(),
                revision: repository.revision.clone(),
                url: repository.page().to_string(),
                gated: repository.gated,
                licence: repository.licence.clone().unwrap_or_default(),
                base_model: repository.base_model.clone(),
                card,
                choices,
                other_files: (other + repository.unsafe_names) as u32,
            }
        }
        Found::File(pick) => {
            let url = pick.url.clone().unwrap_or_default();
            RepositoryPage {
                repository: pick.model.clone(),
                endpoint: pick.folder.clone(),
                revision: String::new(),
                url,
                gated: false,
                licence: String::new(),
                base_model: None,
                entry: None,
                card,
                choices,
                other_files: 0,
            }
        }
    }
}
