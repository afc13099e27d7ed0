//! What can be wrong with an adapter. Names from the file are shown escaped: they are untrusted.

use crate::Kind;

/// What is wrong, where, and what to do.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Fault {
    #[error("is no adapter's configuration: {detail}. Fetch it again")]
    Config { detail: String },
    #[error("is an adapter of the kind {kind:?}; only LORA is supported")]
    PeftType { kind: String },
    #[error("is an adapter made with {setting} ({value}), which is not supported")]
    Unsupported { setting: String, value: String },
    #[error("has {setting} = {value}, which cannot be. The file is damaged")]
    Value { setting: &'static str, value: String },
    #[error("has an adapter_config.json, but neither adapter_model.safetensors nor adapter_model.bin. Fetch it again")]
    NoFile,
    #[error("has no tensors that could be merged. Fetch it again")]
    NoTensors,
    #[error("has the tensor {tensor:?}, of which it is not known what to do. The adapter is of an unsupported kind")]
    UnknownTensor { tensor: String },
    #[error("tensor {tensor:?} stands there twice. The file is damaged")]
    TensorRepeated { tensor: String },
    #[error("tensor {tensor:?} has the shape {shape:?}, where a matrix is wanted. It is of an unsupported kind")]
    Dimensions { tensor: String, shape: Vec<usize> },
    #[error("module {module:?} has no {missing}: the adapter is incomplete. Fetch it again")]
    HalfPair { module: String, missing: &'static str },
    #[error(
        "module {module:?} has the rank {found:?}, where its configuration says {rank}. The files do not fit together"
    )]
    Rank { module: String, rank: usize, found: [usize; 2] },
}

impl Fault {
    /// What a person can do about it.
    pub fn kind(&self) -> Kind {
        match self {
            Fault::NoFile | Fault::HalfPair { .. } => Kind::Incomplete,
            Fault::PeftType { .. }
            | Fault::Unsupported { .. }
            | Fault::UnknownTensor { .. }
            | Fault::Dimensions { .. } => Kind::Unsupported,
            _ => Kind::Damaged,
        }
    }
}
