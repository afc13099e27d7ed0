"""GGUF files written by gguf-py: one with every kind of value, crates/weights/tests/golden/python.gguf, and one model split
into three, crates/weights/tests/golden/split/."""

from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType as Type, GGUFWriter
from gguf.quants import quantize

OUT = Path(__file__).resolve().parents[2] / "crates/weights/tests/golden"


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    file = GGUFWriter(OUT / "python.gguf", "llama")
    file.add_uint8("t.u8", 200)
    file.add_int8("t.i8", -100)
    file.add_uint16("t.u16", 60000)
    file.add_int16("t.i16", -30000)
    file.add_uint32("t.u32", 4_000_000_000)
    file.add_int32("t.i32", -2_000_000_000)
    file.add_float32("t.f32", 0.1)
    file.add_uint64("t.u64", 1 << 63)
    file.add_int64("t.i64", -(1 << 62))
    file.add_float64("t.f64", 0.1)
    file.add_bool("t.bool", True)
    file.add_string("t.string", "羊驼 alpaca 🦙")
    file.add_array("t.strings", ["", "▁你好", "<0x0A>"])
    file.add_array("t.ints", [1, -2, 3])
    file.add_array("t.floats", [0.5, -1.25])
    file.add_array("t.bools", [True, False])
    values = (np.arange(2 * 3 * 64, dtype=np.float32) - 100) / 8
    file.add_tensor("a.weight", values.reshape(2, 3, 64))
    file.add_tensor("b.weight", (values[:10]).astype(np.float16))
    file.add_tensor("c.weight", quantize(values.reshape(6, 64), Type.Q8_0), raw_dtype=Type.Q8_0)
    file.add_tensor("d.weight", quantize(values[:32].reshape(1, 32), Type.BF16), raw_dtype=Type.BF16)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()

    (OUT / "split").mkdir(exist_ok=True)
    file = GGUFWriter(OUT / "split/model.gguf", "llama", split_max_tensors=2)
    file.add_block_count(7)
    for i in range(5):
        file.add_tensor(f"blk.{i}.weight", np.full((i + 1, 32), i, dtype=np.float32))
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()


main()
