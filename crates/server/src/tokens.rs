//! `POST /tokenize` and `/detokenize`, in the shapes of llama.cpp's server.

use axum::{
    Json,
    extract::{Request, State},
    response::Response,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::{
    Server,
    body::{self, Nothing, Read},
    refusal::Refusal,
};

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "TokenizeRequest")]
pub(crate) struct Text {
    model: Option<String>,
    content: String,
    /// With the tokens that a prompt begins with.
    add_special: Option<bool>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "DetokenizeRequest")]
pub(crate) struct Tokens {
    model: Option<String>,
    tokens: Vec<u32>,
}

pub async fn tokenize(State(server): State<Server>, request: Request) -> Result<Response, Refusal> {
    let Read { own, ignored, source, .. } = body::read::<Text, Nothing>(&server, request).await?;
    let (model, special) = (own.model.as_deref(), own.add_special.unwrap_or(false));
    let tokens = server.app.api_tokenize(&source, model, own.content, special).await.map_err(Refusal::logged)?;
    Ok(ignored.on(Json(json!({"tokens": tokens}))))
}

pub async fn detokenize(State(server): State<Server>, request: Request) -> Result<Response, Refusal> {
    let Read { own, ignored, source, .. } = body::read::<Tokens, Nothing>(&server, request).await?;
    let content =
        server.app.api_detokenize(&source, own.model.as_deref(), own.tokens).await.map_err(Refusal::logged)?;
    Ok(ignored.on(Json(json!({"content": content}))))
}
