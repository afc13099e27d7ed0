//! The decoder over our own kernels: the default on processors.
//!
//! Weights are read where the file is mapped, in the blocks that they are stored in. A row's result has the same bits
//! however many rows share its step, wherever a prompt is cut, and on every processor: so batching, prefix reuse and
//! speculation change nothing in the text.

mod backend;
mod decoder;
mod keys;
mod kv;
mod load;
mod places;
mod plan;
mod step;

#[cfg(test)]
pub(crate) mod tests;

pub(crate) use backend::NativeBackend;
pub(crate) use decoder::{Decoder, Settings};
pub use kv::KvFormat;
pub(crate) use kv::kv_bytes_per_token;
pub use plan::CHUNK;
pub(crate) use plan::scratch_bytes;

use huacaya_kernels::HEAD_SIZE_MAX;

use crate::config::Config;

/// Why this decoder cannot compute a model, if it cannot: the other one takes what it leaves.
pub(crate) fn refuses(config: &Config) -> Option<String> {
    let size = config.head_size;
    (size > HEAD_SIZE_MAX || !size.is_multiple_of(2))
        .then(|| format!("heads of {size} values are not what the kernels are made for"))
}
