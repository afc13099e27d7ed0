//! Every check and every test, in the order in which a failure is cheapest to learn of.

use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use crate::{
    front,
    shell::{Outcome, cargo, program_in, root, say, target},
    system,
};

/// Of the combinations of language, colours and width, those that between them show every word and every colour.
const SCENES: &str = "zh-light-wide|en-dark-narrow";

/// Formatting, clippy with warnings denied, svelte-check, the tidy tests.
pub fn check() -> Outcome {
    system::install(system::Use::Test)?;
    front::build()?;
    say("formatting");
    cargo(&["fmt", "--all", "--check"])?;
    say("tidy tests");
    cargo(&["test", "--quiet", "--package", "huacaya-xtask"])?;
    say("svelte-check");
    program_in(&root().join("ui"), front::NPM, &["run", "--silent", "check"])?;
    say("clippy");
    cargo(&["clippy", "--quiet", "--workspace", "--all-targets", "--", "--deny", "warnings"])
}

/// `check`, then the tests of the UI, of the crates, and in the real window.
pub fn test() -> Outcome {
    check()?;
    say("UI tests");
    program_in(&root().join("ui"), front::NPM, &["run", "--silent", "test"])?;
    say("Rust tests, the real window among them");
    let counts = cargo_tests()?;
    say("a walk through the UI in Chromium");
    let ui = root().join("ui");
    program_in(&ui, "node", &["tests/walk.mjs"])?;
    say("the window in a browser, from the real server");
    let cli = target().join("debug").join(format!("huacaya-cli{}", std::env::consts::EXE_SUFFIX));
    program_in(&ui, "node", &["tests/journeys.mjs".as_ref(), cli.as_os_str()])?;
    say("accessibility, policy and requests of every scene");
    program_in(&ui, "node", &["tests/look.mjs", SCENES])?;
    println!("{} passed, {} failed", counts.passed, counts.failed);
    if counts.failed == 0 { Ok(()) } else { Err("some tests failed; see above".into()) }
}

#[derive(Default)]
struct Counts {
    passed: u64,
    failed: u64,
}

/// Runs every Rust test, passing its output on and adding up its `test result:` lines.
fn cargo_tests() -> Result<Counts, String> {
    let mut child = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["test", "--workspace", "--no-fail-fast"])
        .current_dir(root())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("cannot start cargo: {error}"))?;
    let mut counts = Counts::default();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            println!("{line}");
            if line.starts_with("test result:") {
                counts.passed += number_before(&line, " passed");
                counts.failed += number_before(&line, " failed");
            }
        }
    }
    let status = child.wait().map_err(|error| format!("cargo test: {error}"))?;
    if status.success() { Ok(counts) } else { Err(format!("cargo test ended with {status}")) }
}

/// 12 of "ok. 12 passed; 0 failed".
fn number_before(line: &str, word: &str) -> u64 {
    line.split(word).next().and_then(|head| head.rsplit([' ', ';']).next()).and_then(|n| n.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::number_before;

    #[test]
    fn result_lines_are_counted() {
        let line = "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        assert_eq!((number_before(line, " passed"), number_before(line, " failed")), (12, 3));
    }
}
