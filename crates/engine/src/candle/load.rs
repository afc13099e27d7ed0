//! Tensors from a model's files to the device.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::thread;

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{DType, Device, Tensor};
use huacaya_kernels::{Format, dequantize};
use huacaya_progress::{Progress, Watch};
use huacaya_weights::View;

use super::decoder::Decoder;
use super::linear::Weight;
use super::ops::Ops;
use crate::config::{Config, unusable};
use crate::source::Source;
use crate::{Error, Result};

/// Values unpacked between two looks at the watch: some milliseconds of work.
const VALUES_AT_A_TIME: usize = 1 << 22;
/// Weights that take less than this in f32 are unpacked for the processor. candle's kernels for blocks hand every product
/// to all their threads and spin until the last is done: beside another busy program that takes a hundred times as long as
/// the work itself (1.7 tokens/s instead of hundreds), and a small model has no use for threads.
const UNPACKED_BYTES_MAX: u64 = 128 << 20;
/// The strictest alignment of candle's block types.
const BLOCK_ALIGNMENT: usize = 4;

/// The name of a format in candle, where candle multiplies by its blocks. All else is unpacked.
pub(crate) fn block_type(format: Format) -> Option<GgmlDType> {
    Some(match format {
        Format::Q4_0 => GgmlDType::Q4_0,
        Format::Q4_1 => GgmlDType::Q4_1,
        Format::Q5_0 => GgmlDType::Q5_0,
        Format::Q5_1 => GgmlDType::Q5_1,
        Format::Q8_0 => GgmlDType::Q8_0,
        Format::Q2_K => GgmlDType::Q2K,
        Format::Q3_K => GgmlDType::Q3K,
        Format::Q4_K => GgmlDType::Q4K,
        Format::Q5_K => GgmlDType::Q5K,
        Format::Q6_K => GgmlDType::Q6K,
        Format::F32 | Format::F16 | Format::BF16 | Format::IQ4_NL | Format::IQ4_XS | Format::MXFP4 => return None,
    })
}

/// Whether a model is computed with in the blocks that it is stored in.
pub(crate) fn keeps_blocks(config: &Config, on_cpu: bool) -> bool {
    !on_cpu || config.parameter_count() * 4 > UNPACKED_BYTES_MAX
}

impl Decoder {
    /// The decoder of a GGUF file or a Hugging Face folder, in the processor's memory, without its text side. What is
    /// stored in blocks stays so: no gradient flows through blocks.
    pub fn open(path: &Path, ops: Arc<dyn Ops>, watch: Watch<'_>) -> Result<Decoder> {
        let source = Source::open(path)?;
        load(&source, &source.config, &Device::Cpu, true, ops, watch)
    }
}

/// A model's shape and each of its tensors in f32, by the names of [`Config::parameters`], in the processor's memory:
/// what training starts from. Takes four bytes a parameter, whatever the file takes. The watch counts bytes of the file.
pub fn unpacked(path: &Path, watch: Watch<'_>) -> Result<(Config, HashMap<String, Tensor>)> {
    let source = Source::open(path)?;
    let weights = weights(&source, &source.config, &Device::Cpu, false, watch)?;
    let dense = weights.into_iter().map(|(name, weight)| match weight {
        Weight::Dense(tensor) => Ok((name, tensor)),
        Weight::Quantized(_) => unusable(format!("`{name}` is quantized")),
    });
    let tensors = dense.collect::<Result<_>>()?;
    Ok((source.config, tensors))
}

/// Reads every tensor of the model, unpacked where `blocks` are not to be kept. The watch counts bytes of the file.
pub(crate) fn load(
    source: &Source,
    config: &Config,
    device: &Device,
    blocks: bool,
    ops: Arc<dyn Ops>,
    watch: Watch<'_>,
) -> Result<Decoder> {
    let tensors = weights(source, config, device, blocks, watch)?;
    Decoder::build(config, ops, |name| {
        tensors.get(name).cloned().ok_or_else(|| Error::TensorMissing { tensor: name.to_string() })
    })
}

/// As [`load`], each by its name.
fn weights(
    source: &Source,
    config: &Config,
    device: &Device,
    blocks: bool,
    watch: Watch<'_>,
) -> Result<HashMap<String, Weight>> {
    let parameters = config.parameters();
    let mut total = 0;
    for (name, shape) in &parameters {
        total += source.view(name, shape)?.bytes.len() as u64;
    }
    let mut done = 0;
    let mut tensors = HashMap::new();
    for (i, (name, shape)) in parameters.iter().enumerate() {
        if let Some((next, _)) = parameters.get(i + 1) {
            source.will_need(next);
        }
        let view = source.view(name, shape)?;
        let mut report = |part: u64| match watch(Progress { done: done + part, total }) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Stopped),
        };
        tensors.insert(name.clone(), weight(&view, shape, device, blocks, &mut report)?);
        report(view.bytes.len() as u64)?;
        done += view.bytes.len() as u64;
    }
    Ok(tensors)
}

/// `report` is told how many of the tensor's bytes are done.
fn weight(
    view: &View,
    shape: &[usize],
    device: &Device,
    blocks: bool,
    report: &mut dyn FnMut(u64) -> Result<()>,
) -> Result<Weight> {
    let aligned = view.bytes.as_ptr().addr().is_multiple_of(BLOCK_ALIGNMENT);
    match block_type(view.format) {
        Some(kind) if blocks && shape.len() == 2 && aligned => {
            let storage = QStorage::from_data(view.bytes.as_ref().into(), device, kind)?;
            Ok(Weight::Quantized(Arc::new(QTensor::new(storage, shape)?)))
        }
        _ => {
            let values = unpack(view.format, &view.bytes, shape.iter().product(), report)?;
            let tensor = Tensor::from_vec(values, shape, &Device::Cpu)?;
            // Matrices are halved for a graphics card, whose memory is small and which multiplies halves fast.
            let halve = !device.is_cpu() && shape.len() == 2;
            let tensor = if halve { tensor.to_dtype(DType::F16)? } else { tensor };
            Ok(Weight::Dense(tensor.to_device(device)?))
        }
    }
}

/// All values in f32, in parts on all processors.
fn unpack(format: Format, bytes: &[u8], count: usize, report: &mut dyn FnMut(u64) -> Result<()>) -> Result<Vec<f32>> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let size_of = |values: usize| values / format.block_length() * format.block_bytes();
    let mut values = vec![0.0; count];
    let (mut rest, mut left) = (bytes, values.as_mut_slice());
    let mut sound = true;
    while !left.is_empty() {
        let take = left.len().min(VALUES_AT_A_TIME);
        let (now, later) = left.split_at_mut(take);
        let (stored, after) = rest.split_at_checked(size_of(take)).unwrap_or((rest, &[]));
        let part = take.div_ceil(threads).next_multiple_of(format.block_length());
        thread::scope(|scope| {
            let parts = now.chunks_mut(part).zip(stored.chunks(size_of(part).max(1)));
            let running: Vec<_> =
                parts.map(|(out, bytes)| scope.spawn(move || dequantize(format, bytes, out).is_ok())).collect();
            sound &= running.into_iter().all(|thread| thread.join().unwrap_or(false));
        });
        (rest, left) = (after, later);
        report((bytes.len() - rest.len()) as u64)?;
    }
    if sound {
        Ok(values)
    } else {
        unusable(format!("a tensor of {count} values is no whole number of {format} blocks"))
    }
}
