"""What llama.cpp's `llama-quantize` makes of a model: which format each tensor gets, and the bytes.

Builds `llama-quantize` from the source of llama-cpp-python that `quantize.py` names (into the same cache; run that first),
without any instruction set beyond x86-64's base, as ggml-base always is.

Writes crates/weights/tests/golden/mixes.json: for some shapes and every scheme the formats of each group of tensors, layer
by layer, with runs as `FORMAT*count`; and for one small model (its values are a formula, see `values`) the SHA-256 of each
tensor's bytes, with and without an importance matrix.
"""

import hashlib
import json
import os
import subprocess
import tempfile
from itertools import groupby
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader, GGUFWriter

CACHE = Path(os.environ.get("HUACAYA_GGML", Path(tempfile.gettempdir()) / "huacaya-ggml"))
OUT = Path(__file__).resolve().parents[2] / "crates/weights/tests/golden/mixes.json"
SCHEMES = (
    "F32 F16 BF16 Q8_0 Q6_K Q5_K_M Q5_K_S Q5_1 Q5_0 Q4_K_M Q4_K_S IQ4_NL IQ4_XS Q4_1 Q4_0 Q3_K_L Q3_K_M Q3_K_S Q2_K".split()
)
# name: (architecture, layers, hidden, ffn, heads, heads of keys and values, tied)
SHAPES = {
    "7b": ("llama", 32, 256, 256, 2, 2, False),
    "1.3b": ("llama", 4, 256, 256, 2, 2, False),
    "13b": ("llama", 40, 256, 256, 2, 2, False),
    "70b": ("llama", 80, 256, 256, 8, 1, False),
    "shared": ("qwen3", 28, 256, 256, 8, 2, True),
    "no_whole_k_blocks": ("llama", 8, 96, 160, 2, 2, False),
    "no_whole_blocks": ("qwen2", 8, 80, 144, 2, 1, True),
}
SMALL = ("llama", 3, 256, 512, 8, 4, False)
VOCABULARY = 64


def values(seed, count):
    """(hash(seed, i) / 2^23 - 1) / 20, all in f32."""
    x = (np.arange(count, dtype=np.uint64) * 0x9E3779B1 + seed * 0x85EBCA77) & 0xFFFFFFFF
    x ^= x >> 15
    x = (x * 0x2C1B3C6D) & 0xFFFFFFFF
    x ^= x >> 12
    return ((x >> 8).astype("<f4") / np.float32(1 << 23) - np.float32(1)) * np.float32(0.05)


def tensors(layers, hidden, ffn, heads, kv_heads, tied):
    kv = hidden // heads * kv_heads
    yield "token_embd.weight", (VOCABULARY, hidden)
    yield "output_norm.weight", (hidden,)
    if not tied:
        yield "output.weight", (VOCABULARY, hidden)
    for layer in range(layers):
        for name, shape in {
            "attn_norm": (hidden,),
            "attn_q": (hidden, hidden),
            "attn_k": (kv, hidden),
            "attn_v": (kv, hidden),
            "attn_output": (hidden, hidden),
            "ffn_norm": (hidden,),
            "ffn_gate": (ffn, hidden),
            "ffn_up": (ffn, hidden),
            "ffn_down": (hidden, ffn),
        }.items():
            yield f"blk.{layer}.{name}.weight", shape


def write(path, shape):
    architecture, layers, hidden, ffn, heads, kv_heads, tied = shape
    writer = GGUFWriter(path, architecture)
    writer.add_block_count(layers)
    writer.add_context_length(64)
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(ffn)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(VOCABULARY)
    for seed, (name, dimensions) in enumerate(tensors(layers, hidden, ffn, heads, kv_heads, tied)):
        writer.add_tensor(name, values(seed, int(np.prod(dimensions))).reshape(dimensions))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_importance(path, shape):
    """The old format: for each matrix but the embedding, over one call, (column % 97 + 1) / 8."""
    names = [(name, dims[-1]) for name, dims in tensors(*shape[1:]) if len(dims) == 2 and name != "token_embd.weight"]
    with open(path, "wb") as file:
        file.write(np.int32(len(names)).tobytes())
        for name, columns in names:
            file.write(np.int32(len(name)).tobytes() + name.encode())
            file.write(np.array([1, columns], "<i4").tobytes())
            file.write(((np.arange(columns) % 97 + 1) / 8).astype("<f4").tobytes())


def program():
    path = CACHE / "build/bin/llama-quantize"
    if not path.exists():
        source = next(CACHE.glob("llama_cpp_python-*")) / "vendor/llama.cpp"
        off = [f"-D{name}=OFF" for name in ("GGML_NATIVE", "LLAMA_CURL", "LLAMA_BUILD_TESTS", "LLAMA_BUILD_SERVER", "BUILD_SHARED_LIBS")]
        subprocess.run(["cmake", "-S", source, "-B", CACHE / "build", "-DCMAKE_BUILD_TYPE=Release", *off], check=True)
        subprocess.run(["cmake", "--build", CACHE / "build", "--target", "llama-quantize", "-j2"], check=True)
    return path


def quantize(source, scheme, *options):
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out.gguf"
        command = [program(), "--allow-requantize", *options, source, out, scheme]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        return [(tensor.name, GGMLQuantizationType(tensor.tensor_type).name, bytes(tensor.data)) for tensor in GGUFReader(out).tensors]


def runs(formats):
    return " ".join(f"{format}*{len(list(run))}" for format, run in groupby(formats))


def groups(made):
    """Formats by group, in the order of the layers."""
    found = {}
    for name, format, _ in made:
        parts = name.split(".")
        layer, group = (int(parts[1]), parts[2]) if parts[0] == "blk" else (0, parts[0])
        found.setdefault(group, []).append((layer, format))
    return {group: runs(format for _, format in sorted(entries)) for group, entries in sorted(found.items())}


def main():
    result = {"formats": {}, "bytes": {}}
    with tempfile.TemporaryDirectory() as folder:
        source, importance = Path(folder) / "source.gguf", Path(folder) / "imatrix.dat"
        for name, shape in SHAPES.items():
            write(source, shape)
            write_importance(importance, shape)
            for ending, options in (("", []), ("_weighted", ["--imatrix", importance])):
                result["formats"][name + ending] = {scheme: groups(quantize(source, scheme, *options)) for scheme in SCHEMES}
        write(source, SMALL)
        write_importance(importance, SMALL)
        for scheme in SCHEMES:
            for ending, options in (("", []), ("_weighted", ["--imatrix", importance])):
                made = sorted(quantize(source, scheme, *options))
                digest = hashlib.sha256(b"".join(data for _, _, data in made)).hexdigest()
                result["bytes"][scheme + ending] = digest
    OUT.write_text(json.dumps(result, indent=1) + "\n")


main()
