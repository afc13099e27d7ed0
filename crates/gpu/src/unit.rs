//! How programs read weights: the text that turns a part of a row, as a GGUF file holds it, into vectors of four values.
//!
//! A unit is what one thread takes at a time: 32 values of a block format, 4 plain numbers. The text finds `b`, the first byte
//! of the unit's block, and `g`, which 32 of a block's 256 values are meant, and leaves `o0`, `o1`, … behind. Blocks of 18 or
//! 210 bytes lie across words: `word_at` joins two. Layouts: `huacaya_kernels::dequantize`.

use huacaya_kernels::Format;

/// What keys and values are kept in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kv {
    F16,
    Q8_0,
}

/// How a format's rows are taken apart.
pub(crate) struct Unit {
    /// Values of a unit: 32 or 4.
    pub length: usize,
    /// Units in a block.
    pub in_block: usize,
    text: String,
}

/// Whether the programs read this format.
pub fn supports(format: Format) -> bool {
    format != Format::MXFP4
}

/// Reading bytes, half words and words at any even place of the weights `w`.
pub(crate) const READING: &str = "
fn byte_at(b: u32) -> u32 { return (w[b >> 2u] >> ((b & 3u) * 8u)) & 0xffu; }
fn signed_at(b: u32) -> i32 { return i32(byte_at(b) << 24u) >> 24u; }
fn half_bits_at(b: u32) -> u32 { return (w[b >> 2u] >> ((b & 2u) * 8u)) & 0xffffu; }
fn half_at(b: u32) -> f32 { return unpack2x16float(half_bits_at(b)).x; }
fn word_at(b: u32) -> u32 {
    let i = b >> 2u;
    if ((b & 2u) == 0u) { return w[i]; }
    return (w[i] >> 16u) | (w[i + 1u] << 16u);
}
fn bytes_of(x: u32) -> vec4<u32> { return vec4<u32>(x & 0xffu, (x >> 8u) & 0xffu, (x >> 16u) & 0xffu, x >> 24u); }
fn floats_of(x: u32) -> vec4<f32> { return vec4<f32>(bytes_of(x)); }
fn signed_of(x: u32) -> vec4<f32> { return vec4<f32>(vec4<i32>(bytes_of(x) << vec4<u32>(24u)) >> vec4<u32>(24u)); }
fn bits_of(x: u32, at: u32) -> vec4<u32> { return (vec4<u32>(x) >> vec4<u32>(at, at + 1u, at + 2u, at + 3u)) & vec4<u32>(1u); }
";

/// The 16 values of IQ4_NL and IQ4_XS, four in a word.
const IQ4_TABLE: &str = "
fn iq4_of(codes: vec4<u32>) -> vec4<f32> {
    return vec4<f32>(iq4(codes.x), iq4(codes.y), iq4(codes.z), iq4(codes.w));
}
fn iq4(code: u32) -> f32 {
    var four = select(0xbfad9881u, 0xf6eaddcfu, code >= 4u);
    four = select(four, 0x26190d01u, code >= 8u);
    four = select(four, 0x71594535u, code >= 12u);
    return f32(i32(four << (24u - (code & 3u) * 8u)) >> 24u);
}
";

/// Six-bit scale and minimum `g` of Q4_K and Q5_K, at byte 4 of the block.
const SCALE_AND_MINIMUM: &str = "
fn scale_and_minimum(b: u32, g: u32) -> vec2<f32> {
    let s = b + 4u;
    if (g < 4u) { return vec2<f32>(f32(byte_at(s + g) & 63u), f32(byte_at(s + g + 4u) & 63u)); }
    let low = byte_at(s + g + 4u);
    let scale = (low & 15u) | ((byte_at(s + g - 4u) >> 6u) << 4u);
    let minimum = (low >> 4u) | ((byte_at(s + g) >> 6u) << 4u);
    return vec2<f32>(f32(scale), f32(minimum));
}
";

/// The scale of the `group`-th 16 values of Q3_K, at byte 96 of the block.
const Q3_SCALE: &str = "
fn q3_scale(b: u32, group: u32) -> f32 {
    let low = (byte_at(b + 96u + (group & 7u)) >> ((group >> 3u) * 4u)) & 15u;
    let top = (byte_at(b + 104u + (group & 3u)) >> ((group >> 2u) * 2u)) & 3u;
    return f32(i32(low | (top << 4u)) - 32);
}
";

/// Eight vectors, one for each `j`.
fn eight(vector: impl Fn(usize) -> String) -> String {
    (0..8).map(|j| format!("let o{j} = {};\n", vector(j))).collect()
}

/// Low and high nibbles of 16 bytes from `codes` on; `value(vector of codes, number of the vector)`.
fn nibbles(codes: usize, value: impl Fn(&str, usize) -> String) -> String {
    let words: String = (0..4).map(|j| format!("let n{j} = word_at(b + {}u);\n", codes + 4 * j)).collect();
    let part = |j: usize| match j {
        0..4 => format!("(bytes_of(n{j}) & vec4<u32>(15u))"),
        _ => format!("(bytes_of(n{}) >> vec4<u32>(4u))", j - 4),
    };
    words + &eight(|j| value(&part(j), j))
}

impl Unit {
    /// Helping functions that the text of `format` calls.
    pub fn helpers(format: Format) -> String {
        let more = match format {
            Format::IQ4_NL | Format::IQ4_XS => IQ4_TABLE,
            Format::Q4_K | Format::Q5_K => SCALE_AND_MINIMUM,
            Format::Q3_K => Q3_SCALE,
            _ => "",
        };
        format!("{READING}{more}")
    }

    pub fn of(format: Format) -> Unit {
        let (length, text) = match format {
            Format::F32 => (4, "let o0 = bitcast<vec4<f32>>(vec4<u32>(w[b >> 2u], w[(b >> 2u) + 1u], w[(b >> 2u) + 2u], w[(b >> 2u) + 3u]));\n".to_owned()),
            Format::F16 => (4, "let o0 = vec4<f32>(unpack2x16float(w[b >> 2u]), unpack2x16float(w[(b >> 2u) + 1u]));\n".to_owned()),
            Format::BF16 => (4, "let n0 = w[b >> 2u]; let n1 = w[(b >> 2u) + 1u];\nlet o0 = bitcast<vec4<f32>>(vec4<u32>(n0 << 16u, n0 & 0xffff0000u, n1 << 16u, n1 & 0xffff0000u));\n".to_owned()),
            Format::Q2_K | Format::Q3_K | Format::Q4_K | Format::Q5_K | Format::Q6_K => (32, super_block(format)),
            Format::IQ4_XS => (32, "let high = half_bits_at(b + 2u);\nlet low = (byte_at(b + 4u + (g >> 1u)) >> ((g & 1u) * 4u)) & 15u;\nlet d = half_at(b) * f32(i32(low | (((high >> (g * 2u)) & 3u) << 4u)) - 32);\n".to_owned()
                + &(0..4).map(|j| format!("let n{j} = word_at(b + {}u + g * 16u);\n", 8 + 4 * j)).collect::<String>()
                + &eight(|j| match j {
                    0..4 => format!("d * iq4_of(bytes_of(n{j}) & vec4<u32>(15u))"),
                    _ => format!("d * iq4_of(bytes_of(n{}) >> vec4<u32>(4u))", j - 4),
                })),
            _ => (32, block(format)),
        };
        Unit { length, in_block: (format.block_length() / length).max(1), text }
    }

    /// The statements that find unit `unit` of the row that starts at byte `row`.
    pub fn unpack(&self, format: Format, row: &str, unit: &str) -> String {
        let place = match (format.is_plain(), self.in_block) {
            (true, _) => format!("let b = {row} + {unit} * {}u;\n", self.length * format.block_bytes()),
            (_, 1) => format!("let b = {row} + {unit} * {}u;\n", format.block_bytes()),
            _ => format!("let b = {row} + ({unit} >> 3u) * {}u; let g = {unit} & 7u;\n", format.block_bytes()),
        };
        place + &self.text
    }

    /// Vectors of four values in a unit.
    pub fn vectors(&self) -> usize {
        self.length / 4
    }
}

fn block(format: Format) -> String {
    let scale = "let d = half_at(b);\n".to_owned();
    let high = |at: usize| format!("let h = word_at(b + {at}u);\n");
    let minimum = "let m = vec4<f32>(half_at(b + 2u));\n";
    let fifth = |codes: &str, j: usize| format!("({codes} | (bits_of(h, {}u) << vec4<u32>(4u)))", 4 * j);
    match format {
        Format::Q4_0 => scale + &nibbles(2, |codes, _| format!("d * (vec4<f32>({codes}) - 8.0)")),
        Format::Q4_1 => scale + minimum + &nibbles(4, |codes, _| format!("d * vec4<f32>({codes}) + m")),
        Format::Q5_0 => {
            scale + &high(2) + &nibbles(6, |codes, j| format!("d * (vec4<f32>({}) - 16.0)", fifth(codes, j)))
        }
        Format::Q5_1 => {
            scale + minimum + &high(4) + &nibbles(8, |codes, j| format!("d * vec4<f32>({}) + m", fifth(codes, j)))
        }
        Format::IQ4_NL => scale + &nibbles(2, |codes, _| format!("d * iq4_of({codes})")),
        _ => scale + &eight(|j| format!("d * signed_of(word_at(b + {}u))", 2 + 4 * j)),
    }
}

fn super_block(format: Format) -> String {
    let words =
        |start: &str| -> String { (0..8).map(|j| format!("let n{j} = word_at({start} + {}u);\n", 4 * j)).collect() };
    match format {
        Format::Q2_K => {
            "let d = half_at(b + 80u); let dm = half_at(b + 82u);\nlet c0 = byte_at(b + g * 2u); let c1 = byte_at(b + g * 2u + 1u);\nlet shift = vec4<u32>((g & 3u) * 2u);\n".to_owned()
                + &(0..2).map(|h| format!("let d{h} = d * f32(c{h} & 15u); let m{h} = dm * f32(c{h} >> 4u);\n")).collect::<String>()
                + &words("b + 16u + (g >> 2u) * 32u")
                + &eight(|j| format!("d{0} * vec4<f32>((bytes_of(n{j}) >> shift) & vec4<u32>(3u)) - m{0}", j / 4))
        }
        Format::Q3_K => {
            "let d = half_at(b + 108u); let shift = vec4<u32>((g & 3u) * 2u);\nlet d0 = d * q3_scale(b, g * 2u); let d1 = d * q3_scale(b, g * 2u + 1u);\n".to_owned()
                + &words("b + 32u + (g >> 2u) * 32u")
                + &eight(|j| format!("d{} * (vec4<f32>((bytes_of(n{j}) >> shift) & vec4<u32>(3u)) + 4.0 * vec4<f32>((bytes_of(word_at(b + {}u)) >> vec4<u32>(g)) & vec4<u32>(1u)) - 4.0)", j / 4, 4 * j))
        }
        Format::Q4_K => {
            "let sm = scale_and_minimum(b, g); let d = half_at(b) * sm.x; let m = half_at(b + 2u) * sm.y;\nlet shift = vec4<u32>((g & 1u) * 4u);\n".to_owned()
                + &words("b + 16u + (g >> 1u) * 32u")
                + &eight(|j| format!("d * vec4<f32>((bytes_of(n{j}) >> shift) & vec4<u32>(15u)) - m"))
        }
        Format::Q5_K => {
            "let sm = scale_and_minimum(b, g); let d = half_at(b) * sm.x; let m = half_at(b + 2u) * sm.y;\nlet shift = vec4<u32>((g & 1u) * 4u);\n".to_owned()
                + &words("b + 48u + (g >> 1u) * 32u")
                + &eight(|j| format!("d * vec4<f32>(((bytes_of(n{j}) >> shift) & vec4<u32>(15u)) | (((bytes_of(word_at(b + {}u)) >> vec4<u32>(g)) & vec4<u32>(1u)) << vec4<u32>(4u))) - m", 16 + 4 * j))
        }
        _ => {
            "let d = half_at(b + 208u); let part = g & 3u; let shift = vec4<u32>((part >> 1u) * 4u); let up = vec4<u32>(part * 2u);\nlet d0 = d * f32(signed_at(b + 192u + g * 2u)); let d1 = d * f32(signed_at(b + 193u + g * 2u));\n".to_owned()
                + &words("b + (g >> 2u) * 64u + (part & 1u) * 32u")
                + &eight(|j| format!("d{} * (vec4<f32>(((bytes_of(n{j}) >> shift) & vec4<u32>(15u)) | (((bytes_of(word_at(b + 128u + (g >> 2u) * 32u + {}u)) >> up) & vec4<u32>(3u)) << vec4<u32>(4u))) - 32.0)", j / 4, 4 * j))
        }
    }
}
