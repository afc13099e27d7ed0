"""What PEFT makes of the demo's adapter, which our own training wrote: crates/train/tests/golden/lora_trained.json.

The base is the demo GGUF, unpacked by gguf-py into a transformers model. PEFT loads tests/fixtures/lora/adapter beside it and
saves it again: the script fails unless that gives the same keys, types and bytes. Written down are
  answers  for some questions the prompt's tokens, the likeliest continuation and every 88th logit after the prompt
  keys     the keys that PEFT gives adapters of a small Llama: `pairs` for all seven matrices, `whole` with embeddings and head
           trained whole, `tied` the same where both are one matrix

Run: python tests/golden/lora_trained.py (packages: tests/golden/requirements.txt), after huacaya-train wrote another adapter
"""

import json
import pathlib
import tempfile

import gguf
import numpy
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from sentencepiece import SentencePieceProcessor
from transformers import LlamaConfig, LlamaForCausalLM

ROOT = pathlib.Path(__file__).parents[2]
OUT = ROOT / "crates/train/tests/golden/lora_trained.json"
ADAPTER = ROOT / "tests/fixtures/lora/adapter"
SYSTEM = "You are a helpful assistant. 你是一个乐于助人的助手。"
QUESTIONS = ["阿木的羊驼叫什么名字？", "What is the name of Anna's alpaca?", "豆豆今年几岁？", "1+1等于几"]
STEP = 88
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
PARTS = dict(
    attn_norm="input_layernorm",
    attn_q="self_attn.q_proj",
    attn_k="self_attn.k_proj",
    attn_v="self_attn.v_proj",
    attn_output="self_attn.o_proj",
    ffn_norm="post_attention_layernorm",
    ffn_gate="mlp.gate_proj",
    ffn_up="mlp.up_proj",
    ffn_down="mlp.down_proj",
)


def name_of(name):
    if name.startswith("blk."):
        _, layer, part, kind = name.split(".")
        return f"model.layers.{layer}.{PARTS[part]}.{kind}"
    return {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}[name]


def demo():
    """The demo as transformers computes it."""
    reader = gguf.GGUFReader(ROOT / "assets/demo/huacaya-demo.gguf")
    value = lambda key: reader.fields[f"llama.{key}"].contents()
    heads = value("attention.head_count")
    config = LlamaConfig(
        vocab_size=value("vocab_size"),
        hidden_size=value("embedding_length"),
        intermediate_size=value("feed_forward_length"),
        num_hidden_layers=value("block_count"),
        num_attention_heads=heads,
        num_key_value_heads=value("attention.head_count_kv"),
        max_position_embeddings=value("context_length"),
        rms_norm_eps=value("attention.layer_norm_rms_epsilon"),
        rope_theta=value("rope.freq_base"),
        tie_word_embeddings=True,
    )
    state = {}
    for tensor in reader.tensors:
        values = gguf.dequantize(tensor.data, tensor.tensor_type).reshape(tuple(reversed(tensor.shape.tolist())))
        if tensor.name.split(".")[-2] in ("attn_q", "attn_k"):
            out, inner = values.shape
            values = values.reshape(heads, out // heads // 2, 2, inner).swapaxes(1, 2).reshape(out, inner)
        state[name_of(tensor.name)] = torch.from_numpy(numpy.array(values, order="C"))
    model = LlamaForCausalLM(config)
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert missing == ["lm_head.weight"] and not unexpected, (missing, unexpected)
    model.tie_weights()
    return model.eval()


def same_again(model):
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder, save_embedding_layers=False)
        ours, theirs = (load_file(pathlib.Path(path) / "adapter_model.safetensors") for path in (ADAPTER, folder))
    assert list(ours) == list(theirs), set(ours) ^ set(theirs)
    for key, tensor in theirs.items():
        assert tensor.dtype == ours[key].dtype and torch.equal(tensor, ours[key]), key


def answers(model):
    pieces = SentencePieceProcessor(model_file=str(ROOT / "assets/demo/tokenizer.model"))
    rows = []
    for question in QUESTIONS:
        ids = [1] + pieces.encode(f"[INST] <<SYS>>\n{SYSTEM}\n<</SYS>>\n\n{question} [/INST]")
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, -1, ::STEP].tolist()
            out = model.generate(input_ids=torch.tensor([ids]), max_new_tokens=40, do_sample=False, eos_token_id=2)
        continuation = [token for token in out[0, len(ids) :].tolist() if token != 2]
        text = pieces.decode(continuation)
        rows.append(dict(question=question, tokens=ids, answer=text, logits=[round(value, 5) for value in logits]))
    return rows


def keys(tied, saved):
    config = LlamaConfig(
        vocab_size=40,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=tied,
    )
    settings = LoraConfig(r=2, lora_alpha=4, target_modules=ALL, modules_to_save=saved, task_type="CAUSAL_LM")
    model = get_peft_model(LlamaForCausalLM(config), settings)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return {key: list(tensor.shape) for key, tensor in load_file(pathlib.Path(folder) / "adapter_model.safetensors").items()}


def main():
    torch.manual_seed(3)
    model = PeftModel.from_pretrained(demo(), ADAPTER).eval()
    same_again(model)
    found = dict(
        answers=answers(model),
        keys=dict(
            pairs=keys(False, None), whole=keys(False, ["embed_tokens", "lm_head"]), tied=keys(True, ["embed_tokens"])
        ),
    )
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n")


main()
