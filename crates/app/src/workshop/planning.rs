//! What could be made of a model, before anything is: sizes, memory, speed, what is known of the quality, and what is best
//! here. Sizes are what the files will have; speed and time are predicted from short measurements of this machine.

use std::{collections::HashMap, path::PathBuf};

use huacaya_engine::{Memory, config::Config};
use huacaya_store::{Model, ModelId, Problem};
use huacaya_weights::{Checkpoint, Format, convert, gguf::TensorPlan, quantize::Scheme};
use serde::Serialize;
use ts_rs::TS;

use super::{Strength, machine::Speed, request, weights};
use crate::{
    App, blocking,
    catalogue::Words,
    error::{Error, Result},
    loading, merging,
    model_files::is_gguf,
    models::Verdict,
    storage::existing,
};

/// The context that memory is told for where none is asked for: enough for a talk.
const CONTEXT_TOLD: usize = 4096;
/// What is recommended, the most exact first. Below them a smaller model is the better choice.
const RECOMMENDED: [Scheme; 7] =
    [Scheme::Q8_0, Scheme::Q6_K, Scheme::Q5_K_M, Scheme::Q4_K_M, Scheme::Q4_0, Scheme::Q3_K_M, Scheme::Q2_K];
/// Slower than this is slower than reading: nobody waits for it twice.
const TOKENS_PER_SECOND_LEAST: f64 = 4.0;
/// Perplexity of Chinese-LLaMA-2-7B as its authors published it with llama.cpp's figures (the table's later corpus).
const PUBLISHED: [(Scheme, f64); 11] = [
    (Scheme::F16, 9.128),
    (Scheme::Q2_K, 11.107),
    (Scheme::Q3_K_M, 9.576),
    (Scheme::Q4_0, 9.476),
    (Scheme::Q4_1, 9.576),
    (Scheme::Q4_K_M, 9.240),
    (Scheme::Q5_0, 9.156),
    (Scheme::Q5_1, 9.213),
    (Scheme::Q5_K_M, 9.168),
    (Scheme::Q6_K, 9.133),
    (Scheme::Q8_0, 9.129),
];
/// The family and the shape that the table is of: layers, hidden size, vocabulary.
const PUBLISHED_FAMILY: &str = "Chinese-LLaMA-2";
const PUBLISHED_SHAPE: (usize, usize, usize) = (32, 4096, 55_296);

/// What could be made of a model.
#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct MakingPlan {
    /// The most exact first.
    pub schemes: Vec<SchemePlan>,
    /// The source is quantized already: what was lost then is not won back, and more is lost.
    pub requantizes: bool,
    /// Of the disk with the storage folder.
    pub free_bytes: u64,
    /// To make one of them, predicted; measuring comes on top.
    pub seconds_per_scheme: Option<f64>,
    /// Why the recommended one is.
    pub reason: Words,
    /// Why nothing can be made.
    pub problems: Vec<Problem>,
}

#[derive(Clone, Debug, PartialEq, Serialize, TS)]
pub struct SchemePlan {
    /// "Q4_K_M", "F16", …
    pub scheme: String,
    /// Of the file.
    pub bytes: u64,
    pub bits_per_weight: f64,
    /// To run it at the context that was asked for.
    pub memory_bytes: u64,
    pub verdict: Verdict,
    /// Predicted.
    pub decode_tokens_s: Option<f64>,
    /// Published for this very model.
    pub perplexity_known: Option<f64>,
    pub recommended: bool,
}

/// What a plan is made of.
struct Look {
    row: Model,
    path: PathBuf,
    adapters: Vec<(PathBuf, f32)>,
    family: String,
    context: Option<u32>,
    free: u64,
    speed: Option<Speed>,
    storage: PathBuf,
}

impl App {
    pub(crate) async fn plan_making(
        &self,
        source: ModelId,
        adapters: Vec<Strength>,
        context: Option<u32>,
    ) -> Result<MakingPlan> {
        let (row, file) = self.loadable_model(source).await?;
        self.check_adapters(&adapters).await?;
        let mut places = Vec::new();
        let mut family = row.family.clone();
        for one in &adapters {
            let (adapter, place) = self.ready_model(one.model).await?;
            places.push((place.path, one.strength));
            family = adapter.family;
        }
        let speed = self.machine_speed().await;
        let speed = speed.inspect_err(|error| tracing::warn!(%error, "this machine's speed was not measured")).ok();
        let free = loading::free_bytes().saturating_add(self.held_bytes());
        let storage = self.storage();
        let look = Look { row, path: file.path, adapters: places, family, context, free, speed, storage };
        blocking(move || Ok(look.plan())).await
    }
}

impl Look {
    fn plan(&self) -> MakingPlan {
        let free_bytes = fs4::available_space(existing(&self.storage)).unwrap_or(u64::MAX >> 11);
        let mut plan = MakingPlan {
            schemes: Vec::new(),
            requantizes: false,
            free_bytes,
            seconds_per_scheme: None,
            reason: Words { zh: String::new(), en: String::new() },
            problems: Vec::new(),
        };
        match self.schemes(&mut plan) {
            Ok(()) => recommend(&mut plan, self.row.file_bytes),
            Err(error) => plan.problems.push(error.problem()),
        }
        plan
    }

    fn schemes(&self, plan: &mut MakingPlan) -> Result<()> {
        if !self.adapters.is_empty() {
            if is_gguf(&self.path) {
                return Err(request::needs_folder(&self.row));
            }
            // All that a merge would refuse.
            huacaya_weights::merged_size(&self.path, &self.adapters).map_err(merging::of_merge)?;
        }
        let broken = |error| weights::failed(&self.row.name, None, error);
        let checkpoint = Checkpoint::open(&self.path).map_err(broken)?;
        plan.requantizes = requantizes(&checkpoint);
        for scheme in Scheme::ALL {
            let wanted = weights::plain(scheme);
            let (tensors, bytes) = convert::target(&self.path, &self.adapters, &wanted).map_err(broken)?;
            plan.schemes.push(self.scheme(scheme, &tensors, bytes, self.config(&checkpoint, &tensors)?)?);
            let numbers = numbers(&tensors);
            plan.seconds_per_scheme = self.speed.as_ref().and_then(|speed| speed.quantizing_seconds(numbers));
        }
        Ok(())
    }

    fn scheme(&self, scheme: Scheme, tensors: &[TensorPlan], bytes: u64, config: Config) -> Result<SchemePlan> {
        let formats: HashMap<&str, Format> = tensors.iter().map(|one| (one.name.as_str(), one.format)).collect();
        let context = self.context.map_or(config.context.min(CONTEXT_TOLD), |tokens| tokens as usize);
        let memory = Memory::expected(&config, context, |name| formats.get(name).copied().unwrap_or(scheme.format()));
        let memory = memory.map_err(|error| Error::of_model(&self.row.name, error))?;
        let shape = (config.layers, config.hidden, config.vocabulary);
        let published = self.family == PUBLISHED_FAMILY && shape == PUBLISHED_SHAPE;
        let known = PUBLISHED.iter().find(|(known, _)| published && *known == scheme);
        Ok(SchemePlan {
            scheme: scheme.name().to_string(),
            bytes,
            bits_per_weight: bytes as f64 * 8.0 / numbers(tensors).max(1) as f64,
            memory_bytes: memory.total(),
            verdict: loading::verdict(memory.total(), self.free),
            decode_tokens_s: self.speed.as_ref().map(|speed| speed.decode(&config, &memory, bytes)),
            perplexity_known: known.map(|(_, perplexity)| *perplexity),
            recommended: false,
        })
    }

    /// The shape of what is made: with the words that an adapter brings.
    fn config(&self, checkpoint: &Checkpoint, tensors: &[TensorPlan]) -> Result<Config> {
        let config = match checkpoint {
            Checkpoint::Gguf(file) => Config::from_gguf(file),
            Checkpoint::Folder(folder) => Config::from_json(folder.config()),
        };
        let mut config = config.map_err(|error| Error::of_model(&self.row.name, error))?;
        let embedding = tensors.iter().find(|tensor| tensor.name == "token_embd.weight");
        if let Some(rows) = embedding.and_then(|tensor| tensor.dimensions.get(1)) {
            config.vocabulary = *rows as usize;
        }
        Ok(config)
    }
}

fn numbers(tensors: &[TensorPlan]) -> u64 {
    tensors.iter().map(|tensor| tensor.dimensions.iter().product::<u64>()).sum()
}

/// Whether the matrices are of a format that lost something already.
fn requantizes(checkpoint: &Checkpoint) -> bool {
    let of_blocks = |kind: &str| Format::from_name(kind).is_some_and(|format| !format.is_plain());
    checkpoint.list().iter().any(|tensor| tensor.shape.len() > 1 && of_blocks(tensor.kind))
}

/// Marks the most exact scheme that runs well and fast enough, and says why.
fn recommend(plan: &mut MakingPlan, source_bytes: u64) {
    let fits = |row: &SchemePlan| row.verdict == Verdict::Well;
    let quick = |row: &SchemePlan| row.decode_tokens_s.is_none_or(|speed| speed >= TOKENS_PER_SECOND_LEAST);
    // More bits than the source has hold nothing more.
    let gains = |row: &SchemePlan| !plan.requantizes || row.bytes < source_bytes;
    let rows = || RECOMMENDED.iter().filter_map(|one| plan.schemes.iter().find(|row| row.scheme == one.name()));
    let best = rows().find(|row| fits(row) && quick(row) && gains(row));
    // Where none is quick the one with the best balance; where none fits the smallest.
    let usual = || rows().find(|row| row.scheme == Scheme::Q4_K_M.name() && fits(row) && gains(row));
    let chosen = best.or_else(usual).or_else(|| rows().rev().find(|row| fits(row)));
    let Some(name) = chosen.map(|row| row.scheme.clone()) else {
        plan.reason = Words {
            zh: "没有一种格式能在现有内存中流畅运行；请换一个更小的模型，或缩短上下文。".to_string(),
            en: "None of the formats runs well in the free memory: choose a smaller model or a shorter context."
                .to_string(),
        };
        return;
    };
    let quick_enough = best.is_some();
    if let Some(row) = plan.schemes.iter_mut().find(|row| row.scheme == name) {
        row.recommended = true;
        plan.reason = reason(row, quick_enough);
    }
}

/// As the page writes it: in GB from one on, else in MB.
fn size(bytes: u64) -> String {
    let (bytes, gigabyte) = (bytes as f64, 1e9);
    if bytes < gigabyte { format!("{:.1} MB", bytes / 1e6) } else { format!("{:.1} GB", bytes / gigabyte) }
}

fn reason(row: &SchemePlan, quick: bool) -> Words {
    let (scheme, file, memory) = (&row.scheme, size(row.bytes), size(row.memory_bytes));
    let (zh_speed, en_speed) = match row.decode_tokens_s {
        Some(speed) => (
            format!("，预计每秒约 {speed:.0} 个 token（根据本机短时测量推算）"),
            format!(", and about {speed:.0} tokens a second are predicted (from a short measurement of this machine)"),
        ),
        None => (String::new(), String::new()),
    };
    let (zh_why, en_why) = if quick {
        ("在本机流畅运行的格式中，它与原模型最接近。", "It is the closest to the original that runs well here.")
    } else {
        (
            "在本机没有更快又足够精确的格式；它在大小与质量之间最均衡。",
            "Nothing exact enough is faster here; it balances size and quality best.",
        )
    };
    Words {
        zh: format!("{scheme}：文件 {file}，运行约需 {memory} 内存{zh_speed}。{zh_why}"),
        en: format!("{scheme}: a file of {file} that takes about {memory} of memory{en_speed}. {en_why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(verdict: impl Fn(&Scheme) -> Verdict, speed: impl Fn(u64) -> Option<f64>) -> MakingPlan {
        let row = |scheme: &Scheme| {
            let bytes = scheme.format().bytes_of(1 << 20).unwrap_or(1 << 20);
            SchemePlan {
                scheme: scheme.name().to_string(),
                bytes,
                bits_per_weight: 0.0,
                memory_bytes: bytes,
                verdict: verdict(scheme),
                decode_tokens_s: speed(bytes),
                perplexity_known: None,
                recommended: false,
            }
        };
        MakingPlan {
            schemes: Scheme::ALL.iter().map(row).collect(),
            requantizes: false,
            free_bytes: 0,
            seconds_per_scheme: None,
            reason: Words { zh: String::new(), en: String::new() },
            problems: Vec::new(),
        }
    }

    fn chosen(mut plan: MakingPlan, source_bytes: u64) -> Option<String> {
        recommend(&mut plan, source_bytes);
        assert!(!plan.reason.zh.is_empty() && !plan.reason.en.is_empty());
        let marked: Vec<_> = plan.schemes.into_iter().filter(|row| row.recommended).collect();
        assert!(marked.len() <= 1);
        marked.into_iter().next().map(|row| row.scheme)
    }

    #[test]
    fn the_most_exact_that_runs_well_is_recommended() {
        let large = u64::MAX;
        assert_eq!(chosen(plan(|_| Verdict::Well, |_| Some(50.0)), large).as_deref(), Some("Q8_0"));
        let four_bits = |scheme: &Scheme| {
            if scheme.format().bytes_of(256) <= Format::Q4_K.bytes_of(256) { Verdict::Well } else { Verdict::Tight }
        };
        assert_eq!(chosen(plan(four_bits, |_| Some(50.0)), large).as_deref(), Some("Q4_K_M"));
        // Too slow at Q8_0 (1.06 MiB), not at Q6_K (0.82 MiB).
        let speed = |bytes| Some(if bytes > 900_000 { 1.0 } else { 5.0 });
        assert_eq!(chosen(plan(|_| Verdict::Well, speed), large).as_deref(), Some("Q6_K"));
        assert_eq!(chosen(plan(|_| Verdict::Well, |_| Some(0.5)), large).as_deref(), Some("Q4_K_M"));
        assert_eq!(chosen(plan(|_| Verdict::TooLarge, |_| None), large), None);
    }

    #[test]
    fn what_is_quantized_already_gets_no_more_bits() {
        let mut plan = plan(|_| Verdict::Well, |_| None);
        plan.requantizes = true;
        let q5 = Scheme::Q5_K_M.format().bytes_of(1 << 20).unwrap();
        assert_eq!(chosen(plan, q5).as_deref(), Some("Q4_K_M"));
    }
}
