//! Calls of tools in an answer's text, told apart from its words while they come.
//!
//! A call is given out whole, once it is one: what looks like a call and is none, or calls a tool that was not offered,
//! stays text.

use huacaya_engine::template::CallForm;
use serde_json::Value;

use super::tools::NAME_MAX;
use crate::error::{Error, Result};

/// A longer call is held back no more: it is text.
const CALL_BYTES_MAX: usize = 256 << 10;
/// As long as Mistral's templates want them; others take any.
const ID_LETTERS: usize = 9;
/// What a bare call's first key can be.
const KEYS: [&str; 6] = ["name", "type", "function", "parameters", "arguments", "id"];
const PYTHON: &str = "<|python_tag|>";

/// What a piece of text turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Text(String),
    /// `arguments`: a JSON object.
    Call {
        name: String,
        arguments: String,
    },
}

/// Reads one answer.
pub(super) struct Reader {
    form: CallForm,
    known: Vec<String>,
    /// More than one call is wanted.
    several: bool,
    place: Place,
    /// Not given out yet.
    held: String,
    pub(super) calls: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Words; a call may come.
    Text,
    /// A call, from this byte of what is held.
    Call(usize),
    /// Behind a call.
    Between,
    /// Words to the end.
    Words,
}

enum Parsed {
    /// Not whole yet.
    Part,
    /// With how many bytes they take.
    Calls(Vec<(String, String)>, usize),
    Broken,
}

impl Reader {
    pub(super) fn new(form: CallForm, known: Vec<String>, several: bool) -> Reader {
        // A bare call is all that an answer says.
        let place = if form == CallForm::Bare { Place::Call(0) } else { Place::Text };
        Reader { form, known, several, place, held: String::new(), calls: 0 }
    }

    /// Takes more text and gives out what is certain.
    pub(super) fn push(&mut self, text: &str, out: &mut Vec<Found>) {
        self.held.push_str(text);
        while !self.held.is_empty() && self.step(false, out) {}
    }

    /// No more text comes.
    pub(super) fn finish(&mut self, out: &mut Vec<Found>) {
        while !self.held.is_empty() && self.step(true, out) {}
    }

    /// One step on; false where more text is needed.
    fn step(&mut self, ended: bool, out: &mut Vec<Found>) -> bool {
        match self.place {
            Place::Words => self.give(self.held.len(), out),
            Place::Text => return self.text(ended, out),
            Place::Call(from) => return self.call(from, ended, out),
            Place::Between => return self.between(ended),
        }
        true
    }

    fn open(&self) -> &'static str {
        self.form.marks()[0]
    }

    fn text(&mut self, ended: bool, out: &mut Vec<Found>) -> bool {
        let open = self.open();
        if let Some(at) = self.held.find(open) {
            // Blanks before a call are no words.
            let words = self.held[..at].trim_end().len();
            self.give(words, out);
            self.place = Place::Call(at - words + open.len());
            return true;
        }
        let starts = self.held.char_indices().map(|(at, _)| at);
        let may_open = |at: &usize| open.starts_with(self.held[*at..].trim_start());
        let keep = if ended { None } else { starts.into_iter().find(may_open) };
        self.give(keep.unwrap_or(self.held.len()), out);
        keep.is_none()
    }

    fn call(&mut self, from: usize, ended: bool, out: &mut Vec<Found>) -> bool {
        let body = &self.held[from..];
        let parsed = match self.form {
            CallForm::Tagged => self.objects(body),
            CallForm::Listed | CallForm::Named => self.listed(body),
            CallForm::Bare => self.bare(body),
        };
        match parsed {
            Parsed::Part if !ended && body.len() <= CALL_BYTES_MAX => return false,
            Parsed::Calls(calls, used) => {
                for (name, arguments) in calls {
                    if self.calls == 0 || self.several {
                        self.calls += 1;
                        out.push(Found::Call { name, arguments });
                    }
                }
                self.held.drain(..from + used);
                self.place = Place::Between;
            }
            Parsed::Part | Parsed::Broken => {
                self.place = if self.form == CallForm::Bare { Place::Words } else { Place::Text };
                self.give(from, out);
            }
        }
        true
    }

    fn between(&mut self, ended: bool) -> bool {
        let (open, marks) = (self.open(), self.form.marks());
        let is_bare = self.form == CallForm::Bare;
        let skipped = |c: char| c.is_whitespace() || is_bare && matches!(c, ';' | ',');
        let blanks = self.held.len() - self.held.trim_start_matches(skipped).len();
        self.held.drain(..blanks);
        let rest = self.held.as_str();
        if !ended && marks.iter().any(|mark| mark.len() > rest.len() && mark.starts_with(rest)) {
            return false;
        }
        if rest.starts_with(open) {
            self.place = Place::Call(open.len());
        } else if let Some(close) = marks.iter().find(|mark| mark.starts_with("</") && rest.starts_with(**mark)) {
            self.held.drain(..close.len());
        } else if is_bare && rest.starts_with('{') {
            self.place = Place::Call(0);
        } else {
            self.place = if is_bare { Place::Words } else { Place::Text };
        }
        !self.held.is_empty()
    }

    /// A call as an object, or an array of them.
    fn objects(&self, body: &str) -> Parsed {
        let mut values = serde_json::Deserializer::from_str(body).into_iter::<Value>();
        let value = match values.next() {
            Some(Ok(value)) => value,
            Some(Err(error)) if !error.is_eof() => return Parsed::Broken,
            Some(Err(_)) | None => return Parsed::Part,
        };
        let used = values.byte_offset();
        let calls: Option<Vec<_>> = match &value {
            Value::Array(calls) if !calls.is_empty() => calls.iter().map(|call| self.known_call(call)).collect(),
            call => self.known_call(call).map(|call| vec![call]),
        };
        calls.map_or(Parsed::Broken, |calls| Parsed::Calls(calls, used))
    }

    /// An array, or a name with its arguments.
    fn listed(&self, body: &str) -> Parsed {
        let begun = body.trim_start();
        if begun.is_empty() || begun.starts_with(['[', '{']) {
            return self.objects(body);
        }
        let Some(end) = begun.find(['[', '{']) else {
            return if begun.len() > NAME_MAX { Parsed::Broken } else { Parsed::Part };
        };
        let name = begun[..end].trim();
        if !self.known.iter().any(|known| known == name) {
            return Parsed::Broken;
        }
        let Some(from) = body.find('{') else { return Parsed::Part };
        let mut values = serde_json::Deserializer::from_str(&body[from..]).into_iter::<Value>();
        match values.next() {
            Some(Ok(arguments)) => {
                Parsed::Calls(vec![(name.to_string(), arguments.to_string())], from + values.byte_offset())
            }
            Some(Err(error)) if !error.is_eof() => Parsed::Broken,
            Some(Err(_)) | None => Parsed::Part,
        }
    }

    /// An object at the beginning, held back only while it can be a call.
    fn bare(&self, body: &str) -> Parsed {
        let begun = body.trim_start();
        if PYTHON.starts_with(begun) {
            return Parsed::Part;
        }
        let blank = body.len() - begun.len();
        let (skipped, object) = match begun.strip_prefix(PYTHON) {
            Some(rest) => (blank + PYTHON.len(), rest),
            None => (blank, begun),
        };
        let inner = match object.trim_start() {
            "" => return Parsed::Part,
            begun => begun.strip_prefix('{').map(str::trim_start),
        };
        let may_be = match inner {
            Some("") => true,
            Some(inner) => inner.strip_prefix('"').is_some_and(|key| match key.split_once('"') {
                Some((key, _)) => KEYS.contains(&key),
                None => KEYS.iter().any(|known| known.starts_with(key)),
            }),
            None => false,
        };
        match self.objects(object) {
            _ if !may_be => Parsed::Broken,
            Parsed::Calls(calls, used) => Parsed::Calls(calls, skipped + used),
            parsed => parsed,
        }
    }

    /// Name and arguments, where it is a call of a tool that was offered.
    fn known_call(&self, call: &Value) -> Option<(String, String)> {
        let call = if call["function"].is_object() { &call["function"] } else { call };
        let name = call["name"].as_str().or(call["function"].as_str())?;
        if !self.known.iter().any(|known| known == name) {
            return None;
        }
        let arguments = match call.get("arguments").or(call.get("parameters")) {
            None | Some(Value::Null) => "{}".to_string(),
            Some(Value::Object(fields)) => Value::Object(fields.clone()).to_string(),
            Some(Value::String(text)) => {
                let fields: serde_json::Map<String, Value> = serde_json::from_str(text).ok()?;
                Value::Object(fields).to_string()
            }
            Some(_) => return None,
        };
        Some((name.to_string(), arguments))
    }

    /// Gives out the first bytes of what is held, as text.
    fn give(&mut self, bytes: usize, out: &mut Vec<Found>) {
        if bytes > 0 {
            out.push(Found::Text(self.held.drain(..bytes).collect()));
        }
    }
}

/// A name for a call that its answer will bear.
pub(super) fn new_id() -> Result<String> {
    const LETTERS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let mut bytes = [0u8; ID_LETTERS];
    getrandom::fill(&mut bytes).map_err(Error::internal)?;
    Ok(bytes.iter().map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()])).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(form: CallForm, pieces: &[&str]) -> Vec<Found> {
        let mut reader = Reader::new(form, vec!["weather".into(), "time".into()], true);
        let mut out = Vec::new();
        pieces.iter().for_each(|piece| reader.push(piece, &mut out));
        reader.finish(&mut out);
        // Neighbouring texts are one.
        let mut joined: Vec<Found> = Vec::new();
        for found in out {
            match (joined.last_mut(), found) {
                (Some(Found::Text(text)), Found::Text(more)) => text.push_str(&more),
                (_, found) => joined.push(found),
            }
        }
        joined
    }

    /// At once and letter by letter: the same.
    fn heard(form: CallForm, text: &str) -> Vec<Found> {
        let whole = read(form, &[text]);
        let letters: Vec<String> = text.chars().map(String::from).collect();
        let letters: Vec<&str> = letters.iter().map(String::as_str).collect();
        assert_eq!(read(form, &letters), whole, "{text}");
        whole
    }

    fn text(text: &str) -> Found {
        Found::Text(text.into())
    }

    fn call(name: &str, arguments: &str) -> Found {
        Found::Call { name: name.into(), arguments: arguments.into() }
    }

    const WEATHER: &str = r#"{"name": "weather", "arguments": {"place": "北京 </tool_call>"}}"#;

    #[test]
    fn tagged_calls_are_told_from_the_words_around_them() {
        let found = |text: &str| heard(CallForm::Tagged, text);
        let weather = call("weather", r#"{"place":"北京 </tool_call>"}"#);
        assert_eq!(found(&format!("<tool_call>\n{WEATHER}\n</tool_call>")), std::slice::from_ref(&weather));
        let two = format!(
            "好，我查。\n\n<tool_call>\n{WEATHER}\n</tool_call>\n<tool_call>{{\"name\":\"time\"}}</tool_call>\n好了"
        );
        assert_eq!(found(&two), [text("好，我查。"), weather.clone(), call("time", "{}"), text("好了")]);
        assert_eq!(found(&format!("<tool_call>{WEATHER}")), [weather], "the model left out the end");
    }

    #[test]
    fn what_is_no_sound_call_stays_text_to_the_letter() {
        for words in [
            "a < b, <tool, <tool_call",
            "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"place\": \"北",
            "<tool_call>\n{\"name\": weather}\n</tool_call>",
            " \n<tool_call>\n{\"name\": \"fire\", \"arguments\": {}}\n</tool_call> ",
            "<tool_call>{\"name\": \"weather\", \"arguments\": [1]}</tool_call>",
        ] {
            assert_eq!(heard(CallForm::Tagged, words), [text(words)], "{words}");
        }
        for words in ["[TOOL_CALLS]", "[TOOL_CALLS]  [1, 2]", "[TOOL_CALLS]fire[ARGS]{}", "[TOOL_CALLS] weather"] {
            assert_eq!(heard(CallForm::Named, words), [text(words)], "{words}");
        }
        for words in
            ["你好", " {", "{\"answer\": 42}", "{\"name\": \"fire\", \"parameters\": {}}", "{'name': 1}", "<|py"]
        {
            assert_eq!(heard(CallForm::Bare, words), [text(words)], "{words}");
        }
        let broken_then_sound = format!("<tool_call>{{oh}}\n<tool_call>{WEATHER}</tool_call>");
        assert_eq!(heard(CallForm::Tagged, &broken_then_sound).len(), 2);
    }

    #[test]
    fn lists_and_names_of_mistral_are_calls() {
        let list =
            r#"[TOOL_CALLS] [{"name": "weather", "arguments": {"place": "a]b"}}, {"name": "time", "arguments": {}}]"#;
        let expected = [call("weather", r#"{"place":"a]b"}"#), call("time", "{}")];
        assert_eq!(heard(CallForm::Listed, list), expected);
        let named = r#"[TOOL_CALLS]weather[ARGS]{"place": "a]b"}[TOOL_CALLS]time[CALL_ID]abc[ARGS]{}"#;
        assert_eq!(heard(CallForm::Named, named), expected);
    }

    #[test]
    fn bare_objects_of_llama_are_calls() {
        let one = r#"{"name": "weather", "parameters": {"place": "x"}}"#;
        let expected = call("weather", r#"{"place":"x"}"#);
        assert_eq!(heard(CallForm::Bare, one), std::slice::from_ref(&expected));
        let two =
            format!("\n<|python_tag|>{one}; {{\"type\": \"function\", \"name\": \"time\", \"parameters\": {{}}}}");
        assert_eq!(heard(CallForm::Bare, &two), [expected, call("time", "{}")]);
    }

    #[test]
    fn words_are_held_back_only_while_they_may_become_a_call() {
        let mut reader = Reader::new(CallForm::Bare, vec!["weather".into()], true);
        let mut out = Vec::new();
        reader.push("{\"answ", &mut out);
        assert_eq!(out, [text("{\"answ")]);
        let mut reader = Reader::new(CallForm::Tagged, vec!["weather".into()], true);
        out.clear();
        reader.push("好 <to", &mut out);
        reader.push("ast>", &mut out);
        assert_eq!(out, [text("好"), text(" <toast>")]);
    }

    #[test]
    fn one_call_is_one_where_no_more_are_wanted() {
        let mut reader = Reader::new(CallForm::Listed, vec!["time".into()], false);
        let mut out = Vec::new();
        reader.push(r#"[TOOL_CALLS][{"name": "time"}, {"name": "time"}]"#, &mut out);
        assert_eq!((out.len(), reader.calls), (1, 1));
    }
}
