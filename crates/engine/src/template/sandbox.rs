//! Runs an untrusted Jinja template within bounds: steps, time, depth, memory and output.
//!
//! `minijinja` counts steps and calls, but not memory: `{% set x = x ~ x %}` forty times over is a terabyte, and a failed allocation
//! ends the program. So a template's instructions are rewritten before they run: whatever makes a text or a list is metered.

mod instructions;
mod meter;
mod operations;
#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::machinery::{Vm, WhitespaceConfig, make_string_output};
use minijinja::value::Value;
use minijinja::{AutoEscape, Environment, ErrorKind, UndefinedBehavior};

use super::clock;
use instructions::compile;
use meter::Meter;

/// The longest templates in use have some 30 KB.
const SOURCE_BYTES_MAX: usize = 1 << 18;

/// A conversation of a thousand turns takes some 200,000 steps.
const STEPS_MAX: u64 = 5_000_000;

/// Calls within calls; `minijinja` counts four for a macro.
const DEPTH_MAX: usize = 200;

/// Room for the deepest expression that `words` lets through, in an unoptimised build too.
const STACK_BYTES: usize = 64 << 20;

/// Why a template gave no text.
#[derive(Debug)]
pub(super) enum Failure {
    /// It called `raise_exception`.
    Raised(String),
    /// It is no template, or did what cannot be done.
    Broken(String),
    Limit(String),
}

/// Mark the errors of `raise_exception` and of the meter among those of minijinja.
const RAISED: &str = "raised: ";
const LIMIT: &str = "limit: ";

const WHITE_SPACE: WhitespaceConfig =
    WhitespaceConfig { keep_trailing_newline: false, lstrip_blocks: true, trim_blocks: true };

/// Compiles the template.
pub(super) fn check(source: &str) -> Result<(), Failure> {
    with_stack(|| compile(source).map(|_| ()).map_err(|error| failure(&error)))
}

/// Renders the template; `bytes` is how long the messages are.
pub(super) fn run(source: &str, values: BTreeMap<&str, Value>, bytes: usize) -> Result<String, Failure> {
    with_stack(|| {
        let environment = environment(Arc::new(Meter::new(bytes)));
        let mut text = String::new();
        let (instructions, blocks) = compile(source).map_err(|error| failure(&error))?;
        let root = values.into_iter().collect();
        let mut out = make_string_output(&mut text);
        let done = Vm::new(&environment).eval(&instructions, root, &blocks, &mut out, AutoEscape::None);
        let failed = done.err().map(|error| failure(&error));
        drop(out);
        failed.map_or(Ok(text), Err)
    })
}

/// Parsing, compiling and printing go as deep as the template does, and a thread's usual stack is small.
fn with_stack<T: Send>(work: impl FnOnce() -> Result<T, Failure> + Send) -> Result<T, Failure> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("template".into()).stack_size(STACK_BYTES);
        let thread = thread.spawn_scoped(scope, work).map_err(|error| Failure::Broken(error.to_string()))?;
        thread.join().unwrap_or_else(|_| Err(Failure::Broken("it made the template engine fail".into())))
    })
}

fn failure(error: &minijinja::Error) -> Failure {
    let line = error.line().map_or(String::new(), |line| format!(" (line {line})"));
    let detail = error.detail().unwrap_or_default();
    if let Some(message) = detail.strip_prefix(RAISED) {
        return Failure::Raised(message.to_owned());
    }
    if let Some(message) = detail.strip_prefix(LIMIT) {
        return Failure::Limit(format!("{message}{line}"));
    }
    match error.kind() {
        ErrorKind::OutOfFuel => Failure::Limit(format!("it takes more than {STEPS_MAX} steps")),
        kind => Failure::Broken(format!("{kind}: {detail}{line}")),
    }
}

fn environment(meter: Arc<Meter>) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Lenient);
    environment.set_fuel(Some(STEPS_MAX));
    environment.set_recursion_limit(DEPTH_MAX);
    environment.add_function("raise_exception", raise);
    environment.add_function("strftime_now", |format: &str| clock::format(format, clock::now()));
    operations::register(&mut environment, &meter);
    environment
}

fn raise(message: &str) -> Result<Value, minijinja::Error> {
    Err(minijinja::Error::new(ErrorKind::InvalidOperation, format!("{RAISED}{message}")))
}
