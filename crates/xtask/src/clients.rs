//! `clients`: the official Python clients of three APIs, LangChain and schemathesis, against `huacaya-cli serve`.

use std::ffi::OsString;

use crate::{
    python,
    shell::{Outcome, cargo, program, root, say, target},
};

/// Runs `tests/clients`; `arguments` go to pytest.
pub fn clients(arguments: &[String]) -> Outcome {
    let folder = root().join("tests/clients");
    let python = python::environment("HUACAYA_CLIENTS", "huacaya-clients", &folder.join("requirements.txt"))?;
    cargo(&["build", "--package", "huacaya-cli"])?;
    let cli = target().join("debug").join(format!("huacaya-cli{}", std::env::consts::EXE_SUFFIX));
    say("asking the server as its clients do");
    let mut all: Vec<OsString> = ["-B", "-m", "pytest"].map(OsString::from).to_vec();
    // In one word: pytest looks for tests at every word that it does not know yet.
    all.extend([format!("--cli={}", cli.display()).into(), folder.into()]);
    all.extend(arguments.iter().map(OsString::from));
    program(python, &all)
}
