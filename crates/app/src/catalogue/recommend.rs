//! Which model to begin with on this machine, and why.

use huacaya_engine::config::Config;
use serde::Serialize;
use sysinfo::{MemoryRefreshKind, RefreshKind, System};
use ts_rs::TS;

use super::{Catalogue, Entry, EntryFile, EntryKind, Words};
use crate::{devices, loading, models::Verdict};

/// The families that a beginning is recommended from: the one that this program is made for, and one that has small
/// models too.
const FAMILIES: [&str; 2] = ["Chinese-Alpaca-2", "Qwen3"];
/// Quantizations that lose little, the best first. Below them a smaller model is the better choice.
const QUANTIZATIONS: [&str; 5] = ["Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0"];
/// Slower than this is slower than reading: nobody waits for it twice.
const TOKENS_PER_SECOND_LEAST: f64 = 4.0;
/// Every token reads the whole model once. What a core of a desktop draws from memory, and what all of them can: guesses
/// on the low side, said to be such.
const CORE_BYTES_PER_SECOND: f64 = 4e9;
const CORES_BYTES_PER_SECOND_MAX: f64 = 48e9;
/// A graphics card's memory, on the low side too.
const CARD_BYTES_PER_SECOND: f64 = 200e9;

#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct Recommendation {
    /// Id of the entry.
    pub entry: String,
    /// Path of its file.
    pub file: String,
    pub reason: Words,
    pub memory_bytes: u64,
}

/// What a recommendation looks at.
#[derive(Clone, Debug)]
pub(super) struct Machine {
    pub memory_total: u64,
    /// What would be free once the model in memory now is gone.
    pub memory_free: u64,
    pub cores: usize,
    /// A graphics card that this program can compute on.
    pub card: Option<String>,
}

impl Machine {
    pub fn this(held: u64) -> Machine {
        let memory = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
        let memory_free = loading::free_bytes().saturating_add(held);
        let usable = |device: &devices::Device| device.available && device.id != "cpu";
        Machine {
            memory_total: System::new_with_specifics(memory).map_or(memory_free, |system| system.total_memory()),
            memory_free,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            card: devices::all().into_iter().find(usable).map(|device| device.name),
        }
    }

    /// A guess at the speed of a model whose file has this size.
    fn tokens_per_second(&self, bytes: u64) -> f64 {
        let bandwidth = match self.card {
            Some(_) => CARD_BYTES_PER_SECOND,
            None => (self.cores as f64 * CORE_BYTES_PER_SECOND).min(CORES_BYTES_PER_SECOND_MAX),
        };
        bandwidth / bytes.max(1) as f64
    }
}

/// The largest chat model that runs well and fast enough to read along, in the best quantization that does.
pub(super) fn recommend(catalogue: &Catalogue, entries: &[Entry], machine: &Machine) -> Option<Recommendation> {
    let offered = |entry: &&Entry| {
        entry.kind == EntryKind::Chat && entry.variant.is_empty() && FAMILIES.contains(&&*entry.family)
    };
    let parameters = |entry: &Entry| {
        let config = catalogue.entry(&entry.id).and_then(|listed| catalogue.config(listed));
        config.map_or(0, Config::parameter_count)
    };
    let mut offered: Vec<&Entry> = entries.iter().filter(offered).collect();
    offered.sort_by_key(|entry| std::cmp::Reverse(parameters(entry)));
    let (entry, file) = offered.into_iter().find_map(|entry| Some((entry, best(entry, machine)?)))?;
    Some(Recommendation {
        entry: entry.id.clone(),
        file: file.path.clone(),
        reason: reason(entry, file, machine),
        memory_bytes: file.memory_bytes,
    })
}

fn best<'a>(entry: &'a Entry, machine: &Machine) -> Option<&'a EntryFile> {
    let fine = |file: &&EntryFile| {
        file.verdict == Verdict::Well && machine.tokens_per_second(file.bytes) >= TOKENS_PER_SECOND_LEAST
    };
    let of = |quantization: &str| entry.files.iter().filter(fine).find(|file| file.quantization == quantization);
    QUANTIZATIONS.into_iter().find_map(of)
}

fn reason(entry: &Entry, file: &EntryFile, machine: &Machine) -> Words {
    let gb = |bytes: u64| format!("{:.1}", bytes as f64 / 1e9);
    let (needed, free, total) = (gb(file.memory_bytes), gb(machine.memory_free), gb(machine.memory_total));
    let speed = format!("{:.0}", machine.tokens_per_second(file.bytes));
    let (zh, en) = match &machine.card {
        Some(card) => (card.clone(), card.clone()),
        None => (format!("{} 个处理器线程", machine.cores), format!("{} processor threads", machine.cores)),
    };
    let (name, quantization) = (&entry.name, &file.quantization);
    Words {
        zh: format!(
            "{name}（{quantization}）约需 {needed} GB 内存，现有 {free} GB 可用（共 {total} GB）；{zh}估计每秒约 {speed} 个 token（按带宽粗略推算）。它是其中能流畅运行的最大的对话模型。"
        ),
        en: format!(
            "{name} ({quantization}) needs about {needed} GB of memory; {free} of {total} GB are free. {en} should give about {speed} tokens a second (a rough guess from bandwidth). It is the largest chat model here that runs well."
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::page;

    const GB: u64 = 1_000_000_000;

    fn on(gigabytes: u64, cores: usize) -> Option<(String, f64, u64)> {
        let catalogue = Catalogue::bundled();
        let machine = Machine { memory_total: gigabytes * GB, memory_free: gigabytes * GB, cores, card: None };
        let entry = |listed| page::entry(catalogue, listed, machine.memory_free, &[]);
        let entries: Vec<Entry> = catalogue.entries().iter().map(entry).collect();
        let found = recommend(catalogue, &entries, &machine)?;
        let file = entries.iter().flat_map(|entry| &entry.files).find(|file| file.path == found.file)?;
        for words in [&found.reason.zh, &found.reason.en] {
            assert!(words.contains(&format!("{gigabytes}.0")) && words.contains(&cores.to_string()), "{words}");
        }
        Some((found.entry, machine.tokens_per_second(file.bytes), found.memory_bytes))
    }

    #[test]
    fn what_is_recommended_fits_well_and_is_no_slower_than_reading() {
        for (gigabytes, cores) in [(4, 2), (8, 4), (16, 8), (32, 8), (64, 16), (256, 64)] {
            let (entry, speed, memory) = on(gigabytes, cores).unwrap();
            assert!(speed >= 4.0, "{entry}: {speed}");
            assert!(memory as f64 <= 0.8 * (gigabytes * GB) as f64, "{entry} on {gigabytes} GB: {memory}");
        }
    }

    #[test]
    fn a_larger_machine_gets_a_larger_model_and_a_tiny_one_none() {
        assert_eq!(on(1, 1), None);
        assert_eq!(on(256, 2).unwrap().0, on(16, 2).unwrap().0);
        assert_eq!(on(256, 64).unwrap().0, "chinese-alpaca-2-13b");
    }
}
