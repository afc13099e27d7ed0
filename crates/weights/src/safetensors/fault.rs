//! What can be wrong with a safetensors file or the index of several. Names from the file are shown escaped.

use super::Dtype;
use crate::Kind;

/// What is wrong, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("is not a safetensors file: its header does not begin with a brace. Choose a .safetensors or .gguf file")]
    NotSafetensors,
    #[error("claims a header of {length} bytes; {limit} are allowed. The file is damaged")]
    HeaderTooLarge { length: u64, limit: u64 },
    #[error("ends within its header, at byte {size} of {wanted}: it is incomplete. Fetch it again")]
    Truncated { wanted: u64, size: u64 },
    #[error("has a header that cannot be read: {detail}. The file is damaged")]
    Header { detail: String },
    #[error("has a tensor name of {length} bytes; 1 to {limit} are allowed. The file is damaged")]
    NameLength { length: usize, limit: usize },
    #[error("tensor {tensor:?} stands there twice. The file is damaged")]
    TensorRepeated { tensor: String },
    #[error("tensor {tensor:?} is of the unknown type {dtype:?}. The file is damaged or newer than this program")]
    UnknownDtype { tensor: String, dtype: String },
    #[error("tensor {tensor:?} has {count} dimensions, more than {limit}. The file is damaged")]
    TooManyDimensions { tensor: String, count: usize, limit: usize },
    #[error("tensor {tensor:?} is too large to be true ({shape:?}). The file is damaged")]
    TensorTooLarge { tensor: String, shape: Vec<u64> },
    #[error(
        "tensor {tensor:?} takes {given} bytes, where {wanted} follow from its shape and type. The file is damaged"
    )]
    Size { tensor: String, given: u64, wanted: u64 },
    #[error("tensor {tensor:?} ends at {end} before it begins at {start}. The file is damaged")]
    Backwards { tensor: String, start: u64, end: u64 },
    #[error(
        "tensor {tensor:?} ends at byte {end}, past the end of the file at {size}: it is incomplete. Fetch it again"
    )]
    PastEnd { tensor: String, end: u64, size: u64 },
    #[error("tensors {first:?} and {second:?} overlap. The file is damaged")]
    Overlap { first: String, second: String },
    #[error("there are {bytes} bytes that belong to no tensor before byte {at}. The file is damaged")]
    Gap { bytes: u64, at: u64 },
    #[error("the tensor {tensor:?} is missing. The file is incomplete or of a kind that is not supported")]
    TensorMissing { tensor: String },
    #[error("tensor {tensor:?} is of type {dtype}, which is not supported. Choose a model in F32, F16 or BF16")]
    UnsupportedType { tensor: String, dtype: Dtype },
    #[error("is no index of shards that can be read: {detail}. Fetch it again")]
    Index { detail: String },
    #[error("names {count} shards, more than {limit}. The index is damaged")]
    TooManyShards { count: usize, limit: usize },
    #[error("lists tensor {tensor:?} twice. The index is damaged")]
    ListedTwice { tensor: String },
    #[error("names the shard {name:?}, which is not a plain file name ending in {extension}. Distrust this model")]
    ShardName { name: String, extension: &'static str },
    #[error("says that tensor {tensor:?} is in {shard:?}, where it is not. Fetch the model again")]
    NotInShard { tensor: String, shard: String },
    #[error("tensor {tensor:?} was to be written, where the plan has {planned:?} next")]
    OutOfTurn { tensor: String, planned: Option<String> },
    #[error("tensor {tensor:?} was given {given} bytes, where it has {planned}")]
    TooManyBytes { tensor: String, given: u64, planned: u64 },
    #[error("tensor {tensor:?} was not written whole: {missing} bytes are missing")]
    Unfinished { tensor: String, missing: u64 },
}

impl Fault {
    /// What a person can do about it.
    pub fn kind(&self) -> Kind {
        match self {
            Fault::NotSafetensors => Kind::NotAModel,
            Fault::Truncated { .. } | Fault::PastEnd { .. } => Kind::Incomplete,
            Fault::UnknownDtype { .. } | Fault::TensorMissing { .. } | Fault::UnsupportedType { .. } => {
                Kind::Unsupported
            }
            Fault::OutOfTurn { .. } | Fault::TooManyBytes { .. } | Fault::Unfinished { .. } => Kind::Request,
            _ => Kind::Damaged,
        }
    }
}
