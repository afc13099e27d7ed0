//! Models: one row for each model file that passed its checks.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use ts_rs::TS;

use crate::change::Note;
use crate::error::Attempt;
use crate::sql::{Damaged, as_text, flag, integer, json, now_ms, optional_integer, optional_text, text, to_json};
use crate::{ChatId, Error, Key, ModelId, Parameters, PersonaId, Result, Store, Time, owner};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum ModelKind {
    /// Continues raw text; has no template.
    Base,
    Chat,
    /// A LoRA adapter: cannot be loaded alone, can be merged into its base.
    Adapter,
}

/// Where a model came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Source {
    /// It came with the program.
    BuiltIn,
    /// A file or folder that the person pointed at, or put into the storage folder.
    File,
    /// Another program's file, used in its place.
    Program {
        program: String,
    },
    /// `file`: the first, of a model of several.
    Hub {
        endpoint: String,
        repository: String,
        revision: String,
        file: String,
    },
    Url {
        url: String,
    },
    /// Made here; `from` says of what.
    Made {
        from: String,
    },
}

/// What is known of a model's SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
#[serde(rename_all = "snake_case")]
pub enum HashState {
    /// Not computed yet.
    Unknown,
    /// Computed here; nothing to compare it with.
    Computed,
    /// Equal to the one that the hub or the catalogue gives.
    Verified,
    /// The bytes are not what they were or should be; `sha256` stays the one that is right.
    Wrong,
}

/// What a LoRA adapter says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Adapter {
    /// The model that it was trained on, as its author named it.
    pub base: String,
    pub rank: u32,
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
    /// Shown to the person; commands take ids. Of a model of several files the first, or their folder.
    pub path: String,
    /// It came with the program.
    pub bundled: bool,
    pub source: Source,
    /// "Chinese-Alpaca-2", "Qwen3", …; "": not known.
    pub family: String,
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
    /// Of a model of several files that of all their bytes, in the order of their names.
    pub sha256: Option<String>,
    pub hash: HashState,
    /// When `hash` was last found out.
    pub checked_ms: Option<Time>,
    /// Its file lies in the storage folder: deleting the model frees it.
    pub in_storage: bool,
    /// Of a LoRA adapter only.
    pub adapter: Option<Adapter>,
    /// Name of the template in use and where it came from: "built in", "file", "set by you".
    pub template: String,
    pub template_source: String,
    /// The model knows a thinking switch.
    pub thinks: bool,
    /// Default parameters for this model, under the persona's.
    pub parameters: Parameters,
    /// The persona of new chats with this model.
    pub persona: Option<PersonaId>,
    /// A smaller model with the same vocabulary that guesses ahead for this one.
    pub draft: Option<ModelId>,
    /// The process that holds it in memory, and where it runs ("CPU", "CUDA", "Metal").
    pub loaded_by: Option<String>,
    pub device: Option<String>,
    /// Why that is not, or no longer, the graphics card that it could be; in English.
    pub device_reason: Option<String>,
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

/// A model that was deleted with its files; they wait in the storage folder for the undo, or for the next start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedModel {
    pub id: ModelId,
    /// Where its files were.
    pub file: ModelFile,
    /// A program that is still running deleted it, and may undo that.
    pub kept: bool,
}

as_text!(ModelKind { Base = "base", Adapter = "adapter", Chat = "chat" } else Chat);
as_text!(HashState { Computed = "computed", Verified = "verified", Wrong = "wrong", Unknown = "unknown" } else Unknown);
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

/// `trash` names the process that deleted the model with its files.
pub(crate) const V2: &str = "
    ALTER TABLE models ADD COLUMN source TEXT NOT NULL DEFAULT '{\"kind\":\"file\"}';
    ALTER TABLE models ADD COLUMN family TEXT NOT NULL DEFAULT '';
    ALTER TABLE models ADD COLUMN persona INTEGER;
    ALTER TABLE models ADD COLUMN hash TEXT NOT NULL DEFAULT 'unknown';
    ALTER TABLE models ADD COLUMN checked_ms INTEGER;
    ALTER TABLE models ADD COLUMN in_storage INTEGER NOT NULL DEFAULT 0;
    ALTER TABLE models ADD COLUMN adapter TEXT;
    ALTER TABLE models ADD COLUMN trash TEXT;
    UPDATE models SET hash = 'computed' WHERE sha256 IS NOT NULL;
    UPDATE models SET source = '{\"kind\":\"built_in\"}', hash = 'verified' WHERE bundled = 1;
";

pub(crate) const V4: &str = "ALTER TABLE models ADD COLUMN draft INTEGER;";

pub(crate) const V5: &str = "ALTER TABLE models ADD COLUMN device_reason TEXT;";

/// A persona, or a model that guesses, is not named once it is deleted.
const SELECT: &str = "SELECT *,
    (SELECT id FROM personas WHERE id = models.persona AND deleted_ms IS NULL) AS persona_now,
    (SELECT id FROM models AS others WHERE others.id = models.draft AND others.deleted_ms IS NULL) AS draft_now FROM models";

fn read(row: &SqliteRow) -> Model {
    let id = ModelId(integer(row, "id"));
    let mut damaged = Damaged::default();
    let model = Model {
        id,
        name: text(row, "name"),
        path: text(row, "path"),
        bundled: flag(row, "bundled"),
        source: json(row, "source", &mut damaged).unwrap_or(Source::File),
        family: text(row, "family"),
        kind: ModelKind::from_text(&text(row, "kind")),
        state: ModelState::from_text(&text(row, "state")),
        architecture: text(row, "architecture"),
        quantization: text(row, "quantization"),
        file_bytes: integer(row, "file_bytes").max(0) as u64,
        parameter_count: integer(row, "parameter_count").max(0) as u64,
        context_tokens: integer(row, "context_tokens").clamp(0, u32::MAX.into()) as u32,
        sha256: optional_text(row, "sha256"),
        hash: HashState::from_text(&text(row, "hash")),
        checked_ms: optional_integer(row, "checked_ms"),
        in_storage: flag(row, "in_storage"),
        adapter: json(row, "adapter", &mut damaged),
        template: text(row, "template"),
        template_source: text(row, "template_source"),
        thinks: flag(row, "thinks"),
        parameters: json(row, "parameters", &mut damaged).unwrap_or_default(),
        persona: optional_integer(row, "persona_now").map(PersonaId),
        draft: optional_integer(row, "draft_now").map(ModelId),
        loaded_by: optional_text(row, "loaded_by"),
        device: optional_text(row, "device"),
        device_reason: optional_text(row, "device_reason"),
        added_ms: integer(row, "added_ms"),
        used_ms: optional_integer(row, "used_ms"),
    };
    damaged.problem("models", id.0);
    model
}

pub(crate) async fn load(conn: &mut SqliteConnection, id: ModelId) -> sqlx::Result<Option<Model>> {
    let query = sqlx::AssertSqlSafe(format!("{SELECT} WHERE id = ? AND deleted_ms IS NULL"));
    let query = sqlx::query(query).bind(id);
    Ok(query.fetch_optional(conn).await?.as_ref().map(read))
}

pub(crate) async fn load_all(conn: &mut SqliteConnection) -> sqlx::Result<Vec<Model>> {
    let query = sqlx::AssertSqlSafe(format!("{SELECT} WHERE deleted_ms IS NULL ORDER BY name, id"));
    let query = sqlx::query(query);
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
            parameters = ?, used_ms = ?, source = ?, family = ?, hash = ?, checked_ms = ?, in_storage = ?, adapter = ?,
            persona = ?, draft = ? WHERE id = ?",
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
    .bind(to_json(&model.source))
    .bind(&model.family)
    .bind(model.hash.as_text())
    .bind(model.checked_ms)
    .bind(model.in_storage)
    .bind(model.adapter.as_ref().map(to_json))
    .bind(model.persona)
    .bind(model.draft)
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

fn file_of(place: Vec<u8>, bytes: i64, modified_ms: Time) -> ModelFile {
    ModelFile { path: path_at(place), bytes: bytes.max(0) as u64, modified_ms }
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
    /// ignored. A row with the same path is replaced (and comes back if it was removed), and keeps its id, name,
    /// parameters, persona and draft.
    pub async fn add_model(&self, model: Model, file: &ModelFile) -> Result<Model> {
        let mut write = self.write("add the model").await?;
        let attempt = write.attempt;
        let conn = write.conn();
        let mut model = model;
        let id = match at(conn, &file.path).await.attempt(attempt)? {
            Some(id) => {
                sqlx::query("UPDATE models SET deleted_ms = NULL, trash = NULL WHERE id = ?")
                    .bind(id)
                    .execute(&mut *conn)
                    .await
                    .attempt(attempt)?;
                let kept = require(conn, id).await?;
                let Model { name, parameters, persona, draft, used_ms, .. } = kept;
                model = Model { name, parameters, persona, draft, used_ms, ..model };
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
        Ok(file_of(place, bytes, modified_ms))
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

    /// This process holds the model in memory, on this device, and why not on another; `None`: no longer (another process's
    /// claim stays).
    pub async fn set_loaded(&self, model: ModelId, device: Option<(&str, Option<&str>)>) -> Result<Model> {
        let mut write = self.write("mark the model").await?;
        let attempt = write.attempt;
        let owner = write.owner().to_string();
        let query = match device {
            Some((device, reason)) => {
                let query = "UPDATE models SET loaded_by = ?, device = ?, device_reason = ?, used_ms = ? WHERE id = ?";
                sqlx::query(query).bind(owner).bind(device).bind(reason).bind(now_ms()).bind(model)
            }
            None => {
                let gone = "loaded_by = NULL, device = NULL, device_reason = NULL";
                let query = format!("UPDATE models SET {gone} WHERE loaded_by = ? AND id = ?");
                sqlx::query(sqlx::AssertSqlSafe(query)).bind(owner).bind(model)
            }
        };
        query.execute(write.conn()).await.attempt(attempt)?;
        let row = require(write.conn(), model).await?;
        write.note(Key::Model(model));
        write.commit().await?;
        Ok(row)
    }

    /// Where the storage folder moved a model's file to; removed and deleted models have one too.
    pub async fn rebase_model(&self, model: ModelId, file: &ModelFile) -> Result<()> {
        let mut write = self.write("move the model").await?;
        let attempt = write.attempt;
        write_file(write.conn(), model, file).await.attempt(attempt)?;
        write.note(Key::Model(model));
        write.commit().await
    }

    /// Every model's file, those of removed and deleted ones too.
    pub async fn model_files(&self) -> Result<Vec<(ModelId, ModelFile)>> {
        let mut tx = self.read("read the models").await?;
        let query = sqlx::query_as("SELECT id, place, file_bytes, modified_ms FROM models ORDER BY id");
        let rows: Vec<(ModelId, Vec<u8>, i64, Time)> = query.fetch_all(&mut *tx).await.attempt("read the models")?;
        Ok(rows.into_iter().map(|(id, place, bytes, modified)| (id, file_of(place, bytes, modified))).collect())
    }

    /// How many chats name this model.
    pub async fn chats_of_model(&self, model: ModelId) -> Result<u32> {
        let mut tx = self.read("count the chats").await?;
        let query = sqlx::query_scalar("SELECT COUNT(*) FROM chats WHERE model = ? AND deleted_ms IS NULL").bind(model);
        query.fetch_one(&mut *tx).await.attempt("count the chats")
    }

    /// The row, not the file.
    pub async fn remove_model(&self, model: ModelId) -> Result<()> {
        self.set_model_removed(model, Some(now_ms()), false).await
    }

    /// The row; the caller puts its files aside next. Until then nothing is lost: see `deleted_models`.
    pub async fn delete_model(&self, model: ModelId) -> Result<()> {
        self.set_model_removed(model, Some(now_ms()), true).await
    }

    pub async fn restore_model(&self, model: ModelId) -> Result<Model> {
        self.set_model_removed(model, None, false).await?;
        self.model(model).await
    }

    /// Models that were deleted with their files and neither brought back nor forgotten.
    pub async fn deleted_models(&self) -> Result<Vec<DeletedModel>> {
        let attempt = "read the deleted models";
        let mut tx = self.read(attempt).await?;
        let query = "SELECT id, place, file_bytes, modified_ms, trash FROM models WHERE trash IS NOT NULL ORDER BY id";
        let rows: Vec<(ModelId, Vec<u8>, i64, Time, String)> =
            sqlx::query_as(query).fetch_all(&mut *tx).await.attempt(attempt)?;
        let own = self.owner();
        let deleted = rows.into_iter().map(|(id, place, bytes, modified, by)| DeletedModel {
            id,
            file: file_of(place, bytes, modified),
            kept: by == own || owner::is_alive(&self.inner.folder, &by),
        });
        Ok(deleted.collect())
    }

    /// A deleted model whose files are gone for good. The one that came with the program stays removed.
    pub async fn forget_model(&self, model: ModelId) -> Result<()> {
        let mut write = self.write("forget the model").await?;
        let attempt = write.attempt;
        for statement in [
            "DELETE FROM models WHERE id = ? AND trash IS NOT NULL AND bundled = 0",
            "UPDATE models SET trash = NULL WHERE id = ?",
        ] {
            sqlx::query(statement).bind(model).execute(write.conn()).await.attempt(attempt)?;
        }
        write.note(Key::Model(model));
        write.commit().await
    }

    async fn set_model_removed(&self, model: ModelId, deleted_ms: Option<Time>, with_files: bool) -> Result<()> {
        let mut write = self.write("remove or restore the model").await?;
        let attempt = write.attempt;
        let trash = with_files.then(|| write.owner().to_string());
        let result =
            sqlx::query("UPDATE models SET deleted_ms = ?, trash = ? WHERE id = ? AND (deleted_ms IS NULL) = ?")
                .bind(deleted_ms)
                .bind(trash)
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
