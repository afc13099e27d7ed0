//! The two hashes of a transfer: SHA-256 of the whole, which is the file's identity, and XXH3-128 of each part, which is only
//! ever compared with our own of before and costs a twentieth of it.

use std::fmt;

use aws_lc_rs::digest;
use twox_hash::xxhash3_128;

/// SHA-256 under way. Its state can be cloned, to be taken up later.
#[derive(Clone)]
pub(super) struct Sha256(digest::Context);

impl Sha256 {
    pub fn new() -> Sha256 {
        Sha256(digest::Context::new(&digest::SHA256))
    }

    pub fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// In lower-case hexadecimal.
    pub fn finish(self) -> String {
        self.0.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What tells whether a part is still what it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sum(u128);

impl Sum {
    pub fn of(data: &[u8]) -> Sum {
        Sum(xxhash3_128::Hasher::oneshot(data))
    }

    /// As it is printed: 32 hexadecimal digits.
    pub fn parse(text: &str) -> Option<Sum> {
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        u128::from_str_radix(text, 16).ok().filter(|_| digits).map(Sum)
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:032x}", self.0)
    }
}

/// A part's sum under way.
pub(super) struct Summing(xxhash3_128::Hasher);

impl Summing {
    pub fn new() -> Summing {
        Summing(xxhash3_128::Hasher::new())
    }

    pub fn update(&mut self, data: &[u8]) {
        self.0.write(data);
    }

    pub fn finish(&self) -> Sum {
        Sum(self.0.finish_128())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha_256_is_the_standards() {
        // FIPS 180-2, appendix B.2
        let mut hash = Sha256::new();
        hash.update(b"abcdbcdecdefdefgefghfghighij");
        let mut later = hash.clone();
        hash.update(b"hijkijkljklmklmnlmnomnopnopq");
        assert_eq!(hash.finish(), "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
        later.update(b"hijkijkljklmklmnlmnomnopnopq");
        assert_eq!(later.finish(), "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    }

    #[test]
    fn a_sum_is_xxh3s_however_the_bytes_come_and_reads_back() {
        // `printf '' | xxh128sum`
        assert_eq!(Sum::of(b"").to_string(), "99aa06d3014798d86001c324468d497f");
        let data: Vec<u8> = (0..100_000u32).map(|at| at.wrapping_mul(at) as u8).collect();
        let mut summing = Summing::new();
        data.chunks(977).for_each(|piece| summing.update(piece));
        assert_eq!(summing.finish(), Sum::of(&data));
        assert_eq!(Sum::parse(&Sum::of(&data).to_string()), Some(Sum::of(&data)));
        for wrong in ["", "+9aa06d3014798d86001c324468d497f", "zz", &"f".repeat(33)] {
            assert_eq!(Sum::parse(wrong), None, "{wrong}");
        }
    }
}
