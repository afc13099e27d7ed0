//! Personas: a system prompt with parameters, a greeting and example turns.

use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;
use sqlx::sqlite::SqliteRow;
use ts_rs::TS;

use crate::change::Note;
use crate::error::Attempt;
use crate::sql::{Damaged, integer, json, now_ms, text, to_json};
use crate::{ChatId, Error, Key, ModelId, Parameters, PersonaId, Result, Store, Time};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Persona {
    pub id: PersonaId,
    pub name: String,
    pub system: String,
    pub parameters: Parameters,
    /// Shown (and sent) as the model's first message; may be empty.
    pub greeting: String,
    /// Turns placed before the conversation.
    pub examples: Vec<Example>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, TS)]
pub struct Example {
    pub user: String,
    pub assistant: String,
}

pub(crate) const V1: &str = "
    CREATE TABLE personas (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        system TEXT NOT NULL DEFAULT '',
        parameters TEXT NOT NULL DEFAULT '{}',
        greeting TEXT NOT NULL DEFAULT '',
        examples TEXT NOT NULL DEFAULT '[]',
        deleted_ms INTEGER
    ) STRICT;
";

fn read(row: &SqliteRow) -> Persona {
    let id = PersonaId(integer(row, "id"));
    let mut damaged = Damaged::default();
    let persona = Persona {
        id,
        name: text(row, "name"),
        system: text(row, "system"),
        parameters: json(row, "parameters", &mut damaged).unwrap_or_default(),
        greeting: text(row, "greeting"),
        examples: json(row, "examples", &mut damaged).unwrap_or_default(),
    };
    damaged.problem("personas", id.0);
    persona
}

pub(crate) async fn load(conn: &mut SqliteConnection, id: PersonaId) -> sqlx::Result<Option<Persona>> {
    let query = sqlx::query("SELECT * FROM personas WHERE id = ? AND deleted_ms IS NULL").bind(id);
    Ok(query.fetch_optional(conn).await?.as_ref().map(read))
}

pub(crate) async fn load_all(conn: &mut SqliteConnection) -> sqlx::Result<Vec<Persona>> {
    let query = sqlx::query("SELECT * FROM personas WHERE deleted_ms IS NULL ORDER BY name, id");
    Ok(query.fetch_all(conn).await?.iter().map(read).collect())
}

pub(crate) async fn insert(conn: &mut SqliteConnection, persona: &Persona) -> sqlx::Result<PersonaId> {
    let result =
        sqlx::query("INSERT INTO personas (name, system, parameters, greeting, examples) VALUES (?, ?, ?, ?, ?)")
            .bind(&persona.name)
            .bind(&persona.system)
            .bind(to_json(&persona.parameters))
            .bind(&persona.greeting)
            .bind(to_json(&persona.examples))
            .execute(conn)
            .await?;
    Ok(PersonaId(result.last_insert_rowid()))
}

impl Store {
    /// The id in `persona` is ignored.
    pub async fn add_persona(&self, persona: Persona) -> Result<Persona> {
        let mut write = self.write("add the persona").await?;
        let attempt = write.attempt;
        let id = insert(write.conn(), &persona).await.attempt(attempt)?;
        write.note(Key::Persona(id));
        write.commit().await?;
        Ok(Persona { id, ..persona })
    }

    pub async fn persona(&self, id: PersonaId) -> Result<Persona> {
        let mut tx = self.read("read the persona").await?;
        load(&mut tx, id).await.attempt("read the persona")?.ok_or(Error::Missing(Key::Persona(id)))
    }

    pub async fn update_persona(&self, id: PersonaId, change: impl FnOnce(&mut Persona) + Send) -> Result<Persona> {
        let mut write = self.write("change the persona").await?;
        let attempt = write.attempt;
        let mut persona = load(write.conn(), id).await.attempt(attempt)?.ok_or(Error::Missing(Key::Persona(id)))?;
        change(&mut persona);
        persona.id = id;
        sqlx::query(
            "UPDATE personas SET name = ?, system = ?, parameters = ?, greeting = ?, examples = ? WHERE id = ?",
        )
        .bind(&persona.name)
        .bind(&persona.system)
        .bind(to_json(&persona.parameters))
        .bind(&persona.greeting)
        .bind(to_json(&persona.examples))
        .bind(id)
        .execute(write.conn())
        .await
        .attempt(attempt)?;
        write.note(Key::Persona(id));
        write.commit().await?;
        Ok(persona)
    }

    /// Chats keep its id, so that restoring it gives it back to them; until then they go without.
    pub async fn delete_persona(&self, persona: PersonaId) -> Result<()> {
        self.set_persona_deleted(persona, Some(now_ms())).await
    }

    pub async fn restore_persona(&self, persona: PersonaId) -> Result<Persona> {
        self.set_persona_deleted(persona, None).await?;
        self.persona(persona).await
    }

    async fn set_persona_deleted(&self, persona: PersonaId, deleted_ms: Option<Time>) -> Result<()> {
        let mut write = self.write("delete or restore the persona").await?;
        let attempt = write.attempt;
        let result = sqlx::query("UPDATE personas SET deleted_ms = ? WHERE id = ? AND (deleted_ms IS NULL) = ?")
            .bind(deleted_ms)
            .bind(persona)
            .bind(deleted_ms.is_some())
            .execute(write.conn())
            .await
            .attempt(attempt)?;
        if result.rows_affected() == 0 {
            return Err(Error::Missing(Key::Persona(persona)));
        }
        let chats: Vec<ChatId> = sqlx::query_scalar("SELECT id FROM chats WHERE persona = ? AND deleted_ms IS NULL")
            .bind(persona)
            .fetch_all(write.conn())
            .await
            .attempt(attempt)?;
        let models: Vec<ModelId> = sqlx::query_scalar("SELECT id FROM models WHERE persona = ? AND deleted_ms IS NULL")
            .bind(persona)
            .fetch_all(write.conn())
            .await
            .attempt(attempt)?;
        write.note(Key::Persona(persona));
        models.into_iter().for_each(|model| write.note(Key::Model(model)));
        chats.into_iter().for_each(|chat| write.note_other(Note::Row(Key::Chat(chat))));
        write.commit().await
    }
}
