//! Everything that is answered: the one list that the router, the tests and the description for programs go by.

use axum::{
    Router,
    http::Method,
    middleware,
    routing::{MethodRouter, get, post},
};

use crate::{
    Server, anthropic, chat, completions, embeddings,
    guard::guard,
    models, ollama, openapi,
    refusal::{no_route, wrong_method},
    responses, tokens, window,
};

/// What is answered at a path. A `GET` answers `HEAD` as well.
pub struct Route {
    pub method: Method,
    /// As the router writes it: a part in braces is the caller's, `{*name}` may have slashes.
    pub path: &'static str,
    answer: fn() -> MethodRouter<Server>,
}

impl Route {
    const fn get(path: &'static str, answer: fn() -> MethodRouter<Server>) -> Route {
        Route { method: Method::GET, path, answer }
    }

    const fn post(path: &'static str, answer: fn() -> MethodRouter<Server>) -> Route {
        Route { method: Method::POST, path, answer }
    }
}

/// All routes. The guard stands in front of each, and of every path that is not here.
pub static ROUTES: &[Route] = &[
    Route::get("/health", || get(models::health)),
    Route::get("/openapi.json", || get(openapi::openapi)),
    Route::get("/v1/models", || get(models::list)),
    Route::get("/v1/models/{*name}", || get(models::one)),
    Route::post("/v1/chat/completions", || post(chat::complete)),
    Route::post("/v1/completions", || post(completions::complete)),
    Route::post("/v1/embeddings", || post(embeddings::embed)),
    Route::post("/v1/responses", || post(responses::respond)),
    Route::post("/v1/messages", || post(anthropic::complete)),
    Route::post("/v1/messages/count_tokens", || post(anthropic::count)),
    Route::get("/api/version", || get(ollama::version)),
    Route::get("/api/tags", || get(ollama::tags)),
    Route::get("/api/ps", || get(ollama::running)),
    Route::post("/api/show", || post(ollama::show)),
    Route::post("/api/chat", || post(ollama::chat)),
    Route::post("/api/generate", || post(ollama::generate)),
    Route::post("/api/embed", || post(ollama::embed)),
    Route::post("/api/embeddings", || post(ollama::embed_one)),
    Route::post("/tokenize", || post(tokens::tokenize)),
    Route::post("/detokenize", || post(tokens::detokenize)),
];

pub(crate) fn router(server: Server) -> Router {
    let window = if server.window.is_some() { window::routes() } else { Router::new() };
    ROUTES
        .iter()
        .fold(window, |router, route| router.route(route.path, (route.answer)()))
        .fallback(no_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(server.clone(), guard))
        .with_state(server)
}
