//! The greatest values of rows with their places: a row is cut in slices, each slice is sorted, what is left of them is cut
//! again. With one wanted this is the arg-max. Of equal values the one further in front comes first; NaN comes last.

use crate::program::{Program, builtins};
use crate::{Buffer, Error, Recorder, Result};

/// Most that can be asked for.
pub const TOP_MAX: usize = 128;
/// Values that a workgroup sorts.
const SLICE: usize = 1024;
const THREADS: usize = 256;

/// Two buffers each for values and places that slices leave, to go back and forth between.
pub struct Top {
    values: [Buffer; 2],
    places: [Buffer; 2],
    rows_max: usize,
    length_max: usize,
}

impl Top {
    /// For up to `rows_max` rows of up to `length_max` values.
    pub fn new(gpu: &crate::Gpu, rows_max: usize, length_max: usize) -> Result<Top> {
        let bytes = (rows_max * length_max.div_ceil(SLICE) * TOP_MAX * 4) as u64;
        let two = |what: &str| -> Result<[Buffer; 2]> { Ok([gpu.buffer(what, bytes)?, gpu.buffer(what, bytes)?]) };
        Ok(Top { values: two("greatest values")?, places: two("greatest places")?, rows_max, length_max })
    }

    /// The `wanted` greatest of each row of `x` (count, length). Answers the buffers of values and places, (count, wanted).
    pub fn start(
        &self,
        recorder: &mut Recorder<'_>,
        x: &Buffer,
        length: usize,
        count: usize,
        wanted: usize,
    ) -> Result<(&Buffer, &Buffer)> {
        for (what, found, most) in [
            ("the greatest values asked for", wanted, TOP_MAX.min(length)),
            ("the rows to look through", count, self.rows_max),
            ("the values to look through", length, self.length_max),
        ] {
            if found == 0 || found > most {
                return Err(Error::Shape { what, found: found as u64, wanted: most as u64 });
            }
        }
        let (mut length, mut side) = (length, 0);
        let mut from: (&Buffer, Option<&Buffer>) = (x, None);
        loop {
            let slices = length.div_ceil(SLICE);
            let immediates = [length, wanted, usize::from(from.1.is_none())].map(|value| value as u32);
            let (values, places) = (&self.values[side], &self.places[side]);
            let buffers = [Some(from.0), from.1, Some(values), Some(places)];
            recorder.start(&Program::Top, &buffers, &immediates, [slices as u32, count as u32, 1])?;
            if slices == 1 {
                return Ok((values, places));
            }
            length = slices * wanted;
            from = (values, Some(places));
            side = 1 - side;
        }
    }
}

/// Bitonic sort of a slice (Batcher 1968). Places that nothing stands on have the greatest number, and so come last.
pub(crate) fn top() -> String {
    format!(
        "struct P {{ length: u32, wanted: u32, fresh: u32 }}\nvar<immediate> p: P;\n\
         @group(0) @binding(0) var<storage, read> x: array<f32>;\n\
         @group(0) @binding(1) var<storage, read> given: array<u32>;\n\
         @group(0) @binding(2) var<storage, read_write> values: array<f32>;\n\
         @group(0) @binding(3) var<storage, read_write> places: array<u32>;\n\
         var<workgroup> v: array<f32, {SLICE}>;\nvar<workgroup> n: array<u32, {SLICE}>;\n\
         fn before(a: u32, b: u32) -> bool {{ return v[a] > v[b] || (v[a] == v[b] && n[a] < n[b]); }}\n\
         @compute @workgroup_size({THREADS}) fn main({}) {{\n\
         for (var i = lid; i < {SLICE}u; i += {THREADS}u) {{\nlet at = wg.x * {SLICE}u + i;\n\
         v[i] = -3.4e38;\nn[i] = 0xffffffffu;\n\
         if (at < p.length) {{\nlet value = x[wg.y * p.length + at];\n\
         // NaN, by its bits: compilers may take it that there is none. Infinity is cut.\n\
         if ((bitcast<u32>(value) & 0x7fffffffu) <= 0x7f800000u) {{ v[i] = clamp(value, -3.4e38, 3.4e38); }}\n\
         if (p.fresh != 0u) {{ n[i] = at; }} else {{ n[i] = given[wg.y * p.length + at]; }}\n}}\n}}\nworkgroupBarrier();\n\
         for (var size = 2u; size <= {SLICE}u; size *= 2u) {{\n\
         for (var step = size / 2u; step > 0u; step /= 2u) {{\n\
         for (var i = lid; i < {}u; i += {THREADS}u) {{\n\
         let a = (i / step) * step * 2u + i % step;\nlet b = a + step;\nlet upwards = (a & size) != 0u;\n\
         if (before(b, a) != upwards) {{\nlet value = v[a]; v[a] = v[b]; v[b] = value;\nlet place = n[a]; n[a] = n[b]; n[b] = place;\n}}\n}}\n\
         workgroupBarrier();\n}}\n}}\n\
         for (var i = lid; i < p.wanted; i += {THREADS}u) {{\n\
         let to = (wg.y * wgs.x + wg.x) * p.wanted + i;\nvalues[to] = v[i];\nplaces[to] = n[i];\n}}\n}}\n",
        builtins(false),
        SLICE / 2,
    )
}
