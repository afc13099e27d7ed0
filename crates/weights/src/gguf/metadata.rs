//! A GGUF file's keys and values in their order, with typed access whose errors name the file and the key.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::{Array, Fault, Value};
use crate::Error;

/// Keys and values in the order of the file.
#[derive(Clone, Debug)]
pub struct Metadata {
    path: PathBuf,
    entries: Vec<(String, Value)>,
    places: HashMap<String, usize>,
}

impl Metadata {
    /// `path` is only named in errors.
    pub fn new(path: &Path) -> Metadata {
        Metadata { path: path.to_path_buf(), entries: Vec::new(), places: HashMap::new() }
    }

    /// Adds a key, or replaces its value in its place.
    pub fn set(&mut self, key: &str, value: Value) {
        match self.places.get(key) {
            Some(&place) => self.entries[place].1 = value,
            None => {
                self.places.insert(key.to_owned(), self.entries.len());
                self.entries.push((key.to_owned(), value));
            }
        }
    }

    pub fn contains(&self, key: &str) -> bool {
        self.places.contains_key(key)
    }

    /// The value as it stands in the file.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.places.get(key).map(|&place| &self.entries[place].1)
    }

    /// The value of a key that must be there: `metadata.get::<u32>("llama.block_count")?`.
    pub fn get<'a, T: FromValue<'a>>(&'a self, key: &str) -> Result<T, Error> {
        self.find(key)?.ok_or_else(|| Error::new(&self.path, Fault::KeyMissing { key: key.to_owned() }))
    }

    /// The value of a key that may be missing. Of another type than `T` is an error all the same.
    pub fn find<'a, T: FromValue<'a>>(&'a self, key: &str) -> Result<Option<T>, Error> {
        let Some(value) = self.value(key) else { return Ok(None) };
        T::from_value(value).map(Some).ok_or_else(|| {
            let fault = Fault::KeyKind { key: key.to_owned(), wanted: T::WANTED, found: value.describe() };
            Error::new(&self.path, fault)
        })
    }

    /// Keys and values in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(key, value)| (key.as_str(), value))
    }

    pub fn len(&self) -> usize {
        self.entries.len()
    }

    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// What a value can be read as. Integers of any width are taken where they fit; floats of either width.
pub trait FromValue<'a>: Sized {
    /// For the error: "a text", "an integer from 0 to 4294967295".
    const WANTED: &'static str;
    fn from_value(value: &'a Value) -> Option<Self>;
}

macro_rules! integers {
    ($($kind:ty, $wanted:literal, $array_wanted:literal;)*) => {$(
        impl FromValue<'_> for $kind {
            const WANTED: &'static str = $wanted;
            fn from_value(value: &Value) -> Option<$kind> {
                value.as_integer()?.try_into().ok()
            }
        }
        impl FromValue<'_> for Vec<$kind> {
            const WANTED: &'static str = $array_wanted;
            fn from_value(value: &Value) -> Option<Vec<$kind>> {
                let Value::Array(array) = value else { return None };
                array.as_integers()?.into_iter().map(|value| value.try_into().ok()).collect()
            }
        }
    )*};
}
integers! {
    u32, "an integer from 0 to 2^32 - 1", "an array of integers from 0 to 2^32 - 1";
    u64, "an integer from 0 to 2^64 - 1", "an array of integers from 0 to 2^64 - 1";
    usize, "an integer from 0 up", "an array of integers from 0 up";
    i32, "an integer of 32 bits", "an array of integers of 32 bits";
    i64, "an integer of 64 bits", "an array of integers of 64 bits";
}

impl FromValue<'_> for f32 {
    const WANTED: &'static str = "a fraction";
    fn from_value(value: &Value) -> Option<f32> {
        f64::from_value(value).map(|value| value as f32)
    }
}

impl FromValue<'_> for f64 {
    const WANTED: &'static str = "a fraction";
    fn from_value(value: &Value) -> Option<f64> {
        match *value {
            Value::F32(value) => Some(value.into()),
            Value::F64(value) => Some(value),
            _ => None,
        }
    }
}

impl FromValue<'_> for bool {
    const WANTED: &'static str = "a truth value";
    fn from_value(value: &Value) -> Option<bool> {
        if let Value::Bool(value) = *value { Some(value) } else { None }
    }
}

impl<'a> FromValue<'a> for &'a str {
    const WANTED: &'static str = "a text";
    fn from_value(value: &'a Value) -> Option<&'a str> {
        if let Value::String(text) = value { Some(text) } else { None }
    }
}

impl<'a> FromValue<'a> for &'a [String] {
    const WANTED: &'static str = "an array of texts";
    fn from_value(value: &'a Value) -> Option<&'a [String]> {
        if let Value::Array(Array::String(texts)) = value { Some(texts) } else { None }
    }
}

impl FromValue<'_> for Vec<f32> {
    const WANTED: &'static str = "an array of fractions";
    fn from_value(value: &Value) -> Option<Vec<f32>> {
        match value {
            Value::Array(Array::F32(values)) => Some(values.clone()),
            Value::Array(Array::F64(values)) => Some(values.iter().map(|&value| value as f32).collect()),
            _ => None,
        }
    }
}

impl FromValue<'_> for Vec<bool> {
    const WANTED: &'static str = "an array of truth values";
    fn from_value(value: &Value) -> Option<Vec<bool>> {
        if let Value::Array(Array::Bool(values)) = value { Some(values.clone()) } else { None }
    }
}

macro_rules! into_value {
    ($($from:ty => $value:ident;)*) => {$(
        impl From<$from> for Value {
            fn from(value: $from) -> Value {
                Value::$value(value)
            }
        }
        impl From<Vec<$from>> for Value {
            fn from(values: Vec<$from>) -> Value {
                Value::Array(Array::$value(values))
            }
        }
    )*};
}
into_value! {
    u8 => U8; i8 => I8; u16 => U16; i16 => I16; u32 => U32; i32 => I32; u64 => U64; i64 => I64;
    f32 => F32; f64 => F64; bool => Bool; String => String;
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::String(text.to_owned())
    }
}
