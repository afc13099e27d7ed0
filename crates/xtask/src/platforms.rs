//! Runs the kernels' tests as code for other processors: built for aarch64 in a folder with Debian sid, run by qemu.
//!
//! It proves results, not speed. Never part of `cargo xtask test`: it needs Linux on x86-64, root (for chroot), debootstrap,
//! the network, 4 GB of disk, and half an hour on a slow machine.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::shell::{Outcome, answers, program, root, say};

/// What is run on: all extensions; dotprod without i8mm (Neoverse N1, as in Arm servers); neither (a Raspberry Pi 4).
const PROCESSORS: [&str; 3] = ["max", "neoverse-n1", "cortex-a72"];

/// rustup offers no second target everywhere; sid has a recent compiler, the libraries for aarch64, and qemu.
const PACKAGES: &str =
    "rustc,cargo,rust-src,gcc,libc6-dev,gcc-aarch64-linux-gnu,libc6-dev-arm64-cross,qemu-user,ca-certificates";

/// Adds the standard library for aarch64. sid's index is often past its date on a mirror.
const ADD_AARCH64: &str = "dpkg --add-architecture arm64 \
    && apt-get -o Acquire::Check-Valid-Until=false update \
    && apt-get install --yes --no-install-recommends libstd-rust-dev:arm64 \
    && apt-get clean";

/// Runs tests with the processor `$1`. A program that qemu runs cannot start itself again, so the tests that do
/// are left to machines of that kind.
const TEST: &str = "cd /w/project \
    && export HOME=/w CARGO_HOME=/w/cargo CARGO_HTTP_CAINFO=/w/ca.crt SSL_CERT_FILE=/w/ca.crt CARGO_TARGET_DIR=/w/target \
    && export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc \
    && export CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER=\"qemu-aarch64 -L /usr/aarch64-linux-gnu -cpu $1\" \
    && cargo test --locked --package huacaya-kernels --target aarch64-unknown-linux-gnu \
        --test battery --test products -- --skip environment:: --skip guarded::";

/// Sets the folder up where that was not done, then runs the tests with each processor named, or all.
pub fn platforms(processors: &[String]) -> Outcome {
    let place =
        env::var_os("HUACAYA_PLATFORMS").map_or_else(|| env::temp_dir().join("huacaya-platforms"), PathBuf::from);
    require()?;
    let done = place.join("w/ready");
    if !done.exists() {
        set_up(&place)?;
        fs::write(&done, "").map_err(|error| format!("{}: {error}", done.display()))?;
    }
    copy_project(&place.join("w/project"))?;
    let all = PROCESSORS.map(str::to_owned);
    for processor in if processors.is_empty() { &all } else { processors } {
        say(&format!("the kernels' tests for aarch64 on qemu's {processor}"));
        inside(&place, TEST, processor)?;
    }
    Ok(())
}

/// Says what is missing.
fn require() -> Outcome {
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0");
    let mut missing = Vec::new();
    if (env::consts::OS, env::consts::ARCH) != ("linux", "x86_64") {
        missing.push("Linux on x86-64 (on aarch64 `cargo test -p huacaya-kernels` runs the real thing)");
    }
    if !is_root {
        missing.push("root, for chroot: sudo cargo xtask platforms");
    }
    if !answers("debootstrap", &["--version"]) {
        missing.push("debootstrap: apt-get install debootstrap");
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!(
        "`cargo xtask platforms` also needs the network and 4 GB in HUACAYA_PLATFORMS (or the folder for temporary \
                 files). Missing here:\n    {}",
        missing.join("\n    ")
    ))
}

/// Makes the folder: 2.6 GB, some minutes.
fn set_up(place: &Path) -> Outcome {
    say(&format!("setting up Debian sid in {}", place.display()));
    let shown = place.display().to_string();
    program(
        "debootstrap",
        &["--variant=minbase", "--no-check-gpg", &format!("--include={PACKAGES}"), "sid", &shown, &mirror()],
    )?;
    let (work, certificates) = (place.join("w"), "/etc/ssl/certs/ca-certificates.crt");
    fs::create_dir_all(&work).map_err(|error| format!("{}: {error}", work.display()))?;
    for (from, to) in [(certificates, work.join("ca.crt")), ("/etc/resolv.conf", place.join("etc/resolv.conf"))] {
        fs::copy(from, &to).map_err(|error| format!("{from} to {}: {error}", to.display()))?;
    }
    inside(place, ADD_AARCH64, "")
}

/// The mirror that this machine uses, where it is a Debian.
fn mirror() -> String {
    let sources = fs::read_to_string("/etc/apt/sources.list.d/debian.sources").unwrap_or_default();
    let named = sources.lines().find_map(|line| line.strip_prefix("URIs:")?.split_whitespace().next());
    named.unwrap_or("http://deb.debian.org/debian").to_owned()
}

/// Runs a line of shell in the folder, in a mount namespace of its own, so that its `/proc` goes when it ends.
fn inside(place: &Path, line: &str, argument: &str) -> Outcome {
    let enter = "mount -t proc proc \"$1/proc\" && exec chroot \"$1\" sh -c \"$2\" sh \"$3\"";
    program("unshare", &["--mount", "--fork", "sh", "-c", enter, "sh", &place.display().to_string(), line, argument])
}

/// Copies what cargo needs of the checkout; files that are the same keep their time, so that nothing is built in vain.
fn copy_project(to: &Path) -> Outcome {
    let wanted = ["Cargo.toml", "Cargo.lock", ".cargo", "crates", "src-tauri"];
    let list = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--"])
        .args(wanted)
        .current_dir(root())
        .output()
        .map_err(|error| format!("git cannot list the files: {error}"))?;
    for name in String::from_utf8_lossy(&list.stdout).split('\0').filter(|name| !name.is_empty()) {
        let Ok(bytes) = fs::read(root().join(name)) else { continue };
        let to = to.join(name);
        if fs::read(&to).is_ok_and(|there| there == bytes) {
            continue;
        }
        let folder = to.parent().unwrap_or(&to);
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&to, bytes))
            .map_err(|error| format!("{}: {error}", to.display()))?;
    }
    Ok(())
}
