//! The text chunks of a PNG, which is where character cards hide. Nothing of the picture is decoded.
//!
//! Source: PNG specification, third edition, 11.3.3 (tEXt, zTXt, iTXt).

/// Cards have a handful; a picture that was edited often some hundreds.
const CHUNKS_MAX: usize = 10_000;
/// A card with a lorebook has some hundreds of kilobytes.
const TEXT_BYTES_MAX: usize = 8 << 20;
/// Keywords are 1 to 79 bytes.
const KEYWORD_BYTES_MAX: usize = 79;

pub const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";

/// A text chunk: its keyword and its bytes, inflated.
#[derive(Debug, PartialEq, Eq)]
pub struct Text {
    pub keyword: String,
    pub bytes: Vec<u8>,
}

/// All text chunks up to the first thing that is not sound. Not a PNG: none.
pub fn texts(file: &[u8]) -> Vec<Text> {
    let mut texts = Vec::new();
    let Some(mut rest) = file.strip_prefix(SIGNATURE) else { return texts };
    let mut held = 0;
    for _ in 0..CHUNKS_MAX {
        let Some((kind, data, after)) = chunk(rest) else { break };
        rest = after;
        let text = match kind {
            b"tEXt" => plain(data),
            b"zTXt" => compressed(data),
            b"iTXt" => international(data),
            b"IEND" => break,
            _ => None,
        };
        if let Some(text) = text {
            held += text.bytes.len();
            if held > TEXT_BYTES_MAX {
                break;
            }
            texts.push(text);
        }
    }
    texts
}

/// Type, data, and what follows. The checksum is not looked at: the JSON inside shows whether it arrived whole.
fn chunk(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let length = u32::from_be_bytes(bytes.first_chunk::<4>().copied()?) as usize;
    let kind = bytes.get(4..8)?;
    let end = length.checked_add(8)?;
    let data = bytes.get(8..end)?;
    let after = bytes.get(end.checked_add(4)?..)?;
    Some((kind, data, after))
}

/// Up to the next zero byte, and what follows it.
fn until_zero(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == 0)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

fn keyword(data: &[u8]) -> Option<(String, &[u8])> {
    let (keyword, rest) = until_zero(data)?;
    let keyword = str::from_utf8(keyword).ok().filter(|keyword| (1..=KEYWORD_BYTES_MAX).contains(&keyword.len()))?;
    Some((keyword.to_string(), rest))
}

fn plain(data: &[u8]) -> Option<Text> {
    let (keyword, bytes) = keyword(data)?;
    (bytes.len() <= TEXT_BYTES_MAX).then(|| Text { keyword, bytes: bytes.to_vec() })
}

fn compressed(data: &[u8]) -> Option<Text> {
    let (keyword, rest) = keyword(data)?;
    let (method, rest) = rest.split_first()?;
    (*method == 0).then(|| inflate(rest))?.map(|bytes| Text { keyword, bytes })
}

fn international(data: &[u8]) -> Option<Text> {
    let (keyword, rest) = keyword(data)?;
    let [is_compressed, method, rest @ ..] = rest else { return None };
    let (_language, rest) = until_zero(rest)?;
    let (_translated, bytes) = until_zero(rest)?;
    match (is_compressed, method) {
        (0, _) => (bytes.len() <= TEXT_BYTES_MAX).then(|| Text { keyword, bytes: bytes.to_vec() }),
        (1, 0) => inflate(bytes).map(|bytes| Text { keyword, bytes }),
        _ => None,
    }
}

fn inflate(bytes: &[u8]) -> Option<Vec<u8>> {
    miniz_oxide::inflate::decompress_to_vec_zlib_with_limit(bytes, TEXT_BYTES_MAX).ok()
}
