"""The bytes that ggml's own quantizers write, with and without an importance matrix.

Builds ggml-base from the source of llama-cpp-python (pinned in llama.txt; a C and a C++ compiler are needed), as llama.cpp builds
it on x86-64: optimised, without fused multiply-add.

Writes crates/kernels/tests/golden/:
ggml_rows.bin:             u32 columns, u32 rows, the importance of the columns as f32, the rows as f32.
ggml_<format>.bin:         the bytes of the rows.
ggml_<format>_weighted.bin: the same with the importance.
All little-endian.
"""

import ctypes
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Type

SOURCE = Path(__file__).with_name("llama.txt")
OUT = Path(__file__).resolve().parents[2] / "crates/kernels/tests/golden"
CACHE = Path(os.environ.get("HUACAYA_GGML", Path(tempfile.gettempdir()) / "huacaya-ggml"))
FORMATS = ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS"]
COLUMNS = 512
C = ["ggml.c", "ggml-alloc.c", "ggml-quants.c"]
CPP = ["ggml.cpp", "ggml-backend.cpp", "ggml-backend-meta.cpp", "ggml-opt.cpp", "ggml-threading.cpp", "gguf.cpp"]


def ggml():
    library = CACHE / "libggml-base.so"
    if not library.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        pinned = ["--no-deps", "--no-binary", "llama_cpp_python", "--require-hashes", "--requirement", SOURCE]
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", *pinned], cwd=CACHE, check=True)
        archive = next(CACHE.glob("llama_cpp_python-*.tar.gz"))
        with tarfile.open(archive) as tar:
            tar.extractall(CACHE, filter="data")
        archive.unlink()
        folder = next(CACHE.glob("llama_cpp_python-*")) / "vendor/llama.cpp/ggml/src"
        (folder / "ggml-version.h").write_text('#define GGML_VERSION "golden"\n#define GGML_COMMIT "golden"\n')
        flags = ["-O3", "-DNDEBUG", "-D_GNU_SOURCE", "-fPIC", "-I.", "-I../include", "-c"]
        # ggml.c and ggml.cpp would both become ggml.o.
        objects = [f"{name}.o" for name in C + CPP]
        for name, made in zip(C + CPP, objects):
            compiler = ["cc"] if name in C else ["c++", "-std=c++17"]
            subprocess.run([*compiler, *flags, name, "-o", made], cwd=folder, check=True)
        subprocess.run(["c++", "-shared", "-o", str(library), *objects, "-lpthread", "-lm"], cwd=folder, check=True)
    return ctypes.CDLL(str(library))


def rows(rng):
    """Values of a model's size, of many sizes, with outliers, ties, zeros, and what scales cannot hold."""
    made = [rng.standard_normal(COLUMNS) * scale for scale in (1e-7, 1e-3, 0.02, 0.02, 0.02, 1.0, 30.0, 1e4)]
    made += [rng.standard_normal(COLUMNS) * 10.0 ** rng.uniform(-6, 3, COLUMNS) for _ in range(2)]
    made += [rng.standard_normal(COLUMNS) * 0.02 + shift for shift in (0.1, -0.1)]
    heavy = rng.standard_t(2, COLUMNS) * 0.01
    made += [heavy, np.abs(heavy), -np.abs(heavy)]
    made += [np.zeros(COLUMNS), np.full(COLUMNS, 0.25), np.full(COLUMNS, -0.25), np.arange(COLUMNS) / 16 - 16]
    some = np.zeros(COLUMNS)
    some[[3, 40, 77, 300]] = [1.5, -2.25, 1e-4, 65504]
    made += [some, rng.integers(-8, 8, COLUMNS) * 0.125, np.where(rng.random(COLUMNS) < 0.9, 0, heavy), heavy * 1e-14]
    return np.array(made, dtype="<f4")


def main():
    library = ggml()
    call = library.ggml_quantize_chunk
    call.restype = ctypes.c_size_t
    call.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int64] * 3, ctypes.c_void_p]
    rng = np.random.default_rng(20261123)
    values = rows(rng)
    importance = (rng.standard_normal(COLUMNS).astype("<f4") ** 2 * 10.0 ** rng.uniform(-3, 1, COLUMNS)).astype("<f4")
    with open(OUT / "ggml_rows.bin", "wb") as file:
        for array in (np.array([COLUMNS, len(values)], "<u4"), importance, values):
            file.write(array.tobytes())
    for name in FORMATS:
        length, size = GGML_QUANT_SIZES[Type[name]]
        for ending, weights in (("", None), ("_weighted", importance.ctypes.data)):
            out = np.zeros(values.size // length * size, dtype=np.uint8)
            done = call(Type[name], values.ctypes.data, out.ctypes.data, 0, len(values), COLUMNS, weights)
            assert done == out.size
            (OUT / f"ggml_{name}{ending}.bin").write_bytes(out.tobytes())


main()
