//! `tojson` as Python's `json.dumps(value, ensure_ascii=False)` writes it: a blank after commas and colons.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, PrettyFormatter, Serializer};

/// Separators of Python's default.
struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        if first { Ok(()) } else { out.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }
}

/// Writes `value`; `indent` blanks for each level on lines of their own, where given.
pub(super) fn write(value: &impl Serialize, indent: Option<usize>, out: &mut impl Write) -> serde_json::Result<()> {
    match indent {
        None => value.serialize(&mut Serializer::with_formatter(out, Spaced)),
        Some(blanks) => {
            let blanks = " ".repeat(blanks);
            let formatter = PrettyFormatter::with_indent(blanks.as_bytes());
            value.serialize(&mut Serializer::with_formatter(out, formatter))
        }
    }
}
