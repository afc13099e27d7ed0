"""What PEFT's merge_and_unload makes of small random models: crates/weights/tests/golden/merge/<case>/.

Each case has a base folder, adapter folders, and merged.json with the SHA-256 of every tensor's bytes after the merge (in the
base's type, on the processor), its type and shape; what the merge does is in its name:
  plain      BF16 base, all seven matrices of a Llama layer
  vocabulary F16 base in two .bin shards with rotary_emb.inv_freq, adapter as .bin with modules_to_save for a larger
             vocabulary and its own tokenizer.model, rank_pattern, alpha_pattern, use_rslora
  two        F32 base, two adapters with strengths 0.5 and -1.25
  turned     GPT-2's matrices, stored (in, out): fan_in_fan_out
  embeddings LoRA on the embeddings themselves, F32: of other types PEFT rounds what it adds to embeddings before it adds
             it, and again after, where all else is rounded once

Run: python tests/golden/merge.py (packages: tests/golden/requirements.txt)
"""

import copy
import hashlib
import json
import pathlib
import shutil

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import save_file
from sentencepiece import sentencepiece_model_pb2 as proto
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM

OUT = pathlib.Path(__file__).parents[2] / "crates/weights/tests/golden/merge"
ALL = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def llama(dtype, vocabulary=40):
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=64,
        intermediate_size=72,
        num_hidden_layers=1,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=False,
    )
    return LlamaForCausalLM(config).to(dtype)


def tokenizer(folder, count):
    """A SentencePiece model of `count` pieces."""
    model = proto.ModelProto()
    for i in range(count):
        model.pieces.add(piece=f"p{i}", score=-float(i), type=2 if i == 0 else 1)
    model.trainer_spec.model_type = 2
    (folder / "tokenizer.model").write_bytes(model.SerializeToString())
    (folder / "tokenizer_config.json").write_text(json.dumps({"pieces": count}) + "\n")


def write_base(folder, model, bins=False):
    folder.mkdir(parents=True)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    if not bins:
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    else:
        state["model.layers.0.self_attn.rotary_emb.inv_freq"] = torch.ones(8)
        names, weight_map = list(state), {}
        for number, part in enumerate([names[:4], names[4:]], 1):
            file = f"pytorch_model-{number:05}-of-00002.bin"
            torch.save({name: state[name] for name in part}, folder / file)
            weight_map.update({name: file for name in part})
        (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}) + "\n")
    config = {k: v for k, v in model.config.to_dict().items() if k in KEYS}
    config["torch_dtype"] = str(model.dtype).removeprefix("torch.")
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    (folder / "generation_config.json").write_text('{"bos_token_id": 1, "eos_token_id": 2}\n')


KEYS = [
    "architectures", "model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
    "num_attention_heads", "num_key_value_heads", "max_position_embeddings", "rms_norm_eps", "tie_word_embeddings",
    "n_embd", "n_layer", "n_head", "hidden_act",
]  # fmt: skip


def adapt(base, config, folder, bins=False):
    """Random values for everything that is trained, saved as PEFT saves."""
    model = get_peft_model(copy.deepcopy(base), config)
    for name, parameter in model.named_parameters():
        if "lora_" in name or "modules_to_save" in name:
            parameter.data = torch.randn(parameter.shape).to(parameter.dtype) * 0.1
    model.save_pretrained(folder, safe_serialization=not bins, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    # PEFT writes sets, in any order.
    path = folder / "adapter_config.json"
    written = {k: sorted(v) if k in ("target_modules", "modules_to_save") and v else v for k, v in json.loads(path.read_text()).items()}
    path.write_text(json.dumps(written, indent=1) + "\n")
    if bins and not (folder / "adapter_model.bin").exists():
        from safetensors.torch import load_file

        torch.save(load_file(folder / "adapter_model.safetensors"), folder / "adapter_model.bin")
        (folder / "adapter_model.safetensors").unlink()
    return folder


def merged(base, adapters):
    """The state after PEFT merged the adapters, (folder, strength) each, in their order."""
    model = None
    for i, (folder, strength) in enumerate(adapters):
        if model is None:
            model = PeftModel.from_pretrained(copy.deepcopy(base), folder, adapter_name=str(i))
        else:
            model.load_adapter(folder, adapter_name=str(i))
        for module in model.modules():
            if isinstance(getattr(module, "scaling", None), dict) and str(i) in module.scaling:
                module.scaling[str(i)] *= strength
    names = [str(i) for i in range(len(adapters))]
    return model.merge_and_unload(adapter_names=names).state_dict()


def write_expected(case, state, dtype):
    rows = {}
    for name, tensor in state.items():
        tensor = tensor.to(dtype).contiguous()
        data = tensor.view(torch.uint8).numpy().tobytes()
        rows[name] = dict(shape=list(tensor.shape), sha256=hashlib.sha256(data).hexdigest())
    (OUT / case / "merged.json").write_text(json.dumps(rows, indent=1) + "\n")


def main():
    shutil.rmtree(OUT, ignore_errors=True)
    torch.manual_seed(3)

    base = llama(torch.bfloat16)
    write_base(OUT / "plain/base", base)
    tokenizer(OUT / "plain/base", 40)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=ALL, task_type="CAUSAL_LM", lora_dropout=0.05)
    folder = adapt(base, config, OUT / "plain/adapter")
    write_expected("plain", merged(base, [(folder, 1.0)]), torch.bfloat16)

    base = llama(torch.float16)
    write_base(OUT / "vocabulary/base", base, bins=True)
    tokenizer(OUT / "vocabulary/base", 40)
    larger = copy.deepcopy(base)
    larger.resize_token_embeddings(55, mean_resizing=False)
    config = LoraConfig(
        r=4,
        lora_alpha=8,
        target_modules=ALL,
        modules_to_save=["embed_tokens", "lm_head"],
        rank_pattern={"down_proj": 2, "layers.0.self_attn.k_proj": 3},
        alpha_pattern={"^model.layers.0.mlp.up_proj": 5},
        use_rslora=True,
        task_type="CAUSAL_LM",
    )
    folder = adapt(larger, config, OUT / "vocabulary/adapter", bins=True)
    tokenizer(folder, 55)
    write_expected("vocabulary", merged(larger, [(folder, 1.0)]), torch.float16)

    base = llama(torch.float32)
    write_base(OUT / "two/base", base)
    first = adapt(base, LoraConfig(r=4, lora_alpha=4, target_modules=["q_proj", "down_proj"]), OUT / "two/first")
    second = adapt(base, LoraConfig(r=8, lora_alpha=16, target_modules=["q_proj", "up_proj"]), OUT / "two/second")
    write_expected("two", merged(base, [(first, 0.5), (second, -1.25)]), torch.float32)

    base = GPT2LMHeadModel(GPT2Config(vocab_size=40, n_embd=32, n_layer=1, n_head=2, n_positions=16)).half()
    base.lm_head.weight = torch.nn.Parameter(base.lm_head.weight.clone())
    write_base(OUT / "turned/base", base)
    folder = adapt(base, LoraConfig(r=4, target_modules=["c_attn", "c_fc"], fan_in_fan_out=True), OUT / "turned/adapter")
    write_expected("turned", merged(base, [(folder, 1.0)]), torch.float16)

    base = llama(torch.float32)
    write_base(OUT / "embeddings/base", base)
    folder = adapt(base, LoraConfig(r=4, target_modules=["embed_tokens", "lm_head"]), OUT / "embeddings/adapter")
    write_expected("embeddings", merged(base, [(folder, 1.0)]), torch.float32)


main()
