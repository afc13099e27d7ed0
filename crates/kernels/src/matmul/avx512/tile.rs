//! Sixteen weight rows side by side: lane `r` of a register is of row `r`.
#![allow(unsafe_code)] // registers of a set that the caller has, and rows read where the caller says they are

use std::arch::asm;
use std::arch::x86_64::*;

/// Weight rows in a tile: the lanes of a register.
pub const LANES: usize = 16;
/// Rows are fetched this far ahead of what is being read. Memory takes some 100 ns, in which a core reads 1.5 KB.
const AHEAD: usize = 1024;
const LINE: usize = 64;

/// A row of a weight matrix in each lane.
pub struct Tile {
    rows: [*const u8; LANES],
    /// Bytes from the first row to each.
    places: __m512i,
    /// Bytes from each row to what is read once its lane's last row is.
    left: usize,
    /// Bytes from there to what is read next: the first row of the lane's next run.
    skip: usize,
}

impl Tile {
    /// The `at`-th rows of sixteen runs of `length` rows that stand one after the other. Where there are no sixteen whole
    /// runs, the last row stands in the lanes of those that are not there.
    ///
    /// # Safety
    /// `first` points to `count` rows of `stride` bytes, 1 or more, which stay borrowed while the tile is in use;
    /// 16 * `length` * `stride` is less than 2^31, and `at` less than `length`.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    pub unsafe fn new(first: *const u8, stride: usize, count: usize, length: usize, at: usize) -> Tile {
        // SAFETY: a row before the last.
        let rows = std::array::from_fn(|lane| unsafe { first.add((lane * length + at).min(count - 1) * stride) });
        let lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        let lanes =
            _mm512_add_epi32(_mm512_mullo_epi32(lanes, _mm512_set1_epi32(length as i32)), _mm512_set1_epi32(at as i32));
        let lanes = _mm512_min_epi32(lanes, _mm512_set1_epi32(count as i32 - 1));
        let places = _mm512_mullo_epi32(lanes, _mm512_set1_epi32(stride as i32));
        // From lane 0's row, where gathers start.
        let places = _mm512_sub_epi32(places, _mm512_broadcastd_epi32(_mm512_castsi512_si128(places)));
        Tile { rows, places, left: (length - at) * stride, skip: (LANES - 1) * length * stride }
    }

    /// Sixteen bytes of each row from byte `at` on, four in each register, in order.
    ///
    /// # Safety
    /// They are in the row.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    pub unsafe fn piece(&self, at: usize) -> [__m512i; 4] {
        // Four rows, four lanes apart, so that the turn below leaves the rows in order.
        let load = |row: usize| {
            // SAFETY: the caller's promise.
            unsafe {
                let part = |lane: usize| _mm_loadu_si128(self.rows[4 * lane + row].add(at).cast());
                let all = _mm512_castsi128_si512(part(0));
                let all = _mm512_inserti32x4::<1>(all, part(1));
                let all = _mm512_inserti32x4::<2>(all, part(2));
                _mm512_inserti32x4::<3>(all, part(3))
            }
        };
        turn([load(0), load(1), load(2), load(3)])
    }

    /// Four bytes of each row from byte `at` on.
    ///
    /// # Safety
    /// They are in the row.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    pub unsafe fn word(&self, at: usize) -> __m512i {
        // SAFETY: the caller's promise, for each row.
        unsafe { _mm512_i32gather_epi32::<1>(self.places, self.rows[0].add(at).cast()) }
    }

    /// Asks for the `bytes` that will be read some time after those from `at` on.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
    pub fn fetch(&self, at: usize, bytes: usize) {
        let ahead = at + AHEAD;
        let place = if ahead < self.left { ahead } else { ahead + self.skip };
        for row in self.rows {
            for line in (0..bytes).step_by(LINE) {
                _mm_prefetch::<_MM_HINT_T0>(row.wrapping_add(place + line).cast());
            }
        }
    }
}

/// Turns four registers of four rows by four words (in each quarter) to four of four words by four rows.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
fn turn([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    let (low_ab, high_ab) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    let (low_cd, high_cd) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
    [
        _mm512_unpacklo_epi64(low_ab, low_cd),
        _mm512_unpackhi_epi64(low_ab, low_cd),
        _mm512_unpacklo_epi64(high_ab, high_cd),
        _mm512_unpackhi_epi64(high_ab, high_cd),
    ]
}

/// Keeps sums in the order in which the source has them. Chains of sums that wait for each other are spread over one another
/// there; the compiler would put them one after the other, and the processor looks too few instructions ahead to undo that.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub fn in_order(sums: &mut __m512i) {
    // SAFETY: no instruction at all.
    unsafe { asm!("/* {0} */", inout(zmm_reg) * sums, options(nomem, nostack, preserves_flags)) };
}

/// The low four bits of each byte.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub fn low(bytes: __m512i) -> __m512i {
    _mm512_and_si512(bytes, _mm512_set1_epi8(0x0f))
}

/// The high four bits of each byte.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub fn high(bytes: __m512i) -> __m512i {
    low(_mm512_srli_epi16::<4>(bytes))
}

/// The low half of each lane, an f16.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub fn half(words: __m512i) -> __m512 {
    _mm512_cvtph_ps(_mm512_cvtepi32_epi16(words))
}

/// The high half of each lane, an f16.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub fn high_half(words: __m512i) -> __m512 {
    half(_mm512_srli_epi32::<16>(words))
}

/// The same for each quarter of a register.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub fn quarters(bytes: &[i8; 16]) -> __m512i {
    // SAFETY: sixteen bytes are read.
    unsafe { _mm512_broadcast_i32x4(_mm_loadu_si128(bytes.as_ptr().cast())) }
}

/// For [`shuffle`]: which of a lane's four bytes each becomes; negative is zero.
pub const fn pattern(bytes: [i8; 4]) -> [i8; 16] {
    let mut out = [-1; 16];
    let mut i = 0;
    while i < 16 {
        if bytes[i % 4] >= 0 {
            out[i] = bytes[i % 4] + (i / 4 * 4) as i8;
        }
        i += 1;
    }
    out
}

/// The bytes of each lane in another order.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")]
pub fn shuffle(words: __m512i, pattern: &[i8; 16]) -> __m512i {
    _mm512_shuffle_epi8(words, quarters(pattern))
}

/// A table's values, each with `offset` added.
pub const fn table(values: &[i8; 16], offset: u8) -> [i8; 16] {
    let mut out = [0; 16];
    let mut i = 0;
    while i < 16 {
        out[i] = (values[i] as u8).wrapping_add(offset) as i8;
        i += 1;
    }
    out
}
