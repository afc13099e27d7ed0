//! A model in several GGUF files, `NAME-00001-of-0000N.gguf`: their names, and all of them opened as one.
//!
//! Source: `gguf-split` of llama.cpp. `split.no` counts from 0, the names from 1; the first file has the model's keys.

use std::path::{Path, PathBuf};

use crate::Error;
use crate::folder::folder_of;
use crate::gguf::{Fault, File};

/// The largest models come in under 200 files; each is a map of its own.
const PARTS_MAX: u64 = 1 << 10;
/// Digits of the numbers in the names.
const DIGITS: usize = 5;

/// Opens the GGUF file at `path`, and where it is one of several, all of them as one.
pub(crate) fn open(path: &Path) -> Result<File, Error> {
    let first = File::open(path)?;
    let count = match first.metadata().find::<u64>("split.count")? {
        Some(count) if count > 1 => count,
        _ => return Ok(first),
    };
    if count > PARTS_MAX {
        return Err(Error::new(path, Fault::TooManyParts { count, limit: PARTS_MAX }));
    }
    let Some(name) = Name::of(path).filter(|name| name.count == count && (1..=count).contains(&name.number)) else {
        return Err(Error::new(path, Fault::PartName { count }));
    };
    let mut files = Vec::with_capacity(count as usize);
    for number in 1..=count {
        let part = folder_of(path).join(name.part(number));
        if !part.is_file() {
            return Err(Error::new(&part, Fault::PartMissing { number, count }));
        }
        let file = File::open(&part)?;
        let says = (file.metadata().find::<u64>("split.no")?, file.metadata().find::<u64>("split.count")?);
        if says != (Some(number - 1), Some(count)) {
            return Err(Error::new(&part, Fault::PartStrange { number, count }));
        }
        files.push(file);
    }
    let whole = File::join(path, files)?;
    let found = whole.tensors().len() as u64;
    match whole.metadata().find::<u64>("split.tensors.count")? {
        Some(wanted) if wanted != found => Err(Error::new(path, Fault::PartTensors { found, wanted })),
        _ => Ok(whole),
    }
}

/// Whether these files' names are those of one split model, all of it or some.
pub(crate) fn are_one_model(paths: &[&PathBuf]) -> bool {
    let mut names = paths.iter().map(|path| Name::of(path).map(|name| (name.stem, name.count)));
    let first = names.next().flatten();
    first.is_some() && names.all(|name| name == first)
}

/// The names of all files of the split model that this file's name says it belongs to, this one's among them; none where
/// the name is an ordinary one.
pub fn parts(path: &Path) -> Vec<String> {
    let name = Name::of(path).filter(|name| (1..=PARTS_MAX).contains(&name.count));
    name.map_or_else(Vec::new, |name| (1..=name.count).map(|number| name.part(number)).collect())
}

/// `STEM-00001-of-00003.gguf`, taken apart.
struct Name {
    stem: String,
    number: u64,
    count: u64,
}

impl Name {
    fn of(path: &Path) -> Option<Name> {
        let name = path.file_name()?.to_str()?;
        let (rest, count) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
        let (stem, number) = rest.rsplit_once('-')?;
        let number_of = |digits: &str| {
            let plain = digits.len() == DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
            if plain { digits.parse().ok() } else { None }
        };
        Some(Name { stem: stem.to_owned(), number: number_of(number)?, count: number_of(count)? })
    }

    fn part(&self, number: u64) -> String {
        format!("{}-{number:0DIGITS$}-of-{:0DIGITS$}.gguf", self.stem, self.count)
    }
}
