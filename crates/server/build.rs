//! Lets the server be built where the page is not built yet: a page that says how stands in for it.

use std::{env, error::Error, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    let dist = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../ui/dist");
    let page = dist.join("index.html");
    if !page.exists() {
        fs::create_dir_all(&dist)?;
        fs::write(
            &page,
            "<!doctype html><title>Huacaya</title><p>Run <code>cargo xtask run</code> to build the window.",
        )?;
    }
    // A debug build reads the files when they are asked for.
    let embedded = env::var_os("CARGO_CFG_DEBUG_ASSERTIONS").is_none();
    println!("cargo:rerun-if-changed={}", if embedded { dist } else { "build.rs".into() }.display());
    Ok(())
}
