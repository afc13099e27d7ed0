//! Whether an endpoint can be reached, how soon it answers and how fast it sends.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::{
    client::{Ask, Hub},
    connections::Purpose,
    error::{Error, Result},
    network::{Dialect, Endpoint},
};

/// What a test of an endpoint found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// From the question to the first byte of the answer, the connection's set-up not counted.
    pub latency_ms: u64,
    /// None where too little came to tell.
    pub bytes_per_second: Option<u64>,
}

/// What is fetched to see the speed: a listing that every hub has. Far more is read from none.
const SAMPLE_BYTES: u64 = 4 << 20;
/// Long enough to see past the slow start of a connection.
const SAMPLE_TIME: Duration = Duration::from_secs(4);
/// Below this the time of a few round trips is all that would be measured.
const TELLING_BYTES: u64 = 64 << 10;

impl Hub {
    /// Asks `endpoint` for its front page (the connection), then for a listing of models (the latency and the speed).
    pub async fn reach(&self, endpoint: &Endpoint) -> Result<Reach> {
        let listing = match endpoint.dialect {
            Dialect::HuggingFace => "api/models?limit=100&full=true",
            Dialect::ModelScope => "api/v1/models?PageSize=1",
        };
        let listing = joined(endpoint, listing)?;
        let mut warm = self.ask(Ask::new(&joined(endpoint, "")?, Purpose::Test)).await?;
        if warm.status().is_server_error() {
            return Err(warm.refusal());
        }
        // Read to its end where it is short, so that the connection is used again.
        let mut front = 0;
        while let Some(piece) = warm.chunk().await? {
            front += piece.len() as u64;
            if front > TELLING_BYTES {
                break;
            }
        }
        drop(warm);
        let asked = Instant::now();
        let mut answer = self.ask(Ask::new(&listing, Purpose::Test)).await?;
        let latency_ms = u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX);
        if answer.status().is_server_error() {
            return Err(answer.refusal());
        }
        let begun = Instant::now();
        let mut bytes = 0;
        while bytes < SAMPLE_BYTES && begun.elapsed() < SAMPLE_TIME {
            let Some(piece) = answer.chunk().await? else { break };
            bytes += piece.len() as u64;
        }
        let seconds = begun.elapsed().as_secs_f64();
        let telling = bytes >= TELLING_BYTES && seconds > 0.0;
        Ok(Reach { latency_ms, bytes_per_second: telling.then(|| (bytes as f64 / seconds) as u64) })
    }
}

/// The endpoint's address with `path` behind it, whether it ends in a slash or not.
fn joined(endpoint: &Endpoint, path: &str) -> Result<url::Url> {
    let text = format!("{}/{path}", endpoint.url.as_str().trim_end_matches('/'));
    url::Url::parse(&text).map_err(|error| Error::Address { text, reason: error.to_string() })
}
