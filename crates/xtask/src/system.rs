//! What the system must have: looks, installs with apt where that is possible, else prints the command to type.

use std::process::Command;

use crate::shell::{Outcome, answers, program, say};

#[derive(Clone, Copy, PartialEq)]
pub enum Use {
    Run,
    /// The window for a browser: no window library.
    Serve,
    Test,
}

/// Debian and Ubuntu names.
const WINDOW: &[&str] = &[
    "libwebkit2gtk-4.1-dev",
    "libgtk-3-dev",
    "librsvg2-dev",
    "libayatana-appindicator3-dev",
    "libssl-dev",
    "curl",
    "file",
];
const BUILD: &[&str] = &["build-essential", "pkg-config"];
const TEST: &[&str] = &[
    "webkit2gtk-driver",
    "xvfb",
    "xauth",
    "dbus",
    "dbus-x11",
    "fonts-noto-cjk",
    "chromium",
    // A software graphics card, so that the programs for graphics cards are tested everywhere.
    "mesa-vulkan-drivers",
    "libvulkan1",
];

/// The oldest Node that the UI builds with.
const NODE_MAJOR_MIN: u32 = 20;

pub fn install(purpose: Use) -> Outcome {
    node()?;
    match std::env::consts::OS {
        "linux" => linux(purpose),
        "macos" if !answers("xcode-select", &["-p"]) => {
            Err("Apple's compilers are missing. Type: xcode-select --install".into())
        }
        _ => Ok(()),
    }
}

/// Whether a window has a screen to open on.
pub fn has_display() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    std::env::consts::OS != "linux" || set("DISPLAY") || set("WAYLAND_DISPLAY")
}

fn node() -> Outcome {
    let output = Command::new("node").arg("--version").output().ok();
    let version = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default();
    let major: u32 = version.trim_start_matches('v').split('.').next().and_then(|n| n.parse().ok()).unwrap_or(0);
    if major >= NODE_MAJOR_MIN {
        return Ok(());
    }
    let found = if version.is_empty() { "was not found".to_owned() } else { format!("is {version}") };
    Err(format!(
        "Node.js {NODE_MAJOR_MIN} or newer is needed to build the window; here it {found}.\n\
         Install it from your system's packages, then run this again (brew install node; winget install OpenJS.NodeJS.LTS)."
    ))
}

fn linux(purpose: Use) -> Outcome {
    if !answers("dpkg-query", &["--version"]) {
        return if needed_libraries_found(purpose) { Ok(()) } else { Err(other_systems(purpose)) };
    }
    let wanted: &[&[&str]] = match purpose {
        Use::Serve => &[BUILD],
        Use::Run => &[BUILD, WINDOW],
        Use::Test => &[BUILD, WINDOW, TEST],
    };
    let missing: Vec<&str> = wanted.concat().into_iter().filter(|package| !installed(package)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    say(&format!("installing {}", missing.join(" ")));
    let mut install = vec!["apt-get", "install", "--yes", "--no-install-recommends"];
    install.extend(&missing);
    let typed = format!("sudo {}", install.join(" "));
    let update = ["apt-get", "update"];
    let outcome = if is_root() {
        let with_env = |words: &[&str]| -> Outcome {
            let mut all = vec!["DEBIAN_FRONTEND=noninteractive"];
            all.extend(words);
            program("env", &all)
        };
        with_env(&update).and_then(|()| with_env(&install))
    } else if answers("sudo", &["--version"]) {
        program("sudo", &update).and_then(|()| program("sudo", &install))
    } else {
        Err(String::new())
    };
    outcome
        .map_err(|_| format!("Some system packages are missing. Type this, then run the command again:\n    {typed}"))
}

fn installed(package: &str) -> bool {
    Command::new("dpkg-query")
        .args(["--show", "--showformat=${Status}", package])
        .output()
        .is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("install ok installed"))
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn needed_libraries_found(purpose: Use) -> bool {
    if purpose == Use::Serve {
        return answers("cc", &["--version"]);
    }
    let build = answers("pkg-config", &["--exists", "webkit2gtk-4.1", "gtk+-3.0", "librsvg-2.0"]);
    let test = ["WebKitWebDriver", "Xvfb"].iter().all(|name| answers("which", &[name]));
    build && (purpose == Use::Run || test)
}

fn other_systems(purpose: Use) -> String {
    if purpose == Use::Serve {
        return "A C compiler is missing. Type the line for your system, then run the command again:\n\
                \x20   sudo dnf install gcc-c++ pkgconf\n\
                \x20   sudo pacman -S --needed base-devel"
            .into();
    }
    let test = purpose == Use::Test;
    format!(
        "Some system packages are missing. Type the line for your system, then run the command again:\n\
         \x20   sudo dnf install webkit2gtk4.1-devel gtk3-devel librsvg2-devel libappindicator-gtk3-devel openssl-devel gcc-c++ pkgconf curl file{}\n\
         \x20   sudo pacman -S --needed webkit2gtk-4.1 gtk3 librsvg libappindicator-gtk3 openssl base-devel curl file{}",
        if test {
            " webkit2gtk-driver xorg-x11-server-Xvfb dbus-x11 google-noto-sans-cjk-fonts chromium mesa-vulkan-drivers vulkan-loader"
        } else {
            ""
        },
        if test {
            " webkitgtk-6.0 xorg-server-xvfb dbus noto-fonts-cjk chromium vulkan-swrast vulkan-icd-loader"
        } else {
            ""
        },
    )
}
