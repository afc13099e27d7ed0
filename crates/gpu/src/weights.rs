//! A model's tensors in the card's memory, in the blocks that the file has.

use std::borrow::Cow;
use std::ops::ControlFlow;

use huacaya_kernels::{Format, dequantize};
use huacaya_progress::{Progress, Watch};

use crate::attention::HEAD_SIZE_MAX;
use crate::unit::{Kv, supports};
use crate::{Buffer, Error, Gpu, Product, Recorder, Result, RowsCall};

/// Matrix rows that a part ends at: whole words whatever a row's bytes are.
const PART_STEP: usize = 4;

/// A model of the Llama family as numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Shape {
    pub hidden: usize,
    pub layers: usize,
    pub heads: usize,
    pub kv_heads: usize,
    pub head_size: usize,
    pub ffn: usize,
    pub vocabulary: usize,
    pub epsilon: f32,
    /// Values of a head that turn.
    pub rotated: usize,
    /// Value `i` turns with `i + rotated / 2`, else with its neighbour.
    pub halves: bool,
    pub head_norms: bool,
    /// The output layer is the embedding.
    pub tied: bool,
    pub bias_query_key_value: bool,
    pub bias_output: bool,
    pub bias_ffn: bool,
    pub kv: Kv,
}

impl Shape {
    pub fn query(&self) -> usize {
        self.heads * self.head_size
    }

    pub fn key(&self) -> usize {
        self.kv_heads * self.head_size
    }

    /// Why the programs cannot compute such a model, if they cannot.
    pub fn refuses(&self) -> Option<String> {
        let whole = if self.kv == Kv::F16 { 4 } else { 32 };
        if self.head_size > HEAD_SIZE_MAX || !self.head_size.is_multiple_of(whole) {
            return Some(format!("heads of {} values are not what the graphics programs are made for", self.head_size));
        }
        let odd = [self.hidden, self.ffn].into_iter().find(|width| !width.is_multiple_of(4));
        odd.map(|width| format!("rows of {width} values are no whole vectors"))
    }
}

/// A tensor as the file has it.
pub type Stored<'a> = (Format, Cow<'a, [u8]>);

/// Finds a tensor by GGUF's name and its shape, (out, in) or (length).
pub type Find<'a, 't, E> = &'a dyn Fn(&str, &[usize]) -> Result<Stored<'t>, E>;

/// A matrix, or several with the same input one above the other, in parts that a binding can hold.
#[derive(Debug)]
pub struct Matrix {
    pub format: Format,
    pub columns: usize,
    /// First row, rows, blocks.
    parts: Vec<(usize, usize, Buffer)>,
    bias: Option<Buffer>,
}

impl Matrix {
    fn upload(gpu: &Gpu, what: &str, format: Format, columns: usize, bytes: &[u8], bias: &[f32]) -> Result<Matrix> {
        if !supports(format) {
            return Err(Error::Format { format });
        }
        let row_bytes = columns / format.block_length() * format.block_bytes();
        let rows = bytes.len() / row_bytes.max(1);
        if row_bytes == 0 || !bytes.len().is_multiple_of(row_bytes) {
            return Err(Error::Shape {
                what: "the bytes of a matrix",
                found: bytes.len() as u64,
                wanted: row_bytes as u64,
            });
        }
        // Some bytes are left for what programs read behind the last block.
        let most = (gpu.limits.binding_bytes_max as usize - 64) / row_bytes / PART_STEP * PART_STEP;
        if most == 0 {
            return Err(Error::Shape {
                what: "the bytes of a matrix row",
                found: row_bytes as u64,
                wanted: gpu.limits.binding_bytes_max,
            });
        }
        let mut parts = Vec::new();
        for first in (0..rows).step_by(most) {
            let count = most.min(rows - first);
            let part = &bytes[first * row_bytes..(first + count) * row_bytes];
            parts.push((first, count, gpu.upload(what, part)?));
        }
        let bias = if bias.is_empty() { None } else { Some(gpu.upload_values(what, bias)?) };
        Ok(Matrix { format, columns, parts, bias })
    }

    /// `out[r][start ..] = x[r] . matrix`, for `count` rows of `x`, which stand one behind the other.
    pub fn multiply(
        &self,
        recorder: &mut Recorder<'_>,
        x: &Buffer,
        out: (&Buffer, usize, usize),
        count: usize,
    ) -> Result<()> {
        let (out, start, out_stride) = out;
        for (first, rows, weights) in &self.parts {
            let product = Product {
                format: self.format,
                rows: *rows,
                columns: self.columns,
                weights,
                x,
                x_start: 0,
                x_stride: self.columns,
                count,
                out,
                out_start: start + first,
                out_stride,
                bias: self.bias.as_ref().map(|bias| (bias, *first)),
                scale: 1.0,
                accumulate: false,
            };
            product.start(recorder)?;
        }
        Ok(())
    }

    /// The rows with these numbers.
    pub fn pick(&self, recorder: &mut Recorder<'_>, ids: &Buffer, out: &Buffer, count: usize) -> Result<()> {
        for (first, rows, weights) in &self.parts {
            let (format, columns, first, rows) = (self.format, self.columns, *first, *rows);
            RowsCall { format, columns, weights, first, rows, ids, count, out }.start(recorder)?;
        }
        Ok(())
    }
}

/// Matrices that read the same rows, and where in a row of results each begins.
#[derive(Debug)]
pub(crate) struct Joined(pub Vec<(usize, Matrix)>);

impl Joined {
    pub fn multiply(&self, recorder: &mut Recorder<'_>, x: &Buffer, out: (&Buffer, usize), count: usize) -> Result<()> {
        self.0.iter().try_for_each(|(start, matrix)| matrix.multiply(recorder, x, (out.0, *start, out.1), count))
    }
}

#[derive(Debug)]
pub(crate) struct Layer {
    pub attention_norm: Buffer,
    pub query_key_value: Joined,
    pub head_norms: Option<Buffer>,
    pub attention_output: Joined,
    pub ffn_norm: Buffer,
    pub gate_up: Joined,
    pub down: Joined,
}

/// All of a model's tensors.
#[derive(Debug)]
pub(crate) struct Weights {
    pub embedding: Matrix,
    pub layers: Vec<Layer>,
    pub norm: Buffer,
    /// `None`: the embedding.
    pub output: Option<Matrix>,
}

/// What brings tensors in.
struct Loading<'a, 'w, 't, E> {
    gpu: &'a Gpu,
    tensor: Find<'a, 't, E>,
    done: u64,
    total: u64,
    watch: Watch<'w>,
}

/// Brings the tensors that `tensor` finds by GGUF's names and shapes (out, in) to the card. The watch counts bytes; `None`
/// where it stopped the loading.
pub(crate) fn load<'t, E: From<Error>>(
    gpu: &Gpu,
    shape: &Shape,
    total: u64,
    tensor: Find<'_, 't, E>,
    watch: Watch<'_>,
) -> Result<Option<Weights>, E> {
    let mut loading = Loading { gpu, tensor, done: 0, total, watch };
    let (hidden, query, key, ffn) = (shape.hidden, shape.query(), shape.key(), shape.ffn);
    let Some(embedding) = loading.matrix("token_embd.weight", shape.vocabulary, hidden)? else { return Ok(None) };
    let mut layers = Vec::new();
    for number in 0..shape.layers {
        let named = |name: &str| format!("blk.{number}.{name}");
        let bias = shape.bias_query_key_value;
        let parts = [("attn_q", query, bias), ("attn_k", key, bias), ("attn_v", key, bias)];
        let Some(query_key_value) = loading.joined(number, &parts, hidden)? else { return Ok(None) };
        let output = [("attn_output", hidden, shape.bias_output)];
        let Some(attention_output) = loading.joined(number, &output, query)? else { return Ok(None) };
        let parts = [("ffn_gate", ffn, shape.bias_ffn), ("ffn_up", ffn, shape.bias_ffn)];
        let Some(gate_up) = loading.joined(number, &parts, hidden)? else { return Ok(None) };
        let Some(down) = loading.joined(number, &[("ffn_down", hidden, shape.bias_ffn)], ffn)? else { return Ok(None) };
        let head_norms = match shape.head_norms {
            true => {
                let mut both = loading.values(&named("attn_q_norm.weight"), shape.head_size)?;
                both.extend(loading.values(&named("attn_k_norm.weight"), shape.head_size)?);
                Some(gpu.upload_values("head norms", &both)?)
            }
            false => None,
        };
        layers.push(Layer {
            attention_norm: loading.vector(&named("attn_norm.weight"), hidden)?,
            query_key_value,
            head_norms,
            attention_output,
            ffn_norm: loading.vector(&named("ffn_norm.weight"), hidden)?,
            gate_up,
            down,
        });
    }
    let norm = loading.vector("output_norm.weight", hidden)?;
    let output = match shape.tied {
        true => None,
        false => match loading.matrix("output.weight", shape.vocabulary, hidden)? {
            Some(output) => Some(output),
            None => return Ok(None),
        },
    };
    Ok(Some(Weights { embedding, layers, norm, output }))
}

impl<'t, E: From<Error>> Loading<'_, '_, 't, E> {
    fn matrix(&mut self, name: &str, rows: usize, columns: usize) -> Result<Option<Matrix>, E> {
        let (format, bytes) = (self.tensor)(name, &[rows, columns])?;
        let matrix = Matrix::upload(self.gpu, name, format, columns, &bytes, &[])?;
        Ok(self.go_on(bytes.len())?.then_some(matrix))
    }

    /// Matrices of a layer whose results stand side by side; those of one format become one.
    fn joined(&mut self, layer: usize, parts: &[(&str, usize, bool)], columns: usize) -> Result<Option<Joined>, E> {
        let mut found: Vec<(usize, Stored<'t>, Vec<f32>)> = Vec::new();
        let (mut start, mut read) = (0, 0);
        for (name, rows, bias) in parts {
            let (format, bytes) = (self.tensor)(&format!("blk.{layer}.{name}.weight"), &[*rows, columns])?;
            let bias = if *bias { self.values(&format!("blk.{layer}.{name}.bias"), *rows)? } else { Vec::new() };
            read += bytes.len();
            match found.last_mut().filter(|last| last.1.0 == format) {
                Some((_, (_, all), biases)) => {
                    all.to_mut().extend_from_slice(&bytes);
                    biases.extend(bias);
                }
                None => found.push((start, (format, bytes), bias)),
            }
            start += rows;
        }
        let mut joined = Vec::new();
        for (start, (format, bytes), bias) in found {
            joined.push((start, Matrix::upload(self.gpu, parts[0].0, format, columns, &bytes, &bias)?));
        }
        Ok(self.go_on(read)?.then_some(Joined(joined)))
    }

    fn vector(&mut self, name: &str, length: usize) -> Result<Buffer, E> {
        let values = self.values(name, length)?;
        Ok(self.gpu.upload_values(name, &values)?)
    }

    fn values(&mut self, name: &str, length: usize) -> Result<Vec<f32>, E> {
        let (format, bytes) = (self.tensor)(name, &[length])?;
        let mut values = vec![0.0; length];
        let fits = dequantize(format, &bytes, &mut values);
        fits.map_err(|_| Error::Shape { what: "a tensor's bytes", found: bytes.len() as u64, wanted: length as u64 })?;
        self.done += bytes.len() as u64;
        Ok(values)
    }

    /// Lets the card take what was handed over, and asks whether to go on.
    fn go_on(&mut self, read: usize) -> Result<bool> {
        self.done += read as u64;
        self.gpu.flush()?;
        Ok((self.watch)(Progress { done: self.done, total: self.total }) == ControlFlow::Continue(()))
    }
}
