//! Model files in, model files out: the one place where the workshop asks `weights` for bytes.

use std::path::{Path, PathBuf};

use huacaya_progress::Watch;
use huacaya_weights::{
    Error as Fault, Fault as What, Kind,
    convert::{self, Options},
    quantize::{Fault as Quantize, Importance, Scheme, Wanted},
};

use super::{ImportanceSource, making::threads};
use crate::{
    error::{Code, Error},
    merging,
    model_files::file_name,
};

/// What is to be made of a file or folder.
pub(crate) struct Order<'a> {
    /// Merged in first, in order, with their strengths.
    pub adapters: &'a [(PathBuf, f32)],
    pub wanted: &'a Wanted,
    pub importance: Option<&'a Importance>,
}

/// Most of a scheme's own format, nothing by hand.
pub(crate) fn plain(scheme: Scheme) -> Wanted {
    Wanted { scheme, by_hand: Vec::new(), weighted: false }
}

/// Writes the model of `from` to the GGUF file `to`: whole or not at all. Progress counts the source's bytes.
pub(crate) fn make(from: &Path, to: &Path, order: &Order<'_>, watch: Watch<'_>) -> Result<(), Fault> {
    let options = Options {
        wanted: order.wanted.clone(),
        adapters: order.adapters.to_vec(),
        importance: order.importance.cloned(),
        threads: threads(),
    };
    convert::convert(from, to, &options, watch)?;
    Ok(())
}

/// What `weights` would not make of a model.
pub(crate) fn failed(model: &str, importance: Option<&ImportanceSource>, error: Fault) -> Error {
    let reason = error.to_string();
    let matrix = |source: &ImportanceSource| match source {
        ImportanceSource::File { path } | ImportanceSource::Text { path } => file_name(path),
        ImportanceSource::Bundled => String::new(),
    };
    match (error.kind(), &error.fault) {
        (Kind::Stopped | Kind::Io, _) | (_, What::Merge(_) | What::Adapter(_) | What::AdapterAlone) => {
            merging::of_merge(error)
        }
        (
            _,
            What::Quantize(Quantize::Importance { .. } | Quantize::ImportanceForeign | Quantize::ImportanceFile { .. }),
        ) => {
            let name = importance.map(matrix).unwrap_or_default();
            Error::new(Code::ImportanceBroken, reason.clone()).with("name", name).with("reason", reason)
        }
        _ => {
            let detail = format!("{model}: {reason}");
            Error::new(Code::NotQuantizable, detail).with("model", model).with("reason", reason)
        }
    }
}
