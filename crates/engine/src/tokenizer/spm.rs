//! SentencePiece BPE: the pair of neighbours with the best score merges first, ties from the left.
//!
//! Source: `bpe_model.cc` of google/sentencepiece. The added pieces of the Chinese vocabularies all score 0, so that ties decide.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashMap};

use super::vocabulary::{Kind, Vocabulary, byte_of, looks_like_a_mark};
use super::{Error, normalize};

/// How text is prepared before it is split.
#[derive(Clone, Copy, Debug)]
pub struct SpmOptions {
    /// A blank is put before every segment.
    pub dummy_prefix: bool,
    /// Runs of blanks become one, outer ones go.
    pub extra_white_space_removed: bool,
    /// A character without a piece is spelled in bytes.
    pub byte_fallback: bool,
    /// Stands for characters that cannot be spelled.
    pub unknown: Option<u32>,
}

pub(super) struct Spm {
    /// Normal, user-defined and unused pieces: what text can become.
    pieces: HashMap<Box<str>, u32>,
    scores: Vec<f32>,
    unused: Vec<bool>,
    /// User-defined pieces by their first character, longest first: they stand for themselves, whole.
    whole: HashMap<char, Vec<(Box<str>, u32)>>,
    bytes: Option<Box<[u32; 256]>>,
    piece_bytes_max: usize,
    options: SpmOptions,
}

/// A stretch of the text: one character or a merged piece. `length` 0 says that it went into its left neighbour.
struct Symbol {
    start: usize,
    length: usize,
    previous: usize,
    next: usize,
    /// A user-defined piece: never merged.
    frozen: bool,
}

const NONE: usize = usize::MAX;

/// Two neighbours that would make a piece.
struct Pair {
    score: f32,
    left: usize,
    right: usize,
    /// Bytes of both when the pair was noted: it is stale when they differ.
    length: usize,
}

impl Ord for Pair {
    fn cmp(&self, other: &Pair) -> Ordering {
        // Minus zero (a trainer's first piece) is below zero (pieces added by hand): so does sentencepiece 0.2.
        self.score.total_cmp(&other.score).then(other.left.cmp(&self.left))
    }
}
impl PartialOrd for Pair {
    fn partial_cmp(&self, other: &Pair) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl PartialEq for Pair {
    fn eq(&self, other: &Pair) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Pair {}

impl Spm {
    /// `vocabulary` has been checked.
    pub fn new(vocabulary: &Vocabulary, options: SpmOptions) -> Result<Spm, Error> {
        let mut pieces = HashMap::with_capacity(vocabulary.pieces.len());
        let mut whole: HashMap<char, Vec<(Box<str>, u32)>> = HashMap::new();
        let mut bytes = [None; 256];
        let mut piece_bytes_max = 0;
        for (id, (piece, kind)) in vocabulary.pieces.iter().zip(&vocabulary.kinds).enumerate() {
            let id = id as u32;
            match kind {
                Kind::UserDefined if looks_like_a_mark(piece) => continue,
                Kind::Normal | Kind::UserDefined | Kind::Unused => {
                    pieces.insert(piece.as_str().into(), id);
                    piece_bytes_max = piece_bytes_max.max(piece.len());
                }
                Kind::Byte => {
                    let byte = byte_of(piece).ok_or_else(|| Error::Broken(format!("byte piece {id} is no `<0x…>`")))?;
                    bytes[usize::from(byte)] = Some(id);
                }
                Kind::Control | Kind::Unknown => {}
            }
            if *kind == Kind::UserDefined
                && let Some(first) = piece.chars().next()
            {
                whole.entry(first).or_default().push((piece.as_str().into(), id));
            }
        }
        whole.values_mut().for_each(|list| list.sort_by_key(|(piece, _)| std::cmp::Reverse(piece.len())));
        let bytes = if options.byte_fallback { Some(all_bytes(&bytes)?) } else { None };
        let unused = vocabulary.kinds.iter().map(|&kind| kind == Kind::Unused).collect();
        Ok(Spm { pieces, scores: vocabulary.scores.clone(), unused, whole, bytes, piece_bytes_max, options })
    }

    /// `prefix` says whether this segment gets the dummy prefix that the options ask for.
    pub fn encode(&self, text: &str, prefix: bool, out: &mut Vec<u32>) {
        let prefix = prefix && self.options.dummy_prefix;
        let text = normalize(text, prefix, self.options.extra_white_space_removed);
        let mut symbols = self.symbols(&text);
        let mut heap = BinaryHeap::new();
        // How an unused piece came about: its two parts, for it must be taken apart again.
        let mut origin: HashMap<&str, usize> = HashMap::new();
        for left in 0..symbols.len().saturating_sub(1) {
            self.note(&text, &symbols, left, left + 1, &mut heap, &mut origin);
        }
        while let Some(pair) = heap.pop() {
            let (left, right) = (&symbols[pair.left], &symbols[pair.right]);
            if left.length == 0 || right.length == 0 || left.length + right.length != pair.length {
                continue;
            }
            let after = right.next;
            symbols[pair.left].length = pair.length;
            symbols[pair.left].next = after;
            symbols[pair.right].length = 0;
            if after != NONE {
                symbols[after].previous = pair.left;
                self.note(&text, &symbols, pair.left, after, &mut heap, &mut origin);
            }
            let before = symbols[pair.left].previous;
            if before != NONE {
                self.note(&text, &symbols, before, pair.left, &mut heap, &mut origin);
            }
        }
        self.write(&text, &symbols, &origin, out);
    }

    fn symbols(&self, text: &str) -> Vec<Symbol> {
        let mut symbols = Vec::with_capacity(text.len());
        let mut start = 0;
        while let Some(first) = text[start..].chars().next() {
            let whole = self
                .whole
                .get(&first)
                .and_then(|list| list.iter().find(|(piece, _)| text[start..].starts_with(&**piece)));
            let length = whole.map_or(first.len_utf8(), |(piece, _)| piece.len());
            let index = symbols.len();
            let previous = if index == 0 { NONE } else { index - 1 };
            symbols.push(Symbol { start, length, previous, next: index + 1, frozen: whole.is_some() });
            start += length;
        }
        if let Some(last) = symbols.last_mut() {
            last.next = NONE;
        }
        symbols
    }

    fn note<'t>(
        &self,
        text: &'t str,
        symbols: &[Symbol],
        left: usize,
        right: usize,
        heap: &mut BinaryHeap<Pair>,
        origin: &mut HashMap<&'t str, usize>,
    ) {
        let (a, b) = (&symbols[left], &symbols[right]);
        let length = a.length + b.length;
        if a.frozen || b.frozen || length > self.piece_bytes_max {
            return;
        }
        let piece = &text[a.start..a.start + length];
        let Some(&id) = self.pieces.get(piece) else { return };
        heap.push(Pair { score: self.scores[id as usize], left, right, length });
        if self.unused[id as usize] {
            origin.insert(piece, a.length);
        }
    }

    fn write(&self, text: &str, symbols: &[Symbol], origin: &HashMap<&str, usize>, out: &mut Vec<u32>) {
        let mut after_unknown = false;
        // Parts still to be written, the next one last. Bounded by the length of a piece.
        let mut parts: Vec<&str> = Vec::new();
        for symbol in symbols.iter().filter(|symbol| symbol.length > 0) {
            parts.push(&text[symbol.start..symbol.start + symbol.length]);
            while let Some(part) = parts.pop() {
                let id = self.pieces.get(part).copied();
                match id {
                    Some(id) if !self.unused[id as usize] => out.push(id),
                    Some(id) => match origin.get(part) {
                        Some(&cut) => {
                            parts.push(&part[cut..]);
                            parts.push(&part[..cut]);
                        }
                        None => out.push(id),
                    },
                    None => {
                        self.spell(part, after_unknown, out);
                        after_unknown = self.bytes.is_none();
                        continue;
                    }
                }
                after_unknown = false;
            }
        }
    }

    /// A character without a piece: its bytes, or the unknown token once for a run.
    fn spell(&self, part: &str, after_unknown: bool, out: &mut Vec<u32>) {
        match (&self.bytes, self.options.unknown) {
            (Some(bytes), _) => out.extend(part.bytes().map(|byte| bytes[usize::from(byte)])),
            (None, Some(unknown)) if !after_unknown => out.push(unknown),
            _ => {}
        }
    }
}

fn all_bytes(bytes: &[Option<u32>; 256]) -> Result<Box<[u32; 256]>, Error> {
    let mut ids = Box::new([0; 256]);
    for (byte, id) in bytes.iter().enumerate() {
        ids[byte] = id
            .ok_or_else(|| Error::Broken(format!("it spells unknown characters in bytes but has no <0x{byte:02X}>")))?;
    }
    Ok(ids)
}
