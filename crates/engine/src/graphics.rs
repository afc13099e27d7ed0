//! The decoder on a graphics card: sequences there, and the processor's decoder for when the card is lost.

mod trial;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use huacaya_gpu::{Addition, Decoder, Error as GpuError, Gpu, Kv, Piece, Running, Shape};
use huacaya_progress::{Watch, unwatched};

use crate::adapter::{Adapter, Adapters};
use crate::backend::{Backend, Batch, Logits, Run, SequenceId, Stop};
use crate::config::{Config, unusable};
use crate::native::{self, KvFormat, NativeBackend, Settings};
use crate::rope::{Pairs, Rope};
use crate::source::Source;
use crate::{Error, Result};

pub use trial::{graphics_child, graphics_devices};

/// The environment variable that leaves graphics cards out ("off"), or names the adapter to compute on: its number in
/// `doctor`'s list, or a part of its name.
pub const GPU_VARIABLE: &str = "HUACAYA_GPU";
/// What a device's id begins with: "gpu", or "gpu:" and what [`GPU_VARIABLE`] takes.
const DEVICE: &str = "gpu";

/// Tokens that a model reads on both when it was loaded: as many as go through the programs for many rows.
const CHECK_TOKENS: u32 = 16;
/// How far the logits may be apart, as a part of their size. The processor rounds what it multiplies to eight bits, which
/// makes some hundredths; a wrong program is off by all of it.
const CHECK_BOUND: f64 = 0.2;

/// Which adapter is asked for, if one is. The environment goes before the settings.
pub(crate) fn wish(device: Option<&str>) -> Option<String> {
    static VARIABLE: OnceLock<Option<String>> = OnceLock::new();
    let variable = VARIABLE.get_or_init(|| std::env::var(GPU_VARIABLE).ok().filter(|value| !value.is_empty()));
    let of_device = || {
        let rest = device?.strip_prefix(DEVICE)?;
        if rest.is_empty() { Some(String::new()) } else { rest.strip_prefix(':').map(str::to_owned) }
    };
    match variable.as_deref() {
        Some("off") => None,
        Some(name) => Some(name.to_owned()),
        None => of_device(),
    }
}

/// The adapter opened, or one that is open already; or why not.
fn open(wish: &str) -> Result<Arc<Gpu>, String> {
    static OPEN: Mutex<Vec<(usize, Weak<Gpu>)>> = Mutex::new(Vec::new());
    let list = trial::adapters()?;
    let wanted = Some(wish).filter(|wish| !wish.is_empty());
    let adapter = huacaya_gpu::chosen(&list, wanted).ok_or_else(|| match wanted {
        Some(name) => format!("no graphics adapter is named `{name}`"),
        None => "no graphics card was found".to_owned(),
    })?;
    if let Some(what) = &adapter.lacks {
        return Err(format!("{} lacks {what}", adapter.name));
    }
    trial::trial(adapter)?;
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
    path: PathBuf,
    config: Config,
    settings: Settings,
    /// The processor's decoder, once it was needed.
    spare: Mutex<Option<Arc<native::Decoder>>>,
    /// Why the processor goes on.
    gave_up: OnceLock<String>,
}

impl Graphics {
    /// The model on the adapter that is wished for; or why it cannot be computed there.
    pub fn load(
        wish: &str,
        source: &Source,
        config: &Config,
        settings: Settings,
        watch: Watch<'_>,
    ) -> Result<Result<Graphics, String>> {
        let loaded = Graphics::on(|| open(wish), source, config, settings, watch)?;
        Ok(match loaded {
            Ok(graphics) => graphics.check()?.map_or(Ok(graphics), Err),
            refused => refused,
        })
    }

    /// As [`Graphics::load`]; the adapter is opened when nothing of the model speaks against it.
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
        Ok(Ok(Graphics { decoder, path, config: config.clone(), settings, spare, gave_up }))
    }

    /// What is wrong with the card's results on the model's own weights, if something is.
    fn check(&self) -> Result<Option<String>> {
        let tokens: Vec<u32> = (0..CHECK_TOKENS.min(self.config.vocabulary as u32)).collect();
        let width = 2 * (self.config.rope.rotated / 2);
        let (cos, sin) = Rope::new(&self.config.rope, 0).angles(0, tokens.len());
        let angles: Vec<f32> =
            cos.chunks(width / 2).zip(sin.chunks(width / 2)).flat_map(|(cos, sin)| [cos, sin].concat()).collect();
        let wanted = tokens.len() - 1..tokens.len();
        let on_card = || -> std::result::Result<Logits, GpuError> {
            let mut running = Running::new(self.decoder.clone(), tokens.len())?;
            running.create(0);
            let piece = Piece { sequence: 0, first: 0, tokens: &tokens, wanted: wanted.clone(), angles: &angles };
            running.step(&huacaya_gpu::Batch { pieces: &[piece], additions: &[], hidden: false })
        };
        let found = match on_card() {
            Ok(found) => found,
            Err(error) => return Ok(Some(error.to_string())),
        };
        let mut native = NativeBackend::new(self.spare()?, tokens.len(), None);
        let sequence = native.create()?;
        let run = Run { sequence, first: 0, tokens: tokens.clone(), wanted, span: tokens.len() };
        let expected = native.step(&Batch { runs: vec![run], adapters: Vec::new(), hidden: false }, &|| false)?;
        let pairs = || found.iter().flatten().zip(expected.iter().flatten());
        let error: f64 = pairs().map(|(a, b)| f64::from(a - b).powi(2)).sum();
        let size: f64 = pairs().map(|(_, b)| f64::from(*b).powi(2)).sum();
        let share = (error / size).sqrt();
        // Also where it is no number.
        let sound = share <= CHECK_BOUND || (error == 0.0 && size == 0.0);
        Ok((!sound).then(|| format!("{} computes wrong results: {:.0} % off", self.device(), 100.0 * share)))
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
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(decoder) = &*spare {
            return Ok(decoder.clone());
        }
        let source = Source::open(&self.path)?;
        let decoder = Arc::new(native::Decoder::open(source, &self.config, self.settings, &mut unwatched())?);
        Ok(spare.insert(decoder).clone())
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
    /// Then this, and its sequences by our numbers.
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

    /// The processor's decoder with all texts read.
    fn fall(&mut self, stop: Stop) -> Result<&mut NativeBackend> {
        self.running = None;
        if self.native.is_none() {
            let mut native = NativeBackend::new(self.model.spare()?, self.limit, None);
            let mut moved = HashMap::new();
            for (id, text) in &self.texts {
                let sequence = native.create()?;
                moved.insert(*id, sequence);
                if !text.tokens.is_empty() {
                    let (tokens, span) = (text.tokens.clone(), text.tokens.len());
                    let run = Run { sequence, first: 0, tokens, wanted: 0..0, span };
                    let batch = Batch { runs: vec![run], adapters: text.adapters.clone(), hidden: false };
                    native.step(&batch, stop)?;
                }
            }
            self.moved = moved;
            self.native = Some(native);
        }
        match &mut self.native {
            Some(native) => Ok(native),
            None => unusable("the processor's decoder is gone".to_owned()),
        }
    }

    fn on_processor(&mut self, batch: &Batch, stop: Stop) -> Result<Logits> {
        self.fall(stop)?;
        let run = |run: &Run| -> Result<Run> {
            let Some(&sequence) = self.moved.get(&run.sequence.0) else {
                return unusable("no such sequence".to_owned());
            };
            Ok(Run { sequence, tokens: run.tokens.clone(), wanted: run.wanted.clone(), ..*run })
        };
        let runs = batch.runs.iter().map(run).collect::<Result<_>>()?;
        let moved = Batch { runs, adapters: batch.adapters.clone(), hidden: batch.hidden };
        self.fall(stop)?.step(&moved, stop)
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
        if let Some(native) = &mut self.native {
            self.moved.insert(id, native.create()?);
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
