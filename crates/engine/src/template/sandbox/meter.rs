//! Counts what a template makes: bytes of text, elements of lists, time.

use std::fmt::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use minijinja::value::{Value, ValueKind};
use minijinja::{Error, ErrorKind};

use super::LIMIT;

/// One text: what the messages need, and this much more.
const TEXT_BYTES_EXTRA: usize = 4 << 20;

/// All texts together. A template that puts a long conversation together message by message makes it anew each time.
const ALL_BYTES_MAX: usize = 256 << 20;

/// Elements of all lists, those within others counted again.
const ELEMENTS_MAX: usize = 20_000_000;

/// Lists within lists; messages have three levels.
const NESTING_MAX: usize = 32;

/// A long conversation takes some milliseconds.
const TIME_MAX: Duration = Duration::from_secs(5);

pub(super) struct Meter {
    bytes: AtomicUsize,
    elements: AtomicUsize,
    text_bytes_max: usize,
    end: Instant,
}

fn limit(what: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("{LIMIT}{what}"))
}

/// A namespace of the template: the only value that can change, so the only one that could come to contain itself.
fn is_namespace(value: &Value) -> bool {
    value.as_object().is_some_and(|object| object.type_name().ends_with("::Namespace"))
}

impl Meter {
    /// `bytes` is how long the messages are.
    pub fn new(bytes: usize) -> Meter {
        let text_bytes_max = bytes.saturating_mul(4).saturating_add(TEXT_BYTES_EXTRA);
        Meter {
            bytes: AtomicUsize::new(ALL_BYTES_MAX.saturating_add(text_bytes_max.saturating_mul(16))),
            elements: AtomicUsize::new(ELEMENTS_MAX),
            text_bytes_max,
            end: Instant::now() + TIME_MAX,
        }
    }

    pub fn tick(&self) -> Result<(), Error> {
        if Instant::now() > self.end { Err(limit("it takes more than 5 seconds")) } else { Ok(()) }
    }

    /// Before a text of this length is made.
    pub fn text(&self, bytes: usize) -> Result<(), Error> {
        self.tick()?;
        let left = self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes));
        if bytes > self.text_bytes_max || left.is_err() {
            return Err(limit("it makes too much text"));
        }
        Ok(())
    }

    /// Before this many elements are put into a list.
    pub fn elements(&self, count: usize) -> Result<(), Error> {
        let left = self.elements.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(count));
        left.map(|_| ()).map_err(|_| limit("it makes too many or too large lists"))
    }

    /// Takes a new value into account. What would be worked out only when it is looked at becomes a list now.
    pub fn charge(&self, value: Value) -> Result<Value, Error> {
        self.tick()?;
        match value.kind() {
            ValueKind::String => {
                self.text(value.as_str().map_or(0, str::len))?;
                Ok(value)
            }
            ValueKind::Iterable => self.list(&value),
            _ => Ok(value),
        }
    }

    /// The same for a value that may nest others: how deep, and how many there are in all.
    pub fn charge_deep(&self, value: Value) -> Result<Value, Error> {
        let value = self.charge(value)?;
        self.walk(&value, 0)?;
        Ok(value)
    }

    /// Takes a value into account that a namespace will keep.
    pub fn keep(&self, value: Value) -> Result<Value, Error> {
        if is_namespace(&value) {
            return Err(limit("it keeps a namespace within a namespace"));
        }
        self.charge_deep(value)
    }

    /// All elements of something, as a list.
    pub fn list(&self, value: &Value) -> Result<Value, Error> {
        let mut list = Vec::new();
        for item in value.try_iter()? {
            self.elements(1)?;
            list.push(item);
        }
        Ok(Value::from(list))
    }

    fn walk(&self, value: &Value, depth: usize) -> Result<(), Error> {
        if !matches!(value.kind(), ValueKind::Seq | ValueKind::Map | ValueKind::Iterable) {
            return Ok(());
        }
        if depth > NESTING_MAX {
            return Err(limit("it nests lists too deeply"));
        }
        let is_map = value.kind() == ValueKind::Map;
        for item in value.try_iter()? {
            self.elements(1)?;
            let inner = if is_map { value.get_item(&item)? } else { item };
            if is_namespace(&inner) {
                return Err(limit("it keeps a namespace within a list"));
            }
            self.walk(&inner, depth + 1)?;
        }
        Ok(())
    }

    /// A value as text, no longer than one text may be.
    pub fn show(&self, value: &Value) -> Result<String, Error> {
        if let Some(text) = value.as_str() {
            self.text(text.len())?;
            return Ok(text.to_owned());
        }
        if is_namespace(value) {
            return Err(limit("it prints a namespace"));
        }
        let mut out = Bounded { text: String::new(), max: self.text_bytes_max };
        write!(out, "{value}").map_err(|_| limit("it makes too much text"))?;
        self.text(out.text.len())?;
        Ok(out.text)
    }
}

struct Bounded {
    text: String,
    max: usize,
}

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        if self.text.len() + text.len() > self.max {
            return Err(std::fmt::Error);
        }
        self.text.push_str(text);
        Ok(())
    }
}
