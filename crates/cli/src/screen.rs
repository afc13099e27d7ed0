//! What may be written to a terminal: faint words where colours are wanted, and never a control character of a model's.

use std::{
    borrow::Cow,
    env,
    io::{IsTerminal, stdout},
    sync::OnceLock,
};

/// Whether a person wants to see more than plain words: on a terminal that can, and not where `NO_COLOR` says otherwise.
fn styled() -> bool {
    static STYLED: OnceLock<bool> = OnceLock::new();
    *STYLED.get_or_init(|| {
        let no_color = env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty());
        let dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        !no_color && !dumb && stdout().is_terminal()
    })
}

/// From here on words are of less weight.
pub fn faint() -> &'static str {
    if styled() { "\x1b[2m" } else { "" }
}

/// From here on words are as usual.
pub fn plain() -> &'static str {
    if styled() { "\x1b[0m" } else { "" }
}

/// A text of a model's or a hub's as a terminal may have it: it could else move the cursor or set the clipboard. A pipe gets
/// what was said.
pub fn clean(text: &str) -> Cow<'_, str> {
    if stdout().is_terminal() { without_controls(text) } else { Cow::Borrowed(text) }
}

fn without_controls(text: &str) -> Cow<'_, str> {
    let bad = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    if text.contains(bad) { Cow::Owned(text.replace(bad, "\u{fffd}")) } else { Cow::Borrowed(text) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_cannot_steer_the_terminal() {
        assert_eq!(without_controls("你好\n\tworld"), "你好\n\tworld");
        assert_eq!(without_controls("\x1b]52;c;eA==\x07\u{9b}2J\r"), "\u{fffd}]52;c;eA==\u{fffd}\u{fffd}2J\u{fffd}");
    }
}
