//! Text files that a person attaches: which encoding they are in, and that they are text at all.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::{BIG5, Encoding, GB18030, UTF_8, UTF_16BE, UTF_16LE};

use crate::error::{Code, Error, Result};

/// Of a file without a mark so much is looked at; encodings show themselves early.
const LOOKED_AT: usize = 256 << 10;

/// Where a guess decodes to this many replacements in a thousand characters, it was wrong or the file is no text.
const REPLACED_PER_MILLE_MAX: usize = 10;

/// The text (line ends as `\n`, no byte order mark) and the WHATWG name of its encoding.
pub fn read_text(name: &str, bytes: &[u8]) -> Result<(String, &'static str)> {
    let binary = || Error::new(Code::AttachmentBinary, format!("{name} holds no text")).with("name", name);
    let (encoding, mark) = match Encoding::for_bom(bytes) {
        Some(marked) => marked,
        None => (guess(bytes).ok_or_else(binary)?, 0),
    };
    let (text, damaged) = encoding.decode_without_bom_handling(&bytes[mark..]);
    let count = text.chars().count();
    let replaced = if damaged { text.chars().filter(|c| *c == '\u{fffd}').count() } else { 0 };
    if replaced * 1000 > count * REPLACED_PER_MILLE_MAX || has_controls(&text) {
        return Err(binary());
    }
    Ok((text.replace("\r\n", "\n").replace('\r', "\n"), encoding.name()))
}

/// Of UTF-16 without a mark so much must be letters, ideographs and punctuation.
const COMMON_PER_MILLE_MIN: usize = 930;

/// Up to so many bytes beyond ASCII, statistics of letters say little.
const SHORT_BYTES_MAX: usize = 64;

/// Control characters that no text has: a zero byte among them. (Tab, line ends, form feed, escape, the old end of file.)
fn has_controls(text: &str) -> bool {
    text.chars().any(|c| c < ' ' && !matches!(c, '\t' | '\n' | '\r' | '\x0c' | '\x1b' | '\x1a'))
}

fn guess(bytes: &[u8]) -> Option<&'static Encoding> {
    let has_zeros = bytes.contains(&0);
    if !has_zeros && std::str::from_utf8(bytes).is_ok() {
        return Some(UTF_8);
    }
    let looked_at = &bytes[..bytes.len().min(LOOKED_AT)];
    if let Some(encoding) = wide(looked_at).filter(|_| bytes.len().is_multiple_of(2)) {
        return Some(encoding);
    }
    if has_zeros {
        return None;
    }
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    detector.feed(looked_at, true);
    let guessed = detector.guess(None, Utf8Detection::Allow);
    if guessed.name() == "GBK" {
        return Some(GB18030); // which holds all of GBK
    }
    // A handful of Chinese characters looks like Korean or like Western letters with odd marks; the people of this
    // program write Chinese.
    let is_short = looked_at.iter().filter(|byte| !byte.is_ascii()).count() <= SHORT_BYTES_MAX;
    if is_short && guessed != BIG5 {
        let gb = |lead, trail| matches!(lead, 0xa1..=0xa3 | 0xb0..=0xf7) && (0xa1..=0xfe).contains(&trail);
        let big5 = |lead, trail| matches!(lead, 0xa1..=0xc6) && matches!(trail, 0x40..=0x7e | 0xa1..=0xfe);
        let chinese = [(GB18030, pairs(looked_at, gb)), (BIG5, pairs(looked_at, big5))];
        return Some(chinese.iter().find(|(_, fits)| *fits).map_or(guessed, |(encoding, _)| encoding));
    }
    Some(guessed)
}

/// Whether the bytes beyond ASCII come in pairs of this kind.
fn pairs(bytes: &[u8], is_pair: impl Fn(u8, u8) -> bool) -> bool {
    let mut rest = bytes;
    loop {
        rest = match rest {
            [] => return true,
            [byte, rest @ ..] if byte.is_ascii() => rest,
            [lead, trail, rest @ ..] if is_pair(*lead, *trail) => rest,
            _ => return false,
        }
    }
}

/// UTF-16 without a mark: the byte order in which nearly all is letters, ideographs and punctuation.
fn wide(bytes: &[u8]) -> Option<&'static Encoding> {
    let bytes = &bytes[..bytes.len() & !1];
    let zeros = bytes.iter().filter(|byte| **byte == 0).count();
    // Any two letters of ASCII are an ideograph: plain text with a few zero bytes in it is no UTF-16.
    if bytes.is_empty() || (bytes.is_ascii() && zeros * 5 < bytes.len() * 2) {
        return None;
    }
    let per_mille = |encoding: &'static Encoding| {
        let (text, damaged) = encoding.decode_without_bom_handling(bytes);
        let common = text.chars().filter(|c| is_common(*c)).count();
        if damaged && bytes.len() < LOOKED_AT { 0 } else { common * 1000 / text.chars().count().max(1) }
    };
    let (little, big) = (per_mille(UTF_16LE), per_mille(UTF_16BE));
    let (encoding, best) = if little >= big { (UTF_16LE, little) } else { (UTF_16BE, big) };
    (best >= COMMON_PER_MILLE_MIN).then_some(encoding)
}

fn is_common(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{a0}'..='\u{52f}' | '\u{2010}'..='\u{2027}' | '\u{3000}'..='\u{30ff}'
        | '\u{4e00}'..='\u{9fff}' | '\u{ff01}'..='\u{ff5e}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "羊驼（学名：Vicugna pacos），是骆驼科的一种动物。\n它们生活在南美洲的秘鲁、玻利维亚和智利的高山上，毛很柔软。\n";
    const TRADITIONAL: &str = "羊駝（學名：Vicugna pacos），是駱駝科的一種動物。\n牠們生活在南美洲的祕魯、玻利維亞和智利的高山上，毛很柔軟。\n";

    fn wide_bytes(text: &str, unit: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(unit).collect()
    }

    fn read(bytes: &[u8]) -> (String, &'static str) {
        read_text("笔记.txt", bytes).unwrap()
    }

    #[test]
    fn every_encoding_of_a_chinese_text_is_recognised() {
        assert_eq!(read(TEXT.as_bytes()), (TEXT.into(), "UTF-8"));
        assert_eq!(read(&[b"\xef\xbb\xbf", TEXT.as_bytes()].concat()), (TEXT.into(), "UTF-8"));
        let (little, big) = (wide_bytes(TEXT, u16::to_le_bytes), wide_bytes(TEXT, u16::to_be_bytes));
        assert_eq!(read(&little), (TEXT.into(), "UTF-16LE"));
        assert_eq!(read(&big), (TEXT.into(), "UTF-16BE"));
        assert_eq!(read(&[b"\xff\xfe", &little[..]].concat()), (TEXT.into(), "UTF-16LE"));
        assert_eq!(read(&[b"\xfe\xff", &big[..]].concat()), (TEXT.into(), "UTF-16BE"));
        assert_eq!(read(&GB18030.encode(TEXT).0), (TEXT.into(), "gb18030"));
        assert_eq!(read(&BIG5.encode(TRADITIONAL).0), (TRADITIONAL.into(), "Big5"));
        let rare = "𠮷野家在北京，羊驼在秘鲁的高山上吃草。";
        assert_eq!(read(&GB18030.encode(rare).0), (rare.into(), "gb18030"));
    }

    #[test]
    fn a_few_characters_are_enough() {
        // GB 2312: C4 E3 BA C3; UTF-16LE: 60 4F 7D 59, four characters of it.
        assert_eq!(read(b"\xc4\xe3\xba\xc3\n"), ("你好\n".into(), "gb18030"));
        assert_eq!(read(b"name,\xc4\xe3\xba\xc3\r\nx,1\r\n"), ("name,你好\nx,1\n".into(), "gb18030"));
        assert_eq!(read(&wide_bytes("你好，羊驼", u16::to_be_bytes)), ("你好，羊驼".into(), "UTF-16BE"));
        assert_eq!(read(b""), (String::new(), "UTF-8"));
        assert_eq!(read(b"one\rtwo\r\nthree"), ("one\ntwo\nthree".into(), "UTF-8"));
        assert_eq!(read(b"caf\xe9 na\xefve r\xe9sum\xe9 d\xe9j\xe0 vu").0, "café naïve résumé déjà vu");
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89".to_vec();
        let elf: Vec<u8> = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0\0\0".repeat(40);
        let gguf = b"GGUF\x03\0\0\0\x10\0\0\0\0\0\0\0\x05\0\0\0\0\0\0\0".to_vec();
        let mut noise = Vec::new();
        let mut state = 1u32;
        for _ in 0..4096 {
            state = state.wrapping_mul(1664525).wrapping_add(1013904223);
            noise.push((state >> 24) as u8);
        }
        for bytes in [png, elf, gguf, noise, b"text\0with a zero".to_vec()] {
            let refused = read_text("x.bin", &bytes);
            assert!(matches!(&refused, Err(error) if error.code == Code::AttachmentBinary), "{refused:?}");
        }
    }
}
