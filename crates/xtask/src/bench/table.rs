//! The table: medians of both sides, their ratio, peak memory, and the processor that they were measured on.

use std::fs;

use super::cell::{Measured, Rounds};

/// Prints everything that was measured, as Markdown.
pub fn print(measured: &Measured, avx2: bool) {
    println!("\n{}, {} cores{}\n", processor(), cores(), if avx2 { ", AVX2 against AVX2" } else { "" });
    println!(
        "| | huacaya | llama.cpp | ratio | peak MB, huacaya | llama.cpp | rounds |\n|---|---|---|---|---|---|---|"
    );
    let side = |cell: &str, side: &str| measured.rounds.get(&(cell.to_string(), side.to_string()));
    for (cell, _) in measured.rounds.keys().filter(|(_, side)| side == "huacaya") {
        let (Some(ours), Some(theirs)) = (side(cell, "huacaya"), side(cell, "llama.cpp")) else { continue };
        let (a, b) = (median(ours), median(theirs));
        // Of milliseconds, fewer are better: the ratio says how many times better ours is, always.
        let ratio = if cell.ends_with("ms") { b / a } else { a / b };
        let megabytes = |rounds: &Rounds| rounds.peak / 1_000_000;
        println!(
            "| {cell} | {a:.2} | {b:.2} | {ratio:.2} | {} | {} | {} |",
            megabytes(ours),
            megabytes(theirs),
            ours.figures.len().min(theirs.figures.len())
        );
    }
}

fn median(rounds: &Rounds) -> f64 {
    let mut figures = rounds.figures.clone();
    figures.sort_by(f64::total_cmp);
    let middle = |index: usize| figures.get(index).copied().unwrap_or(f64::NAN);
    (middle(figures.len().saturating_sub(1) / 2) + middle(figures.len() / 2)) / 2.0
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or_else(|| std::env::consts::ARCH.to_string(), |(_, name)| name.to_string())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
