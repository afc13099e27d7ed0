//! Untrusted JSON: read as far as it is sound, its values taken only where they are what they should be.

use std::fmt;

use huacaya_store::{Parameters, Problem, Time};
use serde::Deserializer;
use serde::de::{DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::error::{Code, Error, Result};
use crate::parameters;

/// A large export of another program is some tens of megabytes; what is parsed takes several times the file's size.
const FILE_BYTES_MAX: usize = 256 << 20;
/// More than anybody has talked.
const CHATS_MAX: usize = 50_000;
/// One text; a book has one or two megabytes.
const TEXT_BYTES_MAX: usize = 4 << 20;
/// A list that a person can still read.
const PROBLEMS_MAX: usize = 50;
const NAME_CHARS_MAX: usize = 200;

/// 9999-12-31: what a date that is shown must not be past.
const TIME_MAX_MS: Time = 253_402_214_400_000;

/// The chats of a file: a list, or a map with the list under `chats` and the other fields beside it.
pub struct Loose {
    /// `None`: the file is a list.
    pub fields: Option<Map<String, Value>>,
    pub items: Vec<Value>,
    /// Why nothing after the items could be read.
    pub broken: Option<String>,
}

/// An error where nothing at all can be read.
pub fn read(name: &str, bytes: &[u8]) -> Result<Loose> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(broken(name, &format!("it is larger than {} MiB", FILE_BYTES_MAX >> 20)));
    }
    let text = mend(&String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)));
    let mut loose = Loose { fields: None, items: Vec::new(), broken: None };
    let mut json = serde_json::Deserializer::from_str(&text);
    match json.deserialize_any(Top(&mut loose)) {
        Ok(()) => Ok(loose),
        Err(error) if loose.items.is_empty() => Err(broken(name, &format!("it cannot be read as JSON: {error}"))),
        Err(error) => {
            loose.broken = Some(format!("it breaks off: {error}"));
            Ok(loose)
        }
    }
}

pub fn broken(name: &str, reason: &str) -> Error {
    Error::new(Code::ImportBroken, format!("{name}: {reason}")).with("name", name).with("reason", reason)
}

/// JavaScript writes half a character (a lone surrogate) as `\ud83d`, which no Unicode text can hold: it becomes
/// U+FFFD. Backslashes stand only in strings, so looking at escapes is enough.
pub fn mend(text: &str) -> String {
    let mut mended = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        mended.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = match unit(rest) {
            Some(0xd800..=0xdbff) if matches!(unit(&rest[6..]), Some(0xdc00..=0xdfff)) => 12,
            Some(0xd800..=0xdfff) => {
                mended.push('\u{fffd}');
                rest = &rest[6..];
                continue;
            }
            _ => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
        };
        mended.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    mended.push_str(rest);
    mended
}

/// The UTF-16 unit of an escape at the start.
fn unit(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("\\u")?.get(..4)?;
    digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then(|| u32::from_str_radix(digits, 16).ok())?
}

struct Top<'a>(&'a mut Loose);

impl<'de> Visitor<'de> for Top<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a list of chats, or a map that holds one")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> std::result::Result<(), A::Error> {
        collect(&mut self.0.items, items)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> std::result::Result<(), A::Error> {
        let fields = self.0.fields.get_or_insert_default();
        while let Some(key) = map.next_key::<String>()? {
            if key == "chats" {
                map.next_value_seed(Items(&mut self.0.items))?;
            } else {
                fields.insert(key, map.next_value()?);
            }
        }
        Ok(())
    }
}

struct Items<'a>(&'a mut Vec<Value>);

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> std::result::Result<(), D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a list of chats")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> std::result::Result<(), A::Error> {
        collect(self.0, items)
    }
}

/// One by one, so that those before a break are kept.
fn collect<'de, A: SeqAccess<'de>>(into: &mut Vec<Value>, mut items: A) -> std::result::Result<(), A::Error> {
    while let Some(item) = items.next_element()? {
        if into.len() == CHATS_MAX {
            return Err(A::Error::custom(format!("it holds more than {CHATS_MAX} chats")));
        }
        into.push(item);
    }
    Ok(())
}

/// What was left out, for the person.
pub struct Report {
    name: String,
    problems: Vec<Problem>,
    more: usize,
}

impl Report {
    pub fn new(name: &str) -> Report {
        Report { name: name.into(), problems: Vec::new(), more: 0 }
    }

    pub fn is_empty(&self) -> bool {
        self.problems.is_empty()
    }

    /// `part`: the chat's title or place; empty: the file itself.
    pub fn skip(&mut self, part: &str, reason: &str) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(broken(if part.is_empty() { &self.name } else { part }, reason).problem());
        } else {
            self.more += 1;
        }
    }

    pub fn problems(mut self) -> Vec<Problem> {
        if self.more > 0 {
            self.problems.push(broken(&self.name, &format!("{} more parts could not be read", self.more)).problem());
        }
        self.problems
    }
}

/// A text of a bounded length; `cut` says whether it was longer.
pub fn text(value: Option<&Value>, cut: &mut bool) -> String {
    let text = value.and_then(Value::as_str).unwrap_or_default();
    bounded(text, cut)
}

pub fn bounded(text: &str, cut: &mut bool) -> String {
    if text.len() <= TEXT_BYTES_MAX {
        return text.to_string();
    }
    *cut = true;
    text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_string()
}

/// A name on one line.
pub fn name(value: Option<&Value>) -> String {
    let text = value.and_then(Value::as_str).unwrap_or_default();
    let line: String =
        text.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| !c.is_control()).collect();
    line.trim().chars().take(NAME_CHARS_MAX).collect()
}

/// Milliseconds since 1970; seconds with `scale` 1000.
pub fn time(value: Option<&Value>, scale: f64) -> Option<Time> {
    let ms = value?.as_f64()? * scale;
    (ms >= 1.0 && ms <= TIME_MAX_MS as f64).then_some(ms.round() as Time)
}

/// The values that this version knows and that are in their range.
pub fn parameters(value: Option<&Value>) -> Parameters {
    let Some(Value::Object(fields)) = value else { return Parameters::default() };
    let sound = fields.iter().filter(|field| read_field(field).is_some_and(|one| parameters::check(&one).is_ok()));
    let sound: Map<String, Value> = sound.map(|(key, value)| (key.clone(), value.clone())).collect();
    serde_json::from_value(Value::Object(sound)).unwrap_or_default()
}

fn read_field((key, value): &(&String, &Value)) -> Option<Parameters> {
    let one = Map::from_iter([((*key).clone(), (*value).clone())]);
    serde_json::from_value(Value::Object(one)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_character_is_replaced_and_a_whole_one_kept() {
        let cases = [
            (r#""\ud83e\udd99""#, r#""\ud83e\udd99""#),
            (r#""\ud83e!""#, "\"\u{fffd}!\""),
            (r#""\udd99\ud83e""#, "\"\u{fffd}\u{fffd}\""),
            (r#""\\ud83e""#, r#""\\ud83e""#),
            (r#""\\\ud83e""#, "\"\\\\\u{fffd}\""),
            (r#""\ud83e\u4f60""#, "\"\u{fffd}\\u4f60\""),
            ("\\", "\\"),
            ("\\驼\\u12", "\\驼\\u12"),
        ];
        for (text, expected) in cases {
            assert_eq!(mend(text), expected, "{text}");
        }
    }

    #[test]
    fn parameters_keep_what_is_known_and_in_range() {
        let value = serde_json::json!({"temperature": 0.5, "top_p": 7, "top_k": "many", "new_one": 1, "seed": 5, "stop": ["a"]});
        let expected =
            Parameters { temperature: Some(0.5), seed: Some(5), stop: Some(vec!["a".into()]), ..Parameters::default() };
        assert_eq!(parameters(Some(&value)), expected);
    }
}
