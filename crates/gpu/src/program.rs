//! Every program as data: what it is made for, what is bound to it, and its text.

use huacaya_kernels::Format;

use crate::unit::Kv;
use crate::{attention, pick, product, rows};

/// Bytes of constants that go with each start: all that every platform promises.
pub(crate) const IMMEDIATE_BYTES: u32 = 64;
/// The most threads that a workgroup of ours has.
pub(crate) const THREADS_MAX: u32 = 256;
/// The most bytes that a workgroup of ours shares.
pub(crate) const SHARED_BYTES_MAX: u32 = 32 << 10;
/// The most buffers that a program of ours is given.
pub(crate) const BINDINGS_MAX: u32 = 8;

/// What a program does with a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
}

use Access::{Read, Write};

/// A program, made for a format and a shape where that makes it faster.
#[allow(non_camel_case_types)]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Program {
    /// A matrix with 1, 2, 4 or 8 columns.
    Product { format: Format, columns: u32, subgroups: bool },
    /// A matrix with many columns, in tiles.
    Tiled { format: Format },
    /// Rows of a matrix by their numbers.
    Rows { format: Format },
    /// Root mean square norm of rows, of the sum with another row where that is wanted.
    Norm { subgroups: bool },
    /// Queries and keys normed and turned, keys and values into the cache.
    Turn { head_size: u32, kv: Kv },
    /// silu(gate) * up
    Swiglu,
    /// `out += x`
    Add,
    /// A row's heads over a part of its past.
    Attend { head_size: u32, together: u32, kv: Kv },
    /// The parts into one.
    Combine { head_size: u32 },
    /// Many rows' heads over their past, causal.
    Flash { head_size: u32, kv: Kv },
    /// The greatest of each slice with their places.
    Top,
}

impl Program {
    /// What is bound to it, in order.
    pub fn accesses(&self) -> &'static [Access] {
        match self {
            Program::Product { .. } | Program::Tiled { .. } => &[Read, Read, Write, Read],
            Program::Rows { .. } => &[Read, Read, Write],
            Program::Norm { .. } => &[Write, Read, Read, Write, Read],
            Program::Turn { .. } => &[Write, Read, Read, Write, Write, Read],
            Program::Swiglu | Program::Add => &[Read, Write],
            Program::Attend { .. } => &[Read, Read, Read, Read, Read, Write],
            Program::Combine { .. } => &[Read, Write],
            Program::Flash { .. } => &[Read, Read, Read, Read, Read, Write, Read],
            Program::Top => &[Read, Read, Write, Write],
        }
    }

    /// Its WGSL.
    pub fn text(&self) -> String {
        match self {
            Program::Product { format, columns, subgroups } => product::few(*format, *columns as usize, *subgroups),
            Program::Tiled { format } => product::tiled(*format),
            Program::Rows { format } => rows::rows(*format),
            Program::Norm { subgroups } => rows::norm(*subgroups),
            Program::Turn { head_size, kv } => rows::turn(*head_size as usize, *kv),
            Program::Swiglu => rows::SWIGLU.to_owned(),
            Program::Add => rows::ADD.to_owned(),
            Program::Attend { head_size, together, kv } => attention::attend(*head_size, *together, *kv),
            Program::Combine { head_size } => attention::combine(*head_size),
            Program::Flash { head_size, kv } => attention::flash(*head_size, *kv),
            Program::Top => pick::top(),
        }
    }
}

/// Workgroups in two dimensions, for more than one dimension takes; programs count them as `y * width + x`.
pub(crate) fn spread(count: u32) -> [u32; 3] {
    const WIDE: u32 = 1 << 15;
    if count <= WIDE { [count, 1, 1] } else { [WIDE, count.div_ceil(WIDE), 1] }
}

/// The reduction of `count` sums that each thread of a workgroup of `threads` has in `s0`, `s1`, …: their totals stand in
/// `shared_sums[0]`, `shared_sums[1]`, … afterwards, for all threads.
pub(crate) fn reduce(count: usize, threads: usize, subgroups: bool) -> String {
    if subgroups {
        let each = |i: usize| {
            format!("{{ let t = subgroupAdd(s{i}); if (lane == 0u) {{ shared_sums[sg * {count}u + {i}u] = t; }} }}\n")
        };
        let parts: String = (0..count).map(each).collect();
        return format!(
            "{parts}workgroupBarrier();\nvar total = 0.0;\n\
             if (lid < {count}u) {{ for (var k = 0u; k < sgs; k += 1u) {{ total += shared_sums[k * {count}u + lid]; }} }}\n\
             workgroupBarrier();\nif (lid < {count}u) {{ shared_sums[lid] = total; }}\nworkgroupBarrier();\n"
        );
    }
    let mut text: String = (0..count).map(|i| format!("shared_sums[lid * {count}u + {i}u] = s{i};\n")).collect();
    text += "workgroupBarrier();\n";
    let mut half = threads / 2;
    while half > 0 {
        text += &format!("if (lid < {half}u) {{\n");
        for i in 0..count {
            text += &format!("shared_sums[lid * {count}u + {i}u] += shared_sums[(lid + {half}u) * {count}u + {i}u];\n");
        }
        text += "}\nworkgroupBarrier();\n";
        half /= 2;
    }
    text
}

/// The arguments of `main` that [`reduce`] needs.
pub(crate) fn builtins(subgroups: bool) -> &'static str {
    if subgroups {
        "@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) wgs: vec3<u32>, @builtin(local_invocation_index) lid: u32, @builtin(subgroup_invocation_id) lane: u32, @builtin(subgroup_id) sg: u32, @builtin(num_subgroups) sgs: u32"
    } else {
        "@builtin(workgroup_id) wg: vec3<u32>, @builtin(num_workgroups) wgs: vec3<u32>, @builtin(local_invocation_index) lid: u32"
    }
}
