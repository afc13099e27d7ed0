//! What can be wrong with a GGUF file. Names from the file are shown escaped: they are untrusted.

use huacaya_kernels::Format;

use crate::Kind;

/// Which part of the header was being read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Magic, version and counts.
    Start,
    /// The name of the key with this index.
    KeyName(u64),
    Key(String),
    /// The name of the tensor with this index.
    TensorName(u64),
    Tensor(String),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Start => write!(f, "the first bytes"),
            Place::KeyName(index) => write!(f, "the name of key {index}"),
            Place::Key(key) => write!(f, "key {key:?}"),
            Place::TensorName(index) => write!(f, "the name of tensor {index}"),
            Place::Tensor(tensor) => write!(f, "tensor {tensor:?}"),
        }
    }
}

/// What is wrong with a GGUF file, where, and what to do.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Fault {
    #[error("is not a GGUF file: it begins with {found:02x?}. Choose a .gguf file")]
    NotGguf { found: Vec<u8> },
    #[error("is a big-endian GGUF file (version {version}), for other processors. Choose a little-endian one")]
    BigEndian { version: u32 },
    #[error("is GGUF version {version}; versions 2 and 3 can be read. Convert it with a current converter")]
    Version { version: u32 },
    #[error("ends within {place}, at byte {size}: it is incomplete. Fetch it again")]
    Truncated { place: Place, size: u64 },
    #[error("{place} lies past the first {limit} bytes, where a header ends at the latest. The file is damaged")]
    HeaderTooLarge { place: Place, limit: u64 },
    #[error("claims {count} keys, more than {limit}. The file is damaged")]
    TooManyKeys { count: u64, limit: u64 },
    #[error("claims {count} tensors, more than {limit}. The file is damaged")]
    TooManyTensors { count: u64, limit: u64 },
    #[error("{place} is {length} bytes long; 1 to {limit} are allowed. The file is damaged")]
    NameLength { place: Place, length: u64, limit: u64 },
    #[error("{place} is not UTF-8. The file is damaged")]
    NotUtf8 { place: Place },
    #[error("key {key:?} stands there twice. The file is damaged")]
    KeyRepeated { key: String },
    #[error("key {key:?} has a value of the unknown type {number}. The file is damaged or newer than this program")]
    UnknownValueKind { key: String, number: u32 },
    #[error("key {key:?} is an array of arrays, which is not supported")]
    NestedArray { key: String },
    #[error("key {key:?} has the truth value {value}; 0 and 1 are allowed. The file is damaged")]
    NotBool { key: String, value: u8 },
    #[error("the alignment is {alignment}; a power of two from 1 to {limit} is allowed. The file is damaged")]
    Alignment { alignment: u64, limit: u64 },
    #[error("tensor {tensor:?} stands there twice. The file is damaged")]
    TensorRepeated { tensor: String },
    #[error("tensor {tensor:?} has {count} dimensions, more than {limit}. The file is damaged")]
    TooManyDimensions { tensor: String, count: u32, limit: u32 },
    #[error("tensor {tensor:?} has a dimension of 0 ({dimensions:?}). The file is damaged")]
    EmptyDimension { tensor: String, dimensions: Vec<u64> },
    #[error("tensor {tensor:?} is too large to be true ({dimensions:?}). The file is damaged")]
    TensorTooLarge { tensor: String, dimensions: Vec<u64> },
    #[error("tensor {tensor:?} has rows of {row} values, not whole blocks of {format}. The file is damaged")]
    PartialBlock { tensor: String, format: Format, row: u64 },
    #[error("tensor {tensor:?} is of type {}, which is not supported. Choose another quantization of the model", type_name(*.number))]
    UnsupportedType { tensor: String, number: u32 },
    #[error("tensor {tensor:?} begins at {offset}, not a multiple of the alignment {alignment}. The file is damaged")]
    Misaligned { tensor: String, offset: u64, alignment: u64 },
    #[error(
        "tensor {tensor:?} ends at byte {end}, past the end of the file at {size}: it is incomplete. Fetch it again"
    )]
    PastEnd { tensor: String, end: u64, size: u64 },
    #[error("tensors {first:?} and {second:?} overlap. The file is damaged")]
    Overlap { first: String, second: String },
    #[error("the key {key:?} is missing. The file is incomplete or of a kind that is not supported")]
    KeyMissing { key: String },
    #[error("the key {key:?} holds {found}, where {wanted} is wanted. The file is damaged or of an unsupported kind")]
    KeyKind { key: String, wanted: &'static str, found: String },
    #[error("the tensor {tensor:?} is missing. The file is incomplete or of a kind that is not supported")]
    TensorMissing { tensor: String },
    #[error("claims to be one of {count} files, more than {limit}. The file is damaged")]
    TooManyParts { count: u64, limit: u64 },
    #[error(
        "is one of {count} files that a model was split into, but not named like one. Give it back the name that it was \
         fetched under (…-00001-of-{count:05}.gguf)"
    )]
    PartName { count: u64 },
    #[error("is missing: the model was split into {count} files, of which this is number {number}. Fetch it, too")]
    PartMissing { number: u64, count: u64 },
    #[error("is not what its name says, number {number} of {count} files of one model. Fetch it again")]
    PartStrange { number: u64, count: u64 },
    #[error("has {found} tensors in all its files, where it says {wanted}. Fetch them again")]
    PartTensors { found: u64, wanted: u64 },
    #[error("tensor {tensor:?} was to be written, where the plan has {planned:?} next")]
    OutOfTurn { tensor: String, planned: Option<String> },
    #[error("tensor {tensor:?} was given {given} bytes more than its {planned} allow")]
    TooManyBytes { tensor: String, given: u64, planned: u64 },
    #[error("tensor {tensor:?} was not written whole: {missing} bytes are missing")]
    Unfinished { tensor: String, missing: u64 },
    #[error("tensor {tensor:?} cannot be written: {error}")]
    Unwritable { tensor: String, error: huacaya_kernels::Error },
}

fn type_name(number: u32) -> String {
    huacaya_kernels::ggml_type_name(number).map_or_else(|| format!("number {number}"), str::to_owned)
}

impl Fault {
    /// What a person can do about it.
    pub fn kind(&self) -> Kind {
        match self {
            Fault::NotGguf { .. } => Kind::NotAModel,
            Fault::Truncated { .. } | Fault::PastEnd { .. } | Fault::PartMissing { .. } => Kind::Incomplete,
            Fault::BigEndian { .. }
            | Fault::Version { .. }
            | Fault::UnknownValueKind { .. }
            | Fault::NestedArray { .. }
            | Fault::UnsupportedType { .. }
            | Fault::KeyMissing { .. }
            | Fault::KeyKind { .. }
            | Fault::TensorMissing { .. } => Kind::Unsupported,
            Fault::OutOfTurn { .. }
            | Fault::TooManyBytes { .. }
            | Fault::Unfinished { .. }
            | Fault::Unwritable { .. } => Kind::Request,
            _ => Kind::Damaged,
        }
    }
}
