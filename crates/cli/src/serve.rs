//! `serve`: the local server without a window.

use std::{
    fs,
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::Args;
use huacaya_app::serving::PORT_USUAL;

use crate::{failure::Failure, library::Library};

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
    #[arg(long = "origin", value_name = "ORIGIN")]
    origins: Vec<String>,
    /// Say nothing on standard error but errors
    #[arg(long)]
    quiet: bool,
}

pub fn run(options: &Options) -> Result<(), Failure> {
    Library::with(options.quiet, async |library| {
        let token = options.token_file.as_deref().map(read_token).transpose()?;
        let kept_at = match &options.token_file {
            Some(path) => path.clone(),
            None => {
                // Made here where there is none yet, so that the person finds it.
                library.app.server_token().await?;
                library.app.places().home().join("server.token")
            }
        };
        let Options { address, port, origins, .. } = options;
        let wanted = huacaya_server::Options { address: *address, port: *port, origins: origins.clone(), token };
        let bound = huacaya_server::bind(wanted).await.map_err(|failure| Failure::Said(failure.to_string()))?;
        if !options.quiet {
            eprintln!("answers at http://{}/v1", bound.address());
            eprintln!("the token is in {}", kept_at.display());
            if !address.is_loopback() {
                eprintln!(
                    "warning: whoever reaches this machine and has the token can ask; the way there is not encrypted"
                );
            }
            eprintln!("Ctrl-C stops it");
        }
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

fn read_token(path: &Path) -> Result<String, Failure> {
    let text = fs::read_to_string(path).map_err(|error| Failure::file("read", path, &error))?;
    let token = text.trim();
    if token.is_empty() || !token.chars().all(|c| c.is_ascii_graphic()) {
        return Err(Failure::Said(format!("{}: a token is one word of printable ASCII characters", path.display())));
    }
    Ok(token.to_string())
}
