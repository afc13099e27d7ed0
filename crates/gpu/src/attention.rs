//! Attention over a cache of blocks: for a few rows split over the past and then combined, for many rows in one pass, causal.
//!
//! Milakov and Gimelshein, arXiv 1805.02867 (the running maximum); Dao et al., arXiv 2205.14135 (tiles). The cache is (place,
//! kv head, head); positions are in blocks of [`ATTENTION_BLOCK`] places, and a table for each sequence says which.

use crate::program::{Program, builtins};
use crate::rows::kv_words;
use crate::unit::Kv;
use crate::{Buffer, Error, Recorder, Result};

/// Positions of a block.
pub const ATTENTION_BLOCK: usize = 64;
/// Query heads that go over their common keys together.
pub const HEADS_TOGETHER: usize = 4;
/// Rows that go over their past together where there are many.
pub const QUERY_TILE: usize = 16;
/// Positions of a tile's keys.
const KEY_TILE: usize = 16;
/// Two kinds of tiles, each of 16 heads in f32, have to fit in what a workgroup shares.
pub(crate) const HEAD_SIZE_MAX: usize = 128;

/// What both ways ask for.
pub struct AttendCall<'a> {
    pub heads: usize,
    pub kv_heads: usize,
    /// A multiple of 4 (of 32 with Q8_0), at most 128.
    pub head_size: usize,
    pub kv: Kv,
    /// (count, stride): the queries stand first in each row.
    pub x: &'a Buffer,
    pub stride: usize,
    pub keys: &'a Buffer,
    pub values: &'a Buffer,
    /// Four words a row: position, where its table starts, two that others use.
    pub rows: &'a Buffer,
    /// Blocks of the sequences, one after the other.
    pub tables: &'a Buffer,
    /// (count, heads * head_size)
    pub out: &'a Buffer,
    pub count: usize,
}

/// Rows of one sequence that follow each other: first row and how many (up to [`QUERY_TILE`]), two words each.
pub struct FlashCall<'a> {
    pub tiles: &'a Buffer,
    pub count: usize,
}

impl AttendCall<'_> {
    fn check(&self) -> Result<()> {
        let whole = if self.kv == Kv::F16 { 4 } else { 32 };
        if self.head_size > HEAD_SIZE_MAX || !self.head_size.is_multiple_of(whole) {
            return Err(Error::Shape {
                what: "the values of a head",
                found: self.head_size as u64,
                wanted: HEAD_SIZE_MAX as u64,
            });
        }
        Ok(())
    }

    fn immediates(&self, splits: usize, blocks: usize) -> [u32; 6] {
        let scale = (self.head_size as f32).sqrt().recip();
        [self.heads, self.kv_heads, self.stride, splits, blocks, scale.to_bits() as usize].map(|value| value as u32)
    }

    /// For a few rows: `splits` workgroups, each over `blocks` blocks of the past; `parts` holds
    /// (count, heads, splits, head_size + 2).
    pub fn start_split(&self, recorder: &mut Recorder<'_>, parts: &Buffer, splits: usize, blocks: usize) -> Result<()> {
        self.check()?;
        let group = self.heads / self.kv_heads;
        let together = group.min(HEADS_TOGETHER);
        let (head_size, kv, immediates) = (self.head_size as u32, self.kv, self.immediates(splits, blocks));
        let program = Program::Attend { head_size, together: together as u32, kv };
        let buffers =
            [Some(self.x), Some(self.keys), Some(self.values), Some(self.rows), Some(self.tables), Some(parts)];
        let groups = [(self.kv_heads * group.div_ceil(together)) as u32, self.count as u32, splits as u32];
        recorder.start(&program, &buffers, &immediates, groups)?;
        let groups = [self.heads as u32, self.count as u32, 1];
        recorder.start(&Program::Combine { head_size }, &[Some(parts), Some(self.out)], &immediates, groups)
    }

    /// For many rows.
    pub fn start_tiled(&self, recorder: &mut Recorder<'_>, tiles: &FlashCall<'_>) -> Result<()> {
        self.check()?;
        let program = Program::Flash { head_size: self.head_size as u32, kv: self.kv };
        let buffers = [self.x, self.keys, self.values, self.rows, self.tables, self.out, tiles.tiles].map(Some);
        recorder.start(&program, &buffers, &self.immediates(0, 0), [self.heads as u32, tiles.count as u32, 1])
    }
}

const FACE: &str = "
struct P { heads: u32, kv_heads: u32, stride: u32, splits: u32, blocks: u32, scale: f32 }
var<immediate> p: P;
";

/// The buffers of both ways, and `four(cache, word, i)`: values `4 i ..` of the head that starts at a word.
fn past(head_size: usize, kv: Kv) -> String {
    let four = |name: &str| match kv {
        Kv::F16 => format!(
            "fn four_{name}(at: u32, i: u32) -> vec4<f32> {{ return vec4<f32>(unpack2x16float({name}[at + 2u * i]), unpack2x16float({name}[at + 2u * i + 1u])); }}\n"
        ),
        Kv::Q8_0 => format!(
            "fn four_{name}(at: u32, i: u32) -> vec4<f32> {{\n\
             let w = {name}[at + i];\nlet b = vec4<u32>(w << 24u, (w << 16u) & 0xff000000u, (w << 8u) & 0xff000000u, w & 0xff000000u);\n\
             return vec4<f32>(bitcast<vec4<i32>>(b) >> vec4<u32>(24u)) * bitcast<f32>({name}[at + {}u + i / 8u]);\n}}\n",
            head_size / 4
        ),
    };
    format!(
        "{FACE}@group(0) @binding(0) var<storage, read> x: array<f32>;\n\
         @group(0) @binding(1) var<storage, read> keys: array<u32>;\n\
         @group(0) @binding(2) var<storage, read> values: array<u32>;\n\
         @group(0) @binding(3) var<storage, read> rows: array<vec4<u32>>;\n\
         @group(0) @binding(4) var<storage, read> tables: array<u32>;\n\
         @group(0) @binding(5) var<storage, read_write> out: array<f32>;\n{}{}",
        four("keys"),
        four("values"),
    )
}

/// One row, the heads that share keys (up to `together` of them), a part of the past.
pub(crate) fn attend(head_size: u32, together: u32, kv: Kv) -> String {
    let (size, vectors, words) = (head_size, head_size / 4, kv_words(head_size as usize, kv));
    // Threads that no vector of the head is left for add up a part of the positions each; with 16 vectors, four do.
    let lanes = 64 / vectors.next_power_of_two().max(1);
    let lane_width = vectors.next_power_of_two();
    let each = |line: &dyn Fn(u32) -> String| (0..together).map(line).collect::<String>();
    let scores = each(&|h| {
        format!(
            "var t{h} = 0.0;\nfor (var i = 0u; i < {vectors}u; i += 1u) {{ t{h} += dot(four_keys(at, i), q[{h}u * {vectors}u + i]); }}\n"
        )
    });
    let keep = each(&|h| format!("s[{h}u * 64u + lid] = select(-1e30, t{h}, seen);\n"));
    let weights = each(&|h| {
        format!(
            "if (seen) {{ s[{h}u * 64u + lid] = exp(s[{h}u * 64u + lid] - most[{h}]); }} else {{ s[{h}u * 64u + lid] = 0.0; }}\n"
        )
    });
    let before = each(&|h| format!("var a{h} = vec4<f32>();\n"));
    let scale = each(&|h| format!("a{h} *= factor[{h}];\n"));
    let add = each(&|h| format!("a{h} += s[{h}u * 64u + k] * v;\n"));
    let fold = each(&|h| {
        format!(
            "part[lid] = a{h};\nworkgroupBarrier();\n\
             if (lid < {vectors}u && head + {h}u < p.heads / p.kv_heads) {{\nvar sum = vec4<f32>();\n\
             for (var l = 0u; l < {lanes}u; l += 1u) {{ sum += part[l * {lane_width}u + lid]; }}\n\
             let to = ((wg.y * p.heads + first + {h}u) * p.splits + wg.z) * {}u;\n\
             for (var i = 0u; i < 4u; i += 1u) {{ out[to + lid * 4u + i] = sum[i]; }}\n\
             if (lid == 0u) {{ out[to + {size}u] = most[{h}]; out[to + {size}u + 1u] = total[{h}]; }}\n}}\nworkgroupBarrier();\n",
            size + 2
        )
    });
    format!(
        "{}var<workgroup> q: array<vec4<f32>, {}>;\nvar<workgroup> s: array<f32, {}>;\nvar<workgroup> part: array<vec4<f32>, 64>;\n\
         var<workgroup> most: array<f32, {together}>;\nvar<workgroup> total: array<f32, {together}>;\nvar<workgroup> factor: array<f32, {together}>;\n\
         @compute @workgroup_size(64) fn main({}) {{\n\
         let group = p.heads / p.kv_heads;\nlet bands = (group + {together}u - 1u) / {together}u;\n\
         let kv = wg.x / bands;\nlet head = wg.x % bands * {together}u;\nlet first = kv * group + head;\n\
         let row = rows[wg.y];\nlet end = row.x + 1u;\n\
         for (var i = lid; i < {}u; i += 64u) {{\n\
         let h = min(first + i / {vectors}u, p.heads - 1u);\nlet base = wg.y * p.stride + h * {size}u + i % {vectors}u * 4u;\n\
         q[i] = vec4<f32>(x[base], x[base + 1u], x[base + 2u], x[base + 3u]) * p.scale;\n}}\n\
         if (lid < {together}u) {{ most[lid] = -1e30; total[lid] = 0.0; }}\n{before}workgroupBarrier();\n\
         let stop = min((wg.z + 1u) * p.blocks, (end + 63u) / 64u);\n\
         for (var block = wg.z * p.blocks; block < stop; block += 1u) {{\n\
         let place = tables[row.y + block] * 64u;\nlet seen = block * 64u + lid < end;\n{{\n\
         let at = ((place + lid) * p.kv_heads + kv) * {words}u;\n{scores}{keep}}}\nworkgroupBarrier();\n\
         if (lid < {together}u) {{\nvar greatest = most[lid];\n\
         for (var k = 0u; k < 64u; k += 1u) {{ greatest = max(greatest, s[lid * 64u + k]); }}\n\
         factor[lid] = exp(most[lid] - greatest);\nmost[lid] = greatest;\n}}\nworkgroupBarrier();\n{weights}workgroupBarrier();\n\
         if (lid < {together}u) {{\nvar sum = total[lid] * factor[lid];\n\
         for (var k = 0u; k < 64u; k += 1u) {{ sum += s[lid * 64u + k]; }}\ntotal[lid] = sum;\n}}\n{scale}\
         let i = lid % {lane_width}u;\nlet count = min(64u, end - block * 64u);\n\
         if (i < {vectors}u) {{\nfor (var k = lid / {lane_width}u; k < count; k += {lanes}u) {{\n\
         let v = four_values(((place + k) * p.kv_heads + kv) * {words}u, i);\n{add}}}\n}}\nworkgroupBarrier();\n}}\n{fold}}}\n",
        past(size as usize, kv),
        together * vectors,
        together * 64,
        builtins(false),
        together * vectors,
    )
}

/// Parts of one head into one: each weighted by what it has of the sum.
pub(crate) fn combine(head_size: u32) -> String {
    format!(
        "{FACE}@group(0) @binding(0) var<storage, read> parts: array<f32>;\n\
         @group(0) @binding(1) var<storage, read_write> out: array<f32>;\n\
         @compute @workgroup_size(64) fn main({}) {{\n\
         let pair = wg.y * p.heads + wg.x;\nlet base = pair * p.splits * {row}u;\nvar most = -1e30;\n\
         for (var s = 0u; s < p.splits; s += 1u) {{ most = max(most, parts[base + s * {row}u + {head_size}u]); }}\n\
         var total = 0.0;\n\
         for (var s = 0u; s < p.splits; s += 1u) {{\nlet at = base + s * {row}u + {head_size}u;\n\
         total += parts[at + 1u] * exp(parts[at] - most);\n}}\n\
         for (var i = lid; i < {head_size}u; i += 64u) {{\nvar sum = 0.0;\n\
         for (var s = 0u; s < p.splits; s += 1u) {{\nlet at = base + s * {row}u;\n\
         sum += parts[at + i] * exp(parts[at + {head_size}u] - most);\n}}\nout[pair * {head_size}u + i] = sum / total;\n}}\n}}\n",
        builtins(false),
        row = head_size + 2,
    )
}

/// A head of up to sixteen rows that follow each other. Four threads have a row: each a quarter of its scores and values.
pub(crate) fn flash(head_size: u32, kv: Kv) -> String {
    let (size, vectors, words) = (head_size, head_size / 4, kv_words(head_size as usize, kv));
    let own = vectors.div_ceil(4);
    let each = |line: &dyn Fn(u32) -> String| (0..own).map(line).collect::<String>();
    let before = each(&|j| format!("var a{j} = vec4<f32>();\n"));
    let scale = each(&|j| format!("a{j} *= factor;\n"));
    let add =
        each(&|j| format!("a{j} += weight * kv_tile[k * {vectors}u + min(lane + {}u, {}u)];\n", 4 * j, vectors - 1));
    let leave = each(&|j| {
        format!(
            "if (lane + {0}u < {vectors}u) {{\nlet v = a{j} / total;\nlet to = own * p.heads * {size}u + wg.x * {size}u + (lane + {0}u) * 4u;\n\
             out[to] = v.x; out[to + 1u] = v.y; out[to + 2u] = v.z; out[to + 3u] = v.w;\n}}\n",
            4 * j
        )
    });
    let load = |name: &str| {
        format!(
            "for (var i = lid; i < {}u; i += 64u) {{\nlet position = start + i / {vectors}u;\nvar value = vec4<f32>();\n\
             if (position < end) {{\nlet place = tables[table + position / 64u] * 64u + position % 64u;\n\
             value = four_{name}((place * p.kv_heads + kv) * {words}u, i % {vectors}u);\n}}\nkv_tile[i] = value;\n}}\nworkgroupBarrier();\n",
            KEY_TILE as u32 * vectors
        )
    };
    format!(
        "{}@group(0) @binding(6) var<storage, read> tiles: array<vec2<u32>>;\n\
         var<workgroup> q: array<vec4<f32>, {}>;\nvar<workgroup> kv_tile: array<vec4<f32>, {}>;\nvar<workgroup> s: array<f32, 272>;\n\
         @compute @workgroup_size(64) fn main({}) {{\n\
         let tile = tiles[wg.y];\nlet kv = wg.x / (p.heads / p.kv_heads);\nlet r = lid / 4u;\nlet lane = lid % 4u;\n\
         let own = tile.x + min(r, tile.y - 1u);\nlet position = rows[own].x;\nlet table = rows[tile.x].y;\n\
         let end = rows[tile.x + tile.y - 1u].x + 1u;\n\
         for (var i = lid; i < {}u; i += 64u) {{\n\
         let base = (tile.x + min(i / {vectors}u, tile.y - 1u)) * p.stride + wg.x * {size}u + i % {vectors}u * 4u;\n\
         q[i] = vec4<f32>(x[base], x[base + 1u], x[base + 2u], x[base + 3u]) * p.scale;\n}}\n\
         var most = -1e30;\nvar total = 0.0;\n{before}\
         for (var start = 0u; start < end; start += {KEY_TILE}u) {{\n{}\
         for (var j = 0u; j < 4u; j += 1u) {{\nlet k = lane + 4u * j;\nvar sum = 0.0;\n\
         for (var i = 0u; i < {vectors}u; i += 1u) {{ sum += dot(q[r * {vectors}u + i], kv_tile[k * {vectors}u + i]); }}\n\
         s[r * 17u + k] = select(-1e30, sum, start + k <= position);\n}}\nworkgroupBarrier();\n{}\
         var greatest = most;\nfor (var k = 0u; k < {KEY_TILE}u; k += 1u) {{ greatest = max(greatest, s[r * 17u + k]); }}\n\
         let factor = exp(most - greatest);\nmost = greatest;\ntotal *= factor;\n{scale}\
         for (var k = 0u; k < {KEY_TILE}u; k += 1u) {{\nvar weight = 0.0;\n\
         if (start + k <= position) {{ weight = exp(s[r * 17u + k] - most); }}\ntotal += weight;\n{add}}}\nworkgroupBarrier();\n}}\n\
         if (r < tile.y) {{\n{leave}}}\n}}\n",
        past(size as usize, kv),
        QUERY_TILE as u32 * vectors,
        KEY_TILE as u32 * vectors,
        builtins(false),
        QUERY_TILE as u32 * vectors,
        load("keys"),
        load("values"),
    )
}
