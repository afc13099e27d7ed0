//! Quantizing: a model file in, a GGUF of smaller formats out. The arithmetic of a block is in `kernels`; the choice of each
//! tensor's format (`plan`) and the stream of tensors (`stream`) are here.

mod importance;
mod plan;
mod scheme;
mod stream;

pub use importance::Importance;
pub use plan::{Group, Shape, Wanted, plan};
pub use scheme::Scheme;
pub(crate) use stream::{GgufSource, Source, same_file, target_of, write};
pub use stream::{Report, quantize, target};

/// Why a model cannot be quantized as asked.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    #[error("tensor `{tensor}` holds a number that is not finite. Such a model is broken: fetch or convert it again")]
    NotFinite { tensor: String },
    #[error(
        "the importance matrix has {found} numbers for tensor `{tensor}`, which has {columns} columns. It was made for another model"
    )]
    Importance { tensor: String, columns: u64, found: usize },
    #[error("the importance matrix knows none of the tensors that are to be rounded. It was made for another model")]
    ImportanceForeign,
    #[error("is no importance matrix that can be read: {detail}")]
    ImportanceFile { detail: String },
    #[error("is of the architecture `{architecture}`, whose tensors this program does not know how to quantize")]
    Architecture { architecture: String },
    #[error("nothing can be quantized to {format}; choose another")]
    Format { format: huacaya_kernels::Format },
    #[error("is the file that would be written over. Choose another name")]
    OntoItself,
}
