"""Blocks of every format and the values gguf-py reads from them; values and the bytes gguf-py writes for them.

Writes crates/kernels/tests/golden/{dequantize,quantize}_<format>.bin:
dequantize: u32 number of values, bytes of the blocks, values as f32.
quantize:   u32 number of values, values as f32, bytes of the blocks.
All little-endian.
"""

from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Type
from gguf.quants import dequantize, quantize

OUT = Path(__file__).resolve().parents[2] / "crates/kernels/tests/golden"
# Where the f16 numbers of a block stand (MXFP4 has none).
HALVES = {
    "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
    "IQ4_NL": [0], "IQ4_XS": [0], "MXFP4": [],
}  # fmt: skip
# Zero, minus zero, the smallest and largest subnormal, one, the largest number, a minus, infinity.
EDGES = [0x0000, 0x8000, 0x0001, 0x03FF, 0x3C00, 0x7BFF, 0xBC00, 0x7C00]


def write(name, *arrays):
    with open(OUT / name, "wb") as file:
        for array in arrays:
            file.write(np.ascontiguousarray(array).tobytes())


def blocks(name, rng):
    """Random bytes of which the f16 numbers are made usual ones, or the edges in turn."""
    length, size = GGML_QUANT_SIZES[Type[name]]
    count = 24 if length == 32 else 10
    data = rng.integers(0, 256, (count, size), dtype=np.uint8)
    for at in HALVES[name]:
        scales = (rng.standard_normal(count) * 0.05).astype("<f2")
        scales[: len(EDGES)] = np.array(EDGES, dtype="<u2").view("<f2")
        data[:, at : at + 2] = scales.view(np.uint8).reshape(count, 2)
    if name == "MXFP4":
        data[:6, 0] = [0, 1, 2, 127, 254, 255]
    data[-1, :] = np.where(np.isin(np.arange(size), [i + k for i in HALVES[name] for k in (0, 1)]), data[-1], 0x80)
    data[-2, :] = np.where(np.isin(np.arange(size), [i + k for i in HALVES[name] for k in (0, 1)]), data[-2], 0xFF)
    return data


def plain(name, rng):
    bits = rng.integers(0, 1 << 16, 1024, dtype=np.uint16)
    bits[: len(EDGES)] = EDGES
    if name == "F32":
        return rng.integers(0, 256, (1, 4096), dtype=np.uint8)
    return bits.view(np.uint8).reshape(1, -1)


def inputs(rng):
    """Values of many sizes; blocks of zeros, of ties at the half, of one spike, of subnormals, near the f16 limits."""
    rows = [rng.standard_normal(32) * scale for scale in (1e-7, 1e-3, 0.02, 1.0, 30.0, 1e4)]
    rows += [np.zeros(32), np.full(32, -0.0), np.arange(32) - 15.5, (np.arange(32) - 16) * 127 / 16]
    # With 127 as the largest the scale is one: the halves are ties.
    ties = np.arange(32) * 4.0 - 63.5
    ties[0] = 127.0
    rows += [ties, -ties]
    spike = np.zeros(32)
    spike[17] = -3.25
    rows += [spike, np.full(32, 6e-8), np.full(32, 65504.0), np.full(32, 1e-40)]
    rows += [rng.standard_normal(32) * 10.0 ** rng.uniform(-6, 4) for _ in range(48)]
    return np.array(rows, dtype=np.float32)


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(20261123)
    np.seterr(all="ignore")
    for name in ["F32", "F16", "BF16", *HALVES]:
        data = plain(name, rng) if name in ("F32", "F16", "BF16") else blocks(name, rng)
        values = dequantize(data, Type[name]).astype("<f4")
        write(f"dequantize_{name}.bin", np.array([values.size], "<u4"), data, values)
    values = inputs(rng)
    write("quantize_Q8_0.bin", np.array([values.size], "<u4"), values, quantize(values, Type.Q8_0))
    # For the plain formats also what a block cannot hold: infinities and NaN, and ties of the rounding.
    ties = np.array([0x3F808000, 0x3F818000, 0x3F807FFF, 0x7F7FFFFF, 0x3F801000, 0x3F803000, 0x33000000], "<u4").view("<f4")
    special = np.array([np.inf, -np.inf, np.nan, 65520.0, 65519.0, 1e38, -1e-45, 5.96e-8], "<f4")
    values = np.concatenate([values.ravel(), ties, special, np.zeros(1, "<f4")]).reshape(1, -1)
    for name in ["F16", "BF16"]:
        write(f"quantize_{name}.bin", np.array([values.size], "<u4"), values, quantize(values, Type[name]))


main()
