//! `POST /v1/embeddings`.

use axum::{
    Json,
    extract::{Request, State},
    response::Response,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use huacaya_app::serving::Asked;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Server,
    body::{self, Nothing, Read},
    completions::Prompts,
    refusal::Refusal,
};

/// Texts of one request: OpenAI's own limit.
const INPUTS_MAX: usize = 2_048;

#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "EmbeddingsRequest")]
pub(crate) struct Own {
    model: Option<String>,
    input: Prompts,
    #[schemars(extend("enum" = ["float", "base64", null]))]
    encoding_format: Option<String>,
    dimensions: Option<usize>,
}

pub async fn embed(State(server): State<Server>, request: Request) -> Result<Response, Refusal> {
    let Read { own, ignored, source, .. } = body::read::<Own, Nothing>(&server, request).await?;
    let inputs = own.input.all();
    if !(1..=INPUTS_MAX).contains(&inputs.len()) {
        let words = format!("{} texts were given; 1 to {INPUTS_MAX} are allowed", inputs.len());
        return Err(Refusal::bad(words).field("input"));
    }
    if inputs.iter().any(Asked::is_empty) {
        return Err(Refusal::bad("a text is empty; each needs at least one token")
            .field("input")
            .coded("message_empty"));
    }
    let write: fn(&[f32]) -> Value = match own.encoding_format.as_deref() {
        None | Some("float") => |vector| json!(vector),
        Some("base64") => {
            |vector| STANDARD.encode(vector.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>()).into()
        }
        Some(other) => {
            return Err(Refusal::bad(format!("`{other}` is no encoding; use float or base64")).field("encoding_format"));
        }
    };
    let embedded = server.app.api_embed_from(&source, own.model.as_deref(), inputs).await.map_err(Refusal::logged)?;
    let width = embedded.vectors.first().map_or(0, Vec::len);
    if own.dimensions.is_some_and(|wanted| wanted != width) {
        return Err(Refusal::unsupported("dimensions", &format!("this model's vectors have {width} numbers")));
    }
    let data: Vec<Value> = (embedded.vectors.iter().enumerate())
        .map(|(at, vector)| json!({"object": "embedding", "index": at, "embedding": write(vector)}))
        .collect();
    Ok(ignored.on(Json(json!({
        "object": "list",
        "data": data,
        "model": embedded.model,
        "usage": {"prompt_tokens": embedded.tokens, "total_tokens": embedded.tokens},
    }))))
}
