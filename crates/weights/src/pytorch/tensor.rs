//! From a pickle's views on storages to tensors: names, types, shapes, and where their bytes are. Checked whole.

use std::borrow::Cow;
use std::collections::HashSet;

use super::Fault;
use super::archive::Archive;
use super::pickle::{self, Machine, Value};
use crate::safetensors::Dtype;

/// As in safetensors: those in use have under 200 bytes, and errors repeat them.
const NAME_BYTES_MAX: usize = 1 << 10;
/// As in safetensors.
const DIMENSIONS_MAX: usize = 8;
/// Tied weights are listed twice. More would let a small file claim a huge model.
const SHARING_MAX: u64 = 4;

/// One tensor of a file: what it is and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    pub name: String,
    pub dtype: Dtype,
    /// Row-major, slowest dimension first.
    pub shape: Vec<usize>,
    /// Bytes it takes, laid out row by row.
    pub bytes: u64,
    /// Where in the file its first value is.
    pub(super) start: usize,
    /// Values from one to the next in each dimension, where they do not lie row by row in the file.
    strides: Option<Vec<usize>>,
}

impl Tensor {
    /// Whether its values lie in the file row by row, so that they need not be gathered.
    pub fn is_mapped(&self) -> bool {
        self.strides.is_none()
    }

    /// Its bytes, little-endian, row-major, given those of the whole file: a part of them, or gathered where they lie in
    /// steps.
    ///
    /// # Panics
    /// If the tensor is not of a file with these bytes.
    pub fn read<'a>(&self, file: &'a [u8]) -> Cow<'a, [u8]> {
        match &self.strides {
            None => Cow::Borrowed(&file[self.start..self.start + self.bytes as usize]),
            Some(strides) => Cow::Owned(gather(self, strides, file)),
        }
    }

    /// Bytes of one value. Types with parts of bytes cannot be in a PyTorch file.
    fn value_bytes(&self) -> usize {
        (self.dtype.bits() / 8) as usize
    }
}

/// The tensors of the dictionary that the pickle is, in its order.
pub(super) fn list(pickle: &[u8], folder: &str, archive: &Archive, size: u64) -> Result<Vec<Tensor>, Fault> {
    let (machine, root) = pickle::run(pickle)?;
    let entries = machine.dictionary(root).ok_or(Fault::NoTensors)?;
    let (mut tensors, mut names, mut total) = (Vec::new(), HashSet::new(), 0u64);
    for &(key, value) in entries {
        let (Some(name), Value::Tensor(place)) = (machine.text(key), value) else { continue };
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return Err(Fault::NameLength { length: name.len(), limit: NAME_BYTES_MAX });
        }
        if !names.insert(name) {
            return Err(Fault::TensorRepeated { tensor: name.to_owned() });
        }
        let tensor = tensor(&machine, name, place as usize, folder, archive)?;
        total = total.saturating_add(tensor.bytes);
        tensors.push(tensor);
    }
    if tensors.is_empty() {
        return Err(Fault::NoTensors);
    }
    if total > size.saturating_mul(SHARING_MAX) {
        return Err(Fault::Shared { bytes: total, size });
    }
    Ok(tensors)
}

fn tensor(machine: &Machine, name: &str, place: usize, folder: &str, archive: &Archive) -> Result<Tensor, Fault> {
    let view = &machine.tensors[place];
    let storage = &machine.storages[view.storage as usize];
    let tensor = name.to_owned();
    let key = machine.text(storage.key).unwrap_or_default();
    let value_bytes = view.dtype.bits() / 8;
    let length = u64::try_from(storage.length).ok();
    let wanted = length.and_then(|length| length.checked_mul(storage.dtype.map_or(1, |dtype| dtype.bits() / 8)));
    let Some(bytes) = archive.find(&format!("{folder}/data/{key}")) else {
        return Err(Fault::StorageMissing { tensor, key: shown(key) });
    };
    if wanted != Some(bytes.len() as u64) {
        let found = bytes.len() as u64;
        return Err(Fault::StorageSize { key: shown(key), found, wanted: wanted.unwrap_or(u64::MAX) });
    }
    let values = bytes.len() as u64 / value_bytes;
    let shape = machine.integers(view.shape).unwrap_or_default();
    let strides = machine.integers(view.strides).unwrap_or_default();
    let impossible = || Fault::Shape { tensor: tensor.clone(), shape: shape.clone(), strides: strides.clone() };
    let known = machine.tuple(view.shape).is_some_and(|tuple| tuple.len() == shape.len())
        && machine.tuple(view.strides).is_some_and(|tuple| tuple.len() == strides.len());
    if !known || shape.len() != strides.len() || shape.len() > DIMENSIONS_MAX {
        return Err(impossible());
    }
    let unsigned = |numbers: &[i64]| numbers.iter().map(|&n| usize::try_from(n).ok()).collect::<Option<Vec<_>>>();
    let (Some(sizes), Some(steps), Ok(offset)) = (unsigned(&shape), unsigned(&strides), u64::try_from(view.offset))
    else {
        return Err(impossible());
    };
    let count = sizes.iter().try_fold(1u64, |count, &size| count.checked_mul(size as u64)).ok_or_else(impossible)?;
    let end = if count == 0 { Some(offset) } else { last(&sizes, &steps, offset).and_then(|last| last.checked_add(1)) };
    let end = end.ok_or_else(impossible)?;
    if end > values {
        return Err(Fault::PastStorage { tensor, end, values });
    }
    if count > values {
        return Err(Fault::Repeats { tensor, wanted: count, values });
    }
    // Inside the file's bytes by the checks above, so neither sum nor product can overflow.
    let start = bytes.start + (offset * value_bytes) as usize;
    let strides = if count == 0 || row_by_row(&sizes, &steps) { None } else { Some(steps) };
    Ok(Tensor { name: tensor, dtype: view.dtype, shape: sizes, bytes: count * value_bytes, start, strides })
}

/// The place of the last value.
fn last(sizes: &[usize], steps: &[usize], offset: u64) -> Option<u64> {
    sizes
        .iter()
        .zip(steps)
        .try_fold(offset, |at, (&size, &step)| at.checked_add((size as u64 - 1).checked_mul(step as u64)?))
}

/// Whether values follow each other without a gap. The step of a dimension of one value does not matter.
fn row_by_row(sizes: &[usize], steps: &[usize]) -> bool {
    let mut next = 1;
    sizes.iter().zip(steps).rev().all(|(&size, &step)| {
        let fits = size == 1 || step == next;
        next *= size;
        fits
    })
}

/// Writes the tensor's values row by row, from `file`, the bytes of the whole file.
fn gather(tensor: &Tensor, strides: &[usize], file: &[u8]) -> Vec<u8> {
    let width = tensor.value_bytes();
    let mut out = Vec::with_capacity(tensor.bytes as usize);
    let Some((&row, outer)) = tensor.shape.split_last() else { return out };
    let step = strides[outer.len()] * width;
    let mut index = vec![0; outer.len()];
    loop {
        let first = tensor.start + index.iter().zip(strides).map(|(i, stride)| i * stride * width).sum::<usize>();
        (0..row).for_each(|i| out.extend_from_slice(&file[first + i * step..][..width]));
        // The next row: the last index counts fastest.
        let Some(turn) = (0..outer.len()).rev().find(|&dimension| index[dimension] + 1 < outer[dimension]) else {
            return out;
        };
        index[turn] += 1;
        index[turn + 1..].fill(0);
    }
}

/// A key from the file, as an error repeats it.
fn shown(key: &str) -> String {
    key.chars().take(NAME_BYTES_MAX).collect()
}
