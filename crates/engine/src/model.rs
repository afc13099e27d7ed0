//! A loaded model: an immutable value.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use huacaya_kernels::{InstructionSet, Kernels};
use huacaya_progress::Watch;
use huacaya_weights::Checkpoint;

use crate::backend::Backend;
use crate::candle::{CandleBackend, Decoder, Fused, Tap, keeps_blocks, load};
use crate::config::{CONTEXT_MAX, Config, unusable};
use crate::device::{CPU_NAME, Opened, open_or_cpu};
use crate::grammar::{Course, Grammar, Grammars};
use crate::graphics::{self, Graphics, GraphicsBackend};
use crate::memory::Holder;
use crate::native::{self, CHUNK, KvFormat, NativeBackend, Settings, kv_bytes_per_token};
use crate::rope::Scaling;
use crate::source::Source;
use crate::template::{Prompt, Rendered, Template};
use crate::tokenizer::Tokenizer;
use crate::{Memory, Result};

/// Chinese-LLaMA-2's rule for adaptive NTK is this factor in the general one.
const NTK_FACTOR: f32 = 2.0;
/// The template of a model that only continues text.
const NO_TEMPLATE: &str = "none";
/// Less holds no prompt and reply.
const CONTEXT_MIN: usize = 16;
/// Positions for all texts together where nobody says: keys and values are held in pages of some hundred.
pub const POSITIONS_LEAST: usize = 2_048;
/// The environment variable that goes back to the reference decoder: "candle".
pub const BACKEND_VARIABLE: &str = "HUACAYA_BACKEND";

/// Whether a model answers or only continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Continues raw text; has no template.
    Base,
    Chat,
}

/// What to do where more positions are wanted than the model was made for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Extension {
    /// The rope's base grows with the text once it is longer than what the model was made for (NTK, adaptive), unless the
    /// model brings a scaling of its own that has to do with length.
    #[default]
    Auto,
    Off,
    /// NTK with this alpha from the first token on.
    Fixed(f32),
}

/// How a model is to be loaded.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    /// In tokens; `None`: what the model was made for.
    pub context: Option<usize>,
    /// An id of [`crate::devices`], "gpu:" with a graphics adapter's number or a part of its label, or [`crate::AUTO`];
    /// `None`: "cpu". Where it is not available, "cpu" with a reason. The environment ([`crate::GPU_VARIABLE`]) goes before it.
    pub device: Option<String>,
    /// Identities of graphics adapters with the shape of a model each, at which the processor was faster: none is chosen
    /// where nobody asked for it.
    pub slower: Vec<(String, String)>,
    /// What the person set: a built-in template's name, "none", or a Jinja template.
    pub template: Option<String>,
    pub extension: Extension,
    /// What keys and values are kept in on a processor.
    pub kv: KvFormat,
    /// `None`: a thread for each core that computing pays on.
    pub threads: Option<usize>,
    /// Rows of a step; `None`: [`crate::CHUNK`].
    pub chunk: Option<usize>,
    /// Where `HUACAYA_KERNELS` forces none. `None`: the best that the processor has.
    pub kernels: Option<InstructionSet>,
    /// The reference decoder even where ours could compute.
    pub candle: bool,
    /// Positions whose keys and values all texts together may take on a processor, at least a context; `None`: a context, or
    /// [`POSITIONS_LEAST`] where it is shorter. Texts that need more wait for each other.
    pub positions: Option<usize>,
}

/// Whether [`BACKEND_VARIABLE`] asks for the reference decoder, whatever the options say. Always the same in one process.
pub fn candle_is_forced() -> bool {
    static FORCED: OnceLock<bool> = OnceLock::new();
    *FORCED.get_or_init(|| std::env::var(BACKEND_VARIABLE).is_ok_and(|name| name == "candle"))
}

impl LoadOptions {
    /// How our own decoder would compute the model; why not, where it cannot.
    fn native(&self, config: &Config, on_cpu: bool) -> Result<Settings, String> {
        if !on_cpu {
            return Err("it computes on processors only".to_string());
        }
        if self.candle || candle_is_forced() {
            return Err("the reference decoder was asked for".to_string());
        }
        if let Some(reason) = native::refuses(config) {
            return Err(reason);
        }
        let kv = match kv_bytes_per_token(config, self.kv) {
            Ok(_) => self.kv,
            Err(error) => {
                tracing::warn!(%error, "keys and values are kept in f16");
                KvFormat::F16
            }
        };
        let choice = Kernels::choice();
        let wanted = self.kernels.filter(|_| !choice.forced).and_then(Kernels::of);
        let kernels = wanted.unwrap_or(choice.kernels);
        Ok(Settings { kernels, threads: self.threads, chunk: self.chunk.unwrap_or(CHUNK).max(2), kv })
    }

    fn holder(&self, config: &Config, on_cpu: bool) -> Holder {
        match self.native(config, on_cpu) {
            Ok(Settings { kv, chunk, .. }) => Holder::Native { kv, chunk },
            Err(_) => Holder::Candle { on_cpu },
        }
    }

    /// The model's shape with the rope that the wanted context asks for, and the context.
    fn apply(&self, config: &Config) -> Result<(Config, usize)> {
        let context = self.context.unwrap_or(config.context).max(CONTEXT_MIN);
        if context > CONTEXT_MAX {
            return unusable(format!("a context of {context} tokens was asked for; {CONTEXT_MAX} is the most"));
        }
        let mut config = config.clone();
        let linear = match config.rope.scaling {
            Scaling::Plain => Some(1.0),
            Scaling::Linear { factor } => Some(factor),
            _ => None,
        };
        match (self.extension, linear) {
            (Extension::Auto, Some(linear)) if context > config.context => {
                let original = config.context;
                config.rope.scaling = Scaling::NtkAdaptive { factor: NTK_FACTOR, original, linear };
            }
            (Extension::Fixed(alpha), Some(linear)) => config.rope.scaling = Scaling::Ntk { alpha, linear },
            (Extension::Fixed(_), None) => {
                return unusable("the model has a rope scaling of its own: NTK cannot be set beside it".to_string());
            }
            _ => {}
        }
        config.validate()?;
        Ok((config, context))
    }
}

/// A way for the native decoder to compute: the answer is the same in all that keep keys and values alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    pub kernels: InstructionSet,
    pub threads: usize,
    /// Rows of a step, at least 2.
    pub chunk: usize,
    /// What keys and values are kept in.
    pub kv: KvFormat,
}

impl Way {
    /// `None` where this machine lacks the instruction set, or heads are no whole blocks of the format of keys and values.
    fn settings(&self, config: &Config) -> Option<Settings> {
        let kernels = Kernels::of(self.kernels)?;
        kv_bytes_per_token(config, self.kv).ok()?;
        Some(Settings { kernels, threads: Some(self.threads.max(1)), chunk: self.chunk.max(2), kv: self.kv })
    }
}

/// What is known from the header, without loading.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// `general.name`, or the file's or folder's name without its ending.
    pub name: String,
    pub kind: Kind,
    /// "llama", "qwen2", "qwen3".
    pub architecture: String,
    /// "Q4_K_M", "F16", …
    pub quantization: String,
    /// In words, what must agree for two models to be computed as fast: all but the values of the weights.
    pub shape: String,
    pub file_bytes: u64,
    pub parameter_count: u64,
    /// What it was made for, in tokens.
    pub context_tokens: usize,
    /// The template's name, "" for a base model.
    pub template: String,
    /// "built in", "file", "set by you", "none".
    pub template_source: &'static str,
    /// The template knows a thinking switch or a thought span.
    pub thinks: bool,
    /// The template takes tools that the model may call.
    pub takes_tools: bool,
    /// What was not as expected but could be worked around.
    pub warnings: Vec<String>,
}

/// What computes a model.
enum Computing {
    Native(Arc<native::Decoder>),
    Graphics(Arc<Graphics>),
    Candle(Arc<Decoder>),
}

impl Computing {
    /// A graphics adapter where one is asked for and can, else what the processor or candle's device has.
    fn over(
        source: Source,
        config: &Config,
        shape: &str,
        options: &LoadOptions,
        opened: &mut Opened,
        watch: Watch<'_>,
    ) -> Result<Computing> {
        let settings = options.native(config, opened.device.is_cpu());
        if let (Some(wish), Ok(settings)) = (graphics::wish(options.device.as_deref()), &settings) {
            let slower = options.slower.iter().filter(|(_, of)| of == shape).map(|(card, _)| card.clone());
            match Graphics::load(&wish, &slower.collect::<Vec<_>>(), &source, config, *settings, watch)? {
                Ok(graphics) => {
                    opened.name = graphics.device().to_owned();
                    tracing::info!(device = opened.name, "the graphics card computes");
                    return Ok(Computing::Graphics(Arc::new(graphics)));
                }
                Err(reason) => {
                    tracing::info!(reason, "the processor computes instead of a graphics card");
                    opened.fell_back = reason;
                }
            }
        }
        match settings {
            Ok(settings) => {
                let decoder = native::Decoder::open(source, config, settings, watch)?;
                let (kernels, threads) = (settings.kernels.set().name(), decoder.threads());
                let reason = Kernels::choice().reason;
                tracing::info!(kernels, reason, threads, kv = settings.kv.name(), "the native decoder computes");
                Ok(Computing::Native(Arc::new(decoder)))
            }
            Err(reason) => {
                tracing::info!(reason, device = opened.name, "the candle decoder computes");
                let blocks = keeps_blocks(config, opened.device.is_cpu());
                let decoder = load(&source, config, &opened.device, blocks, Arc::new(Fused), watch)?;
                Ok(Computing::Candle(Arc::new(decoder)))
            }
        }
    }
}

/// Told the id of a model that goes.
type Tell = Box<dyn Fn(u64) + Send>;

/// Weights, tokenizer and template, ready to answer.
pub struct Model {
    id: u64,
    description: Description,
    config: Config,
    context: usize,
    positions: usize,
    /// On a processor, where a graphics card computes now.
    positions_spare: usize,
    memory: Memory,
    tokenizer: Tokenizer,
    template: Template,
    grammars: Grammars,
    computing: Computing,
    device: String,
    fell_back: Option<String>,
    /// Who keeps sessions of this model and is to be told when it goes.
    mourners: Mutex<BTreeMap<u64, Tell>>,
}

impl Model {
    /// Loads a GGUF file or a Hugging Face folder. The watch counts bytes and may stop it.
    pub fn load(path: &Path, options: &LoadOptions, watch: Watch<'_>) -> Result<Model> {
        let source = Source::open(path)?;
        let (config, context) = options.apply(&source.config)?;
        let (tokenizer, template) = text_side(&source, options.template.as_deref())?;
        let description = description(&source, &tokenizer, &template);
        let wish = graphics::wish(options.device.as_deref());
        let mut opened = open_or_cpu(if wish.is_some() { None } else { options.device.as_deref() });
        let on_cpu = opened.device.is_cpu();
        let memory = Memory::of(&source, &config, context, options.holder(&config, on_cpu))?;
        let computing = Computing::over(source, &config, &description.shape, options, &mut opened, watch)?;
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Ok(Model {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            description,
            config,
            context,
            positions: match &computing {
                Computing::Graphics(_) => None,
                Computing::Native(_) | Computing::Candle(_) => options.positions,
            }
            .unwrap_or(POSITIONS_LEAST)
            .max(context),
            positions_spare: options.positions.unwrap_or_default(),
            memory,
            tokenizer,
            template,
            grammars: Grammars::default(),
            computing,
            device: opened.name,
            fell_back: opened.fell_back,
            mourners: Mutex::default(),
        })
    }

    /// What loading would need, from the header alone.
    pub fn estimate(path: &Path, options: &LoadOptions) -> Result<Memory> {
        let source = Source::open(path)?;
        let (config, context) = options.apply(&source.config)?;
        let on_cpu = open_or_cpu(options.device.as_deref()).device.is_cpu();
        Memory::of(&source, &config, context, options.holder(&config, on_cpu))
    }

    /// What the header says. Everything but the weights is checked; `template` is what the person set.
    pub fn describe(path: &Path, template: Option<&str>) -> Result<Description> {
        let source = Source::open(path)?;
        for (name, shape) in source.config.parameters() {
            source.view(&name, &shape)?;
        }
        let (tokenizer, template) = text_side(&source, template)?;
        Ok(description(&source, &tokenizer, &template))
    }

    pub fn description(&self) -> &Description {
        &self.description
    }

    /// The prompt in the model's tokens.
    pub fn render(&self, prompt: &Prompt) -> Result<Rendered> {
        Ok(self.template.render(prompt, &self.tokenizer)?)
    }

    /// Compiles a grammar for the model's vocabulary, or says why it cannot be used. The last few are remembered, so that
    /// answers that ask for them begin at once. Takes milliseconds, for the first grammar of a model some tens.
    pub fn compile(&self, grammar: &Grammar) -> Result<()> {
        self.grammars.compile(grammar, &self.tokenizer).map(drop)
    }

    /// What holds an answer to one call of these tools (OpenAI's tool objects), or to `several`, in the form of the template's
    /// family; none where it takes no tools.
    pub fn call_grammar(&self, tools: &[serde_json::Value], several: bool) -> Option<Grammar> {
        Some(self.template.calls()?.grammar(tools, several, &self.tokenizer))
    }

    /// The way of an answer to `prompt` through a grammar.
    pub(crate) fn course(&self, grammar: &Grammar, prompt: &Prompt, rendered: &Rendered) -> Result<Course> {
        self.grammars.course(grammar, prompt, rendered, &self.tokenizer)
    }

    /// A text as tokens, without any control token.
    pub fn tokenize(&self, text: &str) -> Vec<u32> {
        self.tokenizer.encode(text)
    }

    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    pub fn template(&self) -> &Template {
        &self.template
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Positions that a text may have, prompt and reply together.
    pub fn context(&self) -> usize {
        self.context
    }

    /// Positions whose keys and values all texts together may take.
    pub fn positions(&self) -> usize {
        self.positions
    }

    pub fn memory(&self) -> &Memory {
        &self.memory
    }

    /// "CPU", "CUDA 0", "Metal".
    pub fn device(&self) -> &str {
        match self.computing {
            Computing::Graphics(_) if self.fell_back().is_some() => CPU_NAME,
            _ => &self.device,
        }
    }

    /// Why it is not, or no longer, on the device that was asked for.
    pub fn fell_back(&self) -> Option<&str> {
        match &self.computing {
            Computing::Graphics(graphics) => graphics.gave_up(),
            _ => self.fell_back.as_deref(),
        }
    }

    /// "native", "gpu" or "candle".
    pub fn backend_name(&self) -> &'static str {
        match &self.computing {
            Computing::Native(_) => "native",
            Computing::Graphics(_) => "gpu",
            Computing::Candle(_) => "candle",
        }
    }

    /// What of the processor the native decoder uses: "avx2", "neon", …
    pub fn kernels(&self) -> Option<&'static str> {
        self.native().map(|decoder| decoder.settings.kernels.set().name())
    }

    /// Threads of the native decoder.
    pub fn threads(&self) -> Option<usize> {
        self.native().map(|decoder| decoder.threads())
    }

    /// What keys and values are kept in; `None` where candle computes.
    pub fn kv_format(&self) -> Option<KvFormat> {
        match &self.computing {
            Computing::Native(decoder) => Some(decoder.settings.kv),
            Computing::Graphics(graphics) => Some(graphics.kv_format(graphics.settings().kv)),
            Computing::Candle(_) => None,
        }
    }

    /// Whether keys and values are kept as they would be where `kv` is wanted.
    pub fn keeps(&self, kv: KvFormat) -> bool {
        let wanted = match &self.computing {
            Computing::Graphics(graphics) => graphics.kv_format(kv),
            Computing::Native(_) | Computing::Candle(_) => kv,
        };
        self.kv_format() == Some(wanted)
    }

    /// Leaves a core free while the person uses the machine, where the native decoder computes.
    pub fn set_quiet(&self, quiet: bool) {
        self.native().into_iter().for_each(|decoder| decoder.set_quiet(quiet));
    }

    /// How the native decoder computes.
    pub fn way(&self) -> Option<Way> {
        self.native().map(|decoder| Way {
            kernels: decoder.settings.kernels.set(),
            threads: decoder.threads(),
            chunk: decoder.settings.chunk,
            kv: decoder.settings.kv,
        })
    }

    /// Computes in another way from now on, where the native decoder computes and can; whether it does.
    pub fn compute(&mut self, way: &Way) -> Result<bool> {
        let Computing::Native(decoder) = &self.computing else { return Ok(false) };
        let Some(settings) = way.settings(&self.config) else { return Ok(false) };
        self.computing = Computing::Native(Arc::new(decoder.again(settings)?));
        self.memory = self.memory.held_by(Holder::Native { kv: settings.kv, chunk: settings.chunk });
        Ok(true)
    }

    /// A back end that computes in this way, for a trial; `None` where it cannot.
    pub(crate) fn backend_in(&self, way: &Way) -> Result<Option<Box<dyn Backend>>> {
        let (Some(decoder), Some(settings)) = (self.native(), way.settings(&self.config)) else { return Ok(None) };
        Ok(Some(Box::new(NativeBackend::new(Arc::new(decoder.again(settings)?), self.context, None))))
    }

    /// The identity of the graphics adapter that computes though nobody asked for it, its driver's version in it; `None` where
    /// none does.
    pub fn chosen_card(&self) -> Option<String> {
        match &self.computing {
            Computing::Graphics(graphics) => graphics.is_auto().then(|| graphics.identity()),
            Computing::Native(_) | Computing::Candle(_) => None,
        }
    }

    /// Leaves the graphics card to the processor from now on, for this reason.
    pub fn leave_card(&mut self, reason: String) -> Result<()> {
        let Computing::Graphics(graphics) = &self.computing else { return Ok(()) };
        self.computing = Computing::Native(graphics.spare()?);
        self.positions = self.positions.max(self.positions_spare);
        (self.device, self.fell_back) = (CPU_NAME.to_string(), Some(reason));
        Ok(())
    }

    /// The processor's back end of a model on a graphics card, for a trial.
    pub(crate) fn spare_backend(&self) -> Result<Option<Box<dyn Backend>>> {
        let Computing::Graphics(graphics) = &self.computing else { return Ok(None) };
        Ok(Some(Box::new(NativeBackend::new(graphics.spare()?, self.context, None))))
    }

    fn native(&self) -> Option<&native::Decoder> {
        match &self.computing {
            Computing::Native(decoder) => Some(decoder),
            Computing::Graphics(_) | Computing::Candle(_) => None,
        }
    }

    /// Unlike any other model's of this process, a reloaded one's too.
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn backend(&self) -> Box<dyn Backend> {
        match &self.computing {
            Computing::Native(decoder) => Box::new(NativeBackend::new(decoder.clone(), self.context, None)),
            Computing::Graphics(graphics) => Box::new(GraphicsBackend::new(graphics.clone(), self.context)),
            Computing::Candle(decoder) => Box::new(CandleBackend::new(decoder.clone(), self.context)),
        }
    }

    /// As `backend`, with a listener to what the layers' matrices are multiplied by.
    pub(crate) fn tapped_backend(&self, tap: Arc<Tap>) -> Result<Box<dyn Backend>> {
        let decoder = match &self.computing {
            Computing::Native(decoder) => decoder.clone(),
            // What goes through a card's matrices stays there.
            Computing::Graphics(graphics) => graphics.spare()?,
            Computing::Candle(decoder) => {
                return Ok(Box::new(CandleBackend::new(Arc::new(decoder.tapped(tap)), self.context)));
            }
        };
        Ok(Box::new(NativeBackend::new(decoder, self.context, Some(tap))))
    }

    /// Calls `tell` when the model goes; once for each `who`.
    pub(crate) fn on_drop(&self, who: u64, tell: impl Fn(u64) + Send + 'static) {
        self.mourners.lock().unwrap_or_else(PoisonError::into_inner).entry(who).or_insert_with(|| Box::new(tell));
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        let mourners = std::mem::take(self.mourners.get_mut().unwrap_or_else(PoisonError::into_inner));
        mourners.values().for_each(|tell| tell(self.id));
    }
}

fn text_side(source: &Source, set: Option<&str>) -> Result<(Tokenizer, Template)> {
    let tokenizer = source.tokenizer()?;
    let (pieces, rows) = (tokenizer.vocabulary_size(), source.config.vocabulary);
    // Some models have more rows than pieces, for the sake of round numbers.
    if pieces > rows {
        return unusable(format!("the tokenizer has {pieces} pieces, the embedding only {rows} rows"));
    }
    let template = Template::choose(&source.hints(set), &tokenizer)?;
    Ok((tokenizer, template))
}

fn description(source: &Source, tokenizer: &Tokenizer, template: &Template) -> Description {
    let is_base = template.name() == NO_TEMPLATE;
    let quantization = quantization(source);
    Description {
        name: source.name(),
        kind: if is_base { Kind::Base } else { Kind::Chat },
        architecture: source.config.architecture.name().to_string(),
        shape: shape(&source.config, &quantization),
        quantization,
        file_bytes: source.checkpoint.size(),
        parameter_count: source.config.parameter_count(),
        context_tokens: source.config.context,
        template: if is_base { String::new() } else { template.name().to_string() },
        template_source: template.source().name(),
        thinks: template.thinks(),
        takes_tools: template.calls().is_some(),
        warnings: tokenizer.warnings().iter().chain(template.warnings()).cloned().collect(),
    }
}

fn shape(config: &Config, quantization: &str) -> String {
    let heads = format!("{}/{}x{}", config.heads, config.kv_heads, config.head_size);
    format!(
        "{} {} layers, {} wide, {heads} heads, {} ffn, {} pieces, {quantization}",
        config.architecture.name(),
        config.layers,
        config.hidden,
        config.ffn,
        config.vocabulary,
    )
}

/// The name of a mix as llama.cpp numbers it in `general.file_type`, or the format that most values have.
fn quantization(source: &Source) -> String {
    let mut values = BTreeMap::new();
    for (name, shape) in source.config.parameters() {
        if let Ok(view) = source.view(&name, &shape) {
            *values.entry(view.format).or_insert(0usize) += shape.iter().product::<usize>();
        }
    }
    let most =
        values.iter().max_by_key(|(_, count)| **count).map_or_else(String::new, |(format, _)| format.to_string());
    let Checkpoint::Gguf(file) = &source.checkpoint else { return most };
    let mix = match file.metadata().find::<u32>("general.file_type").ok().flatten() {
        Some(10) => "Q2_K",
        Some(11) => "Q3_K_S",
        Some(12) => "Q3_K_M",
        Some(13) => "Q3_K_L",
        Some(14) => "Q4_K_S",
        Some(15) => "Q4_K_M",
        Some(16) => "Q5_K_S",
        Some(17) => "Q5_K_M",
        _ => return most,
    };
    // A file that was converted again often keeps its old number: it must at least fit what is stored.
    if most.starts_with(&mix[..2]) || mix == "Q2_K" { mix.to_string() } else { most }
}
