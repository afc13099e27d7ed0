//! One bandwidth limit for all transfers, changed while they run.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::Notify, time::Instant};

/// No single piece is owed for longer than this: it keeps the clock's arithmetic in its range whatever the rate.
const DEBT_SECONDS_MAX: f64 = 86_400.0;

/// Lets bytes through at a rate. A taker goes through when the debt of those before it is paid, and leaves its own.
#[derive(Default)]
pub(crate) struct Limiter {
    debt: Mutex<Debt>,
    changed: Notify,
}

#[derive(Default)]
struct Debt {
    bytes_per_second: Option<u64>,
    /// When all that was let through so far is paid for.
    paid_at: Option<Instant>,
}

impl Limiter {
    /// A new rate holds at once, for those who wait too.
    pub fn set(&self, bytes_per_second: Option<u64>) {
        let mut debt = self.debt();
        if debt.bytes_per_second != bytes_per_second {
            *debt = Debt { bytes_per_second, paid_at: None };
            drop(debt);
            self.changed.notify_waiters();
        }
    }

    pub fn is_set(&self) -> bool {
        self.debt().bytes_per_second.is_some()
    }

    /// Waits for `bytes` to be let through.
    pub async fn take(&self, bytes: u64) {
        loop {
            let changed = self.changed.notified();
            let Some(wait) = self.debt().take(bytes, Instant::now()) else { return };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = changed => {}
            }
        }
    }

    fn debt(&self) -> std::sync::MutexGuard<'_, Debt> {
        self.debt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Debt {
    /// None: gone through. Otherwise how long the debt of the others still takes.
    fn take(&mut self, bytes: u64, now: Instant) -> Option<Duration> {
        let rate = self.bytes_per_second?;
        let paid_at = self.paid_at.unwrap_or(now).max(now);
        if paid_at > now {
            return Some(paid_at - now);
        }
        let seconds = (bytes as f64 / rate.max(1) as f64).min(DEBT_SECONDS_MAX);
        self.paid_at = Some(now + Duration::from_secs_f64(seconds));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_go_through_at_the_rate() {
        let start = Instant::now();
        let mut debt = Debt { bytes_per_second: Some(1000), paid_at: None };
        let (mut now, mut gone) = (start, 0);
        while now < start + Duration::from_secs(10) {
            match debt.take(250, now) {
                None => gone += 250,
                Some(wait) => now += wait,
            }
        }
        // 10 s at 1,000 bytes a second, and the one that goes ahead of its payment
        assert!((10_000..=10_250).contains(&gone), "{gone}");
    }

    #[test]
    fn without_a_limit_nothing_waits() {
        let mut debt = Debt::default();
        assert!((0..1000).all(|_| debt.take(u64::MAX, Instant::now()).is_none()));
    }

    #[tokio::test]
    async fn a_lifted_limit_frees_those_who_wait() {
        let limiter = Limiter::default();
        limiter.set(Some(1));
        limiter.take(3600).await;
        let freed = async {
            tokio::task::yield_now().await;
            limiter.set(None);
        };
        let both = async { tokio::join!(limiter.take(1), freed) };
        tokio::time::timeout(Duration::from_secs(5), both).await.expect("freed at once, not after an hour");
    }
}
