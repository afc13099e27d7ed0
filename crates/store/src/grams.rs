//! How text is cut for the search index: words as words, and runs of Chinese (or any script without spaces, or
//! symbols) as pairs of neighbours.
//!
//! `你好吗` becomes `你好 好吗 吗`: every pair, and the last character alone. A query of two or more characters is then
//! a phrase of pairs, one of a single character is a prefix, and both are exact.

/// A word's length in the index; what follows does not count.
const WORD_CHARS_MAX: usize = 64;

/// A message longer than this (a pasted book) can be found by its beginning. Keeps one row's index work bounded.
const INDEXED_CHARS_MAX: usize = 400_000;

/// One character to one: small letters, and the full-width forms of ASCII as ASCII.
pub(crate) fn fold(c: char) -> char {
    let narrow = match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        '\u{3000}' => ' ',
        _ => c,
    };
    if narrow.is_ascii() { narrow.to_ascii_lowercase() } else { narrow.to_lowercase().next().unwrap_or(narrow) }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Part of a word.
    Word,
    /// Stands for itself.
    Gram,
    /// Joins what is around it (variation selectors, joiners).
    Nothing,
    Break,
}

pub(crate) fn kind(c: char) -> Kind {
    match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' => Kind::Word,
        '\0'..='\x7f' => Kind::Break,
        '\u{200b}'..='\u{200d}' | '\u{fe00}'..='\u{fe0f}' | '\u{ad}' => Kind::Nothing,
        '\u{300}'..='\u{36f}' => Kind::Word,
        // Thai, Lao, Myanmar, Khmer.
        '\u{e00}'..='\u{eff}' | '\u{1000}'..='\u{109f}' | '\u{1780}'..='\u{17ff}' => Kind::Gram,
        // Arrows, mathematics, pictures.
        '\u{2190}'..='\u{2bff}' => Kind::Gram,
        '\u{2e80}'..='\u{2fff}' => Kind::Gram,
        _ if c.is_alphanumeric() => {
            if c >= '\u{3000}' {
                Kind::Gram
            } else {
                Kind::Word
            }
        }
        '\u{1f000}'.. => Kind::Gram,
        _ => Kind::Break,
    }
}

/// A run of one kind.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Run {
    Word(String),
    Grams(Vec<char>),
}

pub(crate) fn runs(text: impl Iterator<Item = char>) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    let mut is_broken = true;
    for c in text {
        let c = fold(c);
        match (kind(c), runs.last_mut()) {
            (Kind::Nothing, _) => continue,
            (Kind::Break, _) => {
                is_broken = true;
                continue;
            }
            (Kind::Word, Some(Run::Word(word))) if !is_broken => {
                if word.chars().count() < WORD_CHARS_MAX {
                    word.push(c);
                }
            }
            (Kind::Gram, Some(Run::Grams(grams))) if !is_broken => grams.push(c),
            (Kind::Word, _) => runs.push(Run::Word(c.into())),
            (Kind::Gram, _) => runs.push(Run::Grams(vec![c])),
        }
        is_broken = false;
    }
    runs
}

/// The tokens of a text, with spaces between.
pub(crate) fn document(text: &str) -> String {
    let mut tokens = String::with_capacity(text.len() * 3);
    for run in runs(text.chars().take(INDEXED_CHARS_MAX)) {
        match run {
            Run::Word(word) => push(&mut tokens, word.chars()),
            Run::Grams(grams) => push_grams(&mut tokens, &grams, true),
        }
    }
    tokens
}

/// One part of a query (no spaces in it): tokens that follow one another.
pub(crate) struct Phrase {
    tokens: String,
    end: End,
}

/// What a phrase ends with.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Any word that begins so.
    Word,
    /// A single character: any pair that begins with it, or itself.
    Gram,
    /// A pair.
    Pair,
}

impl Phrase {
    /// In FTS5's language. No token holds a quote: quotes are breaks.
    pub fn open(&self) -> String {
        format!("\"{}\"{}", self.tokens.trim_end(), if self.end == End::Pair { "" } else { " *" })
    }

    /// The same with its last word as it stands.
    pub fn closed(&self) -> String {
        format!("\"{}\"{}", self.tokens.trim_end(), if self.end == End::Gram { " *" } else { "" })
    }
}

/// `None`: nothing that the index holds.
pub(crate) fn phrase(part: &str) -> Option<Phrase> {
    let runs = runs(part.chars());
    let mut phrase = Phrase { tokens: String::new(), end: End::Pair };
    for (index, run) in runs.iter().enumerate() {
        let is_last = index + 1 == runs.len();
        match run {
            Run::Word(word) => {
                push(&mut phrase.tokens, word.chars());
                phrase.end = End::Word;
            }
            Run::Grams(grams) => {
                push_grams(&mut phrase.tokens, grams, !is_last || grams.len() == 1);
                phrase.end = if grams.len() == 1 { End::Gram } else { End::Pair };
            }
        }
    }
    (!phrase.tokens.is_empty()).then_some(phrase)
}

fn push_grams(tokens: &mut String, grams: &[char], with_last_alone: bool) {
    for pair in grams.windows(2) {
        push(tokens, pair.iter().copied());
    }
    if with_last_alone && let Some(last) = grams.last() {
        push(tokens, [*last].into_iter());
    }
}

/// Characters beyond the first plane (rare characters, pictures) are written as their numbers: SQLite's tables of what
/// is a letter end at its version of Unicode.
fn push(tokens: &mut String, token: impl Iterator<Item = char>) {
    for c in token {
        if c > '\u{ffff}' || (kind(c) == Kind::Gram && !c.is_alphanumeric()) {
            tokens.push_str(&format!("x{:05x}", c as u32));
        } else {
            tokens.push(c);
        }
    }
    tokens.push(' ');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_chinese_is_pairs_and_a_last_character() {
        assert_eq!(document("你好吗？"), "你好 好吗 吗 ");
        assert_eq!(document("好"), "好 ");
        assert_eq!(document("用GPT模型"), "用 gpt 模型 型 ");
        assert_eq!(document("Hello, ＷＯＲＬＤ！　你"), "hello world 你 ");
        assert_eq!(document("🦙 𠮷"), "x1f999 x20bb7 ");
        assert_eq!(document("「」，。!?"), "");
    }

    #[test]
    fn a_query_is_a_phrase_of_the_same_tokens() {
        let cases = [
            ("你", "\"你\" *", "\"你\" *"),
            ("你好", "\"你好\"", "\"你好\""),
            ("你好吗", "\"你好 好吗\"", "\"你好 好吗\""),
            ("使用g", "\"使用 用 g\" *", "\"使用 用 g\""),
            ("g使用", "\"g 使用\"", "\"g 使用\""),
            ("Hel", "\"hel\" *", "\"hel\""),
            ("a\"b", "\"a b\" *", "\"a b\""),
        ];
        for (part, open, closed) in cases {
            let phrase = phrase(part).unwrap();
            assert_eq!((phrase.open().as_str(), phrase.closed().as_str()), (open, closed), "{part}");
        }
        assert!(phrase("\"*").is_none());
    }
}
