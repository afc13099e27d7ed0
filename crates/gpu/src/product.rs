//! Products of weights with rows: up to eight rows beside each other (an answer's next token, guesses, several answers), and
//! many (a prompt) in tiles.

use std::fmt::Write;

use huacaya_kernels::Format;

use crate::program::{Program, builtins, reduce, spread};
use crate::unit::{Unit, supports};
use crate::{Buffer, Error, Recorder, Result};

/// Up to this many rows go through the program that reads each weight once for all of them.
pub const COLUMNS_FEW: usize = 8;
/// Threads that share a matrix row.
const THREADS: usize = 64;
/// Matrix rows and other rows of a tile, and the values of both that are held at a time.
const TILE_ROWS: usize = 64;
const TILE_COLUMNS: usize = 32;
const TILE_DEPTH: usize = 32;

/// One product: `out[c][start + r] = scale * (w[r] . x[c]) + bias[r]`, added to what was there where that is wanted.
pub struct Product<'a> {
    pub format: Format,
    /// Rows of the matrix that are in `weights`, and values in each.
    pub rows: usize,
    pub columns: usize,
    pub weights: &'a Buffer,
    /// Rows of `x`, each `stride` values from the one before, from value `start` on. Both are whole vectors of four.
    pub x: &'a Buffer,
    pub x_start: usize,
    pub x_stride: usize,
    pub count: usize,
    pub out: &'a Buffer,
    pub out_start: usize,
    pub out_stride: usize,
    /// A number for each matrix row of `out`, from `bias_start` on.
    pub bias: Option<(&'a Buffer, usize)>,
    pub scale: f32,
    pub accumulate: bool,
}

impl Product<'_> {
    pub fn start(&self, recorder: &mut Recorder<'_>) -> Result<()> {
        let Product { format, rows, columns, count, .. } = *self;
        if !supports(format) {
            return Err(Error::Format { format });
        }
        let unit = Unit::of(format);
        let whole = if format.is_plain() { unit.length } else { format.block_length() };
        for (what, found, wanted) in [
            ("the columns of a matrix", columns, whole),
            ("the start of a product's rows", self.x_start, 4),
            ("the stride of a product's rows", self.x_stride, 4),
        ] {
            if !found.is_multiple_of(wanted) {
                return Err(Error::Shape { what, found: found as u64, wanted: wanted as u64 });
            }
        }
        let row_bytes = columns / format.block_length() * format.block_bytes();
        let flags = u32::from(self.accumulate) | u32::from(self.bias.is_some()) << 1;
        let immediates = [
            rows,
            columns / unit.length,
            row_bytes,
            self.x_start / 4,
            self.x_stride / 4,
            self.out_start,
            self.out_stride,
            count,
            flags as usize,
            self.scale.to_bits() as usize,
            self.bias.map_or(0, |(_, start)| start),
        ]
        .map(|value| value as u32);
        recorder.counts.bytes_of_weights += (rows * row_bytes) as u64;
        let buffers = [Some(self.weights), Some(self.x), Some(self.out), self.bias.map(|(bias, _)| bias)];
        if count > COLUMNS_FEW {
            let groups = spread(rows.div_ceil(TILE_ROWS) as u32);
            let groups = [groups[0], groups[1], count.div_ceil(TILE_COLUMNS) as u32];
            return recorder.start(&Program::Tiled { format }, &buffers, &immediates, groups);
        }
        let width = count.next_power_of_two();
        let program = Program::Product { format, columns: width as u32, subgroups: recorder.gpu().limits.subgroups };
        recorder.start(&program, &buffers, &immediates, spread(rows.div_ceil(together(width)) as u32))
    }
}

/// Matrix rows that a workgroup takes together, so that a value of `x` serves several.
fn together(columns: usize) -> usize {
    (4 / columns).max(1)
}

const FACE: &str = "
struct P { rows: u32, units: u32, row_bytes: u32, x_start: u32, x_stride: u32, out_start: u32, out_stride: u32, count: u32, flags: u32, scale: f32, bias_start: u32 }
var<immediate> p: P;
@group(0) @binding(0) var<storage, read> w: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
fn leave(row: u32, column: u32, sum: f32) {
    let at = p.out_start + column * p.out_stride + row;
    var value = sum * p.scale;
    if ((p.flags & 2u) != 0u) { value += bias[p.bias_start + row]; }
    if ((p.flags & 1u) != 0u) { value += out[at]; }
    out[at] = value;
}
";

/// The program for up to eight rows. A thread's units of several matrix rows meet the same values of `x`.
pub(crate) fn few(format: Format, columns: usize, subgroups: bool) -> String {
    let (unit, rows) = (Unit::of(format), together(columns));
    let (vectors, sums) = (unit.vectors(), rows * columns);
    let mut body = String::new();
    for i in 0..sums {
        let _ = writeln!(body, "var s{i} = 0.0;");
    }
    let _ = writeln!(body, "for (var u = lid; u < p.units; u += {THREADS}u) {{\nlet at = p.x_start + u * {vectors}u;");
    for column in 1..columns {
        let _ = writeln!(body, "let at{column} = at + min({column}u, p.count - 1u) * p.x_stride;");
    }
    let at = |column: usize| if column == 0 { "at".to_owned() } else { format!("at{column}") };
    for row in 0..rows {
        let _ = writeln!(body, "{{\nlet row = min(first + {row}u, p.rows - 1u) * p.row_bytes;");
        body += &unit.unpack(format, "row", "u");
        for column in 0..columns {
            let products: Vec<String> = (0..vectors).map(|j| format!("dot(o{j}, x[{} + {j}u])", at(column))).collect();
            let _ = writeln!(body, "s{} += {};", row * columns + column, products.join(" + "));
        }
        body += "}\n";
    }
    body += "}\n";
    let shared = if subgroups { THREADS } else { THREADS * sums };
    let (helpers, arguments, reduced) = (Unit::helpers(format), builtins(subgroups), reduce(sums, THREADS, subgroups));
    format!(
        "{FACE}{helpers}var<workgroup> shared_sums: array<f32, {}>;\n\
         @compute @workgroup_size({THREADS}) fn main({arguments}) {{\n\
         let first = (wg.y * wgs.x + wg.x) * {rows}u;\nif (first >= p.rows) {{ return; }}\n{body}{reduced}\
         if (lid < {sums}u && first + lid / {columns}u < p.rows && lid % {columns}u < p.count) {{\n\
         leave(first + lid / {columns}u, lid % {columns}u, shared_sums[lid]);\n}}\n}}\n",
        shared * if subgroups { sums } else { 1 },
    )
}

/// The program for many rows: tiles of both are unpacked to shared memory, a thread makes 4 x 4 results.
pub(crate) fn tiled(format: Format) -> String {
    let unit = Unit::of(format);
    // One vector more than a row has: neighbouring rows start in different banks.
    let stride = TILE_DEPTH / 4 + 1;
    let (vectors, in_tile) = (unit.vectors(), TILE_DEPTH / unit.length);
    let mut load = String::new();
    for i in 0..in_tile {
        let _ = writeln!(load, "{{\nlet u = d * {in_tile}u + {i}u;\nif (u < p.units) {{");
        load += &unit.unpack(format, "row", "u");
        for j in 0..vectors {
            let _ = writeln!(load, "a[lid * {stride}u + {}u] = o{j};", i * vectors + j);
        }
        load += "} else {\n";
        for j in 0..vectors {
            let _ = writeln!(load, "a[lid * {stride}u + {}u] = vec4<f32>();", i * vectors + j);
        }
        load += "}\n}\n";
    }
    let mut multiply = String::new();
    for i in 0..4 {
        let _ = writeln!(multiply, "let a{i} = a[(ty * 4u + {i}u) * {stride}u + k];");
        let _ = writeln!(multiply, "let b{i} = c[(tx * 4u + {i}u) * {stride}u + k];");
    }
    let pairs = || (0..4).flat_map(|i| (0..4).map(move |j| (i, j)));
    let (mut sums, mut leave) = (String::new(), String::new());
    for (i, j) in pairs() {
        let _ = writeln!(sums, "var s{i}{j} = 0.0;");
        let _ = writeln!(multiply, "s{i}{j} += dot(a{i}, b{j});");
        let _ = writeln!(
            leave,
            "if (rows + ty * 4u + {i}u < p.rows && columns + tx * 4u + {j}u < p.count) {{ leave(rows + ty * 4u + {i}u, columns + tx * 4u + {j}u, s{i}{j}); }}"
        );
    }
    let depth = TILE_DEPTH / 4;
    format!(
        "{FACE}{}var<workgroup> a: array<vec4<f32>, {}>;\nvar<workgroup> c: array<vec4<f32>, {}>;\n\
         @compute @workgroup_size(128) fn main({}) {{\n\
         let rows = (wg.y * wgs.x + wg.x) * {TILE_ROWS}u;\nlet columns = wg.z * {TILE_COLUMNS}u;\n\
         if (rows >= p.rows) {{ return; }}\n\
         let ty = lid / 8u;\nlet tx = lid % 8u;\nlet vectors = p.units * {vectors}u;\n{sums}\
         let row = min(rows + lid, p.rows - 1u) * p.row_bytes;\n\
         for (var d = 0u; d * {depth}u < vectors; d += 1u) {{\n\
         if (lid < {TILE_ROWS}u) {{\n{load}}} else {{\n\
         for (var i = lid - 64u; i < {}u; i += 64u) {{\n\
         let k = i % {depth}u;\nlet v = d * {depth}u + k;\nlet n = columns + i / {depth}u;\n\
         var value = vec4<f32>();\nif (v < vectors && n < p.count) {{ value = x[p.x_start + n * p.x_stride + v]; }}\n\
         c[i / {depth}u * {stride}u + k] = value;\n}}\n}}\nworkgroupBarrier();\n\
         for (var k = 0u; k < {depth}u; k += 1u) {{\n{multiply}}}\nworkgroupBarrier();\n}}\n{leave}}}\n",
        Unit::helpers(format),
        TILE_ROWS * stride,
        TILE_COLUMNS * stride,
        builtins(false),
        TILE_COLUMNS * depth,
    )
}
