//! What can be wrong with a PyTorch file. Names from the file are shown escaped: they are untrusted.

use crate::Kind;
use crate::safetensors::Dtype;

/// What is wrong, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error(
        "was saved by a PyTorch older than 1.6, in a form that is not read here. Open it with PyTorch and save it \
         again: torch.save(torch.load(path, weights_only=True), path)"
    )]
    Legacy,
    #[error("is in Meta's original layout, which can be converted, but not used as it is. Convert it in the workshop")]
    Meta,
    #[error("ends without a zip archive's list of entries, at byte {size}: it is incomplete. Fetch it again")]
    Truncated { size: u64 },
    #[error("has a list of entries that cannot be read. The file is damaged")]
    Directory,
    #[error("claims {count} entries, more than {limit}. The file is damaged")]
    TooManyEntries { count: u64, limit: u64 },
    #[error("entry {entry:?} stands there twice. The file is damaged")]
    EntryRepeated { entry: String },
    #[error("entries {first:?} and {second:?} overlap. The file is damaged")]
    EntriesOverlap { first: String, second: String },
    #[error("entry {entry:?} is encrypted. Distrust this file")]
    Encrypted { entry: String },
    #[error("entry {entry:?} is compressed, which PyTorch never does. Fetch the original file")]
    Compressed { entry: String },
    #[error("entry {entry:?} has {first} bytes and {second} bytes at once. The file is damaged")]
    EntrySize { entry: String, first: u64, second: u64 },
    #[error("entry {entry:?} has a header that says something else than the list of entries. The file is damaged")]
    HeadersDiffer { entry: String },
    #[error("entry {entry:?} ends at byte {end}, past the end of the file at {size}: it is incomplete. Fetch it again")]
    PastEnd { entry: String, end: u64, size: u64 },
    #[error("is a zip archive without a data.pkl: no PyTorch file. Choose the model's file")]
    NoPickle,
    #[error("has several data.pkl. The file is damaged")]
    SeveralPickles,
    #[error("was saved in the byte order {order:?}; only \"little\" can be read. Save it again on a common computer")]
    ByteOrder { order: String },
    #[error("has a data.pkl of {bytes} bytes; {limit} are allowed. The file is damaged")]
    PickleTooLarge { bytes: u64, limit: u64 },
    #[error("has a data.pkl that ends in the middle of an instruction, at byte {at}. The file is damaged")]
    PickleEnds { at: usize },
    #[error(
        "has a data.pkl with the instruction {name} at byte {at}, which a file of weights has no use for. Distrust \
         this model"
    )]
    Opcode { name: String, at: usize },
    #[error("names {name:?} in its data.pkl, which a file of weights has no use for. Distrust this model")]
    Global { name: String },
    #[error("calls {what} with other values than PyTorch writes, at byte {at} of data.pkl. Distrust this model")]
    Call { what: String, at: usize },
    #[error("has a data.pkl that contradicts itself at byte {at}: {what}. The file is damaged")]
    Pickle { what: &'static str, at: usize },
    #[error("has a data.pkl with more than {limit} {what}. The file is damaged")]
    TooMany { what: &'static str, limit: usize },
    #[error(
        "holds no dictionary of tensors at its top. It may be a training checkpoint: save the model's state_dict alone"
    )]
    NoTensors,
    #[error("has a tensor name of {length} bytes; 1 to {limit} are allowed. The file is damaged")]
    NameLength { length: usize, limit: usize },
    #[error("tensor {tensor:?} stands there twice. The file is damaged")]
    TensorRepeated { tensor: String },
    #[error(
        "tensor {tensor:?} has the shape {shape:?} with the steps {strides:?}, which cannot be. The file is damaged"
    )]
    Shape { tensor: String, shape: Vec<i64>, strides: Vec<i64> },
    #[error("tensor {tensor:?} reaches to value {end} of its storage, which has {values}. The file is damaged")]
    PastStorage { tensor: String, end: u64, values: u64 },
    #[error("tensor {tensor:?} repeats values of its storage: {wanted} from {values}. Save it again as it is")]
    Repeats { tensor: String, wanted: u64, values: u64 },
    #[error("tensor {tensor:?} lies in the storage {key:?}, which the file does not have. Fetch it again")]
    StorageMissing { tensor: String, key: String },
    #[error("storage {key:?} has {found} bytes, where {wanted} are said to be in it. The file is damaged")]
    StorageSize { key: String, found: u64, wanted: u64 },
    #[error(
        "has tensors of {bytes} bytes in a file of {size}: they share their storages too often. Distrust this model"
    )]
    Shared { bytes: u64, size: u64 },
    #[error("the tensor {tensor:?} is missing. The file is incomplete or of a kind that is not supported")]
    TensorMissing { tensor: String },
    #[error("tensor {tensor:?} is of type {dtype}, which is not supported. Choose a model in F32, F16 or BF16")]
    UnsupportedType { tensor: String, dtype: Dtype },
}

impl Fault {
    /// What a person can do about it.
    pub fn kind(&self) -> Kind {
        match self {
            Fault::NoPickle => Kind::NotAModel,
            Fault::Truncated { .. } | Fault::PastEnd { .. } => Kind::Incomplete,
            Fault::Legacy
            | Fault::Meta
            | Fault::ByteOrder { .. }
            | Fault::NoTensors
            | Fault::Repeats { .. }
            | Fault::TensorMissing { .. }
            | Fault::UnsupportedType { .. } => Kind::Unsupported,
            _ => Kind::Damaged,
        }
    }
}
