//! The random number of a position.

/// A number from 0 up to, but without, 1: a function of seed, position and stream only, so that a reply made again from any point
/// goes on as it did.
///
/// Source: the finalizer of SplitMix64 (Steele, Lea and Flood 2014), applied in turn to the three.
pub(super) fn draw(seed: u64, position: u64, stream: u64) -> f64 {
    let mixed = mix(mix(mix(seed).wrapping_add(position)).wrapping_add(stream));
    (mixed >> 11) as f64 / (1u64 << 53) as f64
}

fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
