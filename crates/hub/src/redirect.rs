//! Where a redirect may lead, and whether a token may go with it.

use reqwest::{StatusCode, header};
use url::Url;

use crate::{
    error::{Error, Result},
    network::is_loopback,
};

/// A hub sends on to its store, the store perhaps to a nearer copy; more is a loop.
pub(crate) const REDIRECTS_MAX: usize = 10;

/// Where an answer sends us on to: None where it does not.
pub(crate) fn target(from: &Url, status: StatusCode, headers: &header::HeaderMap) -> Result<Option<Url>> {
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let Some(location) = headers.get(header::LOCATION) else {
        return Err(Error::protocol(from, format!("redirect {status} to nowhere")));
    };
    let location = std::str::from_utf8(location.as_bytes())
        .map_err(|_| Error::protocol(from, "redirect to an address that is not UTF-8"))?;
    let to = from.join(location).map_err(|error| Error::protocol(from, format!("redirect to no address: {error}")))?;
    permit(from, &to)?;
    Ok(Some(to))
}

/// Only to http and https, and from https to http only within this machine: else the file could be read and changed on
/// its way.
fn permit(from: &Url, to: &Url) -> Result<()> {
    match (from.scheme(), to.scheme()) {
        (_, "https") | ("http", "http") => Ok(()),
        ("https", "http") if is_loopback(to) => Ok(()),
        ("https", "http") => Err(Error::protocol(from, "redirect from https to http")),
        (_, other) => Err(Error::protocol(from, format!("redirect to a `{other}:` address"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn led(from: &str, location: &str) -> Result<Option<Url>> {
        let mut headers = header::HeaderMap::new();
        headers.insert(header::LOCATION, location.parse().expect("a header"));
        target(&Url::parse(from).expect("an address"), StatusCode::FOUND, &headers)
    }

    #[test]
    fn a_redirect_may_be_relative() {
        let to =
            led("https://hub.test/a/resolve/main/x.gguf", "../../other/x.gguf").expect("permitted").expect("a target");
        assert_eq!(to.as_str(), "https://hub.test/a/other/x.gguf");
    }

    #[test]
    fn a_redirect_never_leads_from_https_to_http_but_on_this_machine() {
        assert!(matches!(led("https://hub.test/x", "http://cdn.test/x"), Err(Error::Protocol { .. })));
        assert!(matches!(led("https://hub.test/x", "http://127.0.0.1:8080/x"), Ok(Some(_))));
        assert!(matches!(led("https://hub.test/x", "http://localhost.evil.test/x"), Err(Error::Protocol { .. })));
    }

    #[test]
    fn a_redirect_never_leads_out_of_the_web() {
        for location in ["file:///etc/passwd", "ftp://hub.test/x", "data:text/plain,x"] {
            assert!(matches!(led("https://hub.test/x", location), Err(Error::Protocol { .. })), "{location}");
        }
    }

    #[test]
    fn an_answer_that_is_no_redirect_leads_nowhere() {
        let from = Url::parse("https://hub.test/x").expect("an address");
        assert!(matches!(target(&from, StatusCode::OK, &header::HeaderMap::new()), Ok(None)));
        assert!(target(&from, StatusCode::FOUND, &header::HeaderMap::new()).is_err());
    }
}
