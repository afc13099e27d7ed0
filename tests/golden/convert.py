"""What llama.cpp's `convert_hf_to_gguf.py` makes of small random models: crates/weights/tests/golden/convert/<case>/.

Takes llama.cpp's source from the cache of `quantize.py` (run that first). Each case has a model's folder, and expected.json
with the SHA-256 of every tensor's bytes (at F16, BF16 and F32), its type and shape, and every key. What a case is about:
  llama   F16 in two .bin shards with rotary_emb.inv_freq, keys and values shared, linear scaling, tokenizer.model,
          added_tokens.json, a template, recommended sampling
  merges  what `transformers` makes of `llama`'s tokenizer.model, a tokenizer.json with merges, and one token more; without
          the model. expected.json has the scores of the model that it was made of
  mistral BF16, YaRN, added_tokens_decoder
  llama3  BF16, llama3's scaling, one matrix for both ends, tokenizer.json, what begins a text is said by its template
  qwen2   F16, biases, more rows than tokens, one matrix for both ends
  qwen3   F32, norms of queries and keys, heads wider than the model, templates beside the tokenizer
  meta    `llama`'s like in Meta's layout on two ranks; llama.cpp converts the same values from Hugging Face's layout

With ../shared/reference/tokenizer.model beside the checkout, it also says whether the 55,296 pieces of the real vocabulary
are read alike: it writes a model's folder to --real FOLDER, converts it, and leaves the result there for a comparison by
hand.

Not equal, and otherwise in expected.json:
  merges: tokenizer.ggml.scores: llama.cpp writes -1000 for each piece of a tokenizer.json, with which it cuts words otherwise
      than `transformers`; ours are SentencePiece's own.

Not equal, and left out of expected.json:
  general.{author,version,organization,finetune,basename,license*,tags,languages,base_model*,dataset*}: llama.cpp guesses them
      from the model card and the folder's name; the folders here have neither.
  tokenizer.ggml.pre: llama.cpp knows the real vocabularies by a hash of a text's ids, so that a small one has none; here it
      is told (PRE), our own code goes by the pattern.
"""

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
import sentencepiece
import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import AutoTokenizer

CACHE = Path(os.environ.get("HUACAYA_GGML", Path(tempfile.gettempdir()) / "huacaya-ggml"))
SOURCE = next(CACHE.glob("llama_cpp_python-*")) / "vendor/llama.cpp"
sys.path[:0] = [str(SOURCE / "gguf-py"), str(SOURCE)]
import gguf  # noqa: E402
from conversion import get_model_class  # noqa: E402
from conversion.base import ModelBase, TextModel  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "crates/weights/tests/golden/convert"
REAL = ROOT.parent / "shared/reference/tokenizer.model"
TYPES = {"F16": gguf.LlamaFileType.MOSTLY_F16, "BF16": gguf.LlamaFileType.MOSTLY_BF16, "F32": gguf.LlamaFileType.ALL_F32}
HIDDEN, FFN, HEADS, KV, HEAD = 32, 48, 4, 2, 8
PRE = {"llama3": "llama-bpe", "qwen2": "qwen2", "qwen3": "qwen2"}
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
# A list longer than this is written as a hash.
LIST_MAX = 16


def state(vocabulary, layers, dtype, head=HEAD, kv=KV, tied=False, bias=False, norms=False):
    def random(*shape):
        return (torch.randn(shape) * 0.1).to(dtype)

    tensors = {"model.embed_tokens.weight": random(vocabulary, HIDDEN), "model.norm.weight": random(HIDDEN)}
    if not tied:
        tensors["lm_head.weight"] = random(vocabulary, HIDDEN)
    for layer in range(layers):
        at = f"model.layers.{layer}."
        for name, rows in (("q", HEADS * head), ("k", kv * head), ("v", kv * head)):
            tensors[f"{at}self_attn.{name}_proj.weight"] = random(rows, HIDDEN)
            if bias:
                tensors[f"{at}self_attn.{name}_proj.bias"] = random(rows)
            if norms and name != "v":
                tensors[f"{at}self_attn.{name}_norm.weight"] = random(head)
        tensors[f"{at}self_attn.o_proj.weight"] = random(HIDDEN, HEADS * head)
        tensors[f"{at}mlp.gate_proj.weight"] = random(FFN, HIDDEN)
        tensors[f"{at}mlp.up_proj.weight"] = random(FFN, HIDDEN)
        tensors[f"{at}mlp.down_proj.weight"] = random(HIDDEN, FFN)
        tensors[f"{at}input_layernorm.weight"] = random(HIDDEN)
        tensors[f"{at}post_attention_layernorm.weight"] = random(HIDDEN)
    return tensors


def config(kind, name, vocabulary, layers, **more):
    return {
        "architectures": [name],
        "model_type": kind,
        "hidden_size": HIDDEN,
        "intermediate_size": FFN,
        "num_hidden_layers": layers,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV,
        "hidden_act": "silu",
        "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-05,
        "vocab_size": vocabulary,
        "tie_word_embeddings": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
    } | more


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def sentencepiece_model(folder):
    """A trained model of all bytes and some pieces; returns their number."""
    text = ["你好世界 你好 世界 模型", "hello world hello models", "the lazy dog 羊驼"] * 20
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "text").write_text("\n".join(text), encoding="utf-8")
        sentencepiece.SentencePieceTrainer.train(
            input=f"{place}/text",
            model_prefix=f"{place}/tokenizer",
            model_type="bpe",
            vocab_size=300,
            byte_fallback=True,
            user_defined_symbols=["<sep>"],
            hard_vocab_limit=False,
            normalization_rule_name="identity",
            minloglevel=2,
        )
        shutil.copyfile(f"{place}/tokenizer.model", folder / "tokenizer.model")
    return sentencepiece.SentencePieceProcessor(str(folder / "tokenizer.model")).vocab_size()


def byte_level(folder, pattern, marks, begins=None):
    """A tokenizer.json of all bytes, two merges, and some marks, (text, special) each; returns the number of tokens."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {piece: i for i, piece in enumerate([*letters, "th", "the", "Ġt"])}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[("t", "h"), ("th", "e"), ("Ġ", "t")], ignore_merges=begins is not None))
    parts = [pre_tokenizers.Split(Regex(pattern), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(parts)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.save(str(folder / "tokenizer.json"))
    data = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    first = len(vocabulary)
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    data["added_tokens"] = [{"id": first + i, "content": text, **flags, "special": special} for i, (text, special) in enumerate(marks)]
    byte_part = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}
    data["post_processor"] = byte_part
    if begins:
        item, token = {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": begins, "type_id": 0}}
        other = [{"SpecialToken": {"id": begins, "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}}]
        place = next(entry["id"] for entry in data["added_tokens"] if entry["content"] == begins)
        tokens = {begins: {"id": begins, "ids": [place], "tokens": [begins]}}
        template = {"type": "TemplateProcessing", "single": [token, item], "pair": [token, item, *other], "special_tokens": tokens}
        data["post_processor"] = {"type": "Sequence", "processors": [byte_part, template]}
    write_json(folder / "tokenizer.json", data)
    return first + len(marks)


def case_llama(folder):
    pieces = sentencepiece_model(folder)
    vocabulary = pieces + 1
    write_json(folder / "added_tokens.json", {"<pad>": pieces})
    template = "{% for message in messages %}[INST] {{ message['content'] }} [/INST]{% endfor %}"
    tokens = {"bos_token": "<s>", "eos_token": {"content": "</s>", "lstrip": False}, "pad_token": "<pad>"}
    write_json(folder / "tokenizer_config.json", tokens | {"add_bos_token": True, "add_eos_token": False, "chat_template": template})
    write_json(folder / "generation_config.json", {"temperature": 0.2, "top_k": 40, "top_p": 0.9, "repetition_penalty": 1.1})
    scaling = {"type": "linear", "factor": 4.0}
    write_json(folder / "config.json", config("llama", "LlamaForCausalLM", vocabulary, 2, rope_scaling=scaling, pad_token_id=pieces))
    tensors = state(vocabulary, 2, torch.float16)
    tensors["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(HEAD // 2)
    names, weight_map = list(tensors), {}
    for number, part in enumerate([names[:9], names[9:]], 1):
        file = f"pytorch_model-{number:05}-of-00002.bin"
        torch.save({name: tensors[name] for name in part}, folder / file)
        weight_map |= {name: file for name in part}
    write_json(folder / "pytorch_model.bin.index.json", {"metadata": {"total_size": 0}, "weight_map": weight_map})


def case_merges(folder):
    """Returns the scores that the pieces had."""
    with tempfile.TemporaryDirectory() as place:
        place = Path(place)
        pieces = sentencepiece_model(place)
        model = sentencepiece.SentencePieceProcessor(str(place / "tokenizer.model"))
        write_json(place / "config.json", config("llama", "LlamaForCausalLM", pieces, 1))
        tokenizer = AutoTokenizer.from_pretrained(place)
        tokenizer.add_tokens(["<|sep|>"])
        tokenizer.save_pretrained(place)
        shutil.copyfile(place / "tokenizer.json", folder / "tokenizer.json")
    named = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "add_bos_token": True, "tokenizer_class": "LlamaTokenizerFast"}
    write_json(folder / "tokenizer_config.json", named)
    write_json(folder / "config.json", config("llama", "LlamaForCausalLM", pieces + 1, 1))
    save_file(state(pieces + 1, 1, torch.float16), folder / "model.safetensors", metadata={"format": "pt"})
    return [*(model.get_score(i) for i in range(pieces)), -1000.0]


def case_mistral(folder):
    pieces = sentencepiece_model(folder)
    decoder = {str(i): {"content": text, "special": True} for i, text in enumerate(["<unk>", "<s>", "</s>"])}
    decoder |= {str(pieces): {"content": "<|im_start|>", "special": False}, str(pieces + 1): {"content": "<tool▁call>", "special": False}}
    write_json(folder / "tokenizer_config.json", {"added_tokens_decoder": decoder, "add_prefix_space": True, "add_bos_token": True, "bos_token": "<s>"})
    scaling = {"type": "yarn", "factor": 16.0, "original_max_position_embeddings": 4096, "finetuned": True, "beta_fast": 32.0, "beta_slow": 1.0}
    more = {"rope_scaling": scaling, "rope_theta": 1e6, "sliding_window": None, "max_position_embeddings": 65536}
    write_json(folder / "config.json", config("mistral", "MistralForCausalLM", pieces + 4, 1, **more))
    save_file(state(pieces + 4, 1, torch.bfloat16), folder / "model.safetensors", metadata={"format": "pt"})


def case_llama3(folder):
    marks = [("<|begin_of_text|>", True), ("<|end_of_text|>", True), ("<|eot_id|>", True)]
    tokens = byte_level(folder, LLAMA3, marks, begins=marks[0][0])
    decoder = {str(tokens - 3 + i): {"content": text, "special": special} for i, (text, special) in enumerate(marks)}
    named = {"bos_token": marks[0][0], "eos_token": marks[2][0], "added_tokens_decoder": decoder, "tokenizer_class": "PreTrainedTokenizerFast"}
    write_json(folder / "tokenizer_config.json", named)
    scaling = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64}
    more = {"rope_scaling": scaling, "rope_theta": 500000.0, "tie_word_embeddings": True, "bos_token_id": tokens - 3}
    more |= {"eos_token_id": [tokens - 2, tokens - 1], "head_dim": 16}
    write_json(folder / "config.json", config("llama", "LlamaForCausalLM", tokens, 1, **more))
    save_file(state(tokens, 1, torch.bfloat16, head=16, tied=True), folder / "model.safetensors", metadata={"format": "pt"})


def case_qwen2(folder):
    marks = [("<|endoftext|>", True), ("<|im_start|>", True), ("<|im_end|>", True), ("<think>", False)]
    tokens = byte_level(folder, QWEN2, marks)
    named = {"bos_token": None, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "add_bos_token": False, "chat_template": "{{ messages }}"}
    write_json(folder / "tokenizer_config.json", named | {"tokenizer_class": "Qwen2Tokenizer"})
    more = {"tie_word_embeddings": True, "rope_theta": 1000000.0, "bos_token_id": tokens - 4, "eos_token_id": tokens - 2}
    write_json(folder / "config.json", config("qwen2", "Qwen2ForCausalLM", tokens + 5, 2, **more))
    save_file(state(tokens + 5, 2, torch.float16, tied=True, bias=True), folder / "model.safetensors", metadata={"format": "pt"})


def case_qwen3(folder):
    marks = [("<|endoftext|>", True), ("<|im_start|>", True), ("<|im_end|>", True)]
    tokens = byte_level(folder, QWEN2, marks)
    write_json(folder / "tokenizer_config.json", {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "tokenizer_class": "Qwen2Tokenizer"})
    (folder / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}\n", encoding="utf-8")
    more = {"head_dim": 16, "rope_parameters": {"rope_type": "default", "rope_theta": 1000000}, "eos_token_id": tokens - 1}
    write_json(folder / "config.json", config("qwen3", "Qwen3ForCausalLM", tokens, 1, **more))
    save_file(state(tokens, 1, torch.float32, head=16, norms=True), folder / "model.safetensors", metadata={"format": "pt"})


def case_meta(folder, twin):
    """Meta's layout; `twin` gets the same model in Hugging Face's."""
    pieces = sentencepiece_model(folder)
    shutil.copyfile(folder / "tokenizer.model", twin / "tokenizer.model")
    tensors = state(pieces, 1, torch.bfloat16)
    write_json(twin / "config.json", config("llama", "LlamaForCausalLM", pieces, 1))
    save_file(tensors, twin / "model.safetensors", metadata={"format": "pt"})
    write_json(folder / "params.json", {"dim": HIDDEN, "n_layers": 1, "n_heads": HEADS, "n_kv_heads": KV, "multiple_of": 16, "norm_eps": 1e-05, "vocab_size": -1})

    def neighbours(matrix, heads):
        """Pairs half a head apart, as in Hugging Face's layout, become neighbours (RoFormer's and Meta's order)."""
        head = matrix.shape[0] // heads
        rows = [h * head + t * (head // 2) + i for h in range(heads) for i in range(head // 2) for t in (0, 1)]
        return matrix[rows]

    at, whole = "model.layers.0.", {}
    whole["tok_embeddings.weight"] = (tensors["model.embed_tokens.weight"], 1)
    whole["norm.weight"] = (tensors["model.norm.weight"], None)
    whole["output.weight"] = (tensors["lm_head.weight"], 0)
    whole["layers.0.attention.wq.weight"] = (neighbours(tensors[f"{at}self_attn.q_proj.weight"], HEADS), 0)
    whole["layers.0.attention.wk.weight"] = (neighbours(tensors[f"{at}self_attn.k_proj.weight"], KV), 0)
    whole["layers.0.attention.wv.weight"] = (tensors[f"{at}self_attn.v_proj.weight"], 0)
    whole["layers.0.attention.wo.weight"] = (tensors[f"{at}self_attn.o_proj.weight"], 1)
    whole["layers.0.feed_forward.w1.weight"] = (tensors[f"{at}mlp.gate_proj.weight"], 0)
    whole["layers.0.feed_forward.w2.weight"] = (tensors[f"{at}mlp.down_proj.weight"], 1)
    whole["layers.0.feed_forward.w3.weight"] = (tensors[f"{at}mlp.up_proj.weight"], 0)
    whole["layers.0.attention_norm.weight"] = (tensors[f"{at}input_layernorm.weight"], None)
    whole["layers.0.ffn_norm.weight"] = (tensors[f"{at}post_attention_layernorm.weight"], None)
    for rank in range(2):
        part = {name: tensor if cut is None else tensor.chunk(2, cut)[rank].clone() for name, (tensor, cut) in whole.items()}
        part["rope.freqs"] = torch.ones(HEAD // 2)
        torch.save(part, folder / f"consolidated.{rank:02}.pth")


def convert(folder, out, kind, pre=None):
    """The converter itself, but for the name of a vocabulary that it cannot know."""
    if pre:
        TextModel.get_vocab_base_pre = lambda self, tokenizer: pre
    hparams = ModelBase.load_hparams(folder, False)
    model = get_model_class(hparams["architectures"][0])
    with torch.inference_mode():
        model(folder, kind, out, eager=True).write()


def value(field):
    """Type, and value; a long list's as its length and hash (texts end in a zero byte, numbers are little-endian)."""
    kinds = [kind.name for kind in field.types]
    found = field.contents()
    if kinds[0] != "ARRAY" or len(found) <= LIST_MAX:
        return {"type": " ".join(kinds), "value": found}
    if kinds[1] == "STRING":
        data = b"".join(text.encode() + b"\0" for text in found)
    else:
        data = np.array(found, {"FLOAT32": "<f4", "INT32": "<i4"}[kinds[1]]).tobytes()
    return {"type": " ".join(kinds), "length": len(found), "sha256": hashlib.sha256(data).hexdigest()}


def expected(folder, pre):
    result = {"keys": {}, "tensors": {}}
    for scheme, kind in TYPES.items():
        with tempfile.TemporaryDirectory() as place:
            out = Path(place) / "out.gguf"
            convert(folder, out, kind, pre)
            reader = gguf.GGUFReader(out)
            for name, field in reader.fields.items():
                if not name.startswith("GGUF.") and name != "general.file_type":
                    result["keys"][name] = value(field)
            rows = {}
            for tensor in reader.tensors:
                data = bytes(tensor.data)
                row = {"type": tensor.tensor_type.name, "dimensions": [int(d) for d in tensor.shape]}
                if tensor.name == "rope_freqs.weight":
                    row["values"] = [float(v) for v in tensor.data]
                else:
                    row["sha256"] = hashlib.sha256(data).hexdigest()
                rows[tensor.name] = row
            result["tensors"][scheme] = rows
    return result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--real", type=Path)
    arguments = parser.parse_args()
    if arguments.real:
        folder = arguments.real / "real"
        folder.mkdir(parents=True)
        shutil.copyfile(REAL, folder / "tokenizer.model")
        write_json(folder / "config.json", config("llama", "LlamaForCausalLM", 55296, 1))
        save_file(state(55296, 1, torch.float16), folder / "model.safetensors", metadata={"format": "pt"})
        convert(folder, arguments.real / "llama.cpp.gguf", TYPES["F16"])
        return
    shutil.rmtree(OUT, ignore_errors=True)
    for name, make in {"llama": case_llama, "mistral": case_mistral, "llama3": case_llama3, "qwen2": case_qwen2, "qwen3": case_qwen3}.items():
        torch.manual_seed(4)
        # The name of the folder is the model's.
        folder = OUT / name / "model"
        folder.mkdir(parents=True)
        make(folder)
        write_json(OUT / name / "expected.json", expected(folder, PRE.get(name)))
    torch.manual_seed(4)
    folder = OUT / "merges/model"
    folder.mkdir(parents=True)
    scores = case_merges(folder)
    whole = expected(folder, None)
    data = np.array(scores, "<f4").tobytes()
    whole["keys"]["tokenizer.ggml.scores"] |= {"sha256": hashlib.sha256(data).hexdigest()}
    write_json(OUT / "merges/expected.json", whole)
    torch.manual_seed(4)
    folder = OUT / "meta/model"
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as place:
        twin = Path(place) / "model"
        twin.mkdir()
        case_meta(folder, twin)
        write_json(OUT / "meta/expected.json", expected(twin, None))


main()
