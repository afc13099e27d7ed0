//! What comes out of the engine while it answers: a blocking iterator over a bounded queue.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::Result;

/// Events that wait for a slow listener before the engine turns to others: some seconds of text.
const EVENTS_MAX: usize = 256;

/// Why an answer ended. That a person stopped it, only the listener knows: it dropped the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// The model said so.
    End,
    /// One of the stop texts.
    StopText,
    /// `tokens_max` was reached.
    Length,
    /// The context is full.
    Context,
}

/// What an answer took.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    pub prompt_tokens: usize,
    /// Of these, how many were in the cache already.
    pub reused: usize,
    /// New tokens, thoughts included, the ending token not.
    pub tokens: usize,
    pub thought_tokens: usize,
    /// From the request to the first new token.
    pub first_token_ms: u64,
    /// From the first new token to the last; 0 where there was only one.
    pub tokens_per_second: f32,
    /// Tokens that were guessed ahead.
    pub drafted: usize,
    /// Of these, how many are in the answer.
    pub accepted: usize,
}

/// A step of an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The prompt is being read: `done` of `total` tokens, those of the cache among them.
    Reading { done: usize, total: usize },
    /// Tokens of the prompt, where they were asked for, in order; `logprobs` as with `Token`, none for the first.
    Prompt { tokens: Vec<(u32, Vec<(u32, f32)>)> },
    /// A new token. `text` is what became certain with it: whole UTF-8, often empty. `logprobs`: the drawn token first,
    /// then the likeliest, natural logarithms, before penalties and filters.
    Token { id: u32, text: String, thought: bool, logprobs: Vec<(u32, f32)> },
    /// More text that became certain (a token that ends a thought and begins the answer; what was held back at the end).
    Text { text: String, thought: bool },
    /// The last event.
    Finished { why: Finish, stats: Stats },
}

/// The events of one request. Dropping it stops the work within one token, during the reading of the prompt too.
pub struct TokenStream {
    shared: Arc<Shared>,
    /// Tells the engine that there is room again, or that nobody listens any more.
    wake: Box<dyn Fn() + Send>,
}

impl TokenStream {
    /// Asks the engine to stop, from any thread; the stream then ends without `Finished`.
    pub fn stopper(&self) -> Stopper {
        Stopper { shared: self.shared.clone() }
    }
}

/// Stops one request from another thread than the one that waits for its events.
#[derive(Clone)]
pub struct Stopper {
    shared: Arc<Shared>,
}

impl Stopper {
    pub fn stop(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // The waiter gets `None` at once; the engine sees the flag at its next look.
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
    }
}

impl Iterator for TokenStream {
    type Item = Result<Event>;

    /// Waits for the next event; `None` after `Finished`, an error, or a stop.
    fn next(&mut self) -> Option<Result<Event>> {
        let mut state = self.shared.lock();
        loop {
            if let Some(event) = state.events.pop_front() {
                if state.starved && state.events.len() <= EVENTS_MAX / 2 {
                    state.starved = false;
                    drop(state);
                    (self.wake)();
                }
                return Some(event);
            }
            if state.closed {
                return None;
            }
            state = self.shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for TokenStream {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        (self.wake)();
    }
}

/// The engine's end of a stream. Dropping it ends the stream.
pub(crate) struct Outlet {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    stop: AtomicBool,
}

#[derive(Default)]
struct State {
    events: VecDeque<Result<Event>>,
    /// The engine waits for room.
    starved: bool,
    closed: bool,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Both ends of a new stream. `wake` is called by the listener when there is room again, and when it goes.
pub(crate) fn stream(wake: impl Fn() + Send + 'static) -> (Outlet, TokenStream) {
    let shared = Arc::new(Shared::default());
    (Outlet { shared: shared.clone() }, TokenStream { shared, wake: Box::new(wake) })
}

impl Outlet {
    /// Adds an event. One step of an answer may overfill the queue by its few events.
    pub fn push(&self, event: Result<Event>) {
        self.shared.lock().events.push_back(event);
        self.shared.changed.notify_all();
    }

    /// Whether another step may be made; where not, the listener will wake the engine.
    pub fn has_room(&self) -> bool {
        let mut state = self.shared.lock();
        state.starved = state.events.len() >= EVENTS_MAX;
        !state.starved
    }

    /// Nobody listens any more.
    pub fn stopped(&self) -> bool {
        self.shared.stop.load(Ordering::Relaxed)
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;

    fn reading(done: usize) -> Event {
        Event::Reading { done, total: 0 }
    }

    #[test]
    fn events_come_in_order_and_end_with_the_outlet() {
        let (outlet, stream) = stream(|| {});
        let writer = std::thread::spawn(move || (0..1000).for_each(|i| outlet.push(Ok(reading(i)))));
        let seen: Vec<Event> = stream.map(|event| event.unwrap()).collect();
        writer.join().unwrap();
        assert_eq!(seen, (0..1000).map(reading).collect::<Vec<_>>());
    }

    #[test]
    fn a_slow_listener_holds_the_engine_back_and_wakes_it_later() {
        let wakes = Arc::new(AtomicUsize::new(0));
        let counted = wakes.clone();
        let (outlet, mut stream) = stream(move || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        (0..EVENTS_MAX).for_each(|i| outlet.push(Ok(reading(i))));
        assert!(!outlet.has_room());
        (0..EVENTS_MAX / 2).for_each(|_| assert!(stream.next().is_some()));
        assert_eq!(wakes.load(Ordering::Relaxed), 1);
        assert!(outlet.has_room());
    }

    #[test]
    fn dropping_or_stopping_is_seen_by_the_engine() {
        let (outlet, stream) = stream(|| {});
        assert!(!outlet.stopped());
        drop(stream);
        assert!(outlet.stopped());
        let (outlet, mut stream) = super::stream(|| {});
        stream.stopper().stop();
        assert!(outlet.stopped());
        assert!(stream.next().is_none());
    }
}
