//! The line in front of the engine: who asks waits here for a place, and clients take turns.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::oneshot;

/// A fixed number of places, and those who wait for one. The next place goes to the client that has the fewest, of those to
/// who waited longest.
#[derive(Clone)]
pub(crate) struct Line(Arc<Mutex<State>>);

struct State {
    /// Below zero where a request with several answers came in: it takes places that are not free yet.
    free: i64,
    number: u64,
    /// In the order in which they came.
    waiting: Vec<Waiting>,
    /// Places that each client has.
    held: HashMap<String, u32>,
}

struct Waiting {
    number: u64,
    client: String,
    places: u32,
    go: oneshot::Sender<Turn>,
}

/// A place at the engine, or several; free again when it goes.
pub(crate) struct Turn {
    line: Line,
    client: String,
    places: u32,
}

/// Who stands in the line; no more so when it goes.
pub(crate) struct Standing {
    line: Line,
    number: u64,
    turn: oneshot::Receiver<Turn>,
}

impl Line {
    pub(crate) fn new(places: u32) -> Line {
        let state = State { free: i64::from(places), number: 0, waiting: Vec::new(), held: HashMap::new() };
        Line(Arc::new(Mutex::new(state)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Places for a client, where one is free. A request for several begins with one and takes the others as they become
    /// free, so that it keeps nobody waiting longer than a request for one would.
    pub(crate) fn enter(&self, client: &str, places: u32) -> Option<Turn> {
        let mut state = self.state();
        (state.free > 0).then(|| state.give(self, client, places))
    }

    /// A place in the line, in which `most` may stand. Where it is full, who came last of the client that has the most in it
    /// has to go, if that is not the client that comes; `None`: it is.
    pub(crate) fn stand(&self, client: &str, places: u32, most: usize) -> Option<Standing> {
        let standing = {
            let mut state = self.state();
            if state.waiting.len() >= most {
                let last = state.last_of_greediest(client)?;
                state.waiting.remove(last);
            }
            let (go, turn) = oneshot::channel();
            let number = state.number;
            state.number += 1;
            state.waiting.push(Waiting { number, client: client.to_string(), places, go });
            Standing { line: self.clone(), number, turn }
        };
        // A place may have become free meanwhile.
        self.advance();
        Some(standing)
    }

    fn advance(&self) {
        loop {
            let mut state = self.state();
            let Some(next) = state.next() else { return };
            let Waiting { client, places, go, .. } = state.waiting.remove(next);
            let turn = state.give(self, &client, places);
            drop(state);
            // Who went away meanwhile gives it back by dropping it.
            drop(go.send(turn));
        }
    }
}

impl State {
    fn give(&mut self, line: &Line, client: &str, places: u32) -> Turn {
        self.free -= i64::from(places);
        *self.held.entry(client.to_string()).or_default() += places;
        Turn { line: line.clone(), client: client.to_string(), places }
    }

    fn next(&self) -> Option<usize> {
        let held = |client: &str| self.held.get(client).copied().unwrap_or_default();
        let best = self.waiting.iter().enumerate().min_by_key(|(_, one)| (held(&one.client), one.number));
        best.filter(|_| self.free > 0).map(|(at, _)| at)
    }

    fn last_of_greediest(&self, client: &str) -> Option<usize> {
        let count = |client: &str| self.waiting.iter().filter(|one| one.client == client).count();
        let greediest = self.waiting.iter().map(|one| one.client.as_str()).max_by_key(|client| count(client))?;
        if count(greediest) <= count(client) + 1 {
            return None;
        }
        self.waiting.iter().rposition(|one| one.client == greediest)
    }
}

impl Standing {
    /// Waits for the turn; `None`: who came later needed the place in the line more.
    pub(crate) async fn turn(mut self) -> Option<Turn> {
        (&mut self.turn).await.ok()
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        self.line.state().waiting.retain(|one| one.number != self.number);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.line.state();
        state.free += i64::from(self.places);
        if let Some(held) = state.held.get_mut(&self.client) {
            *held = held.saturating_sub(self.places);
            if *held == 0 {
                state.held.remove(&self.client);
            }
        }
        drop(state);
        self.line.advance();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stand(line: &Line, client: &str) -> Standing {
        line.stand(client, 1, 64).unwrap()
    }

    /// Whose turn it is of these, if it is anybody's.
    fn called(waiting: &mut Vec<(usize, Standing)>) -> Option<(usize, Turn)> {
        let at = waiting.iter().position(|(_, one)| !one.turn.is_empty())?;
        let (number, mut one) = waiting.remove(at);
        one.turn.try_recv().ok().map(|turn| (number, turn))
    }

    #[tokio::test]
    async fn a_client_with_one_request_does_not_wait_for_a_client_with_many() {
        let line = Line::new(2);
        let busy = [line.enter("many", 1).unwrap(), line.enter("many", 1).unwrap()];
        assert!(line.enter("few", 1).is_none());
        let mut waiting: Vec<(usize, Standing)> = (0..10).map(|number| (number, stand(&line, "many"))).collect();
        waiting.push((100, stand(&line, "few")));
        let mut order = Vec::new();
        drop(busy);
        let mut held: std::collections::VecDeque<Turn> = std::collections::VecDeque::new();
        loop {
            while let Some((number, turn)) = called(&mut waiting) {
                order.push(number);
                held.push_back(turn);
            }
            if held.pop_front().is_none() {
                break;
            }
        }
        // One of the two places is the other client's as soon as one is free; each client's own come in their order.
        assert!(order.iter().position(|number| *number == 100).unwrap() <= 1, "{order:?}");
        order.retain(|number| *number < 100);
        assert_eq!(order, (0..10).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_request_for_many_answers_blocks_nobody_longer_than_one_for_one() {
        let line = Line::new(8);
        let mut busy: Vec<Turn> = (0..8).map(|_| line.enter("a", 1).unwrap()).collect();
        let eight = line.stand("b", 8, 64).unwrap();
        let behind = line.stand("c", 1, 64).unwrap();
        busy.pop();
        let eight = eight.turn().await.unwrap();
        // It has taken seven places that others still hold: all eight have to come back before the next.
        busy.clear();
        drop(eight);
        drop(behind.turn().await.unwrap());
        assert_eq!(line.state().free, 8);
        assert!(line.state().held.is_empty());
    }

    #[tokio::test]
    async fn a_full_line_makes_room_for_who_has_less_in_it() {
        let line = Line::new(1);
        let busy = line.enter("many", 1).unwrap();
        let first = line.stand("many", 1, 2).unwrap();
        let last = line.stand("many", 1, 2).unwrap();
        assert!(line.stand("many", 1, 2).is_none(), "its own client fills it");
        let few = line.stand("few", 1, 2).unwrap();
        assert!(last.turn().await.is_none(), "it had to go");
        assert!(line.stand("few", 1, 2).is_none() && line.stand("third", 1, 0).is_none());
        drop(few);
        assert!(line.stand("third", 1, 2).is_some(), "who goes away leaves its place");
        drop(busy);
        drop(first.turn().await.unwrap());
        let state = line.state();
        assert_eq!((state.free, state.waiting.len()), (1, 0));
    }
}
