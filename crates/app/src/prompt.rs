//! What a model is asked: the layers settled, the path of messages as turns, cut to the context.

use huacaya_engine::{
    Model,
    template::{self, Prompt, Turn},
};
use huacaya_store::{
    Attachment, Body, Chat, ChatKind, Example, Message, MessageId, ModelId, ModelKind, Parameters, Role, Strength,
};

use crate::{
    App,
    error::{Code, Error, Result},
    parameters::{self, SYSTEM_PROMPT},
};

/// Longer than nearly every token of any vocabulary: so many bytes of text have at least one token.
const TOKEN_BYTES_MAX: usize = 64;

/// What holds for a chat once all layers are settled.
#[derive(Clone, Debug)]
pub(crate) struct Settled {
    pub(crate) model: ModelId,
    pub(crate) model_name: String,
    pub(crate) model_kind: ModelKind,
    pub(crate) model_sha256: Option<String>,
    /// Every value filled but the seed and the context, which may be open.
    pub(crate) parameters: Parameters,
    pub(crate) system: String,
    /// Of the chat, in their order.
    pub(crate) adapters: Vec<Strength>,
    /// The persona's example turns.
    pub(crate) examples: Vec<Example>,
}

/// Turns for the template, and which message each came from (`None`: an example).
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns {
    pub(crate) turns: Vec<Turn>,
    from: Vec<Option<MessageId>>,
}

/// What is to be continued.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    Chat {
        turns: Turns,
        begin: String,
        begin_thought: String,
    },
    /// Raw text.
    Page(String),
}

/// A prompt that fits, and what was left out for it.
pub(crate) struct Cut {
    pub(crate) prompt: Prompt,
    pub(crate) negative: Option<Prompt>,
    pub(crate) tokens: u32,
    pub(crate) turns_dropped: u32,
    pub(crate) memory_starts_at: Option<MessageId>,
}

impl App {
    /// The layers of a chat: program < model < person < persona < chat < `once`.
    pub(crate) async fn settle(
        &self,
        chat: Option<&Chat>,
        model: Option<ModelId>,
        once: &Parameters,
    ) -> Result<Settled> {
        let model = match model.or(chat.and_then(|chat| chat.model)) {
            Some(model) => model,
            None => self.default_model().await?,
        };
        let row = self.inner.store.model(model).await?;
        let person: Parameters = self.setting("parameters").await?.unwrap_or_default();
        let persona = match chat.and_then(|chat| chat.persona) {
            // A deleted persona: the chat goes without, until it is restored.
            Some(persona) => self.inner.store.persona(persona).await.ok(),
            None => None,
        };
        let no_layer = Parameters::default();
        let layers = [
            &row.parameters,
            &person,
            persona.as_ref().map_or(&no_layer, |persona| &persona.parameters),
            chat.map_or(&no_layer, |chat| &chat.parameters),
            once,
        ];
        let parameters = layers.into_iter().fold(parameters::program(), parameters::merge);
        let of_persona = persona.as_ref().map(|persona| persona.system.clone()).filter(|system| !system.is_empty());
        let of_person = self.setting("system_prompt").await?;
        let system = chat.and_then(|chat| chat.system.clone()).or(of_persona).or(of_person);
        Ok(Settled {
            model,
            model_name: row.name,
            model_kind: row.kind,
            model_sha256: row.sha256,
            parameters,
            system: system.unwrap_or_else(|| SYSTEM_PROMPT.to_string()),
            adapters: chat.map(|chat| chat.adapters.clone()).unwrap_or_default(),
            examples: persona.map(|persona| persona.examples).unwrap_or_default(),
        })
    }
}

impl Settled {
    /// A base model cannot chat.
    pub(crate) fn check_kind(&self, kind: ChatKind) -> Result<()> {
        if kind == ChatKind::Chat && self.model_kind == ModelKind::Base {
            let detail =
                format!("{} is a base model and has no template: use a page, or set a template", self.model_name);
            return Err(Error::new(Code::ModelIsBase, detail).with("model", &self.model_name));
        }
        Ok(())
    }

    /// What is set aside of a context for the reply: at most half of it.
    pub(crate) fn reserve(&self, context: usize) -> usize {
        (self.parameters.tokens_max.unwrap_or_default() as usize).min(context / 2)
    }

    /// The prompt for this model, the oldest whole turns left out until it fits.
    pub(crate) fn cut(&self, model: &Model, asked: &Asked) -> Result<Cut> {
        let reserve = self.reserve(model.context());
        match asked {
            Asked::Chat { turns, begin, begin_thought } => {
                let skipped = turns.surely_too_old(model.context());
                let chat = self.chat(&turns.turns[skipped..], begin, begin_thought);
                let fitted = huacaya_engine::fit(model, &chat, reserve)
                    .map_err(|error| Error::of_model(&self.model_name, error))?;
                // Where only examples were left out, the model still sees every message.
                let first = turns.first_message(skipped + fitted.first);
                let memory_starts_at = first.filter(|first| Some(*first) != turns.first_message(0));
                Ok(Cut {
                    negative: self.negative(&fitted.prompt),
                    tokens: fitted.tokens as u32,
                    turns_dropped: (questions(&turns.turns[..skipped]) + fitted.dropped_turns) as u32,
                    memory_starts_at,
                    prompt: fitted.prompt,
                })
            }
            Asked::Page(text) => Ok(cut_page(model, text, model.context().saturating_sub(reserve))),
        }
    }

    fn chat(&self, turns: &[Turn], begin: &str, begin_thought: &str) -> template::Chat {
        template::Chat {
            system: self.system.clone(),
            turns: turns.to_vec(),
            begin: begin.to_string(),
            begin_thought: begin_thought.to_string(),
            thinking: self.parameters.thinking,
            ..template::Chat::default()
        }
    }

    /// The other side of guidance: the same conversation under the negative prompt.
    fn negative(&self, prompt: &Prompt) -> Option<Prompt> {
        match prompt {
            Prompt::Chat(chat) if self.parameters.guidance.is_some_and(|guidance| guidance > 1.0) => {
                let system = self.parameters.negative_prompt.clone().unwrap_or_default();
                Some(Prompt::Chat(template::Chat { system, ..chat.clone() }))
            }
            _ => None,
        }
    }
}

impl Turns {
    /// The persona's examples, then the messages. An answer without words (it failed, it was stopped at once) is left
    /// out; what then stands beside its like is joined.
    pub(crate) fn new(examples: &[Example], path: &[Message]) -> Turns {
        let mut turns = Turns::default();
        for Example { user, assistant } in examples {
            turns.push(template::Role::User, user.clone(), String::new(), None);
            turns.push(template::Role::Assistant, assistant.clone(), String::new(), None);
        }
        for message in path {
            let Some(body) = &message.body else { continue };
            match message.role {
                Role::User => turns.ask(body, Some(message.id)),
                Role::Assistant if body.text.trim().is_empty() => {}
                Role::Assistant => {
                    let (text, thought) = (body.text.clone(), body.thought.clone());
                    turns.push(template::Role::Assistant, text, thought, Some(message.id));
                }
            }
        }
        turns
    }

    /// One more message of the person.
    pub(crate) fn ask(&mut self, body: &Body, from: Option<MessageId>) {
        self.push(template::Role::User, with_attachments(body), String::new(), from);
    }

    fn push(&mut self, role: template::Role, text: String, thought: String, from: Option<MessageId>) {
        match self.turns.last_mut() {
            Some(last) if last.role == role && self.from.last().is_some_and(Option::is_some) => {
                last.text = [last.text.as_str(), text.as_str()].join("\n\n");
            }
            _ => {
                self.turns.push(Turn { role, text, thought, ..Turn::default() });
                self.from.push(from);
            }
        }
    }

    /// How many of the oldest turns have no chance of fitting, so that a very long chat need not be tokenized whole.
    fn surely_too_old(&self, context: usize) -> usize {
        let mut room = context.saturating_mul(TOKEN_BYTES_MAX);
        let kept = self.turns.iter().rev().take_while(|turn| {
            let fits = room > 0;
            room = room.saturating_sub(turn.text.len());
            fits
        });
        let first = self.turns.len() - kept.count();
        // Whole turns: what is kept begins with the person's words.
        let question = self.turns[..first].iter().rposition(|turn| turn.role == template::Role::User);
        if first == 0 { 0 } else { question.unwrap_or(0) }
    }

    /// The first message at or after this turn.
    fn first_message(&self, turn: usize) -> Option<MessageId> {
        self.from.iter().skip(turn).flatten().next().copied()
    }
}

fn questions(turns: &[Turn]) -> usize {
    turns.iter().filter(|turn| turn.role == template::Role::User).count()
}

/// The person's words with the attached files before them, each under its name and between fences.
pub(crate) fn with_attachments(body: &Body) -> String {
    let mut text = String::new();
    for Attachment { name, text: content, .. } in &body.attachments {
        let mut fence = "```".to_string();
        while content.contains(&fence) {
            fence.push('`');
        }
        let line_end = if content.ends_with('\n') { "" } else { "\n" };
        text.push_str(&format!("{name}\n{fence}\n{content}{line_end}{fence}\n\n"));
    }
    text.push_str(&body.text);
    text
}

/// The end of a page that fits: whole lines, where there is more than one. Of a page it is lines, not turns, that are dropped.
fn cut_page(model: &Model, text: &str, most: usize) -> Cut {
    let count = |text: &str| model.tokenize(text).len() + 1;
    let starts: Vec<usize> = std::iter::once(0).chain(text.match_indices('\n').map(|(end, _)| end + 1)).collect();
    let last = starts.len() - 1;
    // Fewer lines have fewer tokens, but for a token or two at the seam: the search need not be exact.
    let line = starts[..last].partition_point(|start| count(&text[*start..]) > most);
    let mut kept = &text[starts[line]..];
    while count(kept) > most && kept.len() > 1 {
        let half = kept.len() / 2;
        let middle = (half..kept.len()).find(|place| kept.is_char_boundary(*place)).unwrap_or(kept.len());
        kept = &kept[middle..];
    }
    let dropped = if kept.len() == text.len() { 0 } else { line.max(1) };
    Cut {
        prompt: Prompt::Raw(kept.to_string()),
        negative: None,
        tokens: count(kept) as u32,
        turns_dropped: dropped as u32,
        memory_starts_at: None,
    }
}
