//! Block formats and the arithmetic on them. Knows nothing of files or models.
//!
//! The scalar code here is the specification: every faster path must agree with it over the whole value range.

mod activation;
mod aligned;
mod attention;
mod dequantize;
mod format;
mod matmul;
mod pool;
mod product;
mod quantize;
mod set;
mod stored;
mod strip;
mod table;
mod vector;

pub use activation::{ActivationRow, Activations, Grouping, SUM_LENGTH};
pub use attention::{ATTENTION_TILE, HEAD_SIZE_MAX, Page, Past, Queries, Turn};
pub use dequantize::dequantize;
pub use format::{Format, ggml_type_name};
pub use matmul::{Input, Rows};
pub use pool::{Part, Pool, physical_cores};
pub use product::add_product;
pub use quantize::{quantize, quantize_weighted};
pub use set::InstructionSet;
pub use strip::Strip;
pub use table::{Choice, KERNELS_VARIABLE, Kernels};
pub use vector::Pairs;

/// A caller handed over slices that do not fit each other, or asked for a conversion that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// `bytes` is not a whole number of blocks, or `values` is not what they hold.
    Length { format: Format, bytes: usize, values: usize },
    /// One importance is needed for each column of the row.
    Importance { columns: usize, importance: usize },
    /// No quantizer writes this format.
    NoQuantizer { format: Format },
    /// The parts of a product do not fit each other.
    Product { part: &'static str, found: usize, wanted: usize },
    /// Something has a size that does not fit the rest of the call.
    Shape { what: &'static str, length: usize, wanted: usize },
    /// The input of a product is not of the kind that weights of this format take ([`Format::grouping`]).
    Input { format: Format },
}

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Error::Length { format, bytes, values } => {
                let (length, size) = (format.block_length(), format.block_bytes());
                write!(
                    f,
                    "{bytes} bytes of {format} do not hold {values} values: a block of {length} takes {size} bytes"
                )
            }
            Error::Importance { columns, importance } => {
                write!(
                    f,
                    "a row of {columns} values cannot be weighted by {importance} numbers: one a column is needed"
                )
            }
            Error::Product { part, found, wanted } => {
                write!(f, "a product with {found} {part} where {wanted} are needed")
            }
            Error::Shape { what, length, wanted } => write!(f, "{what}: {length} where {wanted} would fit"),
            Error::Input { format } => {
                write!(
                    f,
                    "weights in {format} cannot be multiplied with activations that were prepared for another format"
                )
            }
            Error::NoQuantizer { format } => write!(f, "cannot quantize to {format}: it can only be read"),
        }
    }
}

impl std::error::Error for Error {}
