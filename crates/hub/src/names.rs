//! Names that come from outside. A file name from a listing or an address becomes a path only through [`FileName::parse`].

use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::{
    error::{Error, Result},
    network::Dialect,
};

/// The file systems in use hold 255 bytes (or 255 UTF-16 units) in a name; an unfinished file's journal adds 14 to it.
const COMPONENT_BYTES_MAX: usize = 241;
/// Repositories are a few folders deep; what Windows opens without special paths is not much longer.
const PATH_BYTES_MAX: usize = 1024;
/// Hugging Face bounds an owner and a name to 96 characters; ModelScope's are shorter.
const ID_PART_MAX: usize = 96;
/// So much of a refused name is shown.
const SHOWN_CHARACTERS: usize = 120;
/// Owners by their names on Hugging Face and on ModelScope: the makers of Chinese-LLaMA-Alpaca.
const OWNERS: [(&str, &str); 1] = [("hfl", "ChineseAlpacaGroup")];
/// Names of devices on Windows, whatever ending follows them. With digits also as superscripts.
const DEVICES: [&str; 6] = ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"];
const NUMBERED_DEVICES: [&str; 2] = ["COM", "LPT"];

/// A relative path, with `/` between its parts, that stays in the folder it is joined to, on every system.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileName(String);

impl FileName {
    /// Checks a name that came from outside.
    pub fn parse(text: &str) -> Result<FileName> {
        let sound = !text.is_empty() && text.len() <= PATH_BYTES_MAX && text.split('/').all(is_sound);
        if sound { Ok(FileName(text.to_owned())) } else { Err(Error::UnsafeName { name: for_show(text) }) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part after the last `/`.
    pub fn last(&self) -> &str {
        self.0.rsplit('/').next().unwrap_or(&self.0)
    }

    /// The part before the last `/`, "" at the top.
    pub fn folder(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// Where the file lies in `folder`.
    pub fn in_folder(&self, folder: &Path) -> PathBuf {
        let mut path = folder.to_path_buf();
        path.extend(self.0.split('/'));
        path
    }

    /// The ending in lower case, without its dot; "" where there is none.
    pub fn ending(&self) -> String {
        self.last().rsplit_once('.').map_or_else(String::new, |(_, ending)| ending.to_ascii_lowercase())
    }
}

impl fmt::Display for FileName {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// `owner/name` of a repository.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepositoryId {
    owner: String,
    name: String,
}

impl RepositoryId {
    /// `None` where this is no `owner/name`.
    pub fn parse(text: &str) -> Option<RepositoryId> {
        let (owner, name) = text.split_once('/')?;
        let of_characters =
            |part: &str| part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        let sound = |part: &str| {
            (1..=ID_PART_MAX).contains(&part.len())
                && of_characters(part)
                && !part.starts_with(['.', '-'])
                && !part.contains("..")
                && is_sound(part)
        };
        let id = || RepositoryId { owner: owner.to_owned(), name: name.to_owned() };
        (sound(owner) && sound(name)).then(id)
    }

    pub fn owner(&self) -> &str {
        &self.owner
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of the same repository where this dialect is spoken: some owners have another one there.
    pub fn on(&self, dialect: Dialect) -> RepositoryId {
        let owner = OWNERS.iter().find_map(|(hugging_face, model_scope)| match dialect {
            Dialect::HuggingFace if self.owner.eq_ignore_ascii_case(model_scope) => Some(*hugging_face),
            Dialect::ModelScope if self.owner.eq_ignore_ascii_case(hugging_face) => Some(*model_scope),
            _ => None,
        });
        RepositoryId { owner: owner.map_or_else(|| self.owner.clone(), str::to_owned), name: self.name.clone() }
    }

    /// The name of its folder on the disk: `owner--name`.
    pub fn folder(&self) -> String {
        format!("{}--{}", self.owner, self.name)
    }
}

impl fmt::Display for RepositoryId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.owner, self.name)
    }
}

/// Whether a part of a path is a plain name on Linux, macOS and Windows.
fn is_sound(part: &str) -> bool {
    let misleading =
        |letter: char| matches!(letter, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let forbidden = |letter: char| letter.is_control() || r#"\:*?"<>|"#.contains(letter) || misleading(letter);
    !part.is_empty()
        && part.len() <= COMPONENT_BYTES_MAX
        && !part.contains(forbidden)
        && !part.ends_with(['.', ' '])
        && !is_device(part)
}

fn is_device(part: &str) -> bool {
    let stem = part.split('.').next().unwrap_or(part).trim_end().to_uppercase();
    let numbered = |device: &&str| {
        let rest = stem.strip_prefix(*device).unwrap_or_default();
        let mut letters = rest.chars();
        matches!(letters.next(), Some('0'..='9' | '¹' | '²' | '³')) && letters.next().is_none()
    };
    DEVICES.contains(&&*stem) || NUMBERED_DEVICES.iter().any(numbered)
}

/// What is shown of a refused name: never raw, never long.
fn for_show(text: &str) -> String {
    let mut shown: String = text.chars().take(SHOWN_CHARACTERS).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_CHARACTERS).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use std::path::Component;

    use super::*;

    const HOSTILE: &[&str] = &[
        "",
        "/",
        "..",
        ".",
        "../x",
        "a/../x",
        "a/..",
        "./x",
        "/etc/passwd",
        "//host/share",
        "a//b",
        "a/",
        "/a",
        "C:x",
        "C:\\x",
        "c:/x",
        "\\\\?\\C:\\x",
        "\\\\host\\share\\x",
        "\\x",
        "..\\x",
        "a\\..\\..\\x",
        "a:b",
        "x.gguf:stream",
        "CON",
        "con",
        "Con.gguf",
        "a/NUL",
        "nul.tar.gz",
        "AUX .txt",
        "COM1",
        "com9.gguf",
        "LPT¹",
        "CONIN$",
        "PRN",
        "a.",
        "a ",
        "a/b. /c",
        "...",
        " ",
        "x\0.gguf",
        "\0",
        "a\nb",
        "a\u{7f}b",
        "a\u{85}b",
        "\u{1b}[31m",
        "a?b",
        "a*b",
        "a|b",
        "a<b",
        "a>b",
        "a\"b",
        "gguf.\u{202e}exe",
    ];

    #[test]
    fn no_hostile_name_becomes_a_path() {
        for name in HOSTILE {
            let refused = FileName::parse(name);
            assert!(matches!(refused, Err(Error::UnsafeName { .. })), "{name:?}");
        }
        for length in [300, 5000] {
            assert!(FileName::parse(&"x".repeat(length)).is_err());
        }
        assert!(FileName::parse(&"你".repeat(86)).is_err(), "258 bytes");
        assert!(FileName::parse(&vec!["abcdefgh"; 200].join("/")).is_err());
    }

    #[test]
    fn a_refused_name_is_shown_short_and_without_control_characters() {
        for name in ["\u{1b}[2J\0".repeat(1000), "../".repeat(1000)] {
            let shown = FileName::parse(&name).expect_err("refused").to_string();
            assert!(shown.len() < 2000 && !shown.contains(char::is_control), "{shown}");
        }
    }

    #[test]
    fn a_joined_path_lies_in_the_folder() {
        let folder = Path::new("/data/张 庭 綱/　models");
        for name in
            ["model.gguf", "a/b/模型 7B-Q4_K_M.gguf", ".gitattributes", "..a", "a..b", "console.gguf", "COM10", "nulls"]
        {
            let path = FileName::parse(name).expect("sound").in_folder(folder);
            let inside = path.strip_prefix(folder).expect("in the folder");
            assert!(inside.components().all(|part| matches!(part, Component::Normal(_))), "{name}");
            assert_eq!(inside.components().count(), name.split('/').count());
        }
    }

    #[test]
    fn parts_of_a_name() {
        let name = FileName::parse("BF16/Model.Q4_K_M.GGUF").expect("sound");
        assert_eq!((name.folder(), name.last(), &*name.ending()), ("BF16", "Model.Q4_K_M.GGUF", "gguf"));
        let plain = FileName::parse("LICENSE").expect("sound");
        assert_eq!((plain.folder(), plain.last(), &*plain.ending()), ("", "LICENSE", ""));
    }

    #[test]
    fn an_owner_with_two_names_is_one() {
        let id = RepositoryId::parse("hfl/chinese-alpaca-2-7b").expect("an id");
        let there = id.on(Dialect::ModelScope);
        assert_eq!(there.to_string(), "ChineseAlpacaGroup/chinese-alpaca-2-7b");
        assert_eq!((there.on(Dialect::ModelScope), there.on(Dialect::HuggingFace)), (there.clone(), id.clone()));
        assert_eq!(id.on(Dialect::HuggingFace), id);
    }

    #[test]
    fn only_an_owner_and_a_name_are_a_repository() {
        let id = RepositoryId::parse("hfl/chinese-alpaca-2-1.3b").expect("an id");
        assert_eq!(
            (id.to_string(), id.folder()),
            ("hfl/chinese-alpaca-2-1.3b".into(), "hfl--chinese-alpaca-2-1.3b".into())
        );
        for no in [
            "", "gpt2", "a/b/c", "/b", "a/", "../b", "a/..", "a b/c", "a/b?", "a/-b", ".a/b", "a/con", "中/文", "a/b\0",
        ] {
            assert_eq!(RepositoryId::parse(no), None, "{no}");
        }
        assert_eq!(RepositoryId::parse(&format!("a/{}", "b".repeat(97))), None);
    }
}
