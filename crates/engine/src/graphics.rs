//! The decoder on a graphics card: sequences there, and the processor's decoder for when the card is lost.

mod trial;
mod trust;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use huacaya_gpu::{Addition, Decoder, Error as GpuError, Gpu, Kv, Piece, Running, Shape};
use huacaya_progress::{Watch, unwatched};

use crate::adapter::{Adapter, Adapters};
use crate::backend::{Backend, Batch, Logits, Run, SequenceId, Stop};
use crate::config::{Config, unusable};
use crate::device::AUTO;
use crate::native::{self, KvFormat, NativeBackend, Settings};
use crate::rope::{Pairs, Rope};
use crate::source::Source;
use crate::{Error, Result};

pub use trial::{graphics_child, graphics_devices};
pub use trust::{leave_graphics, remember_graphics_in, try_graphics_again};

/// The environment variable that leaves graphics cards out ("off"), or names the adapter to compute on: its number in
/// `doctor`'s list, or a part of its name.
pub const GPU_VARIABLE: &str = "HUACAYA_GPU";
/// What a device's id begins with: "gpu", or "gpu:" and what [`GPU_VARIABLE`] takes.
const DEVICE: &str = "gpu";
/// The variable's value that leaves them out.
const OFF: &str = "off";

/// Tokens that a model reads on both when it was loaded: as many as go through the programs for many rows.
const CHECK_TOKENS: u32 = 16;
/// Rows of a matrix that are multiplied by themselves then.
const CHECK_ROWS: usize = 64;
/// How far the logits may be apart, as a part of their size. The processor rounds what it multiplies to eight bits, which
/// makes some hundredths; a wrong program is off by all of it.
const CHECK_BOUND: f64 = 0.2;

/// Models whose weights take less write faster than anybody reads wherever they are computed: nobody asks drivers for them.
const AUTO_BYTES_MIN: u64 = 100 << 20;

/// Which adapter is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    /// Its number, label, or a part of that; the best there is where it is `None`.
    name: Option<String>,
    /// Nobody asked for a card: one is used where there is one and it is faster.
    auto: bool,
}

/// Why a model is not computed on a card; `None` where nobody asked for one and there is none to speak of.
type Refusal = Option<String>;

/// What the environment says. Always the same in one process.
fn variable() -> Option<&'static str> {
    static VARIABLE: OnceLock<Option<String>> = OnceLock::new();
    VARIABLE.get_or_init(|| std::env::var(GPU_VARIABLE).ok().filter(|value| !value.is_empty())).as_deref()
}

/// Whether the environment leaves graphics cards out.
fn are_left_out() -> bool {
    variable() == Some(OFF)
}

/// What is asked for, if a card is. The environment goes before the settings.
pub(crate) fn wish(device: Option<&str>) -> Option<Wish> {
    let named = |name: &str| Some(Wish { name: Some(name.to_owned()), auto: false });
    match variable() {
        Some(OFF) => None,
        Some(name) => named(name),
        None if device == Some(AUTO) => Some(Wish { name: None, auto: true }),
        None if device == Some(DEVICE) => Some(Wish { name: None, auto: false }),
        None => named(device?.strip_prefix(DEVICE)?.strip_prefix(':')?),
    }
}

/// The adapter that is wished for, and that can be computed on as far as it tells; or why not.
fn adapter(wish: &Wish) -> Result<huacaya_gpu::Adapter, Refusal> {
    let list = trial::adapters().map_err(|reason| Some(reason).filter(|_| !wish.auto))?;
    let adapter = huacaya_gpu::chosen(&list, wish.name.as_deref()).ok_or_else(|| match &wish.name {
        Some(name) => Some(format!("no graphics adapter is named `{name}`")),
        None => Some("no graphics card was found".to_owned()).filter(|_| !wish.auto),
    })?;
    match &adapter.lacks {
        Some(what) => Err(Some(format!("{} lacks {what}", adapter.name))),
        None => Ok(adapter.clone()),
    }
}

/// The adapter opened, or one that is open already; or why not.
fn open(adapter: &huacaya_gpu::Adapter) -> Result<Arc<Gpu>, String> {
    static OPEN: Mutex<Vec<(usize, Weak<Gpu>)>> = Mutex::new(Vec::new());
    let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    open.retain(|(_, gpu)| gpu.upgrade().is_some_and(|gpu| !gpu.is_lost()));
    if let Some(gpu) = open.iter().find(|(index, _)| *index == adapter.index).and_then(|(_, gpu)| gpu.upgrade()) {
        return Ok(gpu);
    }
    let gpu = Arc::new(Gpu::open(adapter.index).map_err(|error| error.to_string())?);
    open.push((adapter.index, Arc::downgrade(&gpu)));
    Ok(gpu)
}

/// A model on a graphics card, and how the processor would compute it.
pub(crate) struct Graphics {
    decoder: Arc<Decoder>,
    /// Nobody asked for this card.
    auto: bool,
    path: PathBuf,
    config: Config,
    settings: Settings,
    /// The processor's decoder, once it was needed.
    spare: Mutex<Option<Arc<native::Decoder>>>,
    /// Why the processor goes on.
    gave_up: OnceLock<String>,
}

impl Graphics {
    /// The model on the adapter that is wished for; or why it is not computed there. `slower`: identities of adapters that the
    /// processor beat at models of this shape: none of them is chosen where nobody asked.
    pub fn load(
        wish: &Wish,
        slower: &[String],
        source: &Source,
        config: &Config,
        settings: Settings,
        watch: Watch<'_>,
    ) -> Result<Result<Graphics, Refusal>> {
        if wish.auto && source.checkpoint.size() < AUTO_BYTES_MIN {
            return Ok(Err(None));
        }
        let adapter = match adapter(wish) {
            Ok(adapter) => adapter,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let (name, identity) = (&adapter.name, adapter.identity());
        let of_card = |reason: String| Some(format!("{name}: {reason}"));
        if wish.auto && slower.contains(&identity) {
            return Ok(Err(of_card("the processor is faster".to_owned())));
        }
        if let Err(reason) = trial::trial(&adapter) {
            return Ok(Err(of_card(reason)));
        }
        // Held until the model has gone through the driver for the first time.
        let _opening = match trust::trust().begin(&identity) {
            Ok(opening) => opening,
            Err(reason) => return Ok(Err(of_card(reason))),
        };
        let loaded = Graphics::on(|| open(&adapter), source, config, settings, &mut *watch)?;
        let graphics = match loaded {
            Ok(graphics) => graphics,
            Err(reason) => return Ok(Err(of_card(reason))),
        };
        Ok(match graphics.check(source, watch)? {
            None => Ok(Graphics { auto: wish.auto, ..graphics }),
            Some(Fault::Failed(reason)) => Err(of_card(reason)),
            Some(Fault::Wrong(reason)) => {
                trust::trust().note(&identity, &Err(reason.clone()), true);
                Err(of_card(reason))
            }
        })
    }

    /// The model on a card that is opened when nothing of the model speaks against it; or why not.
    fn on(
        open: impl FnOnce() -> Result<Arc<Gpu>, String>,
        source: &Source,
        config: &Config,
        settings: Settings,
        watch: Watch<'_>,
    ) -> Result<Result<Graphics, String>> {
        let shape = shape(config, settings.kv);
        if config.angles_depend_on_length() {
            return Ok(Err("angles that change with the length of the text are computed on the processor".to_owned()));
        }
        if let Some(reason) = shape.refuses() {
            return Ok(Err(reason));
        }
        let mut total = 0;
        for (name, shape) in &config.parameters() {
            let view = source.view(name, shape)?;
            if shape.len() > 1 && !huacaya_gpu::supports(view.format) {
                return Ok(Err(format!("weights in {} are computed with on the processor", view.format)));
            }
            total += view.bytes.len() as u64;
        }
        let gpu = match open() {
            Ok(gpu) => gpu,
            Err(reason) => return Ok(Err(reason)),
        };
        let find = |name: &str, shape: &[usize]| -> Result<huacaya_gpu::Stored<'_>> {
            let view = source.view(name, shape)?;
            Ok((view.format, view.bytes))
        };
        let decoder = match Decoder::load(gpu, shape, total, &find, watch) {
            Ok(Some(decoder)) => Arc::new(decoder),
            Ok(None) => return Err(Error::Stopped),
            Err(Error::Graphics(error)) => return Ok(Err(error.to_string())),
            Err(error) => return Err(error),
        };
        let path = source.checkpoint.path().to_path_buf();
        let (spare, gave_up) = (Mutex::default(), OnceLock::new());
        Ok(Ok(Graphics { decoder, auto: false, path, config: config.clone(), settings, spare, gave_up }))
    }

    /// What is wrong with the card on the model's own weights, if something is: rows of a matrix of every format against sums
    /// in f64, then a prompt and a token behind it against the processor.
    fn check(&self, source: &Source, watch: Watch<'_>) -> Result<Option<Fault>> {
        let mut seen = Vec::new();
        for (name, shape) in &self.config.parameters() {
            let view = source.view(name, shape)?;
            let &[rows, columns] = shape.as_slice() else { continue };
            if seen.contains(&view.format) {
                continue;
            }
            seen.push(view.format);
            let part = &view.bytes[..view.bytes.len() / rows * rows.min(CHECK_ROWS)];
            if let Err(error) = huacaya_gpu::agrees(&self.decoder.gpu, view.format, columns, part) {
                return Ok(Some(Fault::of(&error)));
            }
        }
        let tokens: Vec<u32> = (0..CHECK_TOKENS).map(|i| i % self.config.vocabulary as u32).collect();
        let found = match self.first_steps(&tokens) {
            Ok(found) => found,
            Err(error) => return Ok(Some(Fault::of(&error))),
        };
        let mut native = NativeBackend::new(self.spare_watched(watch)?, tokens.len(), None);
        let sequence = native.create()?;
        let wanted = tokens.len() - 2..tokens.len();
        let run = Run { sequence, first: 0, tokens: tokens.clone(), wanted, span: tokens.len() };
        let expected = native.step(&Batch { runs: vec![run], adapters: Vec::new(), hidden: false }, &|| false)?;
        for (found, expected) in found.iter().zip(&expected) {
            let pairs = || found.iter().zip(expected);
            let error: f64 = pairs().map(|(a, b)| f64::from(a - b).powi(2)).sum();
            let size: f64 = pairs().map(|(_, b)| f64::from(*b).powi(2)).sum();
            let share = (error / size).sqrt();
            // Also where it is no number.
            if !(share <= CHECK_BOUND || (error == 0.0 && size == 0.0)) {
                return Ok(Some(Fault::Wrong(format!("it computes wrong results, {:.0} % off", 100.0 * share))));
            }
        }
        Ok(None)
    }

    /// The logits of the last two tokens on the card: all but the last in one step, then that.
    fn first_steps(&self, tokens: &[u32]) -> std::result::Result<Logits, GpuError> {
        let half = self.config.rope.rotated / 2;
        let (cos, sin) = Rope::new(&self.config.rope, 0).angles(0, tokens.len());
        let angles: Vec<f32> =
            cos.chunks(half).zip(sin.chunks(half)).flat_map(|(cos, sin)| [cos, sin].concat()).collect();
        let mut running = Running::new(self.decoder.clone(), tokens.len())?;
        running.create(0);
        let mut logits = Vec::new();
        for (first, end) in [(0, tokens.len() - 1), (tokens.len() - 1, tokens.len())] {
            let (tokens, angles) = (&tokens[first..end], &angles[first * 2 * half..end * 2 * half]);
            let piece = Piece { sequence: 0, first, tokens, wanted: tokens.len() - 1..tokens.len(), angles };
            logits.extend(running.step(&huacaya_gpu::Batch { pieces: &[piece], additions: &[], hidden: false })?);
        }
        Ok(logits)
    }

    /// Whether the processor may have the model where it is faster.
    pub fn is_auto(&self) -> bool {
        self.auto
    }

    /// What is known of a driver's results and speed is known of this.
    pub fn identity(&self) -> String {
        self.decoder.gpu.adapter.identity()
    }

    /// How the processor would compute it.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What keys and values are kept in where `kv` is wanted.
    pub fn kv_format(&self, kv: KvFormat) -> KvFormat {
        match shape(&self.config, kv).kv {
            Kv::F16 => KvFormat::F16,
            Kv::Q8_0 => KvFormat::Q8_0,
        }
    }

    /// The adapter's name.
    pub fn device(&self) -> &str {
        &self.decoder.gpu.adapter.name
    }

    pub fn gave_up(&self) -> Option<&str> {
        self.gave_up.get().map(String::as_str)
    }

    /// The processor's decoder over the same file.
    pub fn spare(&self) -> Result<Arc<native::Decoder>> {
        self.spare_watched(&mut unwatched())
    }

    fn spare_watched(&self, watch: Watch<'_>) -> Result<Arc<native::Decoder>> {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(decoder) = &*spare {
            return Ok(decoder.clone());
        }
        let source = Source::open(&self.path)?;
        let decoder = Arc::new(native::Decoder::open(source, &self.config, self.settings, watch)?);
        Ok(spare.insert(decoder).clone())
    }
}

/// What a check finds.
enum Fault {
    /// Nothing came of it: too little memory, a lost card.
    Failed(String),
    /// The driver computes wrong results.
    Wrong(String),
}

impl Fault {
    fn of(error: &GpuError) -> Fault {
        match error {
            GpuError::Wrong { what } => Fault::Wrong(format!("it computes wrong results: {what}")),
            error => Fault::Failed(error.to_string()),
        }
    }
}

/// The model as the card's programs want to know it.
fn shape(config: &Config, kv: KvFormat) -> Shape {
    Shape {
        hidden: config.hidden,
        layers: config.layers,
        heads: config.heads,
        kv_heads: config.kv_heads,
        head_size: config.head_size,
        ffn: config.ffn,
        vocabulary: config.vocabulary,
        epsilon: config.norm_eps,
        rotated: config.rope.rotated,
        halves: config.rope.pairs == Pairs::Halves,
        head_norms: config.query_key_norms,
        tied: config.tied,
        bias_query_key_value: config.biases.query_key_value,
        bias_output: config.biases.attention_output,
        bias_ffn: config.biases.ffn,
        // Four bits are not among the card's formats; heads that are no whole blocks are kept in f16 by the processor, too.
        kv: if kv == KvFormat::F16 || !config.head_size.is_multiple_of(32) { Kv::F16 } else { Kv::Q8_0 },
    }
}

/// What a sequence holds: enough to read it again elsewhere.
#[derive(Clone, Default)]
struct Text {
    tokens: Vec<u32>,
    adapters: Adapters,
}

/// Sequences on a graphics card. When that fails, they are read again on the processor, which goes on.
pub(crate) struct GraphicsBackend {
    model: Arc<Graphics>,
    /// `None` once the card is given up.
    running: Option<Running>,
    /// Then this, and those of its sequences that are there, by our numbers.
    native: Option<NativeBackend>,
    moved: HashMap<u64, SequenceId>,
    texts: HashMap<u64, Text>,
    /// Adapters in the card's memory.
    additions: Vec<(Arc<Adapter>, Arc<Addition>)>,
    rope: Rope,
    next: u64,
    limit: usize,
}

impl GraphicsBackend {
    pub fn new(model: Arc<Graphics>, limit: usize) -> GraphicsBackend {
        let rows_max = model.settings.chunk.min(limit).max(2);
        let running = match Running::new(model.decoder.clone(), rows_max) {
            Ok(running) => Some(running),
            Err(error) => {
                model.give_up(&error);
                None
            }
        };
        GraphicsBackend {
            rope: Rope::new(&model.config.rope, 0),
            model,
            running,
            native: None,
            moved: HashMap::new(),
            texts: HashMap::new(),
            additions: Vec::new(),
            next: 0,
            limit,
        }
    }

    /// What steps asked of the card so far, and how many there were.
    #[cfg(test)]
    pub fn counts(&self) -> Option<(huacaya_gpu::Counts, u64)> {
        self.running.as_ref().map(|running| (running.counts, running.steps))
    }

    /// Cosines and sines of a run's positions, a row for each.
    fn angles(&self, run: &Run) -> Vec<f32> {
        let half = self.model.config.rope.rotated / 2;
        let mut all = vec![0.0; run.tokens.len() * 2 * half];
        for (i, row) in all.chunks_mut(2 * half).enumerate() {
            let (cos, sin) = row.split_at_mut(half);
            self.rope.turn(run.first + i, cos, sin);
        }
        all
    }

    fn check(&self, run: &Run) -> Result<()> {
        let vocabulary = self.model.config.vocabulary;
        let Some(text) = self.texts.get(&run.sequence.0) else { return unusable("no such sequence".to_owned()) };
        if run.first != text.tokens.len() || run.tokens.is_empty() || run.wanted.end > run.tokens.len() {
            let (first, held) = (run.first, text.tokens.len());
            return unusable(format!("a run from {first} does not follow {held} positions"));
        }
        match run.tokens.iter().find(|&&id| id as usize >= vocabulary) {
            Some(&id) => Err(Error::TokenUnknown { id, vocabulary }),
            None => Ok(()),
        }
    }

    /// The adapters in the card's memory, brought there where they are not.
    fn additions(&mut self, adapters: &Adapters) -> Result<Vec<(Arc<Addition>, f32)>> {
        let gpu = self.model.decoder.gpu.clone();
        let mut all = Vec::new();
        for (adapter, strength) in adapters {
            let held = self.additions.iter().find(|(held, _)| Arc::ptr_eq(held, adapter));
            let addition = match held {
                Some((_, addition)) => addition.clone(),
                None => {
                    let mut addition = Addition::default();
                    for (place, pair) in adapter.pairs() {
                        let shape = [pair.rows, pair.rank, pair.columns];
                        addition.insert(&gpu, place, shape, &pair.a, &pair.b, pair.scale as f32)?;
                    }
                    let addition = Arc::new(addition);
                    self.additions.push((adapter.clone(), addition.clone()));
                    addition
                }
            };
            all.push((addition, *strength));
        }
        // Only we would still have what no request uses.
        self.additions.retain(|(adapter, _)| Arc::strong_count(adapter) > 1);
        Ok(all)
    }

    fn on_card(&mut self, batch: &Batch, stop: Stop) -> Result<Logits> {
        let additions = self.additions(&batch.adapters)?;
        let angles: Vec<Vec<f32>> = batch.runs.iter().map(|run| self.angles(run)).collect();
        let width = self.model.config.rope.rotated;
        let rows_max = self.rows_max();
        let Some(running) = &mut self.running else { return unusable("the card was given up".to_owned()) };
        let (mut logits, mut pieces, mut room) = (Vec::new(), Vec::new(), rows_max);
        let mut start = |pieces: &mut Vec<Piece<'_>>| -> Result<()> {
            if stop() {
                return Err(Error::Stopped);
            }
            let step = huacaya_gpu::Batch { pieces, additions: &additions, hidden: batch.hidden };
            logits.extend(running.step(&step)?);
            pieces.clear();
            Ok(())
        };
        for (run, angles) in batch.runs.iter().zip(&angles) {
            let mut at = 0;
            while at < run.tokens.len() {
                let end = run.tokens.len().min(at + room);
                let inside = |row: usize| row.clamp(at, end) - at;
                pieces.push(Piece {
                    sequence: run.sequence.0,
                    first: run.first + at,
                    tokens: &run.tokens[at..end],
                    wanted: inside(run.wanted.start)..inside(run.wanted.end),
                    angles: &angles[at * width..end * width],
                });
                room -= end - at;
                at = end;
                if room == 0 {
                    start(&mut pieces)?;
                    room = rows_max;
                }
            }
        }
        if !pieces.is_empty() {
            start(&mut pieces)?;
        }
        Ok(logits)
    }

    /// The processor's decoder, in the card's place from now on.
    fn fall(&mut self) -> Result<&mut NativeBackend> {
        self.running = None;
        if self.native.is_none() {
            self.native = Some(NativeBackend::new(self.model.spare()?, self.limit, None));
        }
        match &mut self.native {
            Some(native) => Ok(native),
            None => unusable("the processor's decoder is gone".to_owned()),
        }
    }

    /// The sequence on the processor. What of it the card had read is read again when it is needed first.
    fn moved(&mut self, id: SequenceId, stop: Stop) -> Result<SequenceId> {
        if let Some(&moved) = self.moved.get(&id.0) {
            return Ok(moved);
        }
        let Some(text) = self.texts.get(&id.0).cloned() else { return unusable("no such sequence".to_owned()) };
        let native = self.fall()?;
        let sequence = native.create()?;
        if !text.tokens.is_empty() {
            let span = text.tokens.len();
            let run = Run { sequence, first: 0, tokens: text.tokens, wanted: 0..0, span };
            if let Err(error) = native.step(&Batch { runs: vec![run], adapters: text.adapters, hidden: false }, stop) {
                native.release(sequence);
                return Err(error);
            }
        }
        self.moved.insert(id.0, sequence);
        Ok(sequence)
    }

    fn on_processor(&mut self, batch: &Batch, stop: Stop) -> Result<Logits> {
        let mut runs = Vec::new();
        for run in &batch.runs {
            let sequence = self.moved(run.sequence, stop)?;
            runs.push(Run { sequence, tokens: run.tokens.clone(), wanted: run.wanted.clone(), ..*run });
        }
        self.fall()?.step(&Batch { runs, adapters: batch.adapters.clone(), hidden: batch.hidden }, stop)
    }
}

impl Graphics {
    fn give_up(&self, error: &GpuError) {
        tracing::warn!(%error, device = self.device(), "the graphics card is given up: the processor goes on");
        let _ = self.gave_up.set(error.to_string());
    }

    #[cfg(test)]
    pub fn gpu(&self) -> &Gpu {
        &self.decoder.gpu
    }
}

impl Backend for GraphicsBackend {
    fn rows_max(&self) -> usize {
        self.model.settings.chunk.min(self.limit).max(2)
    }

    fn create(&mut self) -> Result<SequenceId> {
        let id = self.next;
        self.next += 1;
        self.texts.insert(id, Text::default());
        if let Some(running) = &mut self.running {
            running.create(id);
        }
        Ok(SequenceId(id))
    }

    fn step(&mut self, batch: &Batch, stop: Stop) -> Result<Logits> {
        batch.runs.iter().try_for_each(|run| self.check(run))?;
        let mut found = match self.running {
            Some(_) => self.on_card(batch, stop),
            None => self.on_processor(batch, stop),
        };
        if let Err(Error::Graphics(error)) = &found {
            self.model.give_up(error);
            found = self.on_processor(batch, stop);
        }
        if found.is_err() {
            for run in &batch.runs {
                self.truncate(run.sequence, run.first);
            }
            return found;
        }
        for run in &batch.runs {
            if let Some(text) = self.texts.get_mut(&run.sequence.0) {
                text.tokens.extend_from_slice(&run.tokens);
                text.adapters.clone_from(&batch.adapters);
            }
        }
        found
    }

    fn fork(&mut self, from: SequenceId, length: usize) -> Result<SequenceId> {
        let Some(mut text) = self.texts.get(&from.0).cloned() else { return unusable("no such sequence".to_owned()) };
        text.tokens.truncate(length);
        let id = self.next;
        self.next += 1;
        self.texts.insert(id, text);
        if let Some(running) = &mut self.running {
            running.fork(from.0, id, length);
        }
        if let (Some(native), Some(&moved)) = (&mut self.native, self.moved.get(&from.0)) {
            self.moved.insert(id, native.fork(moved, length)?);
        }
        Ok(SequenceId(id))
    }

    fn truncate(&mut self, id: SequenceId, length: usize) {
        if let Some(text) = self.texts.get_mut(&id.0) {
            text.tokens.truncate(length);
        }
        if let Some(running) = &mut self.running {
            running.truncate(id.0, length);
        }
        if let (Some(native), Some(&moved)) = (&mut self.native, self.moved.get(&id.0)) {
            native.truncate(moved, length);
        }
    }

    fn release(&mut self, id: SequenceId) {
        self.texts.remove(&id.0);
        if let Some(running) = &mut self.running {
            running.release(id.0);
        }
        if let (Some(native), Some(moved)) = (&mut self.native, self.moved.remove(&id.0)) {
            native.release(moved);
        }
    }
}

#[cfg(test)]
mod tests;
