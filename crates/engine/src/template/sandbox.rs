//! Runs an untrusted Jinja template within bounds: steps, depth, output.

use std::io::Write;

use minijinja::value::{Kwargs, Value};
use minijinja::{Environment, ErrorKind, UndefinedBehavior};

use super::{clock, json};

/// The longest templates in use have some 30 KB.
const SOURCE_BYTES_MAX: usize = 1 << 18;

/// A conversation of a thousand turns takes some 200,000 steps.
const STEPS_MAX: u64 = 5_000_000;

/// Calls within calls; `minijinja` counts four for a macro.
const DEPTH_MAX: usize = 200;

/// What the messages need, and this much more.
const OUTPUT_BYTES_EXTRA: usize = 4 << 20;

/// For JSON that people read; templates use 4 at most.
const INDENT_MAX: usize = 16;

/// Why a template gave no text.
#[derive(Debug)]
pub(super) enum Failure {
    /// It called `raise_exception`.
    Raised(String),
    /// It is no template, or did what cannot be done.
    Broken(String),
    Limit(String),
}

/// Marks the errors of `raise_exception` among those of minijinja.
const RAISED: &str = "raised: ";

/// Compiles the template.
pub(super) fn check(source: &str) -> Result<(), Failure> {
    if source.len() > SOURCE_BYTES_MAX {
        return Err(Failure::Limit(format!("it has more than {SOURCE_BYTES_MAX} bytes")));
    }
    environment().template_from_str(source).map_err(|error| failure(&error))?;
    Ok(())
}

/// Renders the template; `bytes` is how long the messages are.
pub(super) fn run(source: &str, values: Value, bytes: usize) -> Result<String, Failure> {
    let environment = environment();
    let template = environment.template_from_str(source).map_err(|error| failure(&error))?;
    let mut out = Bounded { bytes: Vec::new(), max: 4 * bytes + OUTPUT_BYTES_EXTRA };
    template.render_captured_to(values, &mut out).map_err(|error| failure(&error))?;
    String::from_utf8(out.bytes).map_err(|error| Failure::Broken(error.to_string()))
}

struct Bounded {
    bytes: Vec<u8>,
    max: usize,
}

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.bytes.len() + bytes.len() > self.max {
            return Err(std::io::Error::other(format!("it writes more than {} bytes", self.max)));
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn failure(error: &minijinja::Error) -> Failure {
    let line = error.line().map_or(String::new(), |line| format!(" (line {line})"));
    let detail = error.detail().unwrap_or_default();
    if let Some(message) = detail.strip_prefix(RAISED) {
        return Failure::Raised(message.to_owned());
    }
    match error.kind() {
        ErrorKind::OutOfFuel => Failure::Limit(format!("it takes more than {STEPS_MAX} steps")),
        ErrorKind::WriteFailure => Failure::Limit(format!("it writes too much{line}")),
        kind => Failure::Broken(format!("{kind}: {detail}{line}")),
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_trim_blocks(true);
    environment.set_lstrip_blocks(true);
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
    environment.set_fuel(Some(STEPS_MAX));
    environment.set_recursion_limit(DEPTH_MAX);
    environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
    environment.add_function("raise_exception", raise);
    environment.add_function("strftime_now", |format: &str| clock::format(format, clock::now()));
    environment.add_filter("tojson", to_json);
    environment
}

fn raise(message: &str) -> Result<Value, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, format!("{RAISED}{message}")))
}

fn to_json(value: &Value, indent: Option<usize>, options: Kwargs) -> Result<Value, minijinja::Error> {
    let named: Option<usize> = options.get("indent")?;
    let indent = indent.or(named);
    if indent.is_some_and(|indent| indent > INDENT_MAX) {
        return Err(minijinja::Error::new(
            ErrorKind::InvalidOperation,
            format!("tojson: more than {INDENT_MAX} blanks"),
        ));
    }
    let mut out = Bounded { bytes: Vec::new(), max: OUTPUT_BYTES_EXTRA };
    json::write(value, indent, &mut out)
        .map_err(|error| minijinja::Error::new(ErrorKind::BadSerialization, error.to_string()))?;
    Ok(Value::from(String::from_utf8_lossy(&out.bytes).into_owned()))
}
