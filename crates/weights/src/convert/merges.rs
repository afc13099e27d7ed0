//! A SentencePiece model as `tokenizers` writes it, without `tokenizer.model`: the pieces, and in place of their scores the
//! merges in their order.
//!
//! Source: `SentencePieceExtractor` of `transformers` (`convert_slow_tokenizer.py`), which lists for each piece every pair of
//! pieces that it can be made of, the best scores first; texts, kinds and keys as `LlamaHfVocab` of gguf-py. That one writes
//! the same score for every piece, with which llama.cpp cuts words otherwise than the model has learned; here scores are the
//! ones that the order of the merges tells.

use std::collections::{HashMap, HashSet};

use serde_json::{Map, Value};

use super::tokenizer::{ADDED_SCORE, PADDING_SCORE, padding};
use crate::sentencepiece::{CONTROL, NORMAL, Piece, UNUSED, USER_DEFINED};

/// As GGUF numbers them.
const BYTE: u32 = 6;

/// Whether this is such a model.
pub(super) fn are_in(json: &Value) -> bool {
    json["model"]["type"] == "BPE" && json["model"]["byte_fallback"] == true
}

/// The pieces in the order of their ids, as many as the model has rows; or what is wrong with them.
pub(super) fn pieces(json: &Value, size: u64) -> Result<Vec<Piece>, String> {
    let model = &json["model"];
    let vocabulary = model["vocab"].as_object().ok_or("it has no pieces")?;
    let added = json["added_tokens"].as_array().map_or(&[][..], Vec::as_slice);
    let texts = |special: bool| added.iter().filter(move |token| !special || token["special"] == true);
    let special: HashSet<&str> = texts(true).filter_map(|token| token["content"].as_str()).collect();
    let no_merge: HashSet<&str> = texts(false).filter_map(|token| token["content"].as_str()).collect();
    let scores = scores(vocabulary, &model["merges"], &no_merge)?;

    let padding = |id: usize| Piece { text: padding(id), score: PADDING_SCORE, kind: UNUSED };
    let mut list: Vec<Piece> = (0..size as usize).map(padding).collect();
    let mut put = |id: Option<u64>, piece: Piece| {
        match id.and_then(|id| list.get_mut(usize::try_from(id).ok()?)) {
            Some(place) => *place = piece,
            None => return Err(format!("the id of {:?} is beyond the model's {size} rows", piece.text)),
        }
        Ok(())
    };
    for (text, id) in vocabulary {
        let kind = match text {
            text if is_byte(text) => BYTE,
            text if special.contains(text.as_str()) => CONTROL,
            _ => NORMAL,
        };
        let score = scores.get(text.as_str()).copied().unwrap_or_default();
        put(id.as_u64(), Piece { text: text.clone(), score, kind })?;
    }
    for token in added {
        let text = token["content"].as_str().ok_or("an added token has no text")?;
        if !vocabulary.contains_key(text) {
            let kind = if special.contains(text) { CONTROL } else { USER_DEFINED };
            put(token["id"].as_u64(), Piece { text: text.to_owned(), score: ADDED_SCORE, kind })?;
        }
    }
    Ok(list)
}

/// "<0x0A>": stands for a byte that no piece has.
fn is_byte(text: &str) -> bool {
    let digits = text.strip_prefix("<0x").and_then(|text| text.strip_suffix('>'));
    digits.is_some_and(|digits| digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

/// 0 for the piece that is made first, -1 for the next, …; behind them, by their ids, those that nothing is merged to. Pieces
/// whose merges are interleaved had one score.
fn scores<'a>(
    vocabulary: &'a Map<String, Value>,
    merges: &Value,
    no_merge: &HashSet<&str>,
) -> Result<HashMap<&'a str, f32>, String> {
    let foreign = || "its merges are not those of a SentencePiece model. Fetch tokenizer.model, too".to_owned();
    let mut pairs = HashSet::new();
    // The first and the last merge to a piece.
    let mut places: HashMap<&str, (usize, usize)> = HashMap::new();
    for (place, merge) in merges.as_array().ok_or("it has no merges")?.iter().enumerate() {
        let pair = match merge {
            Value::String(text) => text.split_once(' '),
            pair => pair[0].as_str().zip(pair[1].as_str()),
        };
        let (left, right) = pair.ok_or("a merge is no pair")?;
        let (piece, _) = vocabulary.get_key_value(&format!("{left}{right}")).ok_or_else(foreign)?;
        places.entry(piece).and_modify(|(_, last)| *last = place).or_insert((place, place));
        pairs.insert((left, right));
    }
    // A piece is made of whatever two pieces it can be made of: a merge that is not in the list would be made all the same.
    for text in vocabulary.keys().filter(|text| !is_byte(text) && !no_merge.contains(text.as_str())) {
        let cuts = text.char_indices().skip(1).map(|(cut, _)| text.split_at(cut));
        let mut made_of =
            cuts.filter(|(left, right)| vocabulary.contains_key(*left) && vocabulary.contains_key(*right));
        if !made_of.all(|pair| pairs.contains(&pair)) {
            return Err(foreign());
        }
    }
    let mut order: Vec<(&str, (usize, usize))> = places.into_iter().collect();
    order.sort_by_key(|(_, places)| *places);
    let mut scores = HashMap::new();
    let (mut next, mut end) = (0u32, None);
    for (piece, (first, last)) in order {
        if end.is_some_and(|end| first > end) {
            next += 1;
        }
        end = end.max(Some(last));
        scores.insert(piece, -(next as f32));
    }
    let single = |text: &str| !is_byte(text) && !no_merge.contains(text);
    let mut rest: Vec<(&str, u64)> = vocabulary
        .iter()
        .filter(|(text, _)| single(text) && !scores.contains_key(text.as_str()))
        .filter_map(|(text, id)| Some((text.as_str(), id.as_u64()?)))
        .collect();
    rest.sort_by_key(|(_, id)| *id);
    let first = if scores.is_empty() { 0 } else { next + 1 };
    scores.extend(rest.iter().zip(first..).map(|((text, _), place)| (*text, -(place as f32))));
    Ok(scores)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(merges: Value) -> Value {
        let vocab = serde_json::json!({"<unk>": 0, "<0x41>": 1, "ab": 2, "bc": 3, "abc": 4, "c": 5, "a": 6, "b": 7});
        let added = serde_json::json!([{"id": 0, "content": "<unk>", "special": true}, {"id": 8, "content": "<pad>"}]);
        serde_json::json!({"model": {"type": "BPE", "byte_fallback": true, "vocab": vocab, "merges": merges},
            "added_tokens": added})
    }

    #[test]
    fn the_order_of_the_merges_gives_the_scores_and_interleaved_ones_share_theirs() {
        let of = |merges: Value| -> Vec<f32> {
            let pieces = pieces(&json(merges), 10).unwrap();
            assert_eq!(pieces.iter().map(|piece| piece.kind).collect::<Vec<_>>(), [3, 6, 1, 1, 1, 1, 1, 1, 4, 5]);
            pieces[2..8].iter().map(|piece| piece.score).collect()
        };
        // ab, bc, abc; then c, a, b by their ids.
        assert_eq!(
            of(serde_json::json!([["a", "b"], ["b", "c"], ["a", "bc"], ["ab", "c"]])),
            [0., -1., -2., -3., -4., -5.]
        );
        assert_eq!(of(serde_json::json!(["b c", "a bc", "a b", "ab c"])), [-1., 0., -1., -2., -3., -4.]);
    }

    #[test]
    fn merges_that_leave_a_way_out_are_refused() {
        let error = pieces(&json(serde_json::json!(["a b", "b c", "ab c"])), 10).unwrap_err();
        assert!(error.contains("Fetch tokenizer.model"), "{error}");
        let error = pieces(&json(serde_json::json!(["a b", "b c", "ab c", "a bc"])), 8).unwrap_err();
        assert!(error.contains("beyond the model's 8 rows"), "{error}");
    }
}
