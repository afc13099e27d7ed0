//! Converting: a checkpoint of Hugging Face's or Meta's layout in, a GGUF file out, in any format of `quantize`, adapters
//! merged on the way.
//!
//! Source: `convert_hf_to_gguf.py` of llama.cpp, whose tensors and keys these are, save for a few (`tests/golden/convert.py`
//! lists them).

mod fault;
mod folder;
mod hyperparameters;
mod merges;
mod meta;
mod name;
mod order;
mod special;
mod tokenizer;

use std::path::{Path, PathBuf};

use huacaya_progress::Watch;

use crate::checkpoint::Checkpoint;
use crate::gguf::TensorPlan;
use crate::merge::plan::refused;
use crate::quantize::{GgufSource, Importance, Report, Source, Wanted, same_file, target_of, write};
use crate::{Error, merge, quantize};
use folder::FolderSource;
use meta::MetaSource;

pub use fault::Fault;

/// What is to be made of a model.
#[derive(Clone, Debug)]
pub struct Options {
    pub wanted: Wanted,
    /// Merged in this order, each with its strength.
    pub adapters: Vec<(PathBuf, f32)>,
    pub importance: Option<Importance>,
    pub threads: usize,
}

/// Writes the model of `from` to the GGUF file `to`: whole or not at all, `to` appears at the end. Progress counts the
/// source's bytes.
///
/// `from` is a GGUF file (whole or split), a folder of Hugging Face's or one of its files, or a folder of Meta's. With
/// adapters it must be the second; the result is the same as of merging, converting and quantizing one after another.
pub fn convert(from: &Path, to: &Path, options: &Options, watch: Watch<'_>) -> Result<Report, Error> {
    let source = open(from, &options.adapters)?;
    if same_file(from, to) {
        return Err(Error::new(from, quantize::Fault::OntoItself));
    }
    write(&*source, to, &options.wanted, options.importance.as_ref(), options.threads, watch)
}

/// The tensors of this model as they would be written, and what the file would take. Refuses what [`convert`] would refuse
/// before it begins; nothing is written.
pub fn target(from: &Path, adapters: &[(PathBuf, f32)], wanted: &Wanted) -> Result<(Vec<TensorPlan>, u64), Error> {
    target_of(&*open(from, adapters)?, wanted)
}

fn open(from: &Path, adapters: &[(PathBuf, f32)]) -> Result<Box<dyn Source>, Error> {
    if let Some(folder) = meta::folder(from) {
        if !adapters.is_empty() {
            return Err(Error::new(folder, Fault::AdaptersOnMeta));
        }
        return Ok(Box::new(MetaSource::open(folder)?));
    }
    Ok(match Checkpoint::open(from)? {
        Checkpoint::Folder(folder) => Box::new(FolderSource::new(folder, adapters)?),
        Checkpoint::Gguf(_) if !adapters.is_empty() => return Err(refused(from, merge::Fault::BaseIsGguf)),
        Checkpoint::Gguf(file) => Box::new(GgufSource::new(file)),
    })
}
