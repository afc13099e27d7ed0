//! What can be wrong with a model file: the file, what is wrong with it, and what to do.

use std::path::{Path, PathBuf};

use crate::{adapter, convert, gguf, merge, pytorch, quantize, safetensors};

/// A fault, and the file that has it.
#[derive(Debug, thiserror::Error)]
#[error("{}: {fault}", path.display())]
pub struct Error {
    pub path: PathBuf,
    pub fault: Fault,
}

/// What is wrong with a file. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("cannot be read or written: {0}")]
    Io(std::io::Error),
    #[error("is not a file. Choose the model's file")]
    NotAFile,
    #[error("is empty (0 bytes). Fetch it again")]
    Empty,
    #[error("is larger than {limit} bytes, far more than such a file needs. Distrust this model")]
    TooLarge { limit: u64 },
    #[error("is no JSON that can be read: {detail}. Fetch it again")]
    Json { detail: String },
    #[error("has neither a .gguf nor a .safetensors nor a .bin file. Choose the model's file or folder")]
    NoModel,
    #[error("is a LoRA adapter, no model of its own. Merge it into the model that it was made for")]
    AdapterAlone,
    #[error("has {count} model files. Choose one of them")]
    SeveralModels { count: usize },
    #[error("is not finished: it was stopped")]
    Stopped,
    #[error(transparent)]
    Gguf(gguf::Fault),
    #[error(transparent)]
    Safetensors(safetensors::Fault),
    #[error(transparent)]
    PyTorch(pytorch::Fault),
    #[error(transparent)]
    Adapter(adapter::Fault),
    /// Boxed: it names more than others do.
    #[error(transparent)]
    Merge(Box<merge::Fault>),
    #[error(transparent)]
    Quantize(quantize::Fault),
    #[error(transparent)]
    Convert(Box<convert::Fault>),
}

/// What a person can do about a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The system would not read or write it: missing, no permission, disk full.
    Io,
    /// It is something else than a model file.
    NotAModel,
    /// The beginning is sound and the end is missing: fetch the rest.
    Incomplete,
    /// It contradicts itself: fetch it again, or distrust it.
    Damaged,
    /// Well-formed as far as can be seen, but of a version, byte order or type that is not supported.
    Unsupported,
    /// Two things that do not belong together.
    Refused,
    /// The watch said so; nothing is left behind.
    Stopped,
    /// The program asked for something that the file does not have, or gave the writer something it cannot write.
    Request,
}

impl Error {
    pub(crate) fn new(path: &Path, fault: impl Into<Fault>) -> Error {
        Error { path: path.to_path_buf(), fault: fault.into() }
    }

    /// What a person can do about it.
    pub fn kind(&self) -> Kind {
        match &self.fault {
            Fault::Io(_) => Kind::Io,
            Fault::NotAFile | Fault::NoModel | Fault::SeveralModels { .. } => Kind::NotAModel,
            Fault::TooLarge { .. } | Fault::Json { .. } => Kind::Damaged,
            Fault::AdapterAlone => Kind::Unsupported,
            Fault::Empty => Kind::Incomplete,
            Fault::Stopped => Kind::Stopped,
            Fault::Gguf(fault) => fault.kind(),
            Fault::Safetensors(fault) => fault.kind(),
            Fault::PyTorch(fault) => fault.kind(),
            Fault::Adapter(fault) => fault.kind(),
            Fault::Merge(_) => Kind::Refused,
            Fault::Quantize(quantize::Fault::NotFinite { .. } | quantize::Fault::ImportanceFile { .. }) => {
                Kind::Damaged
            }
            Fault::Quantize(quantize::Fault::Architecture { .. }) => Kind::Unsupported,
            Fault::Quantize(_) => Kind::Request,
            Fault::Convert(fault) => fault.kind(),
        }
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Fault {
        Fault::Io(error)
    }
}

impl From<gguf::Fault> for Fault {
    fn from(fault: gguf::Fault) -> Fault {
        Fault::Gguf(fault)
    }
}

impl From<safetensors::Fault> for Fault {
    fn from(fault: safetensors::Fault) -> Fault {
        Fault::Safetensors(fault)
    }
}

impl From<merge::Fault> for Fault {
    fn from(fault: merge::Fault) -> Fault {
        Fault::Merge(Box::new(fault))
    }
}

impl From<pytorch::Fault> for Fault {
    fn from(fault: pytorch::Fault) -> Fault {
        Fault::PyTorch(fault)
    }
}

impl From<convert::Fault> for Fault {
    fn from(fault: convert::Fault) -> Fault {
        Fault::Convert(Box::new(fault))
    }
}

impl From<quantize::Fault> for Fault {
    fn from(fault: quantize::Fault) -> Fault {
        Fault::Quantize(fault)
    }
}
