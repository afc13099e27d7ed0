//! A product with a matrix that does not move. candle's own would also compute the matrix's gradient, half of the backward
//! pass's work, and keep it.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, CustomOp1, Layout, Shape, Storage, Tensor};

/// (rows, in) x (out, in) -> (rows, out). A gradient flows to `x` alone.
pub(super) fn product(x: &Tensor, weight: &Tensor) -> candle_core::Result<Tensor> {
    x.contiguous()?.apply_op1(Frozen { weight: weight.detach() })
}

struct Frozen {
    /// (out, in)
    weight: Tensor,
}

impl CustomOp1 for Frozen {
    fn name(&self) -> &'static str {
        "training-frozen-product"
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        let ((rows, width), (out, inner)) = (layout.shape().dims2()?, self.weight.dims2()?);
        if width != inner {
            return Err(candle_core::Error::Msg(format!("{width} values do not fit a matrix for {inner}")));
        }
        let (storage, weight_layout) = self.weight.storage_and_layout();
        let Storage::Cpu(weight) = &*storage else {
            return Err(candle_core::Error::Msg("training runs on the CPU".into()));
        };
        let product = x.matmul(weight, (1, rows, out, inner), layout, &weight_layout.transpose(0, 1)?)?;
        Ok((product, Shape::from((rows, out))))
    }

    fn bwd(&self, _x: &Tensor, _out: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        Ok(Some(gradient.contiguous()?.matmul(&self.weight)?))
    }
}
