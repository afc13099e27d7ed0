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
/// Bytes copied at a time where a tensor stays as it is.
const COPY_BYTES: usize = 1 << 24;
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

/// The tensors of this file as they would be written, and what the file would take. Pure: nothing is written.
pub fn target(file: &File, wanted: &Wanted) -> Result<(Vec<TensorPlan>, u64), Error> {
    let failed = |fault: Fault| Error::new(file.path(), fault);
    if let Some((_, format)) = wanted.by_hand.iter().find(|(_, format)| *format == Format::MXFP4) {
        return Err(failed(Fault::Format { format: *format }));
    }
    let tensors: Vec<TensorPlan> = file.tensors().iter().map(as_plan).collect();
    let planned = plan(&tensors, shape(file)?, wanted);
    let metadata = metadata(file, wanted);
    let size = Writer::size_of(file.path(), &metadata, &planned)?;
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
    let file = crate::split::open(from)?;
    if same_file(from, to) {
        return Err(Error::new(from, Fault::OntoItself));
    }
    let (planned, _) = target(&file, wanted)?;
    let mut writer = Writer::create(to, &metadata(&file, wanted), &planned)?;
    let mut progress = Progress { done: 0, total: file.tensors().iter().map(|tensor| tensor.bytes).sum() };
    let mut report = Report { bytes: writer.size(), requantized: 0, unweighted: 0 };
    for (place, (tensor, target)) in file.tensors().iter().zip(&planned).enumerate() {
        if let Some(next) = file.tensors().get(place + 1) {
            file.will_need(next);
        }
        let bytes = file.bytes(tensor);
        if tensor.format == target.format {
            for chunk in bytes.chunks(COPY_BYTES) {
                writer.bytes(&tensor.name, chunk)?;
                step(&mut progress, chunk.len() as u64, to, watch)?;
            }
        } else {
            report.requantized += usize::from(!tensor.format.is_plain());
            let weights = importance.and_then(|importance| importance.of(&tensor.name));
            report.unweighted += usize::from(importance.is_some() && weights.is_none());
            let columns = tensor.dimensions.first().copied().unwrap_or(1);
            if let Some(weights) = weights.filter(|weights| weights.len() as u64 != columns) {
                let fault = Fault::Importance { tensor: tensor.name.clone(), columns, found: weights.len() };
                return Err(Error::new(from, fault));
            }
            let rows = Rows { from: tensor.format, to: target.format, columns: columns as usize, bytes, weights };
            rows.stream(threads.max(1), |source_bytes, slab| {
                writer.bytes(&tensor.name, slab)?;
                step(&mut progress, source_bytes, to, watch)
            })
            .map_err(|stop| match stop {
                Stop::NotFinite => Error::new(from, Fault::NotFinite { tensor: tensor.name.clone() }),
                Stop::Failed(error) => error,
            })?;
        }
        file.release(tensor);
    }
    writer.finish()?;
    Ok(report)
}

fn step(progress: &mut Progress, bytes: u64, to: &Path, watch: Watch<'_>) -> Result<(), Error> {
    progress.done += bytes;
    match watch(*progress) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::new(to, AnyFault::Stopped)),
    }
}

fn same_file(from: &Path, to: &Path) -> bool {
    matches!((from.canonicalize(), to.canonicalize()), (Ok(from), Ok(to)) if from == to)
}

fn as_plan(tensor: &crate::gguf::Tensor) -> TensorPlan {
    TensorPlan { name: tensor.name.clone(), dimensions: tensor.dimensions.clone(), format: tensor.format }
}

/// The source's keys, with what the new formats change.
fn metadata(file: &File, wanted: &Wanted) -> Metadata {
    let mut metadata = Metadata::new(file.path());
    file.metadata()
        .iter()
        .filter(|(key, _)| !key.starts_with(SPLIT_KEYS))
        .for_each(|(key, value)| metadata.set(key, value.clone()));
    metadata.set("general.quantization_version", QUANTIZATION_VERSION.into());
    metadata.set("general.file_type", wanted.scheme.file_type().into());
    metadata
}

fn shape(file: &File) -> Result<Shape, Error> {
    let metadata = file.metadata();
    let architecture: &str = metadata.get("general.architecture")?;
    if !ARCHITECTURES.contains(&architecture) {
        let architecture = architecture.to_owned();
        return Err(Error::new(file.path(), Fault::Architecture { architecture }));
    }
    let layers = metadata.get(&format!("{architecture}.block_count"))?;
    let heads = metadata.get(&format!("{architecture}.attention.head_count"))?;
    let kv_heads = metadata.find(&format!("{architecture}.attention.head_count_kv"))?.unwrap_or(heads);
    Ok(Shape { layers, heads, kv_heads })
}

/// Why a stream ended early.
enum Stop {
    NotFinite,
    Failed(Error),
}

/// A matrix on its way from one format to another.
struct Rows<'a> {
    from: Format,
    to: Format,
    columns: usize,
    bytes: &'a [u8],
    /// One for each column.
    weights: Option<&'a [f32]>,
}

impl Rows<'_> {
    /// Hands the converted rows to `take` in their order, with the number of source bytes behind them. While one slab is
    /// being taken, the threads convert the next.
    fn stream(&self, threads: usize, mut take: impl FnMut(u64, &[u8]) -> Result<(), Error>) -> Result<(), Stop> {
        let columns = self.columns.max(1);
        let row_bytes = self.row_bytes(self.from);
        let slab_bytes = row_bytes * (SLAB_VALUES / columns).max(1);
        let mut ready: Option<(u64, Vec<u8>)> = None;
        let mut spare = Vec::new();
        for slab in self.bytes.chunks(slab_bytes).map(Some).chain([None]) {
            let mut out = std::mem::take(&mut spare);
            out.resize(slab.map_or(0, |slab| slab.len() / row_bytes * self.row_bytes(self.to)), 0);
            let (finite, taken) = thread::scope(|scope| {
                let converted = slab.map(|slab| {
                    let out = &mut out[..];
                    scope.spawn(move || self.convert(slab, out, threads))
                });
                let taken = ready.as_ref().map_or(Ok(()), |(bytes, slab)| take(*bytes, slab));
                // A panic goes on in this thread.
                let finite = converted
                    .is_none_or(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
                (finite, taken)
            });
            taken.map_err(Stop::Failed)?;
            if !finite {
                return Err(Stop::NotFinite);
            }
            spare = ready.take().map(|(_, slab)| slab).unwrap_or_default();
            ready = slab.map(|slab| (slab.len() as u64, out));
        }
        Ok(())
    }

    fn row_bytes(&self, format: Format) -> usize {
        self.columns / format.block_length() * format.block_bytes()
    }

    /// Converts a slab on all threads, each taking the next few rows; whether every number was finite.
    fn convert(&self, slab: &[u8], out: &mut [u8], threads: usize) -> bool {
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
            (1..threads).for_each(|_| drop(scope.spawn(work)));
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
