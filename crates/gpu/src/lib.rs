//! A decoder on graphics cards of any maker, over wgpu (Vulkan, Metal, DirectX 12) and WGSL, on the blocks of GGUF files.
//!
//! In reading order: which adapters there are (`adapter`), one opened (`device`), the programs that run on it (`program` and
//! its texts: `unit`, `product`, `rows`, `attention`, `pick`) and how one is started (`recorder`), then a model (`weights`),
//! its sequences (`cache`) and a step (`decoder`). Nothing is created before it is asked for: a process that never lists adapters never loads a driver.
//!
//! A weight is read where it lies, in the blocks that the file has, as 32-bit words. Arithmetic is f32.

mod adapter;
mod attention;
mod cache;
mod decoder;
mod device;
mod pick;
mod product;
mod program;
mod recorder;
mod rows;
mod trial;
mod unit;
mod weights;

pub use adapter::{Adapter, Kind, adapters, chosen};
pub use device::{Buffer, Gpu, Limits};
pub use pick::{TOP_MAX, Top};
pub use product::{COLUMNS_FEW, Product};
pub use program::{Access, Program};
pub use recorder::{Counts, Recorder};
pub use rows::{NormCall, RowsCall, TurnCall};
pub use trial::{agrees, trial};
pub use unit::{Kv, supports};

pub use decoder::{Addition, Batch, Decoder, Piece, Running};
pub use weights::{Find, Shape, Stored};

pub use attention::{ATTENTION_BLOCK, AttendCall, FlashCall, HEADS_TOGETHER, QUERY_TILE};

/// What can go wrong on the way to a result.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("there is no graphics adapter {index}: {count} were found")]
    NoAdapter { index: usize, count: usize },
    #[error("the graphics adapter `{adapter}` lacks {what}")]
    Lacks { adapter: String, what: String },
    #[error("the graphics adapter `{adapter}` could not be opened: {reason}")]
    Open { adapter: String, reason: String },
    #[error("the graphics card's memory does not hold {bytes} more bytes for {what}")]
    OutOfMemory { what: String, bytes: u64 },
    #[error("the program `{program}` was refused by the graphics driver: {reason}")]
    Program { program: String, reason: String },
    #[error("the graphics card was lost: {reason}")]
    Lost { reason: String },
    #[error("{what}: {found} where {wanted} would fit")]
    Shape { what: &'static str, found: u64, wanted: u64 },
    #[error("the graphics card computes wrong results: {what}")]
    Wrong { what: String },
    #[error("weights in {format} are not what the graphics programs read")]
    Format { format: huacaya_kernels::Format },
}

pub type Result<T, E = Error> = std::result::Result<T, E>;
