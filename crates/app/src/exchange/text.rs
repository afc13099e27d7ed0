//! Text files that a person attaches: which encoding they are in, and that they are text at all.

use crate::Result;

/// The text (line ends as `\n`, no byte order mark) and the WHATWG name of its encoding.
pub fn read_text(_name: &str, _bytes: &[u8]) -> Result<(String, &'static str)> {
    todo!()
}
