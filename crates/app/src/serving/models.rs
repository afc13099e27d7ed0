//! Models by name, their tokens, and texts as vectors.

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use huacaya_engine::{Model as Engine, template::Prompt};
use huacaya_store::{Model, ModelId, ModelKind, ModelState};

use super::{
    Asked, Asking, Said, Source,
    talk::{Beside, prompt_of, words_of},
    tools::Offer,
};
use crate::{
    App, blocking,
    error::{Code, Error, Result},
    loading::{Lease, Side},
};

/// Bytes of a name that no model has, as far as it is told and written down.
const NAME_KEPT_MAX: usize = 200;

/// A model as a program sees it.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiModel {
    /// The name by which it is asked for.
    pub id: String,
    pub row: Model,
}

/// Texts as vectors of length 1.
#[derive(Clone, Debug, PartialEq)]
pub struct Embedded {
    pub model: String,
    /// (texts, model's width)
    pub vectors: Vec<Vec<f32>>,
    pub tokens: usize,
}

impl App {
    /// What can be asked for; adapters and files that are gone are not among them.
    pub async fn api_models(&self) -> Result<Vec<ApiModel>> {
        let models = self.inner.store.models().await?;
        let usable = models.into_iter().filter(|row| row.kind != ModelKind::Adapter && row.state == ModelState::Ready);
        Ok(usable.map(|row| ApiModel { id: row.name.clone(), row }).collect())
    }

    /// The model of this name, in any case of letters, with this number in the list, or with this path; none, or "default":
    /// the one that answers in new chats.
    pub(crate) async fn api_model(&self, name: Option<&str>) -> Result<ModelId> {
        let name = name.map(str::trim).filter(|name| !name.is_empty() && *name != "default");
        let Some(name) = name else { return self.default_model().await };
        let wanted = name.to_lowercase();
        // Clients of Ollama write a tag behind a name.
        let plain = wanted.strip_suffix(":latest").unwrap_or(&wanted);
        let models = self.api_models().await?;
        let known = models.iter().find(|model| {
            let id = model.id.to_lowercase();
            id == wanted || id == plain || id.strip_suffix(".gguf") == Some(plain)
        });
        let known =
            known.or_else(|| models.iter().find(|model| model.row.id.0.to_string() == name || model.row.path == name));
        let unknown = || {
            let names: Vec<&str> = models.iter().map(|model| model.id.as_str()).collect();
            let name = cut_name(name);
            Error::new(Code::ModelUnknown, format!("there is no model `{name}`; there is: {}", names.join(", ")))
                .with("model", name)
        };
        Ok(known.ok_or_else(unknown)?.row.id)
    }

    /// What is known of the model that is asked for by this name; it need not be in memory.
    pub async fn api_model_called(&self, name: Option<&str>) -> Result<ApiModel> {
        let row = self.inner.store.model(self.api_model(name).await?).await?;
        Ok(ApiModel { id: row.name.clone(), row })
    }

    /// Whether the model's template takes tools: read from its file.
    pub async fn api_takes_tools(&self, model: ModelId) -> Result<bool> {
        let row = self.inner.store.model(model).await?;
        let path = self.inner.store.model_file(model).await?.path;
        let template = crate::models::set_template(&row).map(str::to_string);
        let told = blocking(move || {
            Engine::describe(&path, template.as_deref()).map_err(|error| Error::of_model(&row.name, error))
        });
        Ok(told.await?.takes_tools)
    }

    pub(crate) async fn api_lease(&self, name: Option<&str>) -> Result<(Model, Lease)> {
        let id = self.api_model(name).await?;
        let row = self.inner.store.model(id).await?;
        let lease = self.lease_for(Side::Programs, id, None).await?;
        Ok((row, lease))
    }

    /// Has the model in memory.
    pub async fn api_load(&self, source: &Source, model: Option<&str>) -> Result<ApiModel> {
        let log = self.log_request(source, model, String::new).await?;
        let loaded = async {
            let _turn = self.look(&source.client).await?;
            let (row, _lease) = self.api_lease(model).await?;
            Ok(ApiModel { id: row.name.clone(), row })
        };
        log.looked(loaded.await, |_| 0)
    }

    /// The program needs the model no longer; where others use it, it stays in memory.
    pub async fn api_leave(&self, source: &Source, model: Option<&str>) -> Result<ApiModel> {
        let log = self.log_request(source, model, String::new).await?;
        let left = async {
            let model = self.api_model_called(model).await?;
            self.leave_model(model.row.id).await?;
            Ok(model)
        };
        log.looked(left.await, |_| 0)
    }

    /// A text as tokens; `special`: with the tokens that a prompt begins with.
    pub async fn api_tokenize(
        &self,
        source: &Source,
        model: Option<&str>,
        text: String,
        special: bool,
    ) -> Result<Vec<u32>> {
        let log = self.log_request(source, model, || words_of(&Asked::Text(text.clone()))).await?;
        let tokens = async {
            let _turn = self.look(&source.client).await?;
            let (row, lease) = self.api_lease(model).await?;
            blocking(move || match special {
                true => {
                    let read = lease.model.render(&Prompt::Raw(text));
                    Ok(read.map_err(|error| Error::of_model(&row.name, error))?.tokens)
                }
                false => Ok(lease.model.tokenize(&text)),
            })
            .await
        };
        log.looked(tokens.await, Vec::len)
    }

    /// Tokens as a text. A space that this vocabulary puts before every text is not part of it.
    pub async fn api_detokenize(&self, source: &Source, model: Option<&str>, tokens: Vec<u32>) -> Result<String> {
        let count = tokens.len();
        let asked = Asked::Tokens(tokens);
        let log = self.log_request(source, model, || words_of(&asked)).await?;
        let text = async {
            let _turn = self.look(&source.client).await?;
            let (row, lease) = self.api_lease(model).await?;
            if let Asked::Tokens(tokens) = &asked {
                check_tokens(&row.name, &lease.model, tokens)?;
            }
            blocking(move || Ok(text_of(&asked, &lease.model))).await
        };
        log.looked(text.await, |_| count)
    }

    /// Tokens of a prompt as the model would read it.
    pub async fn api_count(&self, model: Option<&str>, said: &[Said]) -> Result<usize> {
        let (model, prompt) = (model.map(str::to_string), Asked::Chat(said.to_vec()));
        self.api_count_prompt(&Asking { model, prompt, ..Asking::default() }).await
    }

    /// Tokens of everything that the model would read for this.
    pub async fn api_count_prompt(&self, asking: &Asking) -> Result<usize> {
        let Asking { source, model, prompt, .. } = asking;
        let log = self.log_request(source, model.as_deref(), || words_of(prompt)).await?;
        let count = async {
            let offer = Offer::of(asking)?;
            let _turn = self.look(&source.client).await?;
            let (row, lease) = self.api_lease(model.as_deref()).await?;
            let settled = self.settle(None, Some(row.id), &asking.parameters).await?;
            let prompt = prompt_of(prompt, &settled, Beside { tools: offer.tools, values: asking.template.clone() })?;
            let failed = move |error| Error::of_model(&row.name, error);
            blocking(move || Ok(lease.model.render(&prompt).map_err(failed)?.tokens.len())).await
        };
        log.looked(count.await, |count| *count)
    }

    /// Each text as a vector: the mean of what the last layer makes of its tokens.
    pub async fn api_embed(&self, model: Option<&str>, texts: Vec<Asked>) -> Result<Embedded> {
        let usual = Source { method: "POST".into(), path: "/v1/embeddings".into(), ..Source::default() };
        self.api_embed_from(&usual, model, texts).await
    }

    /// The same for a request that came to another place. Dropping it stops the work.
    pub async fn api_embed_from(&self, source: &Source, model: Option<&str>, texts: Vec<Asked>) -> Result<Embedded> {
        let words = || texts.iter().map(words_of).collect::<Vec<_>>().join("\n");
        let log = self.log_request(source, model, words).await?;
        log.looked(self.embed(&source.client, model, texts).await, |embedded| embedded.tokens)
    }

    async fn embed(&self, client: &str, model: Option<&str>, texts: Vec<Asked>) -> Result<Embedded> {
        let turn = self.turn(client, 1).await?;
        let (row, lease) = self.api_lease(model).await?;
        let left = Left::default();
        let gone = left.0.clone();
        blocking(move || {
            // Held to the end of the work, also where nobody waits for it any more.
            let (_turn, model) = (turn, &lease.model);
            let failed = |error| Error::of_model(&row.name, error);
            let mut watch = |_| match gone.load(Ordering::Relaxed) {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            };
            let (mut vectors, mut count) = (Vec::new(), 0);
            for text in texts {
                let tokens = match text {
                    Asked::Tokens(tokens) => tokens,
                    Asked::Text(text) => model.render(&Prompt::Raw(text)).map_err(failed)?.tokens,
                    Asked::Chat(_) => {
                        return Err(Error::new(Code::Unfit, "a talk has no embedding")
                            .with("reason", "a talk has no embedding"));
                    }
                };
                check_tokens(&row.name, model, &tokens)?;
                check_input(tokens.len(), model.context())?;
                count += tokens.len();
                vectors.push(huacaya_engine::embed(model, &tokens, &mut watch).map_err(failed)?);
            }
            Ok(Embedded { model: row.name, vectors, tokens: count })
        })
        .await
    }
}

/// Raised when who waits for the work goes away.
#[derive(Default)]
struct Left(Arc<AtomicBool>);

impl Drop for Left {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A name as a program wrote it, for errors and the log: no more of it than a name would have.
pub(super) fn cut_name(name: &str) -> &str {
    &name[..name.floor_char_boundary(NAME_KEPT_MAX)]
}

fn check_input(tokens: usize, context: usize) -> Result<()> {
    if tokens == 0 {
        return Err(Error::new(Code::MessageEmpty, "a text without tokens has no embedding"));
    }
    if tokens > context {
        let over = tokens - context;
        let detail = format!("the text has {tokens} tokens and the model's context {context}: {over} too many");
        return Err(Error::new(Code::PromptTooLong, detail).with("over", over).with("context", context));
    }
    Ok(())
}

/// A prompt as a text; a space that this vocabulary puts before every text is not part of it.
pub(super) fn text_of(asked: &Asked, model: &Engine) -> String {
    let tokens = match asked {
        Asked::Tokens(tokens) => tokens,
        Asked::Text(text) => return text.clone(),
        Asked::Chat(_) => return String::new(),
    };
    let text = model.tokenizer().decode(tokens);
    let own = text.strip_prefix(' ').filter(|rest| tokens.ends_with(&model.tokenize(rest)));
    own.map(str::to_string).unwrap_or(text)
}

/// Numbers that come from outside.
pub(super) fn check_tokens(name: &str, model: &Engine, tokens: &[u32]) -> Result<()> {
    let vocabulary = model.tokenizer().vocabulary_size();
    match tokens.iter().find(|&&id| id as usize >= vocabulary) {
        Some(id) => Err(Error::new(Code::Unfit, format!("token {id} is not among the {vocabulary} that {name} knows"))
            .with("reason", format!("token {id} of {vocabulary}"))),
        None => Ok(()),
    }
}
