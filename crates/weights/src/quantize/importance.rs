//! Importance matrices: for each column of a matrix, the mean square of what it is multiplied by.
//!
//! Both of llama.cpp's formats are read, the new one (a GGUF of `NAME.in_sum2` and `NAME.counts`) is written. Source:
//! `tools/imatrix/imatrix.cpp`, `tools/quantize/quantize.cpp`.

use std::collections::BTreeMap;
use std::path::Path;

use huacaya_kernels::{Format, dequantize};

use super::Fault;
use crate::gguf::{File, Metadata, TensorPlan, Writer};
use crate::map::Map;
use crate::{Error, magic};

/// A model has some hundreds of matrices; the old format says how many come.
const ENTRIES_MAX: i32 = 1 << 18;
/// As for GGUF's tensors.
const NAME_BYTES_MAX: i32 = 1 << 10;
/// The widest matrices in use have some ten thousand columns.
const COLUMNS_MAX: i32 = 1 << 24;
const SUMS: &str = ".in_sum2";
const COUNTS: &str = ".counts";

/// By tensor, one number a column.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Importance {
    columns: BTreeMap<String, Vec<f32>>,
    /// Pieces of text that it was gathered from.
    pub chunks: u32,
    /// The text's name.
    pub source: String,
}

impl Importance {
    /// `sums` are of squares, over `count` tokens.
    pub fn add(&mut self, tensor: &str, sums: &[f32], count: f32) {
        let mean = |sum: &f32| if count > 0.0 { sum / count } else { 1.0 };
        self.columns.insert(tensor.to_owned(), sums.iter().map(mean).collect());
    }

    /// One number a column of this tensor.
    pub fn of(&self, tensor: &str) -> Option<&[f32]> {
        self.columns.get(tensor).map(Vec::as_slice)
    }

    /// The tensors it knows.
    pub fn tensors(&self) -> impl Iterator<Item = &str> {
        self.columns.keys().map(String::as_str)
    }

    /// Reads either format. Which it is shows in the first bytes.
    pub fn open(path: &Path) -> Result<Importance, Error> {
        let importance =
            if matches!(magic::of(path)?, magic::Magic::Gguf) { read_gguf(path)? } else { read_old(path)? };
        let odd = importance.columns.iter().find(|(_, columns)| columns.iter().any(|c| !c.is_finite() || *c < 0.0));
        match odd {
            Some((tensor, _)) => {
                Err(broken(path, format!("tensor `{tensor}` has a number that no mean square can be")))
            }
            None if importance.columns.is_empty() => Err(broken(path, "it names no tensor".into())),
            None => Ok(importance),
        }
    }

    /// Writes the GGUF form.
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let mut metadata = Metadata::new(path);
        metadata.set("general.type", "imatrix".into());
        metadata.set("imatrix.datasets", vec![self.source.clone()].into());
        metadata.set("imatrix.chunk_count", self.chunks.into());
        metadata.set("imatrix.chunk_size", 512u32.into());
        let plan: Vec<TensorPlan> = self
            .columns
            .iter()
            .flat_map(|(name, columns)| {
                let sums = TensorPlan::from_shape(&format!("{name}{SUMS}"), &[1, columns.len()], Format::F32);
                [sums, TensorPlan::from_shape(&format!("{name}{COUNTS}"), &[1, 1], Format::F32)]
            })
            .collect();
        let mut writer = Writer::create(path, &metadata, &plan)?;
        for (name, columns) in &self.columns {
            writer.values(&format!("{name}{SUMS}"), columns)?;
            writer.values(&format!("{name}{COUNTS}"), &[1.0])?;
        }
        writer.finish()
    }
}

fn broken(path: &Path, detail: String) -> Error {
    Error::new(path, Fault::ImportanceFile { detail })
}

fn read_gguf(path: &Path) -> Result<Importance, Error> {
    let file = File::open(path)?;
    let metadata = file.metadata();
    let kind: Option<&str> = metadata.find("general.type")?;
    if kind != Some("imatrix") {
        return Err(broken(path, "it is a GGUF of another kind".into()));
    }
    let sources: &[String] = metadata.find("imatrix.datasets")?.unwrap_or_default();
    let mut importance = Importance {
        chunks: metadata.find("imatrix.chunk_count")?.unwrap_or_default(),
        source: sources.join(", "),
        ..Importance::default()
    };
    let values = |tensor: &crate::gguf::Tensor| {
        let mut values = vec![0.0; tensor.values() as usize];
        dequantize(tensor.format, file.bytes(tensor), &mut values).map(|()| values).unwrap_or_default()
    };
    for tensor in file.tensors() {
        let Some(name) = tensor.name.strip_suffix(SUMS) else { continue };
        let counts = values(file.tensor(&format!("{name}{COUNTS}"))?);
        let [count] = counts[..] else {
            return Err(broken(
                path,
                format!("tensor `{name}` has {} counts; experts are not supported", counts.len()),
            ));
        };
        importance.add(name, &values(tensor), count);
    }
    Ok(importance)
}

/// i32 entries; for each: i32 length and name, i32 calls, i32 columns and as many f32 sums; then i32 chunks, i32 length and
/// the text's name.
fn read_old(path: &Path) -> Result<Importance, Error> {
    let map = Map::open(path)?;
    let mut cursor = Cursor { rest: &map };
    read_entries(&mut cursor).ok_or_else(|| broken(path, "it ends early or its numbers make no sense".into()))
}

fn read_entries(cursor: &mut Cursor<'_>) -> Option<Importance> {
    let mut importance = Importance::default();
    let entries = cursor.number(ENTRIES_MAX)?;
    for _ in 0..entries {
        let length = cursor.number(NAME_BYTES_MAX)?;
        let name = String::from_utf8(cursor.take(length)?.to_vec()).ok()?;
        let calls = cursor.number(i32::MAX)?;
        let columns = cursor.number(COLUMNS_MAX)?;
        let bytes = cursor.take(columns.checked_mul(4)?)?;
        let sums: Vec<f32> = bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        // A file that counted no calls holds means already.
        importance.add(&name, &sums, calls.max(1) as f32);
    }
    // Files older than that have no end.
    if let Some(chunks) = cursor.number(i32::MAX) {
        importance.chunks = chunks as u32;
        let length = cursor.number(NAME_BYTES_MAX)?;
        importance.source = String::from_utf8_lossy(cursor.take(length)?).into_owned();
    }
    Some(importance)
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    /// From 0 to `most`.
    fn number(&mut self, most: i32) -> Option<usize> {
        let bytes = self.take(4)?.try_into().ok()?;
        let number = i32::from_le_bytes(bytes);
        (0..=most).contains(&number).then_some(number as usize)
    }
}
