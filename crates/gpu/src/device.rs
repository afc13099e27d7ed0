//! An adapter opened: buffers, programs that were compiled, and the way back for results.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use wgpu::{BufferUsages, ErrorFilter, Features};

use crate::adapter::{self, Adapter};
use crate::program::{Access, IMMEDIATE_BYTES, Program};
use crate::{Error, Result};

/// Bytes that are handed to the driver at a time: it stages them, and a large model must not lie in memory twice.
const UPLOAD_BYTES: usize = 32 << 20;
/// A submission is some hundredths of a second. A card that is silent for so long does not answer any more.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// What is read behind a matrix's last block: programs read whole words, two for one that is not aligned.
const SLACK_BYTES: u64 = 8;
/// Buffers are whole vectors of four words.
const ALIGNMENT: u64 = 16;

/// A piece of the card's memory.
#[derive(Clone, Debug)]
pub struct Buffer {
    pub(crate) id: u64,
    pub(crate) raw: wgpu::Buffer,
    pub bytes: u64,
    _held: Arc<Held>,
}

/// What ends with the last copy of a buffer: what is bound to it (a binding keeps its buffers alive), and its part of the
/// memory that is counted.
struct Held {
    id: u64,
    bytes: u64,
    shared: Weak<Shared>,
}

impl std::fmt::Debug for Held {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Held").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(shared) = self.shared.upgrade() else { return };
        shared.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        let mut bindings = shared.bindings.lock().unwrap_or_else(PoisonError::into_inner);
        bindings.retain(|(_, ids), _| !ids.contains(&self.id));
    }
}

/// What a device's buffers have in common.
#[derive(Default)]
struct Shared {
    bindings: Mutex<Bindings>,
    /// Bytes of all buffers.
    bytes: AtomicU64,
}

/// What the opened device allows.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub binding_bytes_max: u64,
    pub groups_max: u32,
    pub subgroups: bool,
}

pub(crate) struct Compiled {
    pub pipeline: wgpu::ComputePipeline,
    pub layout: wgpu::BindGroupLayout,
}

/// A compiled program and what is bound to it, by the buffers' numbers.
type Bindings = HashMap<(Program, Vec<u64>), wgpu::BindGroup>;

/// An adapter at work.
pub struct Gpu {
    pub adapter: Adapter,
    pub limits: Limits,
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    programs: Mutex<HashMap<Program, Arc<Compiled>>>,
    shared: Arc<Shared>,
    buffers: AtomicU64,
    /// Bytes that all buffers may have together.
    bytes_max: AtomicU64,
    /// Stands where a program has a buffer that a call does not need.
    pub(crate) nothing: Buffer,
    lost: Arc<Mutex<Option<String>>>,
}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gpu").field("adapter", &self.adapter).finish_non_exhaustive()
    }
}

impl Gpu {
    /// Opens the adapter with this number in [`crate::adapters`]. Its driver may crash: see that it is tried elsewhere first.
    pub fn open(index: usize) -> Result<Gpu> {
        let instance = adapter::instance();
        let found = adapter::enumerate(&instance);
        let count = found.len();
        let raw = found.into_iter().nth(index).ok_or(Error::NoAdapter { index, count })?;
        let described = adapter::describe(index, &raw);
        if let Some(what) = described.lacks {
            return Err(Error::Lacks { adapter: described.name, what });
        }
        let wanted = wgpu::DeviceDescriptor {
            label: Some("huacaya"),
            required_features: Features::IMMEDIATES | (raw.features() & Features::SUBGROUP),
            required_limits: raw.limits(),
            ..Default::default()
        };
        let opened = pollster::block_on(raw.request_device(&wanted));
        let (device, queue) =
            opened.map_err(|error| Error::Open { adapter: described.name.clone(), reason: error.to_string() })?;
        let lost = Arc::new(Mutex::new(None));
        let note = lost.clone();
        device.set_device_lost_callback(move |_, reason| set(&note, reason));
        let note = lost.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| set(&note, error.to_string())));
        let limits = Limits {
            binding_bytes_max: raw.limits().max_storage_buffer_binding_size.min(raw.limits().max_buffer_size),
            groups_max: raw.limits().max_compute_workgroups_per_dimension,
            subgroups: raw.features().contains(Features::SUBGROUP),
        };
        let raw = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("nothing"),
            size: ALIGNMENT,
            usage: BufferUsages::STORAGE,
            mapped_at_creation: false,
        });
        Ok(Gpu {
            adapter: described,
            limits,
            device,
            queue,
            programs: Mutex::default(),
            buffers: AtomicU64::new(1),
            bytes_max: AtomicU64::new(u64::MAX),
            nothing: Buffer {
                id: 0,
                raw,
                bytes: ALIGNMENT,
                _held: Arc::new(Held { id: 0, bytes: 0, shared: Weak::new() }),
            },
            shared: Arc::default(),
            lost,
        })
    }

    /// Zeroed memory for `bytes` bytes.
    pub fn buffer(&self, what: &str, bytes: u64) -> Result<Buffer> {
        let size = bytes.next_multiple_of(ALIGNMENT).max(ALIGNMENT);
        if size > self.limits.binding_bytes_max {
            return Err(Error::Shape {
                what: "the bytes of a buffer",
                found: size,
                wanted: self.limits.binding_bytes_max,
            });
        }
        let full = || Error::OutOfMemory { what: what.to_owned(), bytes: size };
        if self.bytes().saturating_add(size) > self.bytes_max.load(Ordering::Relaxed) {
            return Err(full());
        }
        let memory = self.device.push_error_scope(ErrorFilter::OutOfMemory);
        let others = self.device.push_error_scope(ErrorFilter::Internal);
        let raw = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(what),
            size,
            usage: BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        let failed = pollster::block_on(others.pop()).or(pollster::block_on(memory.pop()));
        self.check()?;
        match failed {
            Some(_) => Err(full()),
            None => {
                let id = self.buffers.fetch_add(1, Ordering::Relaxed);
                self.shared.bytes.fetch_add(size, Ordering::Relaxed);
                let held = Held { id, bytes: size, shared: Arc::downgrade(&self.shared) };
                Ok(Buffer { id, raw, bytes: size, _held: Arc::new(held) })
            }
        }
    }

    /// Bytes of all buffers that there are now.
    pub fn bytes(&self) -> u64 {
        self.shared.bytes.load(Ordering::Relaxed)
    }

    /// Lets all buffers together have so many bytes at most; those that are there stay.
    pub fn limit(&self, bytes: u64) {
        self.bytes_max.store(bytes, Ordering::Relaxed);
    }

    /// Memory with these bytes, and room behind them for programs that read whole words.
    pub fn upload(&self, what: &str, bytes: &[u8]) -> Result<Buffer> {
        let buffer = self.buffer(what, bytes.len() as u64 + SLACK_BYTES)?;
        self.write(&buffer, bytes)?;
        Ok(buffer)
    }

    /// As [`Gpu::upload`], of words.
    pub fn upload_words(&self, what: &str, words: &[u32]) -> Result<Buffer> {
        self.upload(what, &words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<_>>())
    }

    /// As [`Gpu::upload`], of numbers.
    pub fn upload_values(&self, what: &str, values: &[f32]) -> Result<Buffer> {
        self.upload(what, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>())
    }

    /// Bytes into a buffer, from its beginning.
    pub fn write(&self, buffer: &Buffer, bytes: &[u8]) -> Result<()> {
        if bytes.len() as u64 > buffer.bytes {
            return Err(Error::Shape {
                what: "the bytes for a buffer",
                found: bytes.len() as u64,
                wanted: buffer.bytes,
            });
        }
        for (i, piece) in bytes.chunks(UPLOAD_BYTES).enumerate() {
            let at = (i * UPLOAD_BYTES) as u64;
            match piece.len() % 4 {
                0 => self.queue.write_buffer(&buffer.raw, at, piece),
                rest => {
                    let mut padded = piece.to_vec();
                    padded.resize(piece.len() + 4 - rest, 0);
                    self.queue.write_buffer(&buffer.raw, at, &padded);
                }
            }
            if piece.len() == UPLOAD_BYTES {
                self.flush()?;
            }
        }
        self.check()
    }

    /// Waits until what was written has arrived: nothing of it is held twice any longer.
    pub(crate) fn flush(&self) -> Result<()> {
        self.queue.submit([]);
        self.wait()
    }

    /// Numbers that a program left, waiting for it. A submission and a way back of its own: for tests and checks.
    pub fn read(&self, buffer: &Buffer, count: usize) -> Result<Vec<f32>> {
        let mut recorder = crate::Recorder::new(self);
        let words = recorder.finish(Some((buffer, count)))?;
        Ok(words.into_iter().map(f32::from_bits).collect())
    }

    /// As [`Gpu::read`], of words.
    pub fn read_words(&self, buffer: &Buffer, count: usize) -> Result<Vec<u32>> {
        crate::Recorder::new(self).finish(Some((buffer, count)))
    }

    pub(crate) fn wait(&self) -> Result<()> {
        let waiting = wgpu::PollType::Wait { submission_index: None, timeout: Some(PATIENCE) };
        match self.device.poll(waiting) {
            Ok(_) => self.check(),
            Err(error) => Err(Error::Lost { reason: format!("no answer in {} s ({error})", PATIENCE.as_secs()) }),
        }
    }

    pub(crate) fn check(&self) -> Result<()> {
        match self.lost.lock().unwrap_or_else(PoisonError::into_inner).as_ref() {
            Some(reason) => Err(Error::Lost { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    /// Whether everything asked of it fails.
    pub fn is_lost(&self) -> bool {
        self.check().is_err()
    }

    /// Gives the device up as a lost one is: everything asked of it from now on fails.
    pub fn lose(&self) {
        self.device.destroy();
        set(&self.lost, "it was given up".to_owned());
    }

    pub(crate) fn compiled(&self, program: &Program) -> Result<Arc<Compiled>> {
        if let Some(found) = self.programs.lock().unwrap_or_else(PoisonError::into_inner).get(program) {
            return Ok(found.clone());
        }
        let compiled = Arc::new(self.compile(program)?);
        self.programs.lock().unwrap_or_else(PoisonError::into_inner).insert(program.clone(), compiled.clone());
        Ok(compiled)
    }

    fn compile(&self, program: &Program) -> Result<Compiled> {
        let label = format!("{program:?}");
        let scopes = [ErrorFilter::Validation, ErrorFilter::OutOfMemory, ErrorFilter::Internal]
            .map(|filter| self.device.push_error_scope(filter));
        let module = self.device.create_shader_module(wgpu::ShaderModuleDescriptor {
            label: Some(&label),
            source: wgpu::ShaderSource::Wgsl(program.text().into()),
        });
        let entries: Vec<_> =
            program.accesses().iter().enumerate().map(|(i, access)| entry(i as u32, *access)).collect();
        let layout = self
            .device
            .create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(&label), entries: &entries });
        let whole = self.device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(&label),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: IMMEDIATE_BYTES,
        });
        let pipeline = self.device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(&label),
            layout: Some(&whole),
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                zero_initialize_workgroup_memory: false,
                ..Default::default()
            },
            cache: None,
        });
        let mut reason = None;
        for scope in scopes.into_iter().rev() {
            reason = reason.or(pollster::block_on(scope.pop()));
        }
        match reason {
            Some(reason) => Err(Error::Program { program: label, reason: reason.to_string() }),
            None => Ok(Compiled { pipeline, layout }),
        }
    }

    /// The buffers bound to a program, as they were when that was asked for before.
    pub(crate) fn bound(&self, program: &Program, compiled: &Compiled, buffers: &[&Buffer]) -> wgpu::BindGroup {
        let key = (program.clone(), buffers.iter().map(|buffer| buffer.id).collect::<Vec<_>>());
        let mut bindings = self.shared.bindings.lock().unwrap_or_else(PoisonError::into_inner);
        let group = bindings.entry(key).or_insert_with(|| {
            let entries: Vec<_> = buffers
                .iter()
                .enumerate()
                .map(|(i, buffer)| wgpu::BindGroupEntry { binding: i as u32, resource: buffer.raw.as_entire_binding() })
                .collect();
            self.device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: None,
                layout: &compiled.layout,
                entries: &entries,
            })
        });
        group.clone()
    }
}

fn set(lost: &Mutex<Option<String>>, reason: String) {
    lost.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(reason);
}

fn entry(binding: u32, access: Access) -> wgpu::BindGroupLayoutEntry {
    let ty = wgpu::BufferBindingType::Storage { read_only: access == Access::Read };
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer { ty, has_dynamic_offset: false, min_binding_size: None },
        count: None,
    }
}
