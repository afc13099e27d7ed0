//! The hosts a file can be had from: which is asked next, which must wait, which are given up.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use url::Url;

use super::{FileSource, served::Served};
use crate::{
    client::wait_before,
    error::{Error, Result, host_of, shown},
    network::Patience,
};

/// A host that wants us to wait for longer is told of as an error: a person may choose another.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);
/// A host that makes no sense, or refuses what it served before, may be a bad node among good ones: it gets a third of the
/// tries of one that is down.
const NONSENSE_WEIGHT: u32 = 3;
/// Whole files in answer to ranges, until the source is taken for one that knows no ranges.
const WHOLES_MAX: u32 = 2;

/// The sources of one file. Positions in the list are their names.
pub(super) struct Sources {
    list: Mutex<Vec<Source>>,
    patience: Patience,
}

struct Source {
    url: Url,
    /// Where its redirects led last: asked directly, until that fails.
    direct: Option<Url>,
    ranges: bool,
    wholes: u32,
    validator: Option<String>,
    /// Whether it has sent bytes of this file in this call.
    served: bool,
    failures: u32,
    not_before: Option<Instant>,
    /// When the last failure was counted: those of requests begun before it are of the same cause.
    failed_at: Option<Instant>,
    given_up: bool,
    last: Option<Error>,
}

/// A source to ask now.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub index: usize,
    pub url: Url,
    pub ranges: bool,
    pub validator: Option<String>,
    asked_at: Instant,
    by_short_cut: bool,
}

/// What to do next.
pub(super) enum Next {
    Ask(Choice),
    /// Nobody may be asked before then.
    Wait(Duration, String),
}

impl Sources {
    /// `known` are the validators of an earlier transfer, by `Sources::key`.
    pub fn new(sources: &[FileSource], known: &BTreeMap<String, String>, patience: Patience) -> Sources {
        let source = |source: &FileSource| Source {
            url: source.url.clone(),
            direct: None,
            ranges: true,
            wholes: 0,
            validator: known.get(&shown(&source.url)).cloned(),
            served: false,
            failures: 0,
            not_before: None,
            failed_at: None,
            given_up: false,
            last: None,
        };
        Sources { list: Mutex::new(sources.iter().map(source).collect()), patience }
    }

    /// The first source in order that may be asked, but for `except` where there is another. An error when all are given up.
    pub fn next(&self, except: Option<usize>, now: Instant) -> Result<Next> {
        let mut list = self.list();
        let ready = |source: &Source| !source.given_up && source.not_before.is_none_or(|then| then <= now);
        let mut indices = (0..list.len()).filter(|index| ready(&list[*index]));
        let first = indices.next();
        let chosen = if first.is_some() && first == except { indices.next().or(first) } else { first };
        if let Some(index) = chosen {
            let source = &list[index];
            return Ok(Next::Ask(Choice {
                index,
                url: source.direct.as_ref().unwrap_or(&source.url).clone(),
                ranges: source.ranges,
                validator: source.validator.clone(),
                asked_at: now,
                by_short_cut: source.direct.is_some(),
            }));
        }
        let waiting = list.iter().filter(|source| !source.given_up);
        if let Some(soonest) = waiting.min_by_key(|source| source.not_before) {
            let wait = soonest.not_before.unwrap_or(now).saturating_duration_since(now);
            let reason = soonest.last.as_ref().map(Error::to_string).unwrap_or_default();
            return Ok(Next::Wait(wait, reason));
        }
        let told = list.iter_mut().find_map(|source| source.last.take());
        Err(told.unwrap_or(Error::NotFound { what: "any source of the file".to_owned() }))
    }

    /// The answer's head was good: where it came from, and which version of the file it is. `Changed` when it is another
    /// one than before; `SizeMismatch` when it is another file than the one `name` of so many bytes.
    pub fn answered(&self, choice: &Choice, from: &Url, served: &Served, name: &str, bytes: Option<u64>) -> Result<()> {
        let mut list = self.list();
        let source = &mut list[choice.index];
        source.direct = (*from != source.url).then(|| from.clone());
        match (&source.validator, &served.validator) {
            (Some(old), Some(new)) if old != new => return Err(Error::Changed { url: shown(&source.url) }),
            (None, Some(new)) => source.validator = Some(new.clone()),
            _ => {}
        }
        match (bytes, served.total) {
            (Some(expected), Some(found)) if expected != found && source.served => {
                Err(Error::Changed { url: shown(&source.url) })
            }
            (Some(expected), Some(found)) if expected != found => {
                Err(Error::SizeMismatch { name: name.to_owned(), expected, found })
            }
            _ => Ok(()),
        }
    }

    /// The source whose bytes came from `host` last.
    pub fn of_host(&self, host: &str) -> Option<usize> {
        self.list().iter().position(|source| host_of(source.direct.as_ref().unwrap_or(&source.url)) == host)
    }

    /// It sends whole files only: asked so from now on.
    pub fn knows_no_ranges(&self, index: usize) {
        self.list()[index].ranges = false;
    }

    /// It sent the whole file instead of a part, though it knows ranges. Twice is a habit.
    pub fn sent_the_whole(&self, index: usize) {
        let mut list = self.list();
        list[index].wholes += 1;
        if list[index].wholes >= WHOLES_MAX {
            list[index].ranges = false;
        }
    }

    /// Bytes of the file came: what went wrong before is over.
    pub fn brought(&self, index: usize) {
        let mut list = self.list();
        let source = &mut list[index];
        (source.served, source.failures) = (true, 0);
    }

    /// A request failed: the source waits, or is given up. Another that is ready goes ahead of it meanwhile.
    pub fn failed(&self, choice: &Choice, error: Error, now: Instant) {
        let mut list = self.list();
        let others = list.iter().enumerate();
        let another = others.filter(|(index, _)| *index != choice.index).any(|(_, source)| !source.given_up);
        let source = &mut list[choice.index];
        if source.failed_at.is_some_and(|then| choice.asked_at < then) {
            return;
        }
        tracing::debug!(url = %shown(&source.url), %error, failures = source.failures, "source failed");
        // A short cut is signed for a time; when it is refused, the long way is asked again first.
        source.direct = None;
        let may_pass = passes(&error) || choice.by_short_cut || source.served;
        let plain = passes(&error) && !matches!(error, Error::Protocol { .. });
        source.failures += if plain { 1 } else { NONSENSE_WEIGHT };
        let asked_for = match &error {
            Error::RateLimited { seconds, .. } => Duration::from_secs(*seconds),
            _ => Duration::ZERO,
        };
        source.given_up = !may_pass || source.failures >= self.patience.tries || asked_for > RETRY_AFTER_MAX;
        let back = if another { self.patience.silence } else { Duration::ZERO };
        let wait = wait_before(source.failures, &self.patience).max(back).max(asked_for);
        source.not_before = Some(now + wait);
        source.failed_at = Some(now);
        source.last = Some(error);
    }

    /// For the journal.
    pub fn validators(&self) -> BTreeMap<String, String> {
        let list = self.list();
        let known = list.iter().filter_map(|source| Some((shown(&source.url), source.validator.clone()?)));
        known.collect()
    }

    /// Whether any source that is not given up sends parts.
    pub fn any_with_ranges(&self) -> bool {
        self.list().iter().any(|source| source.ranges && !source.given_up)
    }

    fn list(&self) -> MutexGuard<'_, Vec<Source>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the same request may be answered later: the network, an overloaded or restarted host, a bad node.
fn passes(error: &Error) -> bool {
    match error {
        Error::Server { status, .. } => matches!(status, 408 | 425 | 500..),
        other => other.passes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> Sources {
        let source = |host: &str| FileSource {
            url: Url::parse(&format!("https://{host}.test/x")).expect("an address"),
            etag: None,
        };
        Sources::new(&[source("a"), source("b"), source("c")], &BTreeMap::new(), Patience::default())
    }

    fn asked(sources: &Sources, now: Instant) -> Choice {
        match sources.next(None, now) {
            Ok(Next::Ask(choice)) => choice,
            _ => panic!("one may be asked"),
        }
    }

    fn down() -> Error {
        Error::Unreachable { host: "a.test".into(), reason: "down".into() }
    }

    #[test]
    fn a_source_that_fails_moves_back_and_returns_later() {
        let (sources, now) = (three(), Instant::now());
        let first = asked(&sources, now);
        assert_eq!(first.index, 0);
        sources.failed(&first, down(), now);
        assert_eq!(asked(&sources, now).index, 1);
        assert_eq!(asked(&sources, now + Duration::from_secs(60)).index, 0);
    }

    #[test]
    fn failures_of_requests_begun_together_count_once() {
        let (sources, now) = (three(), Instant::now());
        let together: Vec<Choice> = (0..20).map(|_| asked(&sources, now)).collect();
        for choice in &together {
            sources.failed(choice, down(), now + Duration::from_secs(1));
        }
        assert_eq!(asked(&sources, now + Duration::from_secs(60)).index, 0, "not given up");
    }

    #[test]
    fn what_is_asked_for_in_retry_after_is_waited_for() {
        let (sources, now) = (three(), Instant::now());
        for _ in 0..3 {
            sources.failed(&asked(&sources, now), Error::RateLimited { host: "x".into(), seconds: 90 }, now);
        }
        match sources.next(None, now) {
            Ok(Next::Wait(wait, reason)) => {
                assert_eq!(wait, Duration::from_secs(90));
                assert!(reason.contains("90"), "{reason}");
            }
            _ => panic!("nobody may be asked yet"),
        }
    }

    #[test]
    fn when_all_are_given_up_the_first_source_tells_why() {
        let (sources, now) = (three(), Instant::now());
        for host in ["a", "b", "c"] {
            sources.failed(&asked(&sources, now), Error::NotFound { what: host.into() }, now);
        }
        assert!(matches!(sources.next(None, now), Err(Error::NotFound { what }) if what == "a"));
    }
}
