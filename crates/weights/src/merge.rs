//! Adds LoRA adapters to a base model: a new folder of safetensors, as if the adapters had always been in the weights.
//!
//! Every tensor is taken through f32 and rounded once to the base's type, as PEFT's `merge_and_unload` does. One tensor's
//! rows at a time are in memory, and the adapters' matrices for it; the folder has its name only when it is whole.

mod arithmetic;
mod fault;
mod files;
mod folder;
pub(crate) mod plan;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use huacaya_progress::{Progress, Watch};

use crate::{Error, Fault as AnyFault};
use folder::FolderWriter;
use plan::{Origin, Plan, Step};

pub use fault::Fault;

/// Values of a tensor that are copied or computed between two looks at the watch.
const PIECE: usize = 4 << 20;

/// What a merge came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeReport {
    /// Tensors that something was added to.
    pub changed: usize,
    /// Tensors that an adapter brought whole, and to which nothing was added.
    pub replaced: usize,
    /// Tensors that are the base's.
    pub copied: usize,
    /// Rows of the embeddings.
    pub vocabulary: usize,
    /// Bytes of the tensors' files.
    pub bytes: u64,
    /// Every file of the new folder.
    pub files: Vec<String>,
}

/// Merges adapters, each with its strength, in their order, into the model of the folder `base`, and makes the folder `out`.
///
/// Nothing may be at `out`. Until all is done, what is made is in `out` with `.part` behind its name; it is removed when
/// the merge ends in an error, and what a killed one left is removed by the next. The watch is told bytes.
///
/// A tensor that an adapter brings whole (`modules_to_save`) is taken as it is, whatever the strength.
pub fn merge(base: &Path, adapters: &[(PathBuf, f32)], out: &Path, watch: Watch<'_>) -> Result<MergeReport, Error> {
    let plan = Plan::make(base, adapters)?;
    let mut writer = FolderWriter::create(out, plan.tensors())?;
    let total = writer.size();
    let mut done = 0;
    let mut report = |more: usize| {
        done += more as u64;
        match watch(Progress { done, total }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::new(out, AnyFault::Stopped)),
        }
    };
    report(0)?;
    for (step, next) in plan.steps.iter().zip(plan.steps.iter().skip(1).map(Some).chain([None])) {
        if let Some(next) = next {
            plan.will_need(next);
        }
        plan.pieces(step, PIECE, &mut |piece| {
            writer.bytes(&step.name, piece)?;
            report(piece.len())
        })?;
        plan.release(step);
    }
    for file in plan.small_files()? {
        writer.small_file(&file.name, &file.bytes)?;
    }
    // The last chance to stop: from here on it is a matter of moments.
    report(0)?;
    let count = |wanted: fn(&Step) -> bool| plan.steps.iter().filter(|step| wanted(step)).count();
    let report = MergeReport {
        changed: count(|step| !step.sums.is_empty()),
        replaced: count(|step| step.sums.is_empty() && matches!(step.origin, Origin::Adapter(..))),
        copied: count(|step| step.sums.is_empty() && matches!(step.origin, Origin::Base)),
        vocabulary: plan.vocabulary,
        bytes: total,
        files: writer.files(),
    };
    writer.finish()?;
    Ok(report)
}

/// Bytes that the tensors' files of the merged model will have. Refuses what [`merge`] would refuse, and writes nothing.
pub fn merged_size(base: &Path, adapters: &[(PathBuf, f32)]) -> Result<u64, Error> {
    folder::size_of(&Plan::make(base, adapters)?.tensors())
}
