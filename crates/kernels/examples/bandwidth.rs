//! How many bytes all cores together read from memory in a second: the limit of decoding. Prints the best of some rounds.
//!
//! `cargo run --release -p huacaya-kernels --example bandwidth -- [THREADS]`. Each thread sums a part of its own, as several
//! streams side by side, for one stream alone does not keep a core's line buffers busy; how many do is tried.

use std::hint::black_box;
use std::thread;
use std::time::Instant;

/// More than any processor's caches.
const BYTES: usize = 1 << 30;
const ROUNDS: usize = 5;
/// Streams of a thread.
const STREAMS: [usize; 4] = [1, 2, 4, 8];
/// Words that a stream reads at a time: two lines.
const RUN: usize = 16;

fn main() {
    let asked = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let threads = asked.unwrap_or_else(huacaya_kernels::physical_cores).max(1);
    // Not zeros: those may all be one page of memory.
    let words: Vec<u64> = (0..(BYTES / size_of::<u64>()) as u64).collect();
    let mut best: f64 = 0.0;
    for streams in STREAMS {
        for _ in 0..ROUNDS {
            let start = Instant::now();
            thread::scope(|scope| {
                for part in words.chunks(words.len().div_ceil(threads)) {
                    scope.spawn(move || black_box(sum(part, streams)));
                }
            });
            best = best.max(BYTES as f64 / start.elapsed().as_secs_f64());
        }
    }
    println!("{best:.0}");
}

/// The sum of all words, read in so many places by turns.
fn sum(words: &[u64], streams: usize) -> u64 {
    let mut lanes = [0u64; RUN];
    let mut parts: Vec<_> = words.chunks(words.len().div_ceil(streams)).map(|part| part.chunks_exact(RUN)).collect();
    loop {
        let mut any = false;
        for part in &mut parts {
            let Some(run) = part.next() else { continue };
            any = true;
            for (lane, word) in lanes.iter_mut().zip(run) {
                *lane = lane.wrapping_add(*word);
            }
        }
        if !any {
            return lanes.iter().fold(0, |sum, lane| sum.wrapping_add(*lane));
        }
    }
}
