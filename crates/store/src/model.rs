//! Models: one row for each model file that passed its checks.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use ts_rs::TS;

use crate::change::Note;
use crate::error::Attempt;
use crate::sql::{Damaged, as_text, flag, integer, json, now_ms, optional_integer, optional_text, text, to_json};
use crate::{ChatId, Error, Key, ModelId, Parameters, Result, Store, Time};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum ModelKind {
    /// Continues raw text; has no template.
    Base,
    Chat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum ModelState {
    Ready,
    /// The file is not where it was.
    Missing,
    /// Size or time differ from what was checked.
    Changed,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Model {
    pub id: ModelId,
    pub name: String,
    /// Shown to the person; commands take ids.
    pub path: String,
    /// It came with the program.
    pub bundled: bool,
    pub kind: ModelKind,
    pub state: ModelState,
    /// "llama", "qwen2", …
    pub architecture: String,
    /// "Q4_K_M", "F16", …
    pub quantization: String,
    pub file_bytes: u64,
    pub parameter_count: u64,
    /// What it was made for, in tokens.
    pub context_tokens: u32,
    pub sha256: Option<String>,
    /// Name of the template in use and where it came from: "built in", "file", "set by you".
    pub template: String,
    pub template_source: String,
    /// The model knows a thinking switch.
    pub thinks: bool,
    /// Default parameters for this model, under the persona's.
    pub parameters: Parameters,
    /// The process that holds it in memory, and where it runs ("CPU", "CUDA", "Metal").
    pub loaded_by: Option<String>,
    pub device: Option<String>,
    pub added_ms: Time,
    pub used_ms: Option<Time>,
}

/// Where a model's file is and what it was when it was checked. The path as the operating system knows it, not as shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelFile {
    pub path: PathBuf,
    pub bytes: u64,
    pub modified_ms: Time,
}

as_text!(ModelKind { Base = "base", Chat = "chat" } else Chat);
as_text!(ModelState { Ready = "ready", Missing = "missing", Changed = "changed" } else Changed);

/// `place` holds the path's exact bytes (`path` is for people: not every file name is Unicode).
pub(crate) const V1: &str = "
    CREATE TABLE models (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        path TEXT NOT NULL,
        place BLOB NOT NULL UNIQUE,
        modified_ms INTEGER NOT NULL,
        bundled INTEGER NOT NULL DEFAULT 0,
        kind TEXT NOT NULL,
        state TEXT NOT NULL,
        architecture TEXT NOT NULL,
        quantization TEXT NOT NULL,
        file_bytes INTEGER NOT NULL,
        parameter_count INTEGER NOT NULL,
        context_tokens INTEGER NOT NULL,
        sha256 TEXT,
        template TEXT NOT NULL DEFAULT '',
        template_source TEXT NOT NULL DEFAULT '',
        thinks INTEGER NOT NULL DEFAULT 0,
        parameters TEXT NOT NULL DEFAULT '{}',
        loaded_by TEXT,
        device TEXT,
        added_ms INTEGER NOT NULL,
        used_ms INTEGER,
        deleted_ms INTEGER
    ) STRICT;
";

fn read(row: &SqliteRow) -> Model {
    let id = ModelId(integer(row, "id"));
    let mut damaged = Damaged::default();
    let model = Model {
        id,
        name: text(row, "name"),
        path: text(row, "path"),
        bundled: flag(row, "bundled"),
        kind: ModelKind::from_text(&text(row, "kind")),
        state: ModelState::from_text(&text(row, "state")),
        architecture: text(row, "architecture"),
        quantization: text(row, "quantization"),
        file_bytes: integer(row, "file_bytes").max(0) as u64,
        parameter_count: integer(row, "parameter_count").max(0) as u64,
        context_tokens: integer(row, "context_tokens").clamp(0, u32::MAX.into()) as u32,
        sha256: optional_text(row, "sha256"),
        template: text(row, "template"),
        template_source: text(row, "template_source"),
        thinks: flag(row, "thinks"),
        parameters: json(row, "parameters", &mut damaged).unwrap_or_default(),
        loaded_by: optional_text(row, "loaded_by"),
        device: optional_text(row, "device"),
        added_ms: integer(row, "added_ms"),
        used_ms: optional_integer(row, "used_ms"),
    };
    damaged.problem("models", id.0);
    model
}

pub(crate) async fn load(conn: &mut SqliteConnection, id: ModelId) -> sqlx::Result<Option<Model>> {
    let query = sqlx::query("SELECT * FROM models WHERE id = ? AND deleted_ms IS NULL").bind(id);
    Ok(query.fetch_optional(conn).await?.as_ref().map(read))
}

pub(crate) async fn load_all(conn: &mut SqliteConnection) -> sqlx::Result<Vec<Model>> {
    let query = sqlx::query("SELECT * FROM models WHERE deleted_ms IS NULL ORDER BY name, id");
    Ok(query.fetch_all(conn).await?.iter().map(read).collect())
}

async fn require(conn: &mut SqliteConnection, id: ModelId) -> Result<Model> {
    load(conn, id).await.attempt("read the model")?.ok_or(Error::Missing(Key::Model(id)))
}

/// All columns but id, path, place, `modified_ms`, `file_bytes`, bundled, `loaded_by`, `device`, `added_ms`.
async fn write_row(conn: &mut SqliteConnection, model: &Model) -> sqlx::Result<()> {
    sqlx::query(
        "UPDATE models SET name = ?, bundled = ?, kind = ?, state = ?, architecture = ?, quantization = ?,
            parameter_count = ?, context_tokens = ?, sha256 = ?, template = ?, template_source = ?, thinks = ?,
            parameters = ?, used_ms = ? WHERE id = ?",
    )
    .bind(&model.name)
    .bind(model.bundled)
    .bind(model.kind.as_text())
    .bind(model.state.as_text())
    .bind(&model.architecture)
    .bind(&model.quantization)
    .bind(model.parameter_count as i64)
    .bind(model.context_tokens)
    .bind(&model.sha256)
    .bind(&model.template)
    .bind(&model.template_source)
    .bind(model.thinks)
    .bind(to_json(&model.parameters))
    .bind(model.used_ms)
    .bind(model.id)
    .execute(conn)
    .await?;
    Ok(())
}

async fn write_file(conn: &mut SqliteConnection, id: ModelId, file: &ModelFile) -> sqlx::Result<()> {
    sqlx::query("UPDATE models SET path = ?, place = ?, file_bytes = ?, modified_ms = ? WHERE id = ?")
        .bind(file.path.to_string_lossy())
        .bind(place(&file.path))
        .bind(file.bytes as i64)
        .bind(file.modified_ms)
        .bind(id)
        .execute(conn)
        .await?;
    Ok(())
}

async fn at(conn: &mut SqliteConnection, path: &Path) -> sqlx::Result<Option<ModelId>> {
    sqlx::query_scalar("SELECT id FROM models WHERE place = ?").bind(place(path)).fetch_optional(conn).await
}

#[cfg(unix)]
fn place(path: &Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes().to_vec()
}

#[cfg(unix)]
fn path_at(place: Vec<u8>) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    std::ffi::OsString::from_vec(place).into()
}

#[cfg(windows)]
fn place(path: &Path) -> Vec<u8> {
    use std::os::windows::ffi::OsStrExt;
    path.as_os_str().encode_wide().flat_map(u16::to_le_bytes).collect()
}

#[cfg(windows)]
fn path_at(place: Vec<u8>) -> PathBuf {
    use std::os::windows::ffi::OsStringExt;
    let wide: Vec<u16> = place.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    std::ffi::OsString::from_wide(&wide).into()
}

impl Store {
    /// A model file that passed its checks. `id`, `path`, `file_bytes`, `added_ms` and `loaded_by` of `model` are
    /// ignored. A row with the same path is replaced (and comes back if it was removed), and keeps its id, name and
    /// parameters.
    pub async fn add_model(&self, model: Model, file: &ModelFile) -> Result<Model> {
        let mut write = self.write("add the model").await?;
        let attempt = write.attempt;
        let conn = write.conn();
        let mut model = model;
        let id = match at(conn, &file.path).await.attempt(attempt)? {
            Some(id) => {
                sqlx::query("UPDATE models SET deleted_ms = NULL WHERE id = ?")
                    .bind(id)
                    .execute(&mut *conn)
                    .await
                    .attempt(attempt)?;
                let kept = require(conn, id).await?;
                model = Model { name: kept.name, parameters: kept.parameters, used_ms: kept.used_ms, ..model };
                id
            }
            None => {
                let insert = sqlx::query(
                    "INSERT INTO models (name, path, place, modified_ms, kind, state, architecture, quantization,
                        file_bytes, parameter_count, context_tokens, added_ms)
                     VALUES ('', '', ?, 0, '', '', '', '', 0, 0, 0, ?)",
                );
                let insert = insert.bind(place(&file.path)).bind(now_ms()).execute(&mut *conn);
                ModelId(insert.await.attempt(attempt)?.last_insert_rowid())
            }
        };
        model.id = id;
        write_row(conn, &model).await.attempt(attempt)?;
        write_file(conn, id, file).await.attempt(attempt)?;
        let model = require(conn, id).await?;
        write.note(Key::Model(id));
        write.commit().await?;
        Ok(model)
    }

    pub async fn model(&self, model: ModelId) -> Result<Model> {
        let mut tx = self.read("read the model").await?;
        require(&mut tx, model).await
    }

    pub async fn models(&self) -> Result<Vec<Model>> {
        let mut tx = self.read("read the models").await?;
        load_all(&mut tx).await.attempt("read the models")
    }

    pub async fn model_file(&self, model: ModelId) -> Result<ModelFile> {
        let mut tx = self.read("read the model").await?;
        let query = sqlx::query_as("SELECT place, file_bytes, modified_ms FROM models WHERE id = ?").bind(model);
        let row: Option<(Vec<u8>, i64, Time)> = query.fetch_optional(&mut *tx).await.attempt("read the model")?;
        let (place, bytes, modified_ms) = row.ok_or(Error::Missing(Key::Model(model)))?;
        Ok(ModelFile { path: path_at(place), bytes: bytes.max(0) as u64, modified_ms })
    }

    /// The row, removed ones too, that stands for this path.
    pub async fn model_at(&self, path: &Path) -> Result<Option<ModelId>> {
        let mut tx = self.read("read the models").await?;
        at(&mut tx, path).await.attempt("read the models")
    }

    /// Name, state, template, parameters, sha256, `used_ms`, …; `path`, `file_bytes` and `loaded_by` are left alone.
    pub async fn update_model(&self, id: ModelId, change: impl FnOnce(&mut Model) + Send) -> Result<Model> {
        let mut write = self.write("change the model").await?;
        let attempt = write.attempt;
        let mut model = require(write.conn(), id).await?;
        change(&mut model);
        model.id = id;
        write_row(write.conn(), &model).await.attempt(attempt)?;
        let model = require(write.conn(), id).await?;
        write.note(Key::Model(id));
        write.commit().await?;
        Ok(model)
    }

    /// The file was found elsewhere (and checked again).
    pub async fn move_model(&self, model: ModelId, file: &ModelFile) -> Result<Model> {
        let mut write = self.write("move the model").await?;
        let attempt = write.attempt;
        let conn = write.conn();
        require(conn, model).await?;
        // A removed row may still stand for that place.
        sqlx::query("DELETE FROM models WHERE place = ? AND id <> ? AND deleted_ms IS NOT NULL")
            .bind(place(&file.path))
            .bind(model)
            .execute(&mut *conn)
            .await
            .attempt(attempt)?;
        if at(conn, &file.path).await.attempt(attempt)?.is_some_and(|other| other != model) {
            return Err(Error::Unfit { key: Key::Model(model), why: "another model has this file" });
        }
        write_file(conn, model, file).await.attempt(attempt)?;
        let row = require(conn, model).await?;
        write.note(Key::Model(model));
        write.commit().await?;
        Ok(row)
    }

    /// This process holds the model in memory, on this device; `None`: no longer (another process's claim stays).
    pub async fn set_loaded(&self, model: ModelId, device: Option<&str>) -> Result<Model> {
        let mut write = self.write("mark the model").await?;
        let attempt = write.attempt;
        let owner = write.owner().to_string();
        let query = match device {
            Some(device) => sqlx::query("UPDATE models SET loaded_by = ?, device = ?, used_ms = ? WHERE id = ?")
                .bind(owner)
                .bind(device)
                .bind(now_ms())
                .bind(model),
            None => sqlx::query("UPDATE models SET loaded_by = NULL, device = NULL WHERE loaded_by = ? AND id = ?")
                .bind(owner)
                .bind(model),
        };
        query.execute(write.conn()).await.attempt(attempt)?;
        let row = require(write.conn(), model).await?;
        write.note(Key::Model(model));
        write.commit().await?;
        Ok(row)
    }

    /// The row, not the file.
    pub async fn remove_model(&self, model: ModelId) -> Result<()> {
        self.set_model_removed(model, Some(now_ms())).await
    }

    pub async fn restore_model(&self, model: ModelId) -> Result<Model> {
        self.set_model_removed(model, None).await?;
        self.model(model).await
    }

    async fn set_model_removed(&self, model: ModelId, deleted_ms: Option<Time>) -> Result<()> {
        let mut write = self.write("remove or restore the model").await?;
        let attempt = write.attempt;
        let result = sqlx::query("UPDATE models SET deleted_ms = ? WHERE id = ? AND (deleted_ms IS NULL) = ?")
            .bind(deleted_ms)
            .bind(model)
            .bind(deleted_ms.is_some())
            .execute(write.conn())
            .await
            .attempt(attempt)?;
        if result.rows_affected() == 0 {
            return Err(Error::Missing(Key::Model(model)));
        }
        let chats: Vec<ChatId> = sqlx::query_scalar("SELECT id FROM chats WHERE model = ? AND deleted_ms IS NULL")
            .bind(model)
            .fetch_all(write.conn())
            .await
            .attempt(attempt)?;
        write.note(Key::Model(model));
        chats.into_iter().for_each(|chat| write.note_other(Note::Row(Key::Chat(chat))));
        write.commit().await
    }
}
