//! Completion pages: raw text that a model continues.

use std::sync::Arc;

use huacaya_engine::{Event, Request, sampling::Sampling};
use huacaya_store::{Body, ChatId, ChatKind, MessageId, MessageState, NewAnswer, Parameters};
use serde::Serialize;
use ts_rs::TS;

use crate::{
    App, blocking,
    chats::bounded,
    error::{Code, Error, Result},
    parameters,
    prompt::Asked,
    talking::TEXT_CHARACTERS_MAX,
};

/// A list that a person can look through.
const TOKENS_SHOWN_MAX: u32 = 100;

/// A token that could come next.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct NextToken {
    pub id: u32,
    pub text: String,
    pub probability: f32,
}

impl App {
    pub(crate) async fn continue_page(&self, chat: ChatId, text: String) -> Result<MessageId> {
        bounded(&text, TEXT_CHARACTERS_MAX)?;
        let store = &self.inner.store;
        let row = store.chat(chat).await?;
        if row.kind != ChatKind::Page {
            let reason = "this is a chat, not a page";
            return Err(Error::new(Code::Unfit, reason).with("reason", reason));
        }
        let settled = self.settle(Some(&row), None, &Parameters::default()).await?;
        let same = match row.leaf {
            Some(leaf) if store.message(leaf).await?.state == MessageState::Writing => {
                return Err(Error::new(Code::AlreadyWriting, "this page is still being written on"));
            }
            Some(leaf) => store.path_text(leaf).await? == text,
            None => false,
        };
        let (parent, question) = match same {
            true => (row.leaf, None),
            false => (None, Some(Body { text: text.clone(), ..Body::default() })),
        };
        let new = NewAnswer { chat, parent, question, begin: String::new(), made: None };
        let answer = store.begin_answer(new).await?.answer;
        self.answer(answer, chat, settled, Asked::Page(text));
        Ok(answer)
    }

    pub(crate) async fn next_tokens(&self, chat: ChatId, text: String, count: u32) -> Result<Vec<NextToken>> {
        bounded(&text, TEXT_CHARACTERS_MAX)?;
        let row = self.inner.store.chat(chat).await?;
        let settled = self.settle(Some(&row), None, &Parameters::default()).await?;
        let lease = self.lease(settled.model, settled.parameters.context).await?;
        let beside = self.adapters(&lease, &settled.adapters).await?;
        let app = self.clone();
        blocking(move || {
            let cut = settled.cut(&lease.model, &Asked::Page(text))?;
            let grammar = settled.parameters.format.as_ref().map_or(Ok(None), parameters::grammar)?;
            let request = Request {
                model: Arc::clone(&lease.model),
                adapters: beside.into_iter().map(|one| (one.adapter, one.strength)).collect(),
                prompt: cut.prompt,
                negative: None,
                sampling: Sampling { temperature: 0.0, ..Sampling::default() },
                grammar,
                stop: Vec::new(),
                logprobs: count.clamp(1, TOKENS_SHOWN_MAX) as usize,
                echo: false,
                tokens_max: 1,
                speculate: true,
                draft: None,
            };
            for event in app.inner.engine.generate(request) {
                let event = event.map_err(|error| Error::of_model(&settled.model_name, error))?;
                if let Event::Token { logprobs, .. } = event {
                    let mut next: Vec<NextToken> = Vec::new();
                    for (id, logprob) in logprobs {
                        if next.iter().all(|token| token.id != id) {
                            let text = lease.model.tokenizer().display(id);
                            next.push(NextToken { id, text, probability: logprob.exp() });
                        }
                    }
                    next.sort_by(|a, b| b.probability.total_cmp(&a.probability));
                    next.truncate(count.clamp(1, TOKENS_SHOWN_MAX) as usize);
                    return Ok(next);
                }
            }
            Ok(Vec::new())
        })
        .await
    }
}
