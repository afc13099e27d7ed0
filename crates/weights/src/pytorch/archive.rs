//! The zip archive around a PyTorch file: where each entry's bytes are. Entries are stored as they are, never compressed.
//!
//! Source: PKWARE's APPNOTE 6.3 (sections 4.3.7, 4.3.12, 4.3.14 to 4.3.16). PyTorch writes a Zip64 end record always, sizes
//! in the local headers never (flag bit 3), and pads them so that bytes begin at multiples of 64.

use std::collections::HashMap;
use std::ops::Range;

use super::Fault;

const LOCAL: u64 = 0x0403_4b50;
const CENTRAL: u64 = 0x0201_4b50;
const END: u64 = 0x0605_4b50;
const END_64: u64 = 0x0606_4b50;
const LOCATOR_64: u64 = 0x0706_4b50;
const LOCAL_BYTES: usize = 30;
const CENTRAL_BYTES: usize = 46;
const END_BYTES: usize = 22;
const END_64_BYTES: usize = 56;
const LOCATOR_64_BYTES: usize = 20;
/// A comment may follow the end record, as long as two bytes can say.
const COMMENT_BYTES_MAX: usize = 0xffff;
/// Two for each tensor at most, and some six more.
const ENTRIES_MAX: u64 = 1 << 17;
/// `pytorch_model-00001-of-00002/data/123` and its like.
const NAME_BYTES_MAX: usize = 512;
/// Sizes and offsets that do not fit in four bytes stand in this extra field.
const EXTRA_64: u64 = 1;
/// What a four-byte number says when the extra field has it.
const ELSEWHERE: u64 = 0xffff_ffff;
/// The local header leaves sizes to a record behind the bytes.
const SIZES_FOLLOW: u16 = 1 << 3;
/// Encrypted entries, strong encryption, masked headers.
const ENCRYPTED: u16 = 1 | 1 << 6 | 1 << 13;

/// The entries of an archive by their names.
#[derive(Debug, Default)]
pub(super) struct Archive {
    entries: HashMap<String, Range<usize>>,
}

impl Archive {
    /// Reads the list of entries of `file` and checks each against its own header and all against each other.
    pub(super) fn read(file: &[u8]) -> Result<Archive, Fault> {
        let (count, list) = directory(file)?;
        let mut archive = Archive::default();
        let mut taken: Vec<(usize, usize, String)> = vec![(list.start, list.end, "the list of entries".to_owned())];
        let mut at = list.start;
        for _ in 0..count {
            let (entry, next) = central(file, at, list.end)?;
            at = next;
            let bytes = local(file, &entry)?;
            taken.push((entry.header, bytes.end, entry.name.clone()));
            if archive.entries.insert(entry.name.clone(), bytes).is_some() {
                return Err(Fault::EntryRepeated { entry: entry.name });
            }
        }
        taken.sort();
        for pair in taken.windows(2) {
            if pair[1].0 < pair[0].1 {
                return Err(Fault::EntriesOverlap { first: pair[0].2.clone(), second: pair[1].2.clone() });
            }
        }
        Ok(archive)
    }

    /// Where the entry's bytes are in the file.
    pub(super) fn find(&self, name: &str) -> Option<Range<usize>> {
        self.entries.get(name).cloned()
    }

    /// The one folder that has a `data.pkl` directly inside.
    pub(super) fn folder(&self) -> Result<&str, Fault> {
        let mut folders = self.entries.keys().filter_map(|name| name.strip_suffix("/data.pkl"));
        match (folders.next(), folders.next()) {
            (Some(folder), None) if !folder.contains('/') => Ok(folder),
            (Some(_), _) => Err(Fault::SeveralPickles),
            (None, _) => Err(Fault::NoPickle),
        }
    }
}

/// One line of the list of entries.
struct Entry {
    name: String,
    size: u64,
    header: usize,
}

/// How many entries there are, and where their list is.
fn directory(file: &[u8]) -> Result<(u64, Range<usize>), Fault> {
    let truncated = || Fault::Truncated { size: file.len() as u64 };
    let earliest = file.len().saturating_sub(END_BYTES + COMMENT_BYTES_MAX);
    let latest = file.len().checked_sub(END_BYTES).ok_or_else(truncated)?;
    let fits = |&at: &usize| {
        let comment = number(file, at + 20, 2).unwrap_or(u64::MAX);
        number(file, at, 4) == Some(END) && at as u64 + END_BYTES as u64 + comment == file.len() as u64
    };
    let end = (earliest..=latest).rev().find(fits).ok_or_else(truncated)?;
    let field = |at: usize, bytes: usize| number(file, end + at, bytes).unwrap_or_default();
    let (mut count, mut size, mut start) = (field(10, 2), field(12, 4), field(16, 4));
    let mut limit = end;
    let locator = end.checked_sub(LOCATOR_64_BYTES).filter(|&at| number(file, at, 4) == Some(LOCATOR_64));
    if let Some(locator) = locator {
        let at = number(file, locator + 8, 8).and_then(|at| usize::try_from(at).ok());
        let at = at.filter(|&at| at.checked_add(END_64_BYTES).is_some_and(|end| end <= locator));
        let at = at.filter(|&at| number(file, at, 4) == Some(END_64)).ok_or(Fault::Directory)?;
        let field = |offset: usize| number(file, at + offset, 8).unwrap_or_default();
        (count, size, start) = (field(32), field(40), field(48));
        limit = at;
    }
    if count > ENTRIES_MAX {
        return Err(Fault::TooManyEntries { count, limit: ENTRIES_MAX });
    }
    match (usize::try_from(start).ok(), start.checked_add(size)) {
        (Some(start), Some(end)) if end <= limit as u64 => Ok((count, start..end as usize)),
        _ => Err(Fault::Directory),
    }
}

/// The entry listed at `at`, and where the next one is.
fn central(file: &[u8], at: usize, end: usize) -> Result<(Entry, usize), Fault> {
    let list = file.get(at..end).ok_or(Fault::Directory)?;
    let field = |at: usize, bytes: usize| number(list, at, bytes).ok_or(Fault::Directory);
    if field(0, 4)? != CENTRAL {
        return Err(Fault::Directory);
    }
    let [name, extra, comment] = [field(28, 2)? as usize, field(30, 2)? as usize, field(32, 2)? as usize];
    let next = CENTRAL_BYTES + name + extra + comment;
    let name = list.get(CENTRAL_BYTES..CENTRAL_BYTES + name).ok_or(Fault::Directory)?;
    let extra_start = CENTRAL_BYTES + name.len();
    let extra = list.get(extra_start..extra_start + extra).ok_or(Fault::Directory)?;
    if next > list.len() || name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(Fault::Directory);
    }
    let name = std::str::from_utf8(name).map_err(|_| Fault::Directory)?.to_owned();
    let (flags, method) = (field(8, 2)? as u16, field(10, 2)?);
    if flags & ENCRYPTED != 0 {
        return Err(Fault::Encrypted { entry: name });
    }
    if method != 0 {
        return Err(Fault::Compressed { entry: name });
    }
    let (mut packed, mut size, mut header) = (field(20, 4)?, field(24, 4)?, field(42, 4)?);
    let mut wide = wide_numbers(extra);
    // The extra field has, in this order, those numbers that did not fit.
    for number in [&mut size, &mut packed, &mut header] {
        if *number == ELSEWHERE {
            *number = wide.next().ok_or(Fault::Directory)?;
        }
    }
    if packed != size {
        return Err(Fault::EntrySize { entry: name, first: size, second: packed });
    }
    let header = usize::try_from(header).map_err(|_| Fault::Directory)?;
    Ok((Entry { name, size, header }, at + next))
}

/// The eight-byte numbers of the Zip64 field among the extra fields.
fn wide_numbers(mut extra: &[u8]) -> impl Iterator<Item = u64> {
    let mut found: &[u8] = &[];
    while let (Some(kind), Some(length)) = (number(extra, 0, 2), number(extra, 2, 2)) {
        let Some((field, rest)) = extra[4..].split_at_checked(length as usize) else { break };
        if kind == EXTRA_64 {
            found = field;
            break;
        }
        extra = rest;
    }
    found.as_chunks::<8>().0.iter().map(|bytes| u64::from_le_bytes(*bytes))
}

/// Where the entry's bytes are, by its own header, which must say what the list says.
fn local(file: &[u8], entry: &Entry) -> Result<Range<usize>, Fault> {
    let differs = || Fault::HeadersDiffer { entry: entry.name.clone() };
    let past_end = |end| Fault::PastEnd { entry: entry.name.clone(), end, size: file.len() as u64 };
    let header = file.get(entry.header..).filter(|header| header.len() >= LOCAL_BYTES);
    let header = header.ok_or_else(|| past_end(entry.header as u64 + LOCAL_BYTES as u64))?;
    let field = |at: usize, bytes: usize| number(header, at, bytes).ok_or_else(differs);
    let (flags, method) = (field(6, 2)? as u16, field(8, 2)?);
    let (packed, size) = (field(18, 4)?, field(22, 4)?);
    let [name, extra] = [field(26, 2)? as usize, field(28, 2)? as usize];
    let says = |size: u64| size == entry.size || size == ELSEWHERE || (flags & SIZES_FOLLOW != 0 && size == 0);
    let same_name = header.get(LOCAL_BYTES..LOCAL_BYTES + name) == Some(entry.name.as_bytes());
    if field(0, 4)? != LOCAL || method != 0 || flags & ENCRYPTED != 0 || !same_name {
        return Err(differs());
    }
    if !says(packed) || !says(size) {
        return Err(differs());
    }
    let start = entry.header + LOCAL_BYTES + name + extra;
    let end = (start as u64).checked_add(entry.size).ok_or_else(differs)?;
    if end > file.len() as u64 {
        return Err(past_end(end));
    }
    Ok(start..end as usize)
}

/// The little-endian number of `bytes` bytes at `at`; `None` past the end.
fn number(file: &[u8], at: usize, bytes: usize) -> Option<u64> {
    let mut number = [0; 8];
    number[..bytes].copy_from_slice(file.get(at..at.checked_add(bytes)?)?);
    Some(u64::from_le_bytes(number))
}
