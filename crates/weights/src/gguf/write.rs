//! Writes GGUF version 3: the header first, as all sizes are known from the plan, then each tensor's bytes as they come.

use std::path::{Path, PathBuf};

use huacaya_kernels::{Format, quantize};

use super::header::alignment;
use super::{Array, Fault, Header, Metadata, Value};
use crate::part::PartFile;
use crate::{Error, Fault as AnyFault};

/// Values converted at a time by [`Writer::values`]: a whole number of blocks of any format, and small enough for the
/// cache.
const VALUES_AT_A_TIME: usize = 1 << 14;

/// A tensor to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorPlan {
    pub name: String,
    /// ggml's order, row length first: see [`super::Tensor::dimensions`].
    pub dimensions: Vec<u64>,
    pub format: Format,
}

impl TensorPlan {
    /// From a row-major shape, slowest dimension first, as PyTorch and candle have it.
    pub fn from_shape(name: &str, shape: &[usize], format: Format) -> TensorPlan {
        let dimensions = shape.iter().rev().map(|&dimension| dimension as u64).collect();
        TensorPlan { name: name.to_owned(), dimensions, format }
    }

    /// Values of a row.
    pub(crate) fn columns(&self) -> usize {
        self.dimensions.first().map_or(1, |columns| (*columns).max(1) as usize)
    }

    /// Bytes of a row in this format.
    pub(crate) fn row_bytes(&self, format: Format) -> usize {
        (self.columns() / format.block_length() * format.block_bytes()).max(1)
    }

    /// Rows that have about `values` values: at least one.
    pub(crate) fn rows_of(&self, values: usize) -> usize {
        (values / self.columns()).max(1)
    }
}

/// A GGUF file in the making: tensors are streamed to it in the order of the plan. It has its name only after
/// [`Writer::finish`]; dropped before, it leaves nothing behind.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    part: PartFile,
    header: Header,
    /// The tensor that is being written, and how many of its bytes are.
    current: usize,
    written: u64,
    /// Bytes in the file so far.
    at: u64,
}

impl Writer {
    /// Writes the header. What our reader would refuse is refused here, with the same fault.
    pub fn create(path: &Path, metadata: &Metadata, plan: &[TensorPlan]) -> Result<Writer, Error> {
        let failed = |fault: AnyFault| Error::new(path, fault);
        let (bytes, size) = header_bytes(metadata, plan).map_err(|fault| failed(fault.into()))?;
        let header = Header::parse_start(path, &bytes, size)?;
        let mut part = PartFile::create(path).map_err(|error| failed(error.into()))?;
        part.write(&bytes).map_err(|error| failed(error.into()))?;
        let at = bytes.len() as u64;
        Ok(Writer { path: path.to_path_buf(), part, header, current: 0, written: 0, at })
    }

    /// Bytes that a file of this plan will have. Refuses what [`Writer::create`] would refuse, and writes nothing.
    pub fn size_of(path: &Path, metadata: &Metadata, plan: &[TensorPlan]) -> Result<u64, Error> {
        let (bytes, size) = header_bytes(metadata, plan).map_err(|fault| Error::new(path, AnyFault::from(fault)))?;
        let header = Header::parse_start(path, &bytes, size)?;
        Ok(size.next_multiple_of(header.alignment))
    }

    /// Bytes that the finished file will have.
    pub fn size(&self) -> u64 {
        let end = self.header.tensors.last().map_or(self.at, |last| last.start + last.bytes);
        end.next_multiple_of(self.header.alignment)
    }

    /// Appends bytes to the tensor `name`: the one begun, or the next of the plan when that one is whole. In as many
    /// pieces as one likes.
    pub fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let (start, planned) = match self.header.tensors.get(self.current) {
            Some(tensor) if tensor.name == name => (tensor.start, tensor.bytes),
            other => {
                let planned = other.map(|tensor| tensor.name.clone());
                return Err(self.failed(Fault::OutOfTurn { tensor: name.to_owned(), planned }));
            }
        };
        let given = bytes.len() as u64;
        if given > planned - self.written {
            return Err(self.failed(Fault::TooManyBytes { tensor: name.to_owned(), given, planned }));
        }
        if self.written == 0 {
            self.pad_to(start)?;
        }
        self.put(bytes)?;
        self.written += given;
        if self.written == planned {
            (self.current, self.written) = (self.current + 1, 0);
        }
        Ok(())
    }

    /// Appends values to the tensor `name`, converted to its format: whole blocks at a time.
    pub fn values(&mut self, name: &str, values: &[f32]) -> Result<(), Error> {
        let Some(tensor) = self.header.find(name) else {
            return Err(self.failed(Fault::TensorMissing { tensor: name.to_owned() }));
        };
        let format = tensor.format;
        let mut bytes = Vec::new();
        for piece in values.chunks(VALUES_AT_A_TIME) {
            bytes.resize(piece.len().div_ceil(format.block_length()) * format.block_bytes(), 0);
            quantize(format, piece, &mut bytes)
                .map_err(|error| self.failed(Fault::Unwritable { tensor: name.to_owned(), error }))?;
            self.bytes(name, &bytes)?;
        }
        Ok(())
    }

    /// Makes sure of the file on the disk and gives it its name. Every tensor must have been written whole.
    pub fn finish(mut self) -> Result<(), Error> {
        if let Some(tensor) = self.header.tensors.get(self.current) {
            let fault = Fault::Unfinished { tensor: tensor.name.clone(), missing: tensor.bytes - self.written };
            return Err(self.failed(fault));
        }
        self.pad_to(self.at.next_multiple_of(self.header.alignment))?;
        let Writer { path, part, .. } = self;
        part.finish().map_err(|error| Error::new(&path, error))
    }

    fn pad_to(&mut self, start: u64) -> Result<(), Error> {
        const ZEROS: [u8; 4096] = [0; 4096];
        while self.at < start {
            let length = (start - self.at).min(ZEROS.len() as u64) as usize;
            self.put(&ZEROS[..length])?;
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.part.write(bytes).map_err(|error| Error::new(&self.path, error))?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn failed(&self, fault: Fault) -> Error {
        Error::new(&self.path, fault)
    }
}

/// The header, and the size of the whole file it announces (without the padding at the end).
fn header_bytes(metadata: &Metadata, plan: &[TensorPlan]) -> Result<(Vec<u8>, u64), Fault> {
    let alignment = alignment(metadata)?;
    let mut out = b"GGUF".to_vec();
    out.extend(3u32.to_le_bytes());
    out.extend((plan.len() as u64).to_le_bytes());
    out.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata.iter() {
        text(&mut out, key);
        out.extend((value.kind() as u32).to_le_bytes());
        put_value(&mut out, value);
    }
    let mut start = 0u64;
    let mut end = 0u64;
    for tensor in plan {
        text(&mut out, &tensor.name);
        out.extend((tensor.dimensions.len() as u32).to_le_bytes());
        tensor.dimensions.iter().for_each(|dimension| out.extend(dimension.to_le_bytes()));
        out.extend(tensor.format.ggml_type().to_le_bytes());
        out.extend(start.to_le_bytes());
        // What overflows here is refused by name when the header is read back.
        let values = tensor.dimensions.iter().fold(1u64, |values, &dimension| values.saturating_mul(dimension));
        end = start.saturating_add(tensor.format.bytes_of(values).unwrap_or(0));
        start = end.checked_next_multiple_of(alignment).unwrap_or(u64::MAX - (alignment - 1));
    }
    let size = (out.len() as u64).next_multiple_of(alignment).saturating_add(end);
    Ok((out, size))
}

fn text(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u64).to_le_bytes());
    out.extend(text.as_bytes());
}

fn put_value(out: &mut Vec<u8>, value: &Value) {
    match value {
        Value::U8(value) => out.extend(value.to_le_bytes()),
        Value::I8(value) => out.extend(value.to_le_bytes()),
        Value::U16(value) => out.extend(value.to_le_bytes()),
        Value::I16(value) => out.extend(value.to_le_bytes()),
        Value::U32(value) => out.extend(value.to_le_bytes()),
        Value::I32(value) => out.extend(value.to_le_bytes()),
        Value::F32(value) => out.extend(value.to_le_bytes()),
        Value::Bool(value) => out.push((*value).into()),
        Value::String(value) => text(out, value),
        Value::Array(array) => {
            out.extend((array.kind() as u32).to_le_bytes());
            out.extend((array.len() as u64).to_le_bytes());
            put_array(out, array);
        }
        Value::U64(value) => out.extend(value.to_le_bytes()),
        Value::I64(value) => out.extend(value.to_le_bytes()),
        Value::F64(value) => out.extend(value.to_le_bytes()),
    }
}

fn put_array(out: &mut Vec<u8>, array: &Array) {
    match array {
        Array::U8(values) => out.extend(values),
        Array::I8(values) => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Array::U16(values) => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Array::I16(values) => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Array::U32(values) => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Array::I32(values) => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Array::F32(values) => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Array::Bool(values) => out.extend(values.iter().map(|&value| u8::from(value))),
        Array::String(values) => values.iter().for_each(|value| text(out, value)),
        Array::U64(values) => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Array::I64(values) => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
        Array::F64(values) => out.extend(values.iter().flat_map(|value| value.to_le_bytes())),
    }
}
