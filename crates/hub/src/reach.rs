//! Whether an endpoint can be reached, how soon it answers and how fast it sends.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use url::Url;

use crate::{
    client::{Ask, Hub},
    connections::Purpose,
    error::{Error, Result},
    hugging_face, model_scope,
    network::{Dialect, Endpoint},
};

/// What a test of an endpoint found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {
    /// From the question to the head of the answer, the connection's set-up not counted.
    pub latency_ms: u64,
    /// Of a model file. None where there was none to try, or too little came to tell.
    pub bytes_per_second: Option<u64>,
}

/// Read of a model file to see the speed, at most: long enough to see past the slow start of a connection.
const SAMPLE_BYTES: u64 = 16 << 20;
/// And for so long at most: somebody waits.
const SAMPLE_TIME: Duration = Duration::from_secs(4);
/// Below this the time of a few round trips is all that would be measured.
const TELLING_BYTES: u64 = 64 << 10;
/// Repositories looked at for a file to try.
const TRIED_MAX: usize = 5;

impl Hub {
    /// Asks `endpoint` for its list of models twice, once to connect and once for the time it takes, then for the beginning of
    /// a model's file.
    pub async fn reach(&self, endpoint: &Endpoint) -> Result<Reach> {
        let listing = listing(endpoint);
        self.ask(Ask::new(&listing, Purpose::Test)).await?.accepted()?.body(SAMPLE_BYTES as usize).await?;
        let asked = Instant::now();
        self.ask(Ask::new(&listing, Purpose::Test)).await?.accepted()?;
        let latency_ms = u64::try_from(asked.elapsed().as_millis()).unwrap_or(u64::MAX);
        let bytes_per_second = match self.speed(endpoint).await {
            Err(error @ Error::Offline { .. }) => return Err(error),
            Err(error) => {
                tracing::debug!(endpoint = %endpoint.url, %error, "reached, but no speed measured");
                None
            }
            Ok(speed) => speed,
        };
        Ok(Reach { latency_ms, bytes_per_second })
    }

    /// How fast the first large file comes that anybody may read.
    async fn speed(&self, endpoint: &Endpoint) -> Result<Option<u64>> {
        let hits = match endpoint.dialect {
            Dialect::HuggingFace => hugging_face::search(self, endpoint, "gguf", TRIED_MAX).await?,
            Dialect::ModelScope => model_scope::search(self, endpoint, "gguf", TRIED_MAX).await?,
        };
        for hit in hits.iter().filter(|hit| !hit.gated) {
            let repository = self.repository_at(std::slice::from_ref(endpoint), &hit.id, None).await?;
            if let Some(file) = repository.files.iter().max_by_key(|file| file.bytes)
                && file.bytes >= TELLING_BYTES
            {
                return self.speed_of(&repository.source(&file.name).url).await;
            }
        }
        Ok(None)
    }

    async fn speed_of(&self, file: &Url) -> Result<Option<u64>> {
        let ask = Ask::new(file, Purpose::Test).range(0, Some(SAMPLE_BYTES - 1));
        let mut answer = self.ask(ask).await?.accepted()?;
        let begun = Instant::now();
        let mut bytes = 0;
        while bytes < SAMPLE_BYTES && begun.elapsed() < SAMPLE_TIME {
            let Some(piece) = answer.chunk().await? else { break };
            bytes += piece.len() as u64;
        }
        let seconds = begun.elapsed().as_secs_f64();
        Ok((bytes >= TELLING_BYTES && seconds > 0.0).then(|| (bytes as f64 / seconds) as u64))
    }
}

/// The shortest question that only a hub of this dialect answers.
fn listing(endpoint: &Endpoint) -> Url {
    let (path, limit): (&[&str], _) = match endpoint.dialect {
        Dialect::HuggingFace => (&["api", "models"], "limit"),
        Dialect::ModelScope => (&["openapi", "v1", "models"], "page_size"),
    };
    let mut url = endpoint.at(path);
    url.query_pairs_mut().append_pair("search", "gguf").append_pair(limit, "1");
    url
}

#[cfg(test)]
mod tests {
    use huacaya_loopback::{Content, Fault, Loopback, RepositorySpec};

    use super::*;
    use crate::network::{Network, Proxy};

    fn endpoint(url: String, dialect: Dialect) -> Endpoint {
        Endpoint { name: "loopback".into(), url: url.parse().expect("an address"), dialect }
    }

    fn hub() -> Hub {
        Hub::new(Network { proxy: Proxy::None, ..Network::default() }).expect("a hub")
    }

    #[tokio::test]
    async fn hubs_of_both_dialects_are_reached_and_their_speed_is_seen() {
        let loopback = Loopback::start();
        loopback.add(RepositorySpec::new("team/model-gguf").file("model.gguf", Content::seeded(1, 3 << 20)));
        loopback.fault("model.gguf", Fault::Slow { bytes_per_second: 6 << 20 });
        for (url, dialect) in [(loopback.url(), Dialect::HuggingFace), (loopback.modelscope_url(), Dialect::ModelScope)]
        {
            let reach = hub().reach(&endpoint(url, dialect)).await.expect("reached");
            assert!(reach.latency_ms < 5_000, "{reach:?}");
            let speed = reach.bytes_per_second.expect("a speed");
            assert!((2 << 20..12 << 20).contains(&speed), "{dialect:?}: {speed} of 6 MiB a second");
        }
    }

    #[tokio::test]
    async fn what_is_no_hub_or_not_there_is_an_error() {
        let loopback = Loopback::start();
        let wrong = hub().reach(&endpoint(loopback.cdn_url(), Dialect::HuggingFace)).await;
        assert!(wrong.is_err(), "{wrong:?}");
        let gone = loopback.url();
        drop(loopback);
        let unreachable = hub().reach(&endpoint(gone, Dialect::HuggingFace)).await;
        assert!(matches!(unreachable, Err(Error::Unreachable { .. })), "{unreachable:?}");
    }
}
