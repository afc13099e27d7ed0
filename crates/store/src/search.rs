//! Search over titles and texts, from one character on.
//!
//! The index (FTS5) finds the rows; what comes first, and the snippet, is decided here over the rows' own text.

use serde::{Deserialize, Serialize};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};
use ts_rs::TS;

use crate::error::{Attempt, is_damage};
use crate::grams::{self, Kind, fold, kind};
use crate::sql::{integer, text};
use crate::{ChatId, MessageId, Result, Store, Time};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct Found {
    pub chat: ChatId,
    /// `None`: the title.
    pub message: Option<MessageId>,
    /// The chat's, as shown.
    pub title: String,
    pub snippet: Vec<SnippetPart>,
    pub created_ms: Time,
}

/// Text, never markup; `hit` parts are what was searched for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, TS)]
pub struct SnippetPart {
    pub text: String,
    pub hit: bool,
}

/// Row n is message n; row -n the title of chat n. The text itself is not kept twice. `categories`: a token is whatever
/// stands between two spaces, for `grams` has cut it. `prefix`: beginnings of one to three letters have an index of their
/// own; a single Chinese character is the beginning of its pairs.
pub(crate) const V1: &str = "
    CREATE VIRTUAL TABLE search USING fts5 (
        grams, content = '', contentless_delete = 1, prefix = '1 2 3',
        tokenize = \"unicode61 remove_diacritics 0 categories 'L* M* N* P* S* Co'\"
    );
";

/// A query is what a person types.
const QUERY_CHARS_MAX: usize = 200;
const PARTS_MAX: usize = 8;

/// The newest so many matches are ranked: a single common character stands in most messages, and reading all of them
/// is what would take long. Rarer words have fewer matches, and all are ranked.
const CANDIDATES_MAX: i64 = 300;
const TITLES_MAX: i64 = 100;
const RESULTS_MAX: usize = 200;

/// Of a candidate's text so much is read to rank and show it.
const READ_CHARS_MAX: i64 = 20_000;

/// About two lines of the result list, the hit a little after its start.
const SNIPPET_CHARS: usize = 96;
const SNIPPET_LEAD: usize = 20;

pub(crate) async fn index_message(conn: &mut SqliteConnection, id: MessageId, text: &str) -> sqlx::Result<()> {
    index_or_rebuild(conn, id.0, text).await
}

pub(crate) async fn remove_message(conn: &mut SqliteConnection, id: MessageId) -> sqlx::Result<()> {
    index_or_rebuild(conn, id.0, "").await
}

/// An empty title removes it.
pub(crate) async fn index_title(conn: &mut SqliteConnection, id: ChatId, title: &str) -> sqlx::Result<()> {
    index_or_rebuild(conn, -id.0, title).await
}

/// A damaged index must not keep a message from being written: it can be made again from the rows.
async fn index_or_rebuild(conn: &mut SqliteConnection, row: i64, text: &str) -> sqlx::Result<()> {
    match index(conn, row, text).await {
        Err(error) if is_damage(&error) => {
            tracing::warn!(%error, "the search index is damaged; making it again");
            rebuild(conn).await?;
            index(conn, row, text).await
        }
        result => result,
    }
}

async fn index(conn: &mut SqliteConnection, row: i64, text: &str) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM search WHERE rowid = ?").bind(row).execute(&mut *conn).await?;
    let grams = grams::document(text);
    if !grams.is_empty() {
        sqlx::query("INSERT INTO search (rowid, grams) VALUES (?, ?)").bind(row).bind(grams).execute(conn).await?;
    }
    Ok(())
}

/// Makes the index again from the rows.
pub(crate) async fn rebuild(conn: &mut SqliteConnection) -> sqlx::Result<()> {
    sqlx::raw_sql("DROP TABLE IF EXISTS search").execute(&mut *conn).await?;
    sqlx::raw_sql(V1).execute(&mut *conn).await?;
    let mut last = 0;
    loop {
        let rows =
            sqlx::query("SELECT id, text FROM messages WHERE id > ? AND state <> 'writing' ORDER BY id LIMIT 1000")
                .bind(last)
                .fetch_all(&mut *conn)
                .await?;
        for row in &rows {
            last = integer(row, "id");
            index(conn, last, &text(row, "text")).await?;
        }
        if rows.is_empty() {
            break;
        }
    }
    let titles = sqlx::query("SELECT id, title, heading FROM chats").fetch_all(&mut *conn).await?;
    for row in &titles {
        index(conn, -integer(row, "id"), &shown_title(row)).await?;
    }
    Ok(())
}

fn shown_title(row: &SqliteRow) -> String {
    Some(text(row, "title")).filter(|title| !title.is_empty()).unwrap_or_else(|| text(row, "heading"))
}

impl Store {
    /// Best first. Thoughts and deleted rows are left out.
    pub async fn search(&self, query: &str, limit: u32) -> Result<Vec<Found>> {
        let Some(query) = Query::new(query) else { return Ok(Vec::new()) };
        let rows = match self.all_candidates(&query).await {
            Err(error) if error.is_damage() => {
                tracing::warn!(%error, "the search index is damaged; making it again");
                let mut write = self.write("make the search index again").await?;
                let attempt = write.attempt;
                rebuild(write.conn()).await.attempt(attempt)?;
                write.commit().await?;
                self.all_candidates(&query).await?
            }
            rows => rows?,
        };
        let mut found: Vec<(f32, Found)> = rows.into_iter().map(|row| rank(&query, row)).collect();
        found.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.created_ms.cmp(&a.1.created_ms)));
        found.truncate(RESULTS_MAX.min(limit as usize));
        Ok(found.into_iter().map(|(_, found)| found).collect())
    }

    /// Whole words first: where they are found often enough, the words that only begin so (`the`: then, there, …) need
    /// not be gathered, which takes long for common ones.
    async fn all_candidates(&self, query: &Query) -> Result<Vec<Candidate>> {
        if let Some(closed) = &query.closed {
            let rows = self.candidates(closed).await?;
            if rows.len() >= CANDIDATES_MAX as usize {
                return Ok(rows);
            }
        }
        self.candidates(&query.open).await
    }

    async fn candidates(&self, query: &str) -> Result<Vec<Candidate>> {
        let attempt = "be searched";
        let mut tx = self.read(attempt).await?;
        let titles = sqlx::query(
            "SELECT chats.id AS chat, title, heading, created_ms
             FROM search CROSS JOIN chats ON chats.id = -search.rowid
             WHERE search MATCH ? AND search.rowid < 0 AND deleted_ms IS NULL
             ORDER BY search.rowid LIMIT ?",
        );
        let titles = titles.bind(query).bind(TITLES_MAX).fetch_all(&mut *tx).await.attempt(attempt)?;
        let messages = sqlx::query(
            "SELECT messages.id AS id, chat, title, heading, messages.created_ms AS created_ms,
                substr(text, 1, ?) AS text
             FROM search CROSS JOIN messages ON messages.id = search.rowid CROSS JOIN chats ON chats.id = messages.chat
             WHERE search MATCH ? AND search.rowid > 0 AND messages.deleted_ms IS NULL AND chats.deleted_ms IS NULL
             ORDER BY search.rowid DESC LIMIT ?",
        );
        let messages = messages.bind(READ_CHARS_MAX).bind(query).bind(CANDIDATES_MAX);
        let messages = messages.fetch_all(&mut *tx).await.attempt(attempt)?;
        let read = |row: &SqliteRow, is_title: bool| Candidate {
            chat: ChatId(row.get("chat")),
            message: (!is_title).then(|| MessageId(row.get("id"))),
            text: if is_title { shown_title(row) } else { text(row, "text") },
            title: shown_title(row),
            created_ms: integer(row, "created_ms"),
        };
        let titles = titles.iter().map(|row| read(row, true));
        Ok(titles.chain(messages.iter().map(|row| read(row, false))).collect())
    }
}

struct Candidate {
    chat: ChatId,
    message: Option<MessageId>,
    text: String,
    title: String,
    created_ms: Time,
}

struct Query {
    /// In FTS5's language: each word may go on.
    open: String,
    /// The same with whole words; `None`: there is no word that might go on.
    closed: Option<String>,
    /// The whole query, and its parts between spaces, folded.
    whole: Vec<char>,
    parts: Vec<Vec<char>>,
    /// The words and runs of the parts, for a part that does not stand in the text letter by letter (`v1.2`, `v1 2`).
    pieces: Vec<Vec<char>>,
}

impl Query {
    fn new(query: &str) -> Option<Query> {
        let query: String = query.chars().take(QUERY_CHARS_MAX).collect();
        let (mut open, mut closed) = (Vec::new(), Vec::new());
        let mut parts = Vec::new();
        let mut pieces = Vec::new();
        for part in query.split_whitespace() {
            let Some(phrase) = grams::phrase(part).filter(|_| open.len() < PARTS_MAX) else { continue };
            open.push(phrase.open());
            closed.push(phrase.closed());
            parts.push(part.chars().map(fold).collect());
            pieces.extend(grams::runs(part.chars()).into_iter().map(|run| match run {
                grams::Run::Word(word) => word.chars().collect(),
                grams::Run::Grams(grams) => grams,
            }));
        }
        let whole = query.trim().chars().map(fold).collect();
        let (open, closed) = (open.join(" AND "), closed.join(" AND "));
        let closed = Some(closed).filter(|closed| *closed != open);
        (!parts.is_empty()).then_some(Query { open, closed, whole, parts, pieces })
    }

    /// Where the query stands in a folded text, from left to right.
    fn hits(&self, text: &[char]) -> Vec<(usize, usize)> {
        let mut hits = places(text, &self.parts);
        if hits.is_empty() {
            hits = places(text, &self.pieces);
        }
        hits
    }
}

fn places(text: &[char], needles: &[Vec<char>]) -> Vec<(usize, usize)> {
    let mut places = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let longest = needles.iter().filter(|needle| stands_at(text, at, needle)).map(Vec::len).max();
        match longest {
            Some(length) => {
                places.push((at, at + length));
                at += length;
            }
            None => at += 1,
        }
    }
    places
}

/// A word is found from its beginning on, as the index does it; a character anywhere.
fn stands_at(text: &[char], at: usize, needle: &[char]) -> bool {
    let is_word = needle.first().is_some_and(|c| kind(*c) == Kind::Word);
    text[at..].starts_with(needle) && !(is_word && at > 0 && kind(text[at - 1]) == Kind::Word)
}

/// A title before a text, the whole query as typed before its parts, many hits in few words before few in many, and an
/// early one before a late one.
fn rank(query: &Query, candidate: Candidate) -> (f32, Found) {
    let text: Vec<char> = candidate.text.chars().collect();
    let folded: Vec<char> = text.iter().copied().map(fold).collect();
    let hits = query.hits(&folded);
    let mut score = if candidate.message.is_none() { 4.0 } else { 0.0 };
    if query.parts.len() > 1 && folded.windows(query.whole.len()).any(|window| window == query.whole) {
        score += 2.0;
    }
    let count = hits.len() as f32;
    let length = folded.len() as f32;
    score += (1.0 + count).ln() / (1.0 + length / 200.0).ln_1p().max(0.7);
    score += hits.first().map_or(0.0, |hit| 1.0 / (1.0 + hit.0 as f32 / 50.0));
    let whole_words = hits.iter().any(|hit| folded.get(hit.1).is_none_or(|c| kind(*c) != Kind::Word));
    score += if whole_words { 0.5 } else { 0.0 };
    let found = Found {
        chat: candidate.chat,
        message: candidate.message,
        title: candidate.title,
        snippet: snippet(&text, &hits),
        created_ms: candidate.created_ms,
    };
    (score, found)
}

/// The stretch with the most hits, on one line.
fn snippet(text: &[char], hits: &[(usize, usize)]) -> Vec<SnippetPart> {
    let within = |start: usize| hits.iter().filter(|hit| hit.0 >= start && hit.1 <= start + SNIPPET_CHARS).count();
    let best = hits
        .iter()
        .map(|hit| hit.0.saturating_sub(SNIPPET_LEAD))
        .max_by_key(|start| (within(*start), usize::MAX - start));
    let start = best.unwrap_or(0).min(text.len().saturating_sub(SNIPPET_CHARS));
    let end = (start + SNIPPET_CHARS).min(text.len());
    let mut parts: Vec<SnippetPart> = Vec::new();
    let mut push = |c: char, hit: bool| match parts.last_mut() {
        Some(part) if part.hit == hit => part.text.push(c),
        _ => parts.push(SnippetPart { text: c.into(), hit }),
    };
    if start > 0 {
        push('…', false);
    }
    let mut was_space = true;
    let mut next = 0;
    for (at, c) in text.iter().enumerate().take(end).skip(start) {
        while hits.get(next).is_some_and(|hit| hit.1 <= at) {
            next += 1;
        }
        let is_space = c.is_whitespace() || c.is_control();
        if !(is_space && was_space) {
            push(if is_space { ' ' } else { *c }, hits.get(next).is_some_and(|hit| hit.0 <= at));
        }
        was_space = is_space;
    }
    if end < text.len() {
        push('…', false);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(query: &str, text: &str) -> String {
        let text: Vec<char> = text.chars().collect();
        let folded: Vec<char> = text.iter().copied().map(fold).collect();
        let parts = snippet(&text, &Query::new(query).unwrap().hits(&folded));
        parts.iter().map(|part| if part.hit { format!("[{}]", part.text) } else { part.text.clone() }).collect()
    }

    #[test]
    fn a_snippet_marks_what_was_searched_for() {
        assert_eq!(marked("羊驼", "你好，\n\n羊驼！羊驼。"), "你好， [羊驼]！[羊驼]。");
        assert_eq!(marked("par", "Art and Paris and spar"), "Art and [Par]is and spar");
        assert_eq!(marked("ｇｐｔ 模", "用 GPT 的模型"), "用 [GPT] 的[模]型");
        assert_eq!(marked("v1.2", "v1.2 is out"), "[v1.2] is out");
        assert_eq!(marked("<b>", "a <b>bold</b> b"), "a [<b>]bold</b> b");
    }

    #[test]
    fn a_snippet_of_a_long_text_is_short_and_holds_the_hit() {
        let text = format!("{}羊驼{}", "甲".repeat(500), "乙".repeat(500));
        let snippet = marked("羊驼", &text);
        assert!(snippet.starts_with("…甲") && snippet.ends_with("乙…") && snippet.contains("[羊驼]"), "{snippet}");
        assert!(snippet.chars().count() <= SNIPPET_CHARS + 4);
    }
}
