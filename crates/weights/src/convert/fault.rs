//! Why a model cannot be converted. Names from the files are shown escaped: they are untrusted.

use crate::Kind;

/// Why a model cannot be converted, and what to do.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Fault {
    #[error("is of the architecture {architecture:?}, which cannot be converted; Llama, Mistral, Qwen2 and Qwen3 can")]
    Architecture { architecture: String },
    #[error("has no {key:?} that makes sense. Fetch this file again")]
    Key { key: &'static str },
    #[error("is of a model that is quantized already, by {method:?}. Choose the original")]
    Quantized { method: String },
    #[error("names the activation {activation:?}, which a GGUF of this architecture cannot say")]
    Activation { activation: String },
    #[error("names the rope scaling {kind:?}, which cannot be converted")]
    RopeScaling { kind: String },
    #[error("has the tensor {tensor:?}, which models of this architecture do not have")]
    UnknownTensor { tensor: String },
    #[error("has two tensors that would both be {tensor:?}")]
    Repeated { tensor: String },
    #[error("has no {tensor:?}: it is incomplete. Fetch it again")]
    MissingTensor { tensor: String },
    #[error("tensor {tensor:?} is {found:?}, row length first, where the configuration makes it {wanted:?}")]
    Shape { tensor: String, found: Vec<u64>, wanted: Vec<u64> },
    #[error("has neither a tokenizer.model nor a tokenizer.json. Fetch the model's tokenizer files, too")]
    NoTokenizer,
    #[error("is no tokenizer that can be converted: {detail}")]
    Tokenizer { detail: String },
    #[error("is in Meta's layout, which no adapter is made for. Choose the model in Hugging Face's layout")]
    AdaptersOnMeta,
    #[error("is missing: the model is in {count} parts. Fetch it again")]
    RankMissing { count: usize },
    #[error("has another {tensor:?} than the other parts of the model. Fetch it again")]
    RankDiffers { tensor: String },
}

impl Fault {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Fault::Architecture { .. }
            | Fault::Quantized { .. }
            | Fault::Activation { .. }
            | Fault::RopeScaling { .. }
            | Fault::UnknownTensor { .. }
            | Fault::Tokenizer { .. } => Kind::Unsupported,
            Fault::MissingTensor { .. } | Fault::NoTokenizer | Fault::RankMissing { .. } => Kind::Incomplete,
            Fault::Key { .. } | Fault::Repeated { .. } | Fault::Shape { .. } | Fault::RankDiffers { .. } => {
                Kind::Damaged
            }
            Fault::AdaptersOnMeta => Kind::Refused,
        }
    }
}
