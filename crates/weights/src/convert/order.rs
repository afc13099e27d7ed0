//! The order of the rows of queries' and keys' matrices: Hugging Face has the two values that turn together half a head
//! apart, llama.cpp's Llama has them side by side.
//!
//! Source: `LlamaModel.permute` of `convert_hf_to_gguf.py`.

/// Puts the rows of whole heads side by side: of each head's `head_rows` rows, row i and row i + half become neighbours.
pub(super) fn side_by_side(rows: &[u8], row_bytes: usize, head_rows: usize, out: &mut Vec<u8>) {
    out.clear();
    let row = row_bytes.max(1);
    for head in rows.chunks(head_rows.max(1) * row) {
        let (first, second) = head.split_at(head.len() / row / 2 * row);
        for (a, b) in first.chunks(row).zip(second.chunks(row)) {
            out.extend_from_slice(a);
            out.extend_from_slice(b);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_that_were_half_a_head_apart_become_neighbours() {
        let mut out = Vec::new();
        // Two heads of four rows of two bytes.
        let rows = *b"aAbBcCdDeEfFgGhH";
        side_by_side(&rows, 2, 4, &mut out);
        assert_eq!(out, b"aAcCbBdDeEgGfFhH");
    }
}
