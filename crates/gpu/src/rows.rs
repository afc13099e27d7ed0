//! What is done row by row: embedding, norm, turning of queries and keys with the way into the cache, SwiGLU, sums.

use huacaya_kernels::Format;

use crate::program::{Program, builtins, reduce};
use crate::unit::{Kv, Unit, supports};
use crate::{Buffer, Error, Recorder, Result};

/// Threads of a norm: a row is short, and nothing else runs meanwhile.
const NORM_THREADS: usize = 256;
/// Threads that share a head.
const HEAD_THREADS: usize = 64;
/// Vectors of four that a workgroup of an elementwise program takes.
const EACH: usize = 64;

/// Rows of a matrix by their numbers: `out[i] = w[ids[i]]`, of those that are in this part of the matrix.
pub struct RowsCall<'a> {
    pub format: Format,
    pub columns: usize,
    pub weights: &'a Buffer,
    /// Number of the part's first row, and how many it has.
    pub first: usize,
    pub rows: usize,
    pub ids: &'a Buffer,
    pub count: usize,
    /// (count, columns)
    pub out: &'a Buffer,
}

impl RowsCall<'_> {
    pub fn start(&self, recorder: &mut Recorder<'_>) -> Result<()> {
        let RowsCall { format, columns, .. } = *self;
        if !supports(format) {
            return Err(Error::Format { format });
        }
        let row_bytes = columns / format.block_length() * format.block_bytes();
        let immediates =
            [columns / Unit::of(format).length, row_bytes, self.first, self.rows].map(|value| value as u32);
        let buffers = [Some(self.weights), Some(self.ids), Some(self.out)];
        recorder.counts.bytes_of_weights += (self.count * row_bytes) as u64;
        recorder.start(&Program::Rows { format }, &buffers, &immediates, [self.count as u32, 1, 1])
    }
}

pub(crate) fn rows(format: Format) -> String {
    let unit = Unit::of(format);
    let vectors = unit.vectors();
    let leave: String = (0..vectors).map(|j| format!("out[at + {j}u] = o{j};\n")).collect();
    format!(
        "struct P {{ units: u32, row_bytes: u32, first: u32, rows: u32 }}\nvar<immediate> p: P;\n\
         @group(0) @binding(0) var<storage, read> w: array<u32>;\n\
         @group(0) @binding(1) var<storage, read> ids: array<u32>;\n\
         @group(0) @binding(2) var<storage, read_write> out: array<vec4<f32>>;\n{}\
         @compute @workgroup_size(64) fn main({}) {{\n\
         let id = ids[wg.x];\nif (id < p.first || id >= p.first + p.rows) {{ return; }}\n\
         let row = (id - p.first) * p.row_bytes;\n\
         for (var u = lid; u < p.units; u += 64u) {{\n{}let at = (wg.x * p.units + u) * {vectors}u;\n{leave}}}\n}}\n",
        Unit::helpers(format),
        builtins(false),
        unit.unpack(format, "row", "u"),
    )
}

/// `x[r] += delta[r]`, where there is a delta, then `out[i] = x[r] / sqrt(mean(x[r]^2) + epsilon) * weight`, for the rows `r`
/// that `places` names, else for all.
pub struct NormCall<'a> {
    /// A multiple of 4.
    pub columns: usize,
    pub epsilon: f32,
    pub x: &'a Buffer,
    pub delta: Option<&'a Buffer>,
    pub weight: &'a Buffer,
    pub out: &'a Buffer,
    pub places: Option<&'a Buffer>,
    pub count: usize,
}

impl NormCall<'_> {
    pub fn start(&self, recorder: &mut Recorder<'_>) -> Result<()> {
        if !self.columns.is_multiple_of(4) {
            return Err(Error::Shape { what: "the columns of a norm", found: self.columns as u64, wanted: 4 });
        }
        let flags = u32::from(self.delta.is_some()) | u32::from(self.places.is_some()) << 1;
        let immediates = [self.columns as u32 / 4, self.epsilon.to_bits(), flags];
        let buffers = [Some(self.x), self.delta, Some(self.weight), Some(self.out), self.places];
        let program = Program::Norm { subgroups: recorder.gpu().limits.subgroups };
        recorder.start(&program, &buffers, &immediates, [self.count as u32, 1, 1])
    }
}

pub(crate) fn norm(subgroups: bool) -> String {
    format!(
        "struct P {{ vectors: u32, epsilon: f32, flags: u32 }}\nvar<immediate> p: P;\n\
         @group(0) @binding(0) var<storage, read_write> x: array<vec4<f32>>;\n\
         @group(0) @binding(1) var<storage, read> delta: array<vec4<f32>>;\n\
         @group(0) @binding(2) var<storage, read> weight: array<vec4<f32>>;\n\
         @group(0) @binding(3) var<storage, read_write> out: array<vec4<f32>>;\n\
         @group(0) @binding(4) var<storage, read> places: array<u32>;\n\
         var<workgroup> shared_sums: array<f32, {NORM_THREADS}>;\n\
         @compute @workgroup_size({NORM_THREADS}) fn main({}) {{\n\
         var r = wg.x;\nif ((p.flags & 2u) != 0u) {{ r = places[wg.x]; }}\n\
         let base = r * p.vectors;\nlet to = wg.x * p.vectors;\nvar s0 = 0.0;\n\
         for (var i = lid; i < p.vectors; i += {NORM_THREADS}u) {{\n\
         var v = x[base + i];\nif ((p.flags & 1u) != 0u) {{ v += delta[base + i]; x[base + i] = v; }}\n\
         s0 += dot(v, v);\n}}\n{}\
         let factor = 1.0 / sqrt(shared_sums[0] / f32(p.vectors * 4u) + p.epsilon);\n\
         for (var i = lid; i < p.vectors; i += {NORM_THREADS}u) {{ out[to + i] = x[base + i] * factor * weight[i]; }}\n}}\n",
        builtins(subgroups),
        reduce(1, NORM_THREADS, subgroups),
    )
}

/// Queries and keys of each row normed (where the model does that) and turned in place, keys and values into the cache.
pub struct TurnCall<'a> {
    pub heads: usize,
    pub kv_heads: usize,
    pub head_size: usize,
    /// Values of a head that turn.
    pub rotated: usize,
    /// Value `i` turns with `i + rotated / 2`, else with its neighbour.
    pub halves: bool,
    pub kv: Kv,
    pub epsilon: f32,
    /// (count, heads + 2 kv_heads, head_size): queries, keys, values.
    pub x: &'a Buffer,
    /// (count, rotated): cosines, then sines.
    pub angles: &'a Buffer,
    /// Query's, then key's, each (head_size).
    pub norms: Option<&'a Buffer>,
    pub keys: &'a Buffer,
    pub values: &'a Buffer,
    /// Four words a row: position, where its table starts, its place in the cache, unused.
    pub rows: &'a Buffer,
    pub count: usize,
}

impl TurnCall<'_> {
    pub fn start(&self, recorder: &mut Recorder<'_>) -> Result<()> {
        let flags = usize::from(self.halves) | usize::from(self.norms.is_some()) << 1;
        let immediates = [self.heads, self.kv_heads, self.rotated, flags, self.epsilon.to_bits() as usize];
        let buffers =
            [Some(self.x), Some(self.angles), self.norms, Some(self.keys), Some(self.values), Some(self.rows)];
        let program = Program::Turn { head_size: self.head_size as u32, kv: self.kv };
        let groups = [(self.heads + 2 * self.kv_heads) as u32, self.count as u32, 1];
        recorder.start(&program, &buffers, &immediates.map(|value| value as u32), groups)
    }
}

/// Words of one head's row in the cache.
pub(crate) fn kv_words(head_size: usize, kv: Kv) -> usize {
    match kv {
        Kv::F16 => head_size / 2,
        Kv::Q8_0 => head_size / 4 + head_size / 32,
    }
}

/// How the head in `h` is written to the cache `name` from word `at` on.
fn store(name: &str, head_size: usize, kv: Kv) -> String {
    match kv {
        Kv::F16 => format!(
            "for (var i = lid; i < {}u; i += {HEAD_THREADS}u) {{ {name}[at + i] = pack2x16float(vec2<f32>(h[2u * i], h[2u * i + 1u])); }}\n",
            head_size / 2
        ),
        // The scale is rounded to f16 as in a file, codes are made with it unrounded, halves go away from zero.
        Kv::Q8_0 => format!(
            "for (var i = lid; i < {}u; i += {HEAD_THREADS}u) {{\nvar most = 0.0;\n\
             for (var k = 0u; k < 32u; k += 1u) {{ most = max(most, abs(h[i * 32u + k])); }}\n\
             let scale = most / 127.0;\nvar inverse = 0.0;\nif (scale > 1.2e-38) {{ inverse = 1.0 / scale; }}\n\
             for (var k = 0u; k < 8u; k += 1u) {{\nvar word = 0u;\nfor (var b = 0u; b < 4u; b += 1u) {{\n\
             let v = h[i * 32u + k * 4u + b] * inverse;\nlet code = i32(sign(v) * floor(abs(v) + 0.5));\n\
             word |= (u32(code) & 0xffu) << (b * 8u);\n}}\n{name}[at + i * 8u + k] = word;\n}}\n\
             {name}[at + {}u + i] = bitcast<u32>(unpack2x16float(pack2x16float(vec2<f32>(scale, 0.0))).x);\n}}\n",
            head_size / 32,
            head_size / 4,
        ),
    }
}

pub(crate) fn turn(head_size: usize, kv: Kv) -> String {
    let words = kv_words(head_size, kv);
    format!(
        "struct P {{ heads: u32, kv_heads: u32, rotated: u32, flags: u32, epsilon: f32 }}\nvar<immediate> p: P;\n\
         @group(0) @binding(0) var<storage, read_write> x: array<f32>;\n\
         @group(0) @binding(1) var<storage, read> angles: array<f32>;\n\
         @group(0) @binding(2) var<storage, read> norms: array<f32>;\n\
         @group(0) @binding(3) var<storage, read_write> keys: array<u32>;\n\
         @group(0) @binding(4) var<storage, read_write> values: array<u32>;\n\
         @group(0) @binding(5) var<storage, read> rows: array<vec4<u32>>;\n\
         var<workgroup> h: array<f32, {head_size}>;\nvar<workgroup> shared_sums: array<f32, {HEAD_THREADS}>;\n\
         @compute @workgroup_size({HEAD_THREADS}) fn main({}) {{\n\
         let head = wg.x;\nlet base = (wg.y * (p.heads + 2u * p.kv_heads) + head) * {head_size}u;\n\
         let is_value = head >= p.heads + p.kv_heads;\nlet is_key = head >= p.heads && !is_value;\nvar s0 = 0.0;\n\
         for (var i = lid; i < {head_size}u; i += {HEAD_THREADS}u) {{ let v = x[base + i]; h[i] = v; s0 += v * v; }}\n\
         workgroupBarrier();\n\
         if ((p.flags & 2u) != 0u && !is_value) {{\n{}\
         let factor = 1.0 / sqrt(shared_sums[0] / {head_size}.0 + p.epsilon);\n\
         let weight = select(0u, {head_size}u, is_key);\n\
         for (var i = lid; i < {head_size}u; i += {HEAD_THREADS}u) {{ h[i] = h[i] * factor * norms[weight + i]; }}\n\
         workgroupBarrier();\n}}\n\
         if (!is_value) {{\nlet half = p.rotated / 2u;\n\
         for (var i = lid; i < half; i += {HEAD_THREADS}u) {{\n\
         var a = 2u * i;\nvar b = 2u * i + 1u;\nif ((p.flags & 1u) != 0u) {{ a = i; b = i + half; }}\n\
         let c = angles[wg.y * p.rotated + i];\nlet s = angles[wg.y * p.rotated + half + i];\n\
         let va = h[a];\nlet vb = h[b];\nh[a] = va * c - vb * s;\nh[b] = vb * c + va * s;\n}}\n}}\n\
         workgroupBarrier();\n\
         if (head < p.heads) {{\n\
         for (var i = lid; i < {head_size}u; i += {HEAD_THREADS}u) {{ x[base + i] = h[i]; }}\nreturn;\n}}\n\
         let place = rows[wg.y].z * p.kv_heads;\n\
         if (is_key) {{\nlet at = (place + head - p.heads) * {words}u;\n{}}} else {{\n\
         let at = (place + head - p.heads - p.kv_heads) * {words}u;\n{}}}\n}}\n",
        builtins(false),
        reduce(1, HEAD_THREADS, false),
        store("keys", head_size, kv),
        store("values", head_size, kv),
    )
}

/// `out[r] = silu(x[r][..width]) * x[r][width..]`; x is (count, 2 width), `width` a multiple of 4.
pub(crate) fn start_swiglu(
    recorder: &mut Recorder<'_>,
    x: &Buffer,
    out: &Buffer,
    width: usize,
    count: usize,
) -> Result<()> {
    let immediates = [(width / 4) as u32];
    let groups = [(width / 4).div_ceil(EACH) as u32, count as u32, 1];
    recorder.start(&Program::Swiglu, &[Some(x), Some(out)], &immediates, groups)
}

/// `out[..count] += x[..count]`, in vectors of four.
pub(crate) fn start_add(recorder: &mut Recorder<'_>, x: &Buffer, out: &Buffer, count: usize) -> Result<()> {
    let vectors = count.div_ceil(4);
    let groups = crate::program::spread(vectors.div_ceil(EACH) as u32);
    recorder.start(&Program::Add, &[Some(x), Some(out)], &[vectors as u32], groups)
}

impl Recorder<'_> {
    /// `out[r] = silu(x[r][..width]) * x[r][width..]`; x is (count, 2 width), `width` a multiple of 4.
    pub fn swiglu(&mut self, x: &Buffer, out: &Buffer, width: usize, count: usize) -> Result<()> {
        start_swiglu(self, x, out, width, count)
    }

    /// `out[..count] += x[..count]`, in vectors of four.
    pub fn add(&mut self, x: &Buffer, out: &Buffer, count: usize) -> Result<()> {
        start_add(self, x, out, count)
    }
}

pub(crate) const SWIGLU: &str = "
struct P { vectors: u32 }
var<immediate> p: P;
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4<f32>>;
@compute @workgroup_size(64) fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = wg.x * 64u + lid;
    if (i >= p.vectors) { return; }
    let gate = x[wg.y * 2u * p.vectors + i];
    let up = x[wg.y * 2u * p.vectors + p.vectors + i];
    out[wg.y * p.vectors + i] = gate / (vec4<f32>(1.0) + exp(-gate)) * up;
}
";

pub(crate) const ADD: &str = "
struct P { vectors: u32 }
var<immediate> p: P;
@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> out: array<vec4<f32>>;
@compute @workgroup_size(64) fn main(@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) wgs: vec3<u32>, @builtin(local_invocation_index) lid: u32) {
    let i = (wg.y * wgs.x + wg.x) * 64u + lid;
    if (i < p.vectors) { out[i] += x[i]; }
}
";
