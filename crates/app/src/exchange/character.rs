//! Character cards (Tavern, `chara_card_v2`, `chara_card_v3`), as JSON or inside a PNG, read into a persona.
//!
//! Source: the cards' specifications by malfoyslastname (V2) and kwaroran (V3).

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use huacaya_store::{Example, Parameters, Persona, PersonaId};
use serde_json::Value;

use crate::error::{Code, Error, Result};
use crate::exchange::{loose, png};

/// A card's picture may be large; its text is not.
const FILE_BYTES_MAX: usize = 64 << 20;
const JSON_BYTES_MAX: usize = 8 << 20;
const EXAMPLES_MAX: usize = 50;

/// The chunks that hold a card, the newer form first.
const KEYWORDS: [&str; 2] = ["ccv3", "chara"];

/// The persona's id is 0: `Store::add_persona` gives it one. `name` is the file's, for messages.
pub fn read_character(name: &str, bytes: &[u8]) -> Result<Persona> {
    if bytes.len() > FILE_BYTES_MAX {
        return Err(broken(name, "it is too large for a character card"));
    }
    let json = match bytes.starts_with(png::SIGNATURE) {
        true => card_in_png(bytes).ok_or_else(|| broken(name, "the picture holds no character card"))?,
        false => bytes.to_vec(),
    };
    if json.len() > JSON_BYTES_MAX {
        return Err(broken(name, "it is too large for a character card"));
    }
    let text = String::from_utf8_lossy(json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&json));
    let card: Value = serde_json::from_str(&loose::mend(&text))
        .map_err(|error| broken(name, &format!("it cannot be read as JSON: {error}")))?;
    read_card(&card).ok_or_else(|| broken(name, "it has no name or no description: it is not a character card"))
}

fn broken(name: &str, reason: &str) -> Error {
    Error::new(Code::CharacterBroken, format!("{name}: {reason}")).with("name", name).with("reason", reason)
}

fn card_in_png(bytes: &[u8]) -> Option<Vec<u8>> {
    let texts = png::texts(bytes);
    KEYWORDS.iter().find_map(|keyword| {
        let text = texts.iter().find(|text| text.keyword.eq_ignore_ascii_case(keyword))?;
        let base64: Vec<u8> = text.bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
        BASE64_STANDARD.decode(base64).ok()
    })
}

/// V1 has its fields at the top, V2 and V3 under `data`.
fn read_card(card: &Value) -> Option<Persona> {
    let fields = card.get("data").filter(|data| data.is_object()).unwrap_or(card);
    let get = |key: &str| loose::text(fields.get(key), &mut false).trim().to_string();
    let name = loose::name(fields.get("name"));
    let (description, greeting, prompt) = (get("description"), get("first_mes"), get("system_prompt"));
    if name.is_empty()
        || (description.is_empty() && greeting.is_empty() && prompt.is_empty() && get("personality").is_empty())
    {
        return None;
    }
    let nickname = loose::name(fields.get("nickname"));
    let is_chinese = [&name, &description, &greeting]
        .iter()
        .any(|text| text.chars().any(|c| ('\u{4e00}'..='\u{9fff}').contains(&c)));
    let names = Names {
        char: if nickname.is_empty() { name.clone() } else { nickname },
        user: if is_chinese { "用户" } else { "User" },
    };
    let labels = if is_chinese { ["性格：", "场景："] } else { ["Personality: ", "Scenario: "] };
    // `{{original}}` stands for the program's own system prompt, which the card's replaces here.
    let parts = [
        ("", prompt.replace("{{original}}", "").trim().to_string()),
        ("", description),
        (labels[0], get("personality")),
        (labels[1], get("scenario")),
    ];
    let system: Vec<String> = parts
        .iter()
        .filter(|part| !part.1.is_empty())
        .map(|(label, text)| format!("{label}{}", names.fill(text)))
        .collect();
    Some(Persona {
        id: PersonaId(0),
        system: system.join("\n\n"),
        parameters: Parameters::default(),
        greeting: names.fill(&greeting),
        examples: examples(&get("mes_example"), &names),
        name,
    })
}

struct Names {
    char: String,
    user: &'static str,
}

impl Names {
    /// The placeholders, in whatever case, are names.
    fn fill(&self, text: &str) -> String {
        let mut filled = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find(['{', '<']) {
            filled.push_str(&rest[..at]);
            rest = &rest[at..];
            let marks = [
                ("{{char}}", self.char.as_str()),
                ("<bot>", &self.char),
                ("{{user}}", self.user),
                ("<user>", self.user),
            ];
            let mark = marks
                .iter()
                .find(|(mark, _)| rest.get(..mark.len()).is_some_and(|start| start.eq_ignore_ascii_case(mark)));
            let (length, name) = mark.map_or((1, &rest[..1]), |(mark, name)| (mark.len(), name));
            filled.push_str(name);
            rest = &rest[length..];
        }
        filled.push_str(rest);
        filled
    }

    /// Who speaks in a line of an example, and what.
    fn speaker<'a>(&self, line: &'a str) -> Option<(bool, &'a str)> {
        let (who, words) = line.split_once([':', '：'])?;
        let who = self.fill(who.trim());
        match who {
            who if who == self.user => Some((true, words)),
            who if who == self.char => Some((false, words)),
            _ => None,
        }
    }
}

/// Blocks begin with `<START>`; in them lines that begin with a speaker. A question with its answer is an example;
/// what stands alone is none.
fn examples(text: &str, names: &Names) -> Vec<Example> {
    let mut examples = Vec::new();
    let mut question: Option<String> = None;
    let mut answer: Option<String> = None;
    let mut end = |question: &mut Option<String>, answer: &mut Option<String>| {
        if let (Some(user), Some(assistant)) = (question.take(), answer.take())
            && examples.len() < EXAMPLES_MAX
        {
            examples.push(Example { user: names.fill(user.trim()), assistant: names.fill(assistant.trim()) });
        }
    };
    for line in text.lines() {
        if line.trim().eq_ignore_ascii_case("<START>") {
            end(&mut question, &mut answer);
            question = None;
            continue;
        }
        match names.speaker(line) {
            Some((true, words)) => {
                if answer.is_some() {
                    end(&mut question, &mut answer);
                }
                append(&mut question, words);
            }
            Some((false, words)) if question.is_some() => append(&mut answer, words),
            Some((false, _)) => {}
            None if answer.is_some() => append(&mut answer, line),
            None if question.is_some() => append(&mut question, line),
            None => {}
        }
    }
    end(&mut question, &mut answer);
    examples
}

fn append(words: &mut Option<String>, more: &str) {
    let words = words.get_or_insert_default();
    if !words.is_empty() {
        words.push('\n');
    }
    words.push_str(more);
}
