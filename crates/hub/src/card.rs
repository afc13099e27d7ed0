//! A model card: Markdown below a front matter in YAML.
//!
//! Only single fields are read from the front matter, by their lines; no YAML of a stranger is interpreted.

use crate::repository::words;

const FENCE: &str = "---";

/// The front matter and the rest. Without a front matter the first is "".
pub(crate) fn split(text: &str) -> (&str, &str) {
    let text = text.trim_start_matches('\u{feff}');
    let Some(rest) =
        text.strip_prefix(FENCE).and_then(|rest| rest.trim_start_matches([' ', '\t', '\r']).strip_prefix('\n'))
    else {
        return ("", text);
    };
    let mut at = 0;
    for line in rest.split_inclusive('\n') {
        if line.trim_end() == FENCE {
            return (&rest[..at], rest[at + line.len()..].trim_start_matches(['\r', '\n']));
        }
        at += line.len();
    }
    ("", text)
}

/// The text of a field, or the first of its list.
pub(crate) fn field(matter: &str, name: &str) -> Option<String> {
    let mut lines = matter.lines();
    let value = lines.by_ref().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'))?.trim();
    let value = match value {
        "" => lines.next()?.trim().strip_prefix("- ")?.trim(),
        value => value.strip_prefix('[').map_or(value, |list| list.split([',', ']']).next().unwrap_or_default()),
    };
    words(value.trim().trim_matches(['"', '\'']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_front_matter_is_split_off() {
        let card = "---\nlicense: apache-2.0\nbase_model:\n- Qwen/Qwen3-8B\ntags: [gguf]\n---\n\n# Title\n\n---\nrest";
        let (matter, text) = split(card);
        assert_eq!(text, "# Title\n\n---\nrest");
        assert_eq!(field(matter, "license").as_deref(), Some("apache-2.0"));
        assert_eq!(field(matter, "base_model").as_deref(), Some("Qwen/Qwen3-8B"));
        assert_eq!(field(matter, "tags").as_deref(), Some("gguf"));
        assert_eq!(field(matter, "model"), None);
        let windows = split("\u{feff}---\r\nlicense: 'mit'\r\n---\r\ntext");
        assert_eq!((field(windows.0, "license").as_deref(), windows.1), (Some("mit"), "text"));
    }

    #[test]
    fn a_card_without_an_end_of_its_front_matter_is_shown_whole() {
        for card in ["", "# Title", "---\nlicense: x", "--- text\n---\n", "----\n"] {
            assert_eq!(split(card), ("", card), "{card}");
        }
    }
}
