//! `serve`: the local server without a window.

use std::{
    fs,
    io::{Write, stdout},
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use huacaya_app::serving::{PORT_USUAL, is_origin};
use serde_json::json;

use crate::{failure::Failure, library::Library, model::ComputeOptions};

/// How often Ctrl-C is looked for.
const GLANCE: Duration = Duration::from_millis(100);

/// Where to listen, and for whom.
#[derive(Args)]
pub struct Options {
    /// The port; 0 takes any that is free
    #[arg(long, value_name = "NUMBER", default_value_t = PORT_USUAL)]
    port: u16,
    /// The address; beyond this machine only where you say so
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    address: IpAddr,
    /// A file that holds the token, instead of the library's own
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A web page's origin that may ask, such as http://localhost:3000
    #[arg(long = "origin", value_name = "ORIGIN", value_parser = origin)]
    origins: Vec<String>,
    #[command(flatten)]
    compute: ComputeOptions,
    /// Once it listens, print one JSON object: url, address, port, token_file, token_source (file, library); with --ui, window: its link
    #[arg(long)]
    json: bool,
    /// Serve the window to a browser, too, and print the link that opens it
    #[arg(long)]
    ui: bool,
    /// A folder to choose files in from the browser, beside the models' [default: your downloads]
    #[arg(long = "folder", value_name = "DIR", requires = "ui")]
    folders: Vec<PathBuf>,
    /// Say nothing on standard error but errors
    #[arg(long)]
    quiet: bool,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    Library::with(options.quiet, async |library| {
        let Options { address, port, origins, .. } = options;
        library.app.compute_here(options.compute.here());
        let token = options.token_file.as_deref().map(read_token).transpose()?;
        let kept_at = match &options.token_file {
            Some(path) => path.clone(),
            None => {
                // Made here where there is none yet, so that the person finds it.
                library.app.server_token().await?;
                library.app.places().home().join("server.token")
            }
        };
        let limits = huacaya_server::Limits::default();
        let wanted =
            huacaya_server::Options { address: *address, port: *port, origins: origins.clone(), token, limits };
        let said = |failure: huacaya_server::Failure| Failure::Said(failure.to_string());
        let mut bound = huacaya_server::bind(wanted).await.map_err(said)?;
        let link = match options.ui {
            true => {
                library.app.list_folders(&options.folders)?;
                library.app.go_on().await?;
                Some(bound.open_window().map_err(said)?)
            }
            false => None,
        };
        options.say_ready(bound.address(), &kept_at, link.as_deref())?;
        let stop = library.stop.clone();
        let asked = async move {
            while !stop.asked() {
                tokio::time::sleep(GLANCE).await;
            }
        };
        bound.serve(library.app.clone(), asked).await;
        Ok(())
    })
}

impl Options {
    /// From now on requests are answered: programs read it on standard output, a person on standard error.
    /// `link` opens the window.
    fn say_ready(&self, at: SocketAddr, token_at: &Path, link: Option<&str>) -> Result<(), Failure> {
        let url = format!("http://{at}/v1");
        if self.json {
            let mut out = stdout().lock();
            let mut ready = json!({
                "url": url,
                "address": at.ip().to_string(),
                "port": at.port(),
                "token_file": token_at.display().to_string(),
                "token_source": if self.token_file.is_some() { "file" } else { "library" },
            });
            if let Some(link) = link {
                ready["window"] = json!(link);
            }
            writeln!(out, "{ready}")?;
            out.flush()?;
        } else if let Some(link) = link {
            // What was asked for, not news: --quiet does not hide it.
            let mut out = stdout().lock();
            writeln!(out, "{link}")?;
            out.flush()?;
        }
        if !self.json && !self.quiet {
            if link.is_some() {
                eprintln!("the link above opens the window in a browser, once, within 15 minutes");
            }
            eprintln!("answers at {url}");
            eprintln!("the token is in {}", token_at.display());
            eprintln!("Ctrl-C stops it");
        }
        if !self.quiet && !at.ip().is_loopback() {
            eprintln!(
                "warning: whoever reaches this machine and has the token can ask; the way there is not encrypted"
            );
        }
        Ok(())
    }
}

fn origin(text: &str) -> Result<String, String> {
    match is_origin(text) {
        true => Ok(text.to_string()),
        false => {
            Err("an origin is a scheme and a host, such as http://localhost:3000 or https://example.org".to_string())
        }
    }
}

fn read_token(path: &Path) -> Result<String, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))?;
    let token = text.trim();
    if token.is_empty() || !token.chars().all(|c| c.is_ascii_graphic()) {
        return Err(Failure::Usage(format!("{}: a token is one word of printable ASCII characters", path.display())));
    }
    Ok(token.to_string())
}
