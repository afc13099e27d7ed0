//! The header of a GGUF file, read within limits and checked against itself and the file's size.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

use huacaya_kernels::Format;

use super::{Array, Fault, Metadata, Place, Value, ValueKind};
use crate::Error;

/// Where tensors begin when the file does not say: `GGUF_DEFAULT_ALIGNMENT`.
pub const ALIGNMENT_DEFAULT: u64 = 32;
/// Files use 32; a page or a huge page could make sense, more wastes space and marks a broken file.
const ALIGNMENT_MAX: u64 = 1 << 21;
/// The largest vocabularies (262,144 pieces, or 280,000 merges) make headers of 6 to 10 MB. Strings take up to six times
/// their bytes in memory, so this bounds what a hostile file can make us allocate.
const HEADER_BYTES_MAX: usize = 64 << 20;
/// Files have some tens of keys; a hostile one may claim 2^60.
const KEYS_MAX: u64 = 1 << 16;
/// Files have some hundreds of tensors, mixtures of experts some tens of thousands.
const TENSORS_MAX: u64 = 1 << 18;
/// The specification's limit is 65,535 bytes; keys in use have under 100, and errors repeat them.
const KEY_BYTES_MAX: u64 = 1 << 10;
/// ggml's limit is 64 bytes; names of adapters and of other projects are longer.
const NAME_BYTES_MAX: u64 = 1 << 10;
/// `GGML_MAX_DIMS`.
const DIMENSIONS_MAX: u32 = 4;

/// What stands before the tensors' bytes.
#[derive(Clone, Debug)]
pub struct Header {
    /// 2 or 3.
    pub version: u32,
    /// Tensors begin at multiples of this.
    pub alignment: u64,
    pub metadata: Metadata,
    /// In the order of the file.
    pub tensors: Vec<Tensor>,
    /// The byte in the file from which tensors' offsets count.
    pub data_start: u64,
    places: HashMap<String, usize>,
}

/// One tensor of a file: what it is and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    pub name: String,
    /// ggml's order: `dimensions[0]` is the length of a row, the dimension whose values lie next to each other. A matrix
    /// that PyTorch calls (out, in) has dimensions [in, out]. [`Tensor::shape`] is the other way round.
    pub dimensions: Vec<u64>,
    pub format: Format,
    /// First byte in the file.
    pub start: u64,
    /// Bytes it takes.
    pub bytes: u64,
    /// Which of a split model's files it is in, counted from 0.
    pub part: usize,
}

/// What the first bytes of a file say, as far as they go: enough to know a model's shape before it is here.
#[derive(Clone, Debug)]
pub struct Front {
    pub tensor_count: u64,
    /// The keys that are whole.
    pub metadata: Metadata,
    /// The array at which the bytes end, and how many values it says it has.
    pub cut: Option<(String, u64)>,
}

impl Front {
    /// Reads what is there of a header's beginning.
    pub fn parse(path: &Path, start: &[u8]) -> Result<Front, Error> {
        front(path, start).map_err(|fault| Error::new(path, fault))
    }

    /// How many values the array of this key has, whole or cut.
    pub fn array_length(&self, key: &str) -> Option<u64> {
        match (self.metadata.value(key), &self.cut) {
            (Some(Value::Array(array)), _) => Some(array.len() as u64),
            (None, Some((cut, length))) if cut == key => Some(*length),
            _ => None,
        }
    }
}

impl Tensor {
    /// The shape row-major, slowest dimension first, as PyTorch and candle have it.
    pub fn shape(&self) -> Vec<usize> {
        self.dimensions.iter().rev().map(|&dimension| dimension as usize).collect()
    }

    /// Number of values.
    pub fn values(&self) -> u64 {
        self.dimensions.iter().product()
    }

    /// Its bytes in the file. Checked at reading: inside the file, so no cast here can cut.
    pub fn range(&self) -> Range<usize> {
        self.start as usize..(self.start + self.bytes) as usize
    }
}

impl Header {
    /// Reads the header at the beginning of `file`, the bytes of a whole file; `path` is only named in errors.
    pub fn parse(path: &Path, file: &[u8]) -> Result<Header, Error> {
        Header::parse_start(path, file, file.len() as u64)
    }

    /// As [`Header::parse`], given only the file's beginning and the size of the whole.
    pub fn parse_start(path: &Path, start: &[u8], size: u64) -> Result<Header, Error> {
        read(path, start, size).map_err(|fault| Error::new(path, fault))
    }

    /// The headers of a split model's files as one: the first one's keys, everyone's tensors.
    pub(super) fn join(headers: Vec<Header>) -> Result<Header, Fault> {
        let mut headers = headers.into_iter();
        let Some(mut joined) = headers.next() else { return Err(Fault::NotGguf { found: Vec::new() }) };
        for (part, header) in headers.enumerate() {
            for tensor in header.tensors {
                if joined.places.insert(tensor.name.clone(), joined.tensors.len()).is_some() {
                    return Err(Fault::TensorRepeated { tensor: tensor.name });
                }
                joined.tensors.push(Tensor { part: part + 1, ..tensor });
            }
        }
        Ok(joined)
    }

    /// The tensor with this name.
    pub fn find(&self, name: &str) -> Option<&Tensor> {
        self.places.get(name).map(|&place| &self.tensors[place])
    }
}

fn read(path: &Path, file: &[u8], size: u64) -> Result<Header, Fault> {
    let mut cursor = Cursor { file, at: 0 };
    let version = version(&mut cursor)?;
    let tensor_count = cursor.u64(&Place::Start)?;
    let key_count = cursor.u64(&Place::Start)?;
    if key_count > KEYS_MAX {
        return Err(Fault::TooManyKeys { count: key_count, limit: KEYS_MAX });
    }
    if tensor_count > TENSORS_MAX {
        return Err(Fault::TooManyTensors { count: tensor_count, limit: TENSORS_MAX });
    }
    let metadata = metadata(path, &mut cursor, key_count)?;
    let alignment = alignment(&metadata)?;
    let mut tensors = Vec::new();
    let mut places = HashMap::new();
    for index in 0..tensor_count {
        let tensor = tensor(&mut cursor, index, alignment)?;
        if places.insert(tensor.name.clone(), tensors.len()).is_some() {
            return Err(Fault::TensorRepeated { tensor: tensor.name });
        }
        tensors.push(tensor);
    }
    let data_start = (cursor.at as u64).next_multiple_of(alignment);
    place(&mut tensors, data_start, size)?;
    Ok(Header { version, alignment, metadata, tensors, data_start, places })
}

fn front(path: &Path, start: &[u8]) -> Result<Front, Fault> {
    let mut cursor = Cursor { file: start, at: 0 };
    version(&mut cursor)?;
    let tensor_count = cursor.u64(&Place::Start)?;
    let key_count = cursor.u64(&Place::Start)?.min(KEYS_MAX);
    let mut front = Front { tensor_count, metadata: Metadata::new(path), cut: None };
    for index in 0..key_count {
        match front_key(&mut cursor, index, &mut front) {
            Err(Fault::Truncated { .. }) => break,
            read => read?,
        }
    }
    Ok(front)
}

fn front_key(cursor: &mut Cursor<'_>, index: u64, front: &mut Front) -> Result<(), Fault> {
    let key = cursor.name(Place::KeyName(index), KEY_BYTES_MAX)?;
    let place = Place::Key(key.clone());
    let value = match value_kind(cursor.u32(&place)?, &key)? {
        ValueKind::Array => {
            let before = cursor.at;
            cursor.u32(&place)?;
            front.cut = Some((key.clone(), cursor.u64(&place)?));
            cursor.at = before;
            Value::Array(array(cursor, &key, &place)?)
        }
        kind => scalar(cursor, kind, &key, &place)?,
    };
    front.cut = None;
    front.metadata.set(&key, value);
    Ok(())
}

/// Magic and version. A version whose low half is empty is one written in the other byte order.
fn version(cursor: &mut Cursor<'_>) -> Result<u32, Fault> {
    let magic = &cursor.file[..cursor.file.len().min(4)];
    if !b"GGUF".starts_with(magic) {
        return Err(Fault::NotGguf { found: magic.to_vec() });
    }
    cursor.take(4, &Place::Start)?;
    let version = cursor.u32(&Place::Start)?;
    match version {
        2 | 3 => Ok(version),
        swapped if swapped & 0xffff == 0 && swapped != 0 => Err(Fault::BigEndian { version: swapped.swap_bytes() }),
        version => Err(Fault::Version { version }),
    }
}

fn metadata(path: &Path, cursor: &mut Cursor<'_>, count: u64) -> Result<Metadata, Fault> {
    let mut metadata = Metadata::new(path);
    for index in 0..count {
        let key = cursor.name(Place::KeyName(index), KEY_BYTES_MAX)?;
        if metadata.contains(&key) {
            return Err(Fault::KeyRepeated { key });
        }
        let place = Place::Key(key.clone());
        let value = match value_kind(cursor.u32(&place)?, &key)? {
            ValueKind::Array => Value::Array(array(cursor, &key, &place)?),
            kind => scalar(cursor, kind, &key, &place)?,
        };
        metadata.set(&key, value);
    }
    Ok(metadata)
}

fn value_kind(number: u32, key: &str) -> Result<ValueKind, Fault> {
    ValueKind::from_number(number).ok_or_else(|| Fault::UnknownValueKind { key: key.to_owned(), number })
}

fn scalar(cursor: &mut Cursor<'_>, kind: ValueKind, key: &str, place: &Place) -> Result<Value, Fault> {
    Ok(match kind {
        ValueKind::U8 => Value::U8(u8::from_le_bytes(cursor.fixed(place)?)),
        ValueKind::I8 => Value::I8(i8::from_le_bytes(cursor.fixed(place)?)),
        ValueKind::U16 => Value::U16(u16::from_le_bytes(cursor.fixed(place)?)),
        ValueKind::I16 => Value::I16(i16::from_le_bytes(cursor.fixed(place)?)),
        ValueKind::U32 => Value::U32(cursor.u32(place)?),
        ValueKind::I32 => Value::I32(i32::from_le_bytes(cursor.fixed(place)?)),
        ValueKind::F32 => Value::F32(f32::from_le_bytes(cursor.fixed(place)?)),
        ValueKind::Bool => Value::Bool(truth(cursor.fixed(place)?, key)?),
        ValueKind::String => Value::String(cursor.text(place)?),
        ValueKind::Array => return Err(Fault::NestedArray { key: key.to_owned() }),
        ValueKind::U64 => Value::U64(cursor.u64(place)?),
        ValueKind::I64 => Value::I64(i64::from_le_bytes(cursor.fixed(place)?)),
        ValueKind::F64 => Value::F64(f64::from_le_bytes(cursor.fixed(place)?)),
    })
}

fn truth([value]: [u8; 1], key: &str) -> Result<bool, Fault> {
    match value {
        0 => Ok(false),
        1 => Ok(true),
        value => Err(Fault::NotBool { key: key.to_owned(), value }),
    }
}

fn array(cursor: &mut Cursor<'_>, key: &str, place: &Place) -> Result<Array, Fault> {
    let kind = value_kind(cursor.u32(place)?, key)?;
    let count = cursor.u64(place)?;
    Ok(match kind {
        ValueKind::U8 => Array::U8(cursor.numbers(count, place, u8::from_le_bytes)?),
        ValueKind::I8 => Array::I8(cursor.numbers(count, place, i8::from_le_bytes)?),
        ValueKind::U16 => Array::U16(cursor.numbers(count, place, u16::from_le_bytes)?),
        ValueKind::I16 => Array::I16(cursor.numbers(count, place, i16::from_le_bytes)?),
        ValueKind::U32 => Array::U32(cursor.numbers(count, place, u32::from_le_bytes)?),
        ValueKind::I32 => Array::I32(cursor.numbers(count, place, i32::from_le_bytes)?),
        ValueKind::F32 => Array::F32(cursor.numbers(count, place, f32::from_le_bytes)?),
        ValueKind::Bool => {
            let values: Result<_, _> =
                cursor.numbers(count, place, |value| value)?.into_iter().map(|value| truth(value, key)).collect();
            Array::Bool(values?)
        }
        ValueKind::String => {
            let mut texts = Vec::new();
            for _ in 0..count {
                texts.push(cursor.text(place)?);
            }
            Array::String(texts)
        }
        ValueKind::Array => return Err(Fault::NestedArray { key: key.to_owned() }),
        ValueKind::U64 => Array::U64(cursor.numbers(count, place, u64::from_le_bytes)?),
        ValueKind::I64 => Array::I64(cursor.numbers(count, place, i64::from_le_bytes)?),
        ValueKind::F64 => Array::F64(cursor.numbers(count, place, f64::from_le_bytes)?),
    })
}

pub(super) fn alignment(metadata: &Metadata) -> Result<u64, Fault> {
    let key = "general.alignment";
    let Some(value) = metadata.value(key) else { return Ok(ALIGNMENT_DEFAULT) };
    let integer = value.as_integer().and_then(|integer| u64::try_from(integer).ok());
    let Some(alignment) = integer else {
        return Err(Fault::KeyKind { key: key.to_owned(), wanted: "a power of two", found: value.describe() });
    };
    if !alignment.is_power_of_two() || alignment > ALIGNMENT_MAX {
        return Err(Fault::Alignment { alignment, limit: ALIGNMENT_MAX });
    }
    Ok(alignment)
}

/// One entry of the tensor list; `start` is still relative to the data.
fn tensor(cursor: &mut Cursor<'_>, index: u64, alignment: u64) -> Result<Tensor, Fault> {
    let name = cursor.name(Place::TensorName(index), NAME_BYTES_MAX)?;
    let place = Place::Tensor(name.clone());
    let count = cursor.u32(&place)?;
    if count > DIMENSIONS_MAX {
        return Err(Fault::TooManyDimensions { tensor: name, count, limit: DIMENSIONS_MAX });
    }
    let dimensions = cursor.numbers(count.into(), &place, u64::from_le_bytes)?;
    let number = cursor.u32(&place)?;
    let start = cursor.u64(&place)?;
    let Some(format) = Format::from_ggml_type(number) else {
        return Err(Fault::UnsupportedType { tensor: name, number });
    };
    if dimensions.contains(&0) {
        return Err(Fault::EmptyDimension { tensor: name, dimensions });
    }
    let row = dimensions.first().copied().unwrap_or(1);
    if !row.is_multiple_of(format.block_length() as u64) {
        return Err(Fault::PartialBlock { tensor: name, format, row });
    }
    // ggml counts in i64, so what does not fit there is too large as well.
    let values = dimensions.iter().try_fold(1u64, |values, &dimension| values.checked_mul(dimension));
    let Some(bytes) = values.and_then(|values| format.bytes_of(values)).filter(|&bytes| i64::try_from(bytes).is_ok())
    else {
        return Err(Fault::TensorTooLarge { tensor: name, dimensions });
    };
    if !start.is_multiple_of(alignment) {
        return Err(Fault::Misaligned { tensor: name, offset: start, alignment });
    }
    Ok(Tensor { name, dimensions, format, start, bytes, part: 0 })
}

/// Makes the starts absolute; every tensor must lie inside the file and none on another.
fn place(tensors: &mut [Tensor], data_start: u64, size: u64) -> Result<(), Fault> {
    // Of those that lie past the end the last: there the whole file would end.
    let end = |tensor: &Tensor| tensor.start.saturating_add(data_start).saturating_add(tensor.bytes);
    if let Some(last) = tensors.iter().max_by_key(|tensor| end(tensor)).filter(|last| end(last) > size) {
        return Err(Fault::PastEnd { tensor: last.name.clone(), end: end(last), size });
    }
    tensors.iter_mut().for_each(|tensor| tensor.start += data_start);
    let mut order: Vec<&Tensor> = tensors.iter().collect();
    order.sort_by_key(|tensor| tensor.start);
    for pair in order.windows(2) {
        if pair[0].start + pair[0].bytes > pair[1].start {
            return Err(Fault::Overlap { first: pair[0].name.clone(), second: pair[1].name.clone() });
        }
    }
    Ok(())
}

/// Reads on through a file; every read is checked against the file's end and the header's limit.
struct Cursor<'a> {
    file: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: u64, place: &Place) -> Result<&'a [u8], Fault> {
        let end = usize::try_from(length).ok().and_then(|length| self.at.checked_add(length));
        let Some(end) = end.filter(|&end| end <= self.file.len()) else {
            return Err(Fault::Truncated { place: place.clone(), size: self.file.len() as u64 });
        };
        if end > HEADER_BYTES_MAX {
            return Err(Fault::HeaderTooLarge { place: place.clone(), limit: HEADER_BYTES_MAX as u64 });
        }
        let bytes = &self.file[self.at..end];
        self.at = end;
        Ok(bytes)
    }

    fn fixed<const N: usize>(&mut self, place: &Place) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N as u64, place)?);
        Ok(bytes)
    }

    fn u32(&mut self, place: &Place) -> Result<u32, Fault> {
        self.fixed(place).map(u32::from_le_bytes)
    }

    fn u64(&mut self, place: &Place) -> Result<u64, Fault> {
        self.fixed(place).map(u64::from_le_bytes)
    }

    /// `count` numbers of `N` bytes. Takes the bytes before it allocates.
    fn numbers<const N: usize, T>(
        &mut self,
        count: u64,
        place: &Place,
        convert: impl Fn([u8; N]) -> T,
    ) -> Result<Vec<T>, Fault> {
        let bytes = self.take(count.saturating_mul(N as u64), place)?;
        Ok(bytes.as_chunks().0.iter().map(|&bytes| convert(bytes)).collect())
    }

    fn text(&mut self, place: &Place) -> Result<String, Fault> {
        let length = self.u64(place)?;
        let bytes = self.take(length, place)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| Fault::NotUtf8 { place: place.clone() })
    }

    /// A key's or tensor's name, with a limit of its own because names are repeated in errors.
    fn name(&mut self, place: Place, limit: u64) -> Result<String, Fault> {
        let length = self.u64(&place)?;
        if length == 0 || length > limit {
            return Err(Fault::NameLength { place, length, limit });
        }
        let bytes = self.take(length, &place)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| Fault::NotUtf8 { place })
    }
}
