//! Bytes to text as they come: a character is given out with its last byte, never earlier, never later.

/// Keeps the bytes of a character that is not whole yet (three at most).
#[derive(Clone, Debug, Default)]
pub struct Utf8 {
    pending: Vec<u8>,
}

impl Utf8 {
    /// Takes bytes and writes the text that they complete. Bytes that can no longer become a character are U+FFFD at once, cut as
    /// `String::from_utf8_lossy` cuts them.
    pub fn push(&mut self, bytes: &[u8], out: &mut String) {
        let joined;
        let mut rest = if self.pending.is_empty() {
            bytes
        } else {
            self.pending.extend_from_slice(bytes);
            joined = std::mem::take(&mut self.pending);
            &joined[..]
        };
        loop {
            match std::str::from_utf8(rest) {
                Ok(text) => {
                    out.push_str(text);
                    return;
                }
                Err(error) => {
                    let (sound, broken) = rest.split_at(error.valid_up_to());
                    out.push_str(std::str::from_utf8(sound).unwrap_or_default());
                    match error.error_len() {
                        Some(length) => {
                            out.push(char::REPLACEMENT_CHARACTER);
                            rest = &broken[length..];
                        }
                        None => {
                            self.pending = broken.to_vec();
                            return;
                        }
                    }
                }
            }
        }
    }

    /// No more bytes come: an unfinished character is U+FFFD.
    pub fn finish(&mut self, out: &mut String) {
        if !self.pending.is_empty() {
            self.pending.clear();
            out.push(char::REPLACEMENT_CHARACTER);
        }
    }
}
