"""Tiny random models of the Llama family with the logits that transformers computes for them in float32.

Writes crates/engine/tests/golden/logits/<name>/{config.json, model.safetensors, logits.f32}. Token i of the text is
(7 i^2 + 3 i + 5) mod 64. Older files say `rope_theta` and `rope_scaling`, newer ones `rope_parameters`: both are written.

Run: python tests/golden/logits.py (packages: tests/golden/requirements.txt)
"""

import json
import pathlib

import torch
from safetensors.torch import save_file
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

OUT = pathlib.Path(__file__).parents[2] / "crates/engine/tests/golden/logits"
VOCABULARY, LENGTH = 64, 48
SHAPE = dict(
    vocab_size=VOCABULARY,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=4,
    max_position_embeddings=512,
    rms_norm_eps=1e-5,
    tie_word_embeddings=False,
)
LLAMA3 = dict(
    rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=64
)
YARN = dict(type="yarn", factor=16.0, original_max_position_embeddings=32, finetuned=True)

# name -> (config class, model class, stored type, old rope keys, changes)
MODELS = {
    "plain": (LlamaConfig, LlamaForCausalLM, torch.float32, True, dict()),
    "grouped_tied": (
        LlamaConfig,
        LlamaForCausalLM,
        torch.float16,
        False,
        dict(num_key_value_heads=2, tie_word_embeddings=True, rope_theta=500000.0),
    ),
    "linear": (LlamaConfig, LlamaForCausalLM, torch.float16, True, dict(rope_scaling=dict(type="linear", factor=4.0))),
    "dynamic": (
        LlamaConfig,
        LlamaForCausalLM,
        torch.float16,
        True,
        dict(max_position_embeddings=32, rope_scaling=dict(type="dynamic", factor=2.0)),
    ),
    "yarn": (LlamaConfig, LlamaForCausalLM, torch.float16, True, dict(head_dim=32, rope_scaling=YARN)),
    "llama3": (LlamaConfig, LlamaForCausalLM, torch.bfloat16, False, dict(head_dim=16, rope_scaling=LLAMA3)),
    "biases": (LlamaConfig, LlamaForCausalLM, torch.float16, True, dict(attention_bias=True, mlp_bias=True)),
    "mistral": (
        MistralConfig,
        MistralForCausalLM,
        torch.bfloat16,
        True,
        dict(num_key_value_heads=2, head_dim=16, sliding_window=None, rope_theta=1000000.0),
    ),
    "qwen2": (Qwen2Config, Qwen2ForCausalLM, torch.float16, True, dict(num_key_value_heads=2, rope_theta=1000000.0)),
    "qwen3": (
        Qwen3Config,
        Qwen3ForCausalLM,
        torch.bfloat16,
        False,
        dict(num_key_value_heads=2, head_dim=16, tie_word_embeddings=True, rope_theta=1000000.0),
    ),
}


def rope(changes):
    """The rope in the naming of transformers 5."""
    scaling = dict(changes.get("rope_scaling", {}))
    kind = scaling.pop("type", scaling.pop("rope_type", "default"))
    scaling.pop("finetuned", None)
    return dict(scaling, rope_type=kind, rope_theta=changes.get("rope_theta", 10000.0))


def fill(model, generator):
    """Weights large enough that attention and positions matter to the logits."""
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.dim() == 2:
            parameter.data = noise * (1.5 / parameter.shape[1] ** 0.5)
        elif name.endswith("bias"):
            parameter.data = noise * 0.3
        else:
            parameter.data = 1.0 + 0.2 * noise


def main():
    tokens = torch.tensor([[(7 * i * i + 3 * i + 5) % VOCABULARY for i in range(LENGTH)]])
    for seed, (name, (config_class, model_class, dtype, old_keys, changes)) in enumerate(MODELS.items()):
        fields = {**SHAPE, **{k: v for k, v in changes.items() if not k.startswith("rope_")}}
        config = config_class(**fields, rope_parameters=rope(changes), attn_implementation="eager")
        model = model_class(config).eval()
        fill(model, torch.Generator().manual_seed(seed))
        # The stored values are the model: rounded before they are used.
        model.load_state_dict({k: v.to(dtype).float() for k, v in model.state_dict().items()})
        with torch.no_grad():
            logits = model(tokens).logits[0].float()
        folder = OUT / name
        folder.mkdir(parents=True, exist_ok=True)
        tied = fields["tie_word_embeddings"]
        state = {k: v.to(dtype).contiguous() for k, v in model.state_dict().items() if not (tied and "lm_head" in k)}
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
        written = dict(architectures=[model_class.__name__], model_type=config.model_type, hidden_act="silu", **fields)
        if old_keys:
            written["rope_theta"] = changes.get("rope_theta", 10000.0)
            written["rope_scaling"] = changes.get("rope_scaling")
        else:
            written["rope_parameters"] = rope(changes)
        (folder / "config.json").write_text(json.dumps(written, indent=1) + "\n")
        (folder / "logits.f32").write_bytes(logits.numpy().astype("<f4").tobytes())
        print(f"{name:14} logits {logits.abs().max():.2f} at most, {logits.std():.2f} standard deviation")


if __name__ == "__main__":
    main()
