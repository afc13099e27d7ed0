//! Writes a safetensors file: the header first, as all sizes are known from the plan, then each tensor's bytes as they come.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::{Dtype, Fault};
use crate::part::PartFile;
use crate::{Error, Fault as AnyFault};

/// The header is padded to a multiple of this, as the reference does.
const ALIGNMENT: usize = 8;

/// A tensor to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorPlan {
    pub name: String,
    pub dtype: Dtype,
    /// Row-major, slowest dimension first.
    pub shape: Vec<usize>,
}

impl TensorPlan {
    /// Bytes it will take; `None` where they overflow.
    pub fn bytes(&self) -> Option<u64> {
        let values = self.shape.iter().try_fold(1u64, |values, &dimension| values.checked_mul(dimension as u64));
        self.dtype.bytes_of(values?)
    }
}

/// A safetensors file in the making: tensors are streamed to it in the order of the plan. It has its name only after
/// [`Writer::finish`]; dropped before, it leaves nothing behind.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    part: PartFile,
    plan: Sizes,
    /// The tensor that is being written, and how many of its bytes are.
    current: usize,
    written: u64,
}

impl Writer {
    /// Writes the header. `metadata` is what Hugging Face's library wants to know: that PyTorch's layout is meant.
    pub fn create(path: &Path, plan: &[TensorPlan]) -> Result<Writer, Error> {
        let failed = |fault: AnyFault| Error::new(path, fault);
        let (header, sizes) = header(plan).map_err(|fault| failed(fault.into()))?;
        let mut part = PartFile::create(path).map_err(|error| failed(error.into()))?;
        part.write(&header).map_err(|error| failed(error.into()))?;
        let mut writer = Writer { path: path.to_path_buf(), part, plan: sizes, current: 0, written: 0 };
        writer.skip_empty();
        Ok(writer)
    }

    /// Appends bytes to the tensor `name`: the one begun, or the next of the plan when that one is whole. In as many
    /// pieces as one likes.
    pub fn bytes(&mut self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        let given = bytes.len() as u64;
        match self.plan.get(self.current) {
            Some((planned, size)) if planned == name => {
                if given > size - self.written {
                    let (tensor, planned) = (name.to_owned(), *size);
                    return Err(self.failed(Fault::TooManyBytes { tensor, given: given + self.written, planned }));
                }
            }
            other => {
                let planned = other.map(|(planned, _)| planned.clone());
                return Err(self.failed(Fault::OutOfTurn { tensor: name.to_owned(), planned }));
            }
        }
        self.part.write(bytes).map_err(|error| Error::new(&self.path, error))?;
        self.written += given;
        self.skip_empty();
        Ok(())
    }

    /// Makes sure of the file on the disk and gives it its name. Every tensor must have been written whole.
    pub fn finish(self) -> Result<(), Error> {
        if let Some((tensor, size)) = self.plan.get(self.current) {
            return Err(self.failed(Fault::Unfinished { tensor: tensor.clone(), missing: size - self.written }));
        }
        let Writer { path, part, .. } = self;
        part.finish().map_err(|error| Error::new(&path, error))
    }

    /// Goes on to the next tensor that still needs bytes.
    fn skip_empty(&mut self) {
        while self.plan.get(self.current).is_some_and(|(_, size)| *size == self.written) {
            (self.current, self.written) = (self.current + 1, 0);
        }
    }

    fn failed(&self, fault: Fault) -> Error {
        Error::new(&self.path, fault)
    }
}

/// The bytes of a file with this plan: header and tensors.
pub(crate) fn size_of(plan: &[TensorPlan]) -> Result<u64, Fault> {
    let (header, sizes) = header(plan)?;
    Ok(header.len() as u64 + sizes.iter().map(|(_, size)| size).sum::<u64>())
}

/// Tensors' names and bytes, in order.
type Sizes = Vec<(String, u64)>;

/// Length and JSON, and every tensor's size.
fn header(plan: &[TensorPlan]) -> Result<(Vec<u8>, Sizes), Fault> {
    let mut entries = Map::new();
    entries.insert("__metadata__".to_owned(), json!({ "format": "pt" }));
    let (mut start, mut sizes) = (0u64, Vec::with_capacity(plan.len()));
    for tensor in plan {
        let too_large = || {
            let shape = tensor.shape.iter().map(|&dimension| dimension as u64).collect();
            Fault::TensorTooLarge { tensor: tensor.name.clone(), shape }
        };
        let size = tensor.bytes().ok_or_else(too_large)?;
        let end = start.checked_add(size).ok_or_else(too_large)?;
        let entry = json!({ "dtype": tensor.dtype.name(), "shape": tensor.shape, "data_offsets": [start, end] });
        if entries.insert(tensor.name.clone(), entry).is_some() {
            return Err(Fault::TensorRepeated { tensor: tensor.name.clone() });
        }
        sizes.push((tensor.name.clone(), size));
        start = end;
    }
    let mut json = Value::Object(entries).to_string().into_bytes();
    json.resize(json.len().next_multiple_of(ALIGNMENT), b' ');
    let mut header = (json.len() as u64).to_le_bytes().to_vec();
    header.extend(json);
    Ok((header, sizes))
}
