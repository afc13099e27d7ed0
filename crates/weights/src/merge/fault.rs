//! Why a merge is refused. Names from the files are shown escaped: they are untrusted.

/// Why two things cannot be merged, and what to do.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Fault {
    #[error("stands there already. Choose another name")]
    Exists,
    #[error("no adapter was chosen")]
    NoAdapter,
    #[error("is a GGUF file, whose weights are rounded already. Choose the base model's safetensors or .bin folder")]
    BaseIsGguf,
    #[error("was given the strength {strength}: a number other than 0, from -{limit} to {limit}, is wanted")]
    Strength { strength: f32, limit: f32 },
    #[error("does not belong to this base model: {base} has no {tensor:?}")]
    ModuleMissing { tensor: String, base: String },
    #[error("does not belong to this base model: for {tensor:?} it is made for {wanted:?}, where {base} has {found:?}")]
    Shape { tensor: String, wanted: Vec<usize>, found: Vec<usize>, base: String },
    #[error("says that it changes {module:?}, but has nothing for {tensor:?}: it is incomplete. Fetch it again")]
    PairMissing { module: String, tensor: String },
    #[error("says that it brings {module:?}, but does not have it: it is incomplete. Fetch it again")]
    SavedMissing { module: String },
    #[error("adds nothing: all that it would add is zero. It was never trained, or is damaged")]
    AddsNothing,
    #[error("brings {tensor:?} whole, which {other} changes, too: the two cannot be merged into one model")]
    Conflict { tensor: String, other: String },
    #[error("has a vocabulary of {tokens} tokens, where the merged model has {rows}. {hint}")]
    Vocabulary { tokens: usize, rows: usize, hint: &'static str },
    #[error("brings embeddings for {rows} tokens, but no tokenizer came with it. Fetch its tokenizer files, too")]
    TokenizerMissing { rows: usize },
    #[error("would have {embeddings} rows of embeddings and {head} of the output's matrix. The adapter is incomplete")]
    HeadDiffers { embeddings: usize, head: usize },
    #[error("has a config.json that is for a model of another shape: {key} is {found}, where the base has {wanted}")]
    Config { key: &'static str, found: String, wanted: String },
    #[error("tensor {tensor:?} cannot be computed: {error}")]
    Arithmetic { tensor: String, error: huacaya_kernels::Error },
}
