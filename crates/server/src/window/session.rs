//! Who has come in: a link that works once, and from then on a cookie with a secret of its own.
//!
//! The secret is not the token: what a browser keeps asks for nothing but the window, and ends with the server.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use axum::http::{HeaderMap, HeaderValue, header::COOKIE};
use huacaya_app::{Error, Result};
use subtle::ConstantTimeEq;

/// Bytes of chance in a link and in a cookie.
const SECRET_BYTES: usize = 32;
/// Tells apart servers that a browser reaches under one name: cookies know no ports.
const NAME_BYTES: usize = 4;
/// How long a link waits for its click: time to set up a tunnel.
const LINK_TIME: Duration = Duration::from_secs(15 * 60);
/// Browsers of one person. The oldest must come in again.
const SESSIONS_MAX: usize = 64;

/// The links and cookies that are worth something.
pub struct Sessions {
    cookie: String,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    links: Vec<(String, Instant)>,
    /// The newest last.
    sessions: Vec<String>,
}

impl Sessions {
    pub fn new() -> Result<Sessions> {
        Ok(Sessions { cookie: format!("huacaya_{}", secret(NAME_BYTES)?), known: Mutex::default() })
    }

    /// The key of a new link. It works once, and not for long.
    pub fn link(&self) -> Result<String> {
        let key = secret(SECRET_BYTES)?;
        self.known().links.push((key.clone(), Instant::now() + LINK_TIME));
        Ok(key)
    }

    /// Takes a link's key for a session; its cookie.
    pub fn redeem(&self, key: &str) -> Option<HeaderValue> {
        let now = Instant::now();
        let mut known = self.known();
        known.links.retain(|(_, until)| *until > now);
        let at = known.links.iter().position(|(link, _)| same(link, key))?;
        known.links.remove(at);
        drop(known);
        self.begin().ok()
    }

    /// A new session; its cookie.
    pub fn begin(&self) -> Result<HeaderValue> {
        let session = secret(SECRET_BYTES)?;
        let cookie = format!("{}={session}; HttpOnly; SameSite=Strict; Path=/", self.cookie);
        let mut known = self.known();
        known.sessions.push(session);
        let over = known.sessions.len().saturating_sub(SESSIONS_MAX);
        known.sessions.drain(..over);
        // Hexadecimal digits and the words above.
        Ok(HeaderValue::from_str(&cookie).unwrap_or(HeaderValue::from_static("")))
    }

    /// Whether a request has the cookie of a session.
    pub fn has(&self, headers: &HeaderMap) -> bool {
        let all = headers.get_all(COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
        let mut given = all.flat_map(|cookies| cookies.split(';')).filter_map(|cookie| {
            let (name, value) = cookie.trim().split_once('=')?;
            (name == self.cookie).then_some(value)
        });
        let known = self.known();
        // At most one of the name: a second one was put there by somebody else.
        let Some(value) = given.next().filter(|_| given.next().is_none()) else { return false };
        known.sessions.iter().any(|session| same(session, value))
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In the same time for every wrong value of the right length.
fn same(known: &str, given: &str) -> bool {
    known.as_bytes().ct_eq(given.as_bytes()).into()
}

/// Random bytes as hexadecimal digits.
fn secret(bytes: usize) -> Result<String> {
    let mut random = vec![0u8; bytes];
    getrandom::fill(&mut random).map_err(Error::internal)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(cookie: &str) -> HeaderMap {
        HeaderMap::from_iter([(COOKIE, HeaderValue::from_str(cookie).unwrap())])
    }

    #[test]
    fn a_link_works_once_and_its_cookie_from_then_on() {
        let sessions = Sessions::new().unwrap();
        let key = sessions.link().unwrap();
        assert_eq!(sessions.redeem("").or(sessions.redeem(&key[1..])), None);
        let set = sessions.redeem(&key).unwrap();
        let set = set.to_str().unwrap();
        assert!(set.ends_with("; HttpOnly; SameSite=Strict; Path=/"), "{set}");
        assert_eq!(sessions.redeem(&key), None);
        let cookie = set.split(';').next().unwrap();
        assert!(sessions.has(&with(cookie)) && sessions.has(&with(&format!("a=b; {cookie}"))));
        assert!(!Sessions::new().unwrap().has(&with(cookie)), "another server");
        let (name, secret) = cookie.split_once('=').unwrap();
        let wrong = [
            format!("{name}="),
            format!("{name}={}", &secret[1..]),
            format!("{name}={key}"),
            format!("{cookie}; {name}=x"),
        ];
        for wrong in wrong {
            assert!(!sessions.has(&with(&wrong)), "{wrong}");
        }
    }

    #[test]
    fn a_link_that_waited_too_long_is_worth_nothing() {
        let sessions = Sessions::new().unwrap();
        let key = sessions.link().unwrap();
        sessions.known().links[0].1 = Instant::now();
        assert_eq!(sessions.redeem(&key), None);
    }

    #[test]
    fn the_oldest_session_ends_where_there_are_too_many() {
        let sessions = Sessions::new().unwrap();
        let cookies: Vec<String> = (0..=SESSIONS_MAX)
            .map(|_| sessions.begin().unwrap().to_str().unwrap().split(';').next().unwrap().into())
            .collect();
        assert!(!sessions.has(&with(&cookies[0])));
        assert!(cookies[1..].iter().all(|cookie| sessions.has(&with(cookie))));
    }
}
