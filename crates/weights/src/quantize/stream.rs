//! Tensor after tensor from the map, converted by all threads in slabs of rows, and appended to the new file.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use huacaya_kernels::{Format, dequantize, quantize as quantize_row, quantize_weighted};
use huacaya_progress::{Progress, Watch};

use super::{Fault, Importance, Shape, Wanted, plan};
use crate::gguf::{File, Metadata, TensorPlan, Writer};
use crate::{Error, Fault as AnyFault};

/// Values of a slab: a second's work or so, so that progress and stopping stay prompt, and two of them fit beside any model.
const SLAB_VALUES: usize = 1 << 23;
/// Rows that a thread takes at a time: some hundred thousand values.
const CLAIM_VALUES: usize = 1 << 17;
/// `general.quantization_version` of the block layouts that are written (`GGML_QNT_VERSION`).
const QUANTIZATION_VERSION: u32 = 2;
/// The architectures whose tensors the plan knows.
const ARCHITECTURES: [&str; 4] = ["llama", "mistral", "qwen2", "qwen3"];
/// Keys that say how the source was split; the result is whole.
const SPLIT_KEYS: &str = "split.";

/// What became of a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The new file's size.
    pub bytes: u64,
    /// Tensors whose source was quantized already: what was lost then is not won back.
    pub requantized: usize,
    /// Tensors that were converted although the importance matrix says nothing of them.
    pub unweighted: usize,
}

/// A model whose tensors have GGUF's names and order of dimensions, whichever way it is stored: what can be streamed.
pub(crate) trait Source {
    /// Named in errors.
    fn path(&self) -> &Path;

    /// Every key but those of the formats.
    fn metadata(&self) -> &Metadata;

    /// In the order in which they are written. The format is the one that a tensor keeps when it is not quantized.
    fn tensors(&self) -> &[TensorPlan];

    /// The format that `pieces` hands the tensor over in.
    fn stored(&self, place: usize) -> Format;

    /// Hands over the tensor's bytes in their order: whole rows, about `values` values at a time.
    fn pieces(
        &self,
        place: usize,
        values: usize,
        each: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error>;

    /// Asks the system to start reading the tensor in.
    fn will_need(&self, place: usize);

    /// Tells the system that the tensor will not be read again soon.
    fn release(&self, place: usize);
}

/// A GGUF file as a source.
pub(crate) struct GgufSource {
    file: File,
    metadata: Metadata,
    tensors: Vec<TensorPlan>,
}

impl GgufSource {
    pub(crate) fn new(file: File) -> GgufSource {
        let (metadata, tensors) = (whole_metadata(&file), plans(&file));
        GgufSource { file, metadata, tensors }
    }
}

impl Source for GgufSource {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    fn tensors(&self) -> &[TensorPlan] {
        &self.tensors
    }

    fn stored(&self, place: usize) -> Format {
        self.tensors[place].format
    }

    fn pieces(
        &self,
        place: usize,
        values: usize,
        each: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let tensor = &self.file.tensors()[place];
        let plan = &self.tensors[place];
        let piece = plan.rows_of(values) * plan.row_bytes(tensor.format);
        self.file.bytes(tensor).chunks(piece).try_for_each(each)
    }

    fn will_need(&self, place: usize) {
        self.file.will_need(&self.file.tensors()[place]);
    }

    fn release(&self, place: usize) {
        self.file.release(&self.file.tensors()[place]);
    }
}

fn plans(file: &File) -> Vec<TensorPlan> {
    let plan = |tensor: &crate::gguf::Tensor| {
        let (name, dimensions) = (tensor.name.clone(), tensor.dimensions.clone());
        TensorPlan { name, dimensions, format: tensor.format }
    };
    file.tensors().iter().map(plan).collect()
}

/// The file's keys without those of a part of a split model: the result is whole.
fn whole_metadata(file: &File) -> Metadata {
    let mut metadata = Metadata::new(file.path());
    file.metadata()
        .iter()
        .filter(|(key, _)| !key.starts_with(SPLIT_KEYS))
        .for_each(|(key, value)| metadata.set(key, value.clone()));
    metadata
}

/// The tensors of this file as they would be written, and what the file would take. Pure: nothing is written.
pub fn target(file: &File, wanted: &Wanted) -> Result<(Vec<TensorPlan>, u64), Error> {
    planned(file.path(), &whole_metadata(file), &plans(file), wanted)
}

/// As [`target`], of any source.
pub(crate) fn target_of(source: &dyn Source, wanted: &Wanted) -> Result<(Vec<TensorPlan>, u64), Error> {
    planned(source.path(), source.metadata(), source.tensors(), wanted)
}

fn planned(
    path: &Path,
    metadata: &Metadata,
    tensors: &[TensorPlan],
    wanted: &Wanted,
) -> Result<(Vec<TensorPlan>, u64), Error> {
    if let Some((_, format)) = wanted.by_hand.iter().find(|(_, format)| *format == Format::MXFP4) {
        return Err(Error::new(path, Fault::Format { format: *format }));
    }
    let planned = plan(tensors, shape(path, metadata)?, wanted);
    let size = Writer::size_of(path, &with_formats(metadata, wanted), &planned)?;
    Ok((planned, size))
}

/// Writes the model of `from` to `to` as wanted, on `threads` threads. Whole or not at all: `to` appears at the end.
/// Progress counts the source's bytes.
pub fn quantize(
    from: &Path,
    to: &Path,
    wanted: &Wanted,
    importance: Option<&Importance>,
    threads: usize,
    watch: Watch<'_>,
) -> Result<Report, Error> {
    let source = GgufSource::new(crate::split::open(from)?);
    if same_file(from, to) {
        return Err(Error::new(from, Fault::OntoItself));
    }
    write(&source, to, wanted, importance, threads, watch)
}

/// Writes a source to `to`: see [`quantize`].
pub(crate) fn write(
    source: &dyn Source,
    to: &Path,
    wanted: &Wanted,
    importance: Option<&Importance>,
    threads: usize,
    watch: Watch<'_>,
) -> Result<Report, Error> {
    let (planned, _) = target_of(source, wanted)?;
    if let Some(importance) = importance {
        check_importance(source, &planned, importance)?;
    }
    let mut writer = Writer::create(to, &with_formats(source.metadata(), wanted), &planned)?;
    let bytes = |(place, tensor): (usize, &TensorPlan)| {
        source.stored(place).bytes_of(tensor.dimensions.iter().product()).unwrap_or_default()
    };
    let mut progress = Progress { done: 0, total: source.tensors().iter().enumerate().map(bytes).sum() };
    let mut report = Report { bytes: writer.size(), requantized: 0, unweighted: 0 };
    for (place, target) in planned.iter().enumerate() {
        if place + 1 < planned.len() {
            source.will_need(place + 1);
        }
        let name = &target.name;
        let stored = source.stored(place);
        if stored == target.format {
            source.pieces(place, SLAB_VALUES, &mut |piece| {
                writer.bytes(name, piece)?;
                step(&mut progress, piece.len() as u64, to, watch)
            })?;
        } else {
            report.requantized += usize::from(!stored.is_plain());
            let weights = importance.and_then(|importance| importance.of(name));
            report.unweighted += usize::from(importance.is_some() && weights.is_none());
            let rows =
                Rows { from: stored, to: target.format, columns: target.columns(), weights, threads: threads.max(1) };
            let not_finite = || Error::new(source.path(), Fault::NotFinite { tensor: name.clone() });
            rows.stream(source, place, not_finite, |source_bytes, slab| {
                writer.bytes(name, slab)?;
                step(&mut progress, source_bytes, to, watch)
            })?;
        }
        source.release(place);
    }
    writer.finish()?;
    Ok(report)
}

/// A matrix of another model is refused before anything is written.
fn check_importance(source: &dyn Source, planned: &[TensorPlan], importance: &Importance) -> Result<(), Error> {
    let failed = |fault| Err(Error::new(source.path(), fault));
    let mut known = 0;
    let converted = planned.iter().enumerate().filter(|(place, target)| source.stored(*place) != target.format);
    let converted: Vec<&TensorPlan> = converted.map(|(_, target)| target).collect();
    for target in &converted {
        let Some(weights) = importance.of(&target.name) else { continue };
        known += 1;
        if weights.len() != target.columns() {
            let (tensor, columns) = (target.name.clone(), target.columns() as u64);
            return failed(Fault::Importance { tensor, columns, found: weights.len() });
        }
    }
    if known == 0 && !converted.is_empty() { failed(Fault::ImportanceForeign) } else { Ok(()) }
}

fn step(progress: &mut Progress, bytes: u64, to: &Path, watch: Watch<'_>) -> Result<(), Error> {
    progress.done += bytes;
    match watch(*progress) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::new(to, AnyFault::Stopped)),
    }
}

pub(crate) fn same_file(from: &Path, to: &Path) -> bool {
    matches!((from.canonicalize(), to.canonicalize()), (Ok(from), Ok(to)) if from == to)
}

/// The source's keys, with what the new formats change.
fn with_formats(metadata: &Metadata, wanted: &Wanted) -> Metadata {
    let mut metadata = metadata.clone();
    metadata.set("general.quantization_version", QUANTIZATION_VERSION.into());
    metadata.set("general.file_type", wanted.scheme.file_type().into());
    metadata
}

fn shape(path: &Path, metadata: &Metadata) -> Result<Shape, Error> {
    let architecture: &str = metadata.get("general.architecture")?;
    if !ARCHITECTURES.contains(&architecture) {
        let architecture = architecture.to_owned();
        return Err(Error::new(path, Fault::Architecture { architecture }));
    }
    let layers = metadata.get(&format!("{architecture}.block_count"))?;
    let heads = metadata.get(&format!("{architecture}.attention.head_count"))?;
    let kv_heads = metadata.find(&format!("{architecture}.attention.head_count_kv"))?.unwrap_or(heads);
    Ok(Shape { layers, heads, kv_heads })
}

/// A matrix on its way from one format to another.
struct Rows<'a> {
    from: Format,
    to: Format,
    columns: usize,
    /// One for each column.
    weights: Option<&'a [f32]>,
    threads: usize,
}

impl Rows<'_> {
    /// Hands the converted rows to `take` in their order, with the number of source bytes behind them. While one slab is
    /// being taken, the threads convert the next.
    fn stream(
        &self,
        source: &dyn Source,
        place: usize,
        not_finite: impl Fn() -> Error,
        mut take: impl FnMut(u64, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut ready: Option<(u64, Vec<u8>)> = None;
        let mut spare = Vec::new();
        source.pieces(place, SLAB_VALUES, &mut |slab| {
            let mut out = std::mem::take(&mut spare);
            out.resize(slab.len() / self.row_bytes(self.from).max(1) * self.row_bytes(self.to), 0);
            let (finite, taken) = thread::scope(|scope| {
                let out = &mut out[..];
                let converted = scope.spawn(move || self.convert(slab, out));
                let taken = ready.as_ref().map_or(Ok(()), |(bytes, slab)| take(*bytes, slab));
                // A panic goes on in this thread.
                let finite = converted.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                (finite, taken)
            });
            taken?;
            if !finite {
                return Err(not_finite());
            }
            spare = ready.take().map(|(_, slab)| slab).unwrap_or_default();
            ready = Some((slab.len() as u64, out));
            Ok(())
        })?;
        ready.map_or(Ok(()), |(bytes, slab)| take(bytes, &slab))
    }

    fn row_bytes(&self, format: Format) -> usize {
        self.columns / format.block_length() * format.block_bytes()
    }

    /// Converts a slab on all threads, each taking the next few rows; whether every number was finite.
    fn convert(&self, slab: &[u8], out: &mut [u8]) -> bool {
        let rows = (CLAIM_VALUES / self.columns.max(1)).max(1);
        let jobs: Vec<_> = slab
            .chunks(rows * self.row_bytes(self.from))
            .zip(out.chunks_mut(rows * self.row_bytes(self.to)))
            .map(|job| std::sync::Mutex::new(Some(job)))
            .collect();
        let (next, finite) = (AtomicUsize::new(0), AtomicBool::new(true));
        let work = || {
            let mut values = vec![0.0; self.columns];
            while let Some(job) = jobs.get(next.fetch_add(1, Ordering::Relaxed)) {
                // Each place is taken once, by whoever drew its number.
                let Some((rows, out)) = job.lock().ok().and_then(|mut job| job.take()) else { continue };
                let rows = rows.chunks(self.row_bytes(self.from)).zip(out.chunks_mut(self.row_bytes(self.to)));
                for (row, out) in rows {
                    if !self.convert_row(row, &mut values, out) {
                        finite.store(false, Ordering::Relaxed);
                        return;
                    }
                }
            }
        };
        thread::scope(|scope| {
            (1..self.threads).for_each(|_| drop(scope.spawn(work)));
            work();
        });
        finite.into_inner()
    }

    fn convert_row(&self, row: &[u8], values: &mut [f32], out: &mut [u8]) -> bool {
        let read = dequantize(self.from, row, values);
        let finite = values.iter().all(|value| value.is_finite());
        let written = match self.weights {
            Some(weights) => quantize_weighted(self.to, values, weights, out),
            None => quantize_row(self.to, values, out),
        };
        // The lengths are the plan's; a format without a quantizer was refused before.
        debug_assert!(read.is_ok() && written.is_ok(), "{read:?} {written:?}");
        finite && read.is_ok() && written.is_ok()
    }
}
