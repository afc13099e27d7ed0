//! `GET /v1/models`, one of them by name, and `GET /health`.

use axum::{
    Json,
    extract::{Path, State, rejection::PathRejection},
    http::StatusCode,
};
use huacaya_app::serving::ApiModel;
use serde_json::{Value, json};

use crate::{Server, refusal::Refusal};

pub async fn health() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

pub async fn list(State(server): State<Server>) -> Result<Json<Value>, Refusal> {
    let models = server.app.api_models().await?;
    Ok(Json(json!({"object": "list", "data": models.iter().map(told).collect::<Vec<_>>()})))
}

pub async fn one(
    State(server): State<Server>,
    name: Result<Path<String>, PathRejection>,
) -> Result<Json<Value>, Refusal> {
    let Path(name) = name.map_err(|error| Refusal::bad(error.body_text()).field("model"))?;
    let models = server.app.api_models().await?;
    let unknown = || {
        Refusal::new(StatusCode::NOT_FOUND, "invalid_request_error", format!("there is no model `{name}`"))
            .field("model")
            .coded("model_not_found")
    };
    models.iter().find(|model| model.id == name).map(|model| Json(told(model))).ok_or_else(unknown)
}

fn told(model: &ApiModel) -> Value {
    json!({"id": model.id, "object": "model", "created": model.row.added_ms / 1_000, "owned_by": "huacaya"})
}
