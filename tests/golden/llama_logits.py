"""The logits that llama.cpp computes on the processor: for every format of the weights, on seeded random models and on the demo
model, and for the shapes and rope scalings that GGUF knows, to a depth of 8,192.

Builds the shared library `llama` from the source of llama-cpp-python that `quantize.py` names (into the same cache; run that
first), for any x86-64 machine with AVX2, and drives it by llama-cpp-python's own bindings, which lie beside that source.

The random models are those of crates/engine/src/native/tests/random.rs, from the same generator; the demo model's matrices are
unpacked and rounded anew to each format by ggml, but for MXFP4, which nothing of ours writes. Keys and values stay f32, attention is not fused.

Writes crates/engine/tests/golden/llama/logits.safetensors: the demo text's tokens as `tokens`, and for each model the logits of
the rows in `POSITIONS` (the last ones, where the text is long); of the demo model every fourth of the vocabulary.
"""

import ctypes
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import sentencepiece
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as Type, GGUFReader, GGUFWriter
from gguf.quants import dequantize
from safetensors.numpy import save_file

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("HUACAYA_GGML", Path(tempfile.gettempdir()) / "huacaya-ggml"))
OUT = ROOT / "crates/engine/tests/golden/llama/logits.safetensors"
DEMO = ROOT / "assets/demo/huacaya-demo.gguf"
FORMATS = "F32 F16 BF16 Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q2_K Q3_K Q4_K Q5_K Q6_K IQ4_NL IQ4_XS MXFP4".split()
POSITIONS = [0, 1, 15, 31, 47, 63]
DEPTH = 8192
TEXT = "问：羊驼和大羊驼有什么不同？\n答：Alpacas are smaller than llamas. 羊驼的毛更细软，大羊驼更高大，可以驮东西。两种动物都住在安第斯山上。"
VOCABULARY = 64
PLAIN = dict(architecture="llama", hidden=256, heads=4, kv_heads=2, ffn=512, context=512)
SMALL = dict(PLAIN, hidden=64, heads=2, kv_heads=1, ffn=96, context=DEPTH)
YARN = {"rope.scaling.type": "yarn", "rope.scaling.factor": 16.0, "rope.scaling.original_context_length": 32}
LINEAR = {"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}
DEEP_YARN = dict(YARN, **{"rope.scaling.original_context_length": 512})
SHAPES = {
    "plain": dict(PLAIN, kv_heads=4),
    "grouped": PLAIN,
    "tied": dict(PLAIN, tied=True),
    "biased": dict(PLAIN, biases="attn_q attn_k attn_v attn_output ffn_gate ffn_up ffn_down".split()),
    "qwen2": dict(PLAIN, architecture="qwen2", biases="attn_q attn_k attn_v".split()),
    "qwen3": dict(PLAIN, architecture="qwen3", norms=True, tied=True),
    "linear": dict(PLAIN, keys=LINEAR),
    "yarn": dict(PLAIN, keys=YARN),
    "factors": dict(PLAIN, factors=True),
    "deep": SMALL,
    "deep_linear": dict(SMALL, keys=LINEAR),
    "deep_yarn": dict(SMALL, keys=DEEP_YARN),
    "deep_factors": dict(SMALL, factors=True),
}


def library():
    source = next(CACHE.glob("llama_cpp_python-*"))
    build = CACHE / "shared"
    if not (build / "bin/libllama.so").exists():
        off = "GGML_NATIVE LLAMA_CURL LLAMA_BUILD_COMMON LLAMA_BUILD_TESTS LLAMA_BUILD_TOOLS LLAMA_BUILD_EXAMPLES LLAMA_BUILD_SERVER LLAMA_BUILD_APP"
        options = [f"-D{name}=OFF" for name in off.split()] + ["-DBUILD_SHARED_LIBS=ON", "-DCMAKE_BUILD_TYPE=Release"]
        subprocess.run(["cmake", "-S", source / "vendor/llama.cpp", "-B", build, *options], check=True)
        subprocess.run(["cmake", "--build", build, "-j2", "--target", "llama"], check=True)
    os.environ["LLAMA_CPP_LIB_PATH"] = str(build / "bin")
    sys.path.insert(0, str(source))
    from llama_cpp import llama_cpp

    return llama_cpp, ctypes.CDLL(str(build / "bin/libggml-base.so"))


class Noise:
    """A linear congruential generator, its upper bits in [-1, 1)."""

    def __init__(self):
        self.state = 7

    def take(self, count):
        factors = np.full(count, 6364136223846793005, np.uint64)
        powers = np.multiply.accumulate(factors)
        sums = np.add.accumulate(np.concatenate([np.ones(1, np.uint64), powers[:-1]]))
        states = powers * np.uint64(self.state) + sums * np.uint64(1442695040888963407)
        self.state = int(states[-1])
        return (states >> np.uint64(40)).astype(np.float32) / np.float32(1 << 23) - np.float32(1)


def tensors(hidden, heads, kv_heads, ffn, tied=False, biases=(), norms=False, factors=False, **_):
    """Names and shapes in the file's order."""
    head = hidden // heads
    yield "token_embd.weight", (VOCABULARY, hidden)
    for layer in range(2):
        for name, shape in {
            "attn_q": (hidden, hidden),
            "attn_k": (kv_heads * head, hidden),
            "attn_v": (kv_heads * head, hidden),
            "attn_output": (hidden, hidden),
            "ffn_gate": (ffn, hidden),
            "ffn_up": (ffn, hidden),
            "ffn_down": (hidden, ffn),
        }.items():
            yield f"blk.{layer}.{name}.weight", shape
            if name in biases:
                yield f"blk.{layer}.{name}.bias", shape[:1]
        yield f"blk.{layer}.attn_norm.weight", (hidden,)
        yield f"blk.{layer}.ffn_norm.weight", (hidden,)
        if norms:
            yield f"blk.{layer}.attn_q_norm.weight", (head,)
            yield f"blk.{layer}.attn_k_norm.weight", (head,)
    yield "output_norm.weight", (hidden,)
    if not tied:
        yield "output.weight", (VOCABULARY, hidden)
    if factors:
        yield "rope_freqs.weight", (head // 2,)


def values(name, shape, noise):
    if name == "rope_freqs.weight":
        return np.float32(1) + np.arange(shape[0], dtype=np.float32) / np.float32(4)
    drawn = noise.take(int(np.prod(shape))).reshape(shape)
    if name.endswith(".bias"):
        return np.float32(0.3) * drawn
    if len(shape) == 1:
        return np.float32(1) + np.float32(0.2) * drawn
    return drawn * np.sqrt(np.float32(3) / np.float32(shape[1]))


def rounded(ggml, matrix, format):
    """The rows of a matrix in a format, as bytes."""
    block, size = GGML_QUANT_SIZES[format]
    rows, columns = matrix.shape
    matrix = np.ascontiguousarray(matrix, np.float32)
    out = np.zeros((rows, columns // block * size), np.uint8)
    pointer = lambda array: array.ctypes.data_as(ctypes.c_void_p)
    long = ctypes.c_int64
    ggml.ggml_quantize_chunk(int(format), pointer(matrix), pointer(out), long(0), long(rows), long(columns), None)
    return out


def mxfp4(shape, noise):
    """Random codes, with scales of some sixteenths."""
    codes = (noise.take(int(np.prod(shape)) // 32 * 17) * np.float32(127)).astype(np.int8).view(np.uint8)
    codes = codes.reshape(-1, 17)
    codes[:, 0] = 122
    return codes.reshape(shape[0], -1)


def start(path, architecture, hidden, heads, kv_heads, ffn, context, vocabulary, layers, keys):
    writer = GGUFWriter(path, architecture)
    writer.add_block_count(layers)
    writer.add_context_length(context)
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(ffn)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(vocabulary)
    writer.add_tokenizer_model("no_vocab")
    for key, value in keys.items():
        add = {str: writer.add_string, float: writer.add_float32, int: writer.add_uint32}[type(value)]
        add(f"{architecture}.{key}", value)
    return writer


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write(path, ggml, format, shape):
    named = {key: shape[key] for key in ("architecture", "hidden", "heads", "kv_heads", "ffn", "context")}
    writer = start(path, **named, vocabulary=VOCABULARY, layers=2, keys=shape.get("keys", {}))
    noise = Noise()
    for name, dimensions in tensors(**shape):
        if len(dimensions) == 1:
            writer.add_tensor(name, values(name, dimensions, noise))
        elif format == Type.MXFP4:
            writer.add_tensor(name, mxfp4(dimensions, noise), raw_dtype=format)
        elif format == Type.F32:
            writer.add_tensor(name, values(name, dimensions, noise))
        else:
            writer.add_tensor(name, rounded(ggml, values(name, dimensions, noise), format), raw_dtype=format)
    finish(writer)


def write_demo(path, ggml, format):
    demo = GGUFReader(DEMO)
    number = lambda key: int(demo.fields[f"llama.{key}"].contents())
    vocabulary = next(int(tensor.shape[1]) for tensor in demo.tensors if tensor.name == "token_embd.weight")
    writer = start(
        path,
        "llama",
        number("embedding_length"),
        number("attention.head_count"),
        number("attention.head_count_kv"),
        number("feed_forward_length"),
        number("context_length"),
        vocabulary,
        number("block_count"),
        {"rope.dimension_count": number("rope.dimension_count")},
    )
    for tensor in demo.tensors:
        plain = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        if plain.ndim == 1 or format == Type.F32:
            writer.add_tensor(tensor.name, plain)
        else:
            writer.add_tensor(tensor.name, rounded(ggml, plain, format), raw_dtype=format)
    finish(writer)


def logits(llama, path, tokens, positions):
    """(positions, vocabulary)"""
    model = llama.llama_model_load_from_file(str(path).encode(), llama.llama_model_default_params())
    assert model, path
    options = llama.llama_context_default_params()
    options.n_ctx = options.n_batch = len(tokens)
    options.n_ubatch = min(len(tokens), 512)
    options.n_threads = options.n_threads_batch = 2
    options.flash_attn_type = llama.LLAMA_FLASH_ATTN_TYPE_DISABLED
    options.type_k = options.type_v = llama.GGML_TYPE_F32
    context = llama.llama_init_from_model(model, options)
    batch = llama.llama_batch_init(len(tokens), 0, 1)
    batch.n_tokens = len(tokens)
    for i, token in enumerate(tokens):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.seq_id[i][0] = int(token), i, 1, 0
        batch.logits[i] = i in positions
    assert llama.llama_decode(context, batch) == 0
    width = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(model))
    rows = [np.ctypeslib.as_array(llama.llama_get_logits_ith(context, i), (width,)).copy() for i in positions]
    llama.llama_batch_free(batch)
    llama.llama_free(context)
    llama.llama_model_free(model)
    return np.stack(rows)


def main():
    llama, ggml = library()
    ggml.ggml_quantize_chunk.restype = ctypes.c_size_t
    llama.llama_backend_init()
    found = {}
    text = [(i * i * 5 + 11 * i + 1) % VOCABULARY for i in range(DEPTH)]
    spm = sentencepiece.SentencePieceProcessor(model_file=str(DEMO.parent / "tokenizer.model"))
    demo_text = ([1] + spm.encode(TEXT))[: POSITIONS[-1] + 1]
    assert len(demo_text) == POSITIONS[-1] + 1
    found["tokens"] = np.array(demo_text, np.uint32)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.gguf"
        for name in FORMATS:
            write(file, ggml, Type[name], PLAIN)
            found[f"random {name}"] = logits(llama, file, text[: POSITIONS[-1] + 1], POSITIONS)
            if name != "MXFP4":
                write_demo(file, ggml, Type[name])
                found[f"demo {name}"] = logits(llama, file, demo_text, POSITIONS)[:, ::4].copy()
        for name, shape in SHAPES.items():
            write(file, ggml, Type.F32, shape)
            length = DEPTH if name.startswith("deep") else POSITIONS[-1] + 1
            positions = [length - 64 + i for i in POSITIONS]
            found[name] = logits(llama, file, text[:length], positions)
    for name, rows in found.items():
        print(f"{name:14} {rows.shape} {np.abs(rows.astype(np.float32)).max():8.3f} at most, {rows.std():.3f} standard deviation")
    OUT.parent.mkdir(parents=True, exist_ok=True)
    save_file(found, OUT)


if __name__ == "__main__":
    main()
