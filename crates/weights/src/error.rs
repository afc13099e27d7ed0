//! What can be wrong with a model file: the file, what is wrong with it, and what to do.

use std::path::{Path, PathBuf};

use crate::gguf;

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
    #[error(transparent)]
    Gguf(gguf::Fault),
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
            Fault::NotAFile => Kind::NotAModel,
            Fault::Empty => Kind::Incomplete,
            Fault::Gguf(fault) => fault.kind(),
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
