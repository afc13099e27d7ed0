//! `cargo xtask …`: sets the machine up, then runs, checks or tests the program. Starts other programs; depends on nothing heavy.

mod bench;
mod clients;
mod front;
mod golden;
mod platforms;
mod python;
mod shell;
mod system;
mod test;

use std::process::ExitCode;

use shell::{Outcome, cargo, say};

const USAGE: &str = "\
usage: cargo xtask <command>

  run        set this machine up, build the program (optimised) and open its window; without a display,
             serve the window to a browser and print the link
  test       set this machine up, then check and run every test
  check      formatting, clippy, svelte-check and the tidy tests
  types      write ui/src/api/bindings.ts anew from the Rust types
  golden     make the golden data anew with Python (in a virtual environment outside the checkout)
  clients    ask the server with the official Python clients and schemathesis (arguments go to pytest)
  bench      `bench cpu`, `bench server`: how fast this program and llama.cpp are on this machine, side by side
  platforms  run the kernels' tests as aarch64 code, under qemu (needs root, debootstrap and the network)
  setup      only set this machine up";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let command = arguments.next().unwrap_or_default();
    let rest: Vec<String> = arguments.collect();
    let outcome = match command.as_str() {
        "run" => run(&rest),
        "test" => test::test(),
        "check" => test::check(),
        "types" => cargo(&["run", "--quiet", "--package", "huacaya-app", "--example", "types", "--", "write"]),
        "golden" => golden::golden(&rest),
        "clients" => clients::clients(&rest),
        "bench" => bench::bench(&rest),
        "platforms" => platforms::platforms(&rest),
        "setup" => system::install(system::Use::Test).and_then(|()| front::install()),
        _ => Err(USAGE.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("{message}");
            ExitCode::FAILURE
        }
    }
}

/// Builds optimised and opens the window, here or in a browser; `arguments` go to the program.
fn run(arguments: &[String]) -> Outcome {
    if !system::has_display() {
        return serve(arguments);
    }
    system::install(system::Use::Run)?;
    front::build()?;
    say("building the program (the first time takes some minutes)");
    cargo(&["build", "--release", "--package", "huacaya"])?;
    say("opening the window");
    shell::program(built("huacaya"), arguments)
}

/// Builds the command line, optimised and without any window library, and has it serve the window to a browser.
fn serve(arguments: &[String]) -> Outcome {
    system::install(system::Use::Serve)?;
    front::build()?;
    say("this session has no display: building the server of the window (the first time takes some minutes)");
    cargo(&["build", "--release", "--package", "huacaya-cli"])?;
    say("open the link in a browser; from another machine, first: ssh -L 11711:127.0.0.1:11711 THIS_MACHINE");
    let serve = ["serve", "--ui"].map(String::from);
    shell::program(built("huacaya-cli"), &[&serve[..], arguments].concat())
}

/// Where an optimised program was built.
fn built(name: &str) -> std::path::PathBuf {
    shell::root().join("target/release").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}
