//! The header of a safetensors file, read within limits and checked against itself and the file's size.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::pairs::{PAIRS_MAX, Pairs};
use super::{Dtype, Fault};
use crate::Error;

/// The reference implementation allows 100 MB; the largest models' headers, by shard, stay under 1 MB, and one file of
/// all of DeepSeek's 91,000 tensors would have 14 MB. JSON takes some ten times its bytes in memory while it is read.
const HEADER_BYTES_MAX: u64 = 32 << 20;
/// Errors repeat names; those in use have under 200 bytes.
const NAME_BYTES_MAX: usize = 1 << 10;
/// Convolutions over video have 5; nothing needs more.
const DIMENSIONS_MAX: usize = 8;

/// What stands before the tensors' bytes.
#[derive(Clone, Debug)]
pub struct Header {
    /// Free text by key (`__metadata__`), often `format: pt`.
    pub metadata: Vec<(String, String)>,
    /// In the order of their bytes.
    pub tensors: Vec<Tensor>,
    places: HashMap<String, usize>,
}

/// One tensor of a file: what it is and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    pub name: String,
    pub dtype: Dtype,
    /// Row-major, slowest dimension first.
    pub shape: Vec<usize>,
    /// First byte in the file.
    pub start: u64,
    /// Bytes it takes.
    pub bytes: u64,
}

impl Tensor {
    /// Its bytes in the file. Checked at reading: inside the file, so no cast here can cut.
    pub fn range(&self) -> Range<usize> {
        self.start as usize..(self.start + self.bytes) as usize
    }
}

impl Header {
    /// Reads the header at the beginning of `file`, the bytes of a whole file; `path` is only named in errors.
    pub fn parse(path: &Path, file: &[u8]) -> Result<Header, Error> {
        read(file).map_err(|fault| Error::new(path, fault))
    }

    /// The tensor with this name.
    pub fn find(&self, name: &str) -> Option<&Tensor> {
        self.place(name).map(|place| &self.tensors[place])
    }

    /// Where in `tensors` the tensor with this name stands.
    pub(crate) fn place(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }
}

fn read(file: &[u8]) -> Result<Header, Fault> {
    let size = file.len() as u64;
    let Some((length, rest)) = file.split_first_chunk::<8>() else {
        return Err(Fault::Truncated { wanted: 8, size });
    };
    let length = u64::from_le_bytes(*length);
    if rest.first().is_some_and(|&first| first != b'{') {
        return Err(Fault::NotSafetensors);
    }
    if length > HEADER_BYTES_MAX {
        return Err(Fault::HeaderTooLarge { length, limit: HEADER_BYTES_MAX });
    }
    let data_start = 8 + length;
    // Below the limit, so it fits in usize on every platform.
    let Some(json) = rest.get(..length as usize) else {
        return Err(Fault::Truncated { wanted: data_start, size });
    };
    // A copy: text must not change between being checked and being used, as bytes of a mapped file may.
    let json: Vec<u8> = json.to_vec();
    let listed: Listed = serde_json::from_slice(&json).map_err(|error| Fault::Header { detail: error.to_string() })?;
    let mut tensors = Vec::with_capacity(listed.tensors.len());
    let mut names = HashMap::new();
    for (name, entry) in listed.tensors {
        if names.insert(name.clone(), 0).is_some() {
            return Err(Fault::TensorRepeated { tensor: name });
        }
        tensors.push(tensor(name, entry, data_start, size)?);
    }
    tensors.sort_by_key(|tensor| (tensor.start, tensor.bytes));
    no_gap_and_no_overlap(&tensors, data_start, size)?;
    let places = tensors.iter().enumerate().map(|(place, tensor)| (tensor.name.clone(), place)).collect();
    Ok(Header { metadata: listed.metadata, tensors, places })
}

fn tensor(name: String, entry: Entry, data_start: u64, size: u64) -> Result<Tensor, Fault> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(Fault::NameLength { length: name.len(), limit: NAME_BYTES_MAX });
    }
    let Some(dtype) = Dtype::from_name(&entry.dtype) else {
        let dtype = entry.dtype.chars().take(NAME_SHOWN).collect();
        return Err(Fault::UnknownDtype { tensor: name, dtype });
    };
    if entry.shape.len() > DIMENSIONS_MAX {
        return Err(Fault::TooManyDimensions { tensor: name, count: entry.shape.len(), limit: DIMENSIONS_MAX });
    }
    let [start, end] = entry.data_offsets;
    if end < start {
        return Err(Fault::Backwards { tensor: name, start, end });
    }
    let values = entry.shape.iter().try_fold(1u64, |values, &dimension| values.checked_mul(dimension));
    let shape: Option<Vec<usize>> = entry.shape.iter().map(|&dimension| usize::try_from(dimension).ok()).collect();
    let (Some(wanted), Some(shape)) = (values.and_then(|values| dtype.bytes_of(values)), shape) else {
        return Err(Fault::TensorTooLarge { tensor: name, shape: entry.shape });
    };
    if end - start != wanted {
        return Err(Fault::Size { tensor: name, given: end - start, wanted });
    }
    let end = end.saturating_add(data_start);
    if end > size {
        return Err(Fault::PastEnd { tensor: name, end, size });
    }
    Ok(Tensor { name, dtype, shape, start: start + data_start, bytes: wanted })
}

/// Characters of an unknown type's name that an error repeats.
const NAME_SHOWN: usize = 32;

/// The tensors, in order, must cover the data: bytes of nobody could smuggle something else.
fn no_gap_and_no_overlap(tensors: &[Tensor], data_start: u64, size: u64) -> Result<(), Fault> {
    let (mut end, mut last) = (data_start, "");
    for tensor in tensors {
        if tensor.start < end {
            return Err(Fault::Overlap { first: last.to_owned(), second: tensor.name.clone() });
        }
        if tensor.start > end {
            return Err(Fault::Gap { bytes: tensor.start - end, at: tensor.start });
        }
        (end, last) = (tensor.start + tensor.bytes, &tensor.name);
    }
    if end != size {
        return Err(Fault::Gap { bytes: size - end, at: size });
    }
    Ok(())
}

/// The JSON as it stands, repeated names included: a plain map would keep the last of them.
#[derive(Default)]
struct Listed {
    metadata: Vec<(String, String)>,
    tensors: Vec<(String, Entry)>,
}

#[derive(Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

impl<'de> Deserialize<'de> for Listed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Listed, D::Error> {
        deserializer.deserialize_map(ListedVisitor)
    }
}

struct ListedVisitor;

impl<'de> Visitor<'de> for ListedVisitor {
    type Value = Listed;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of tensors by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Listed, A::Error> {
        let mut listed = Listed::default();
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                if !std::mem::take(&mut listed.metadata).is_empty() {
                    return Err(de::Error::duplicate_field("__metadata__"));
                }
                listed.metadata = map.next_value::<Pairs<String>>()?.0;
            } else {
                if listed.tensors.len() == PAIRS_MAX {
                    return Err(de::Error::custom(format_args!("it lists more than {PAIRS_MAX} tensors")));
                }
                listed.tensors.push((name, map.next_value()?));
            }
        }
        Ok(listed)
    }
}
