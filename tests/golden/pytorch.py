"""PyTorch files of every layout that state dictionaries come in, and the same tensors in safetensors.

Writes crates/weights/tests/golden/pytorch/{kinds,newer,legacy,trainer}.bin and expected.safetensors, and the model of
crates/engine/tests/golden/logits/yarn again as a two-shard `.bin` folder (with rotary_emb.inv_freq, as the published
Chinese-LLaMA-2 files have it) in crates/engine/tests/golden/pytorch/.

Run: python tests/golden/pytorch.py (packages: tests/golden/requirements.txt)
"""

import json
import pathlib
import shutil

import torch
from safetensors.torch import load_file, save_file

ROOT = pathlib.Path(__file__).parents[2]
OUT = ROOT / "crates/weights/tests/golden/pytorch"
ENGINE = ROOT / "crates/engine/tests/golden"


def kinds():
    """A state dictionary as modules give it (an OrderedDict with notes on versions), and views of every kind."""
    torch.manual_seed(1)
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4)).half()
    state = module.state_dict()
    base = torch.arange(48, dtype=torch.float32) / 8 - 2
    state["transposed"] = base.view(6, 8).t()
    state["permuted"] = base.view(2, 4, 6).permute(2, 0, 1)
    state["columns"] = base.view(6, 8)[1:5, 2:7:2]
    state["rows"] = base.view(6, 8)[2:4]
    state["tied"] = base.view(6, 8)
    state["scalar"] = torch.tensor(0.1)
    state["empty"] = torch.zeros(0, 5)
    state["one_row"] = base[5:9].view(1, 4)
    state["parameter"] = torch.nn.Parameter(torch.randn(2, 3).bfloat16())
    state["half_steps"] = torch.randn(4, 6).half()[::2, ::3]
    state["bf16"] = torch.randn(3, 5).bfloat16()
    state["f64"] = torch.randn(3).double()
    state["i64"] = torch.tensor([-1, 1 << 40])
    state["i32"] = torch.tensor([-7, 7], dtype=torch.int32)
    state["u8"] = torch.tensor([0, 255], dtype=torch.uint8)
    state["bool"] = torch.tensor([True, False])
    state["名字"] = torch.ones(2)
    return state


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    state = kinds()
    torch.save(state, OUT / "kinds.bin")
    torch.save(dict(state), OUT / "newer.bin", pickle_protocol=4)
    torch.save({"weight": torch.ones(2)}, OUT / "legacy.bin", _use_new_zipfile_serialization=False)
    torch.save({"model": {"weight": torch.ones(2)}, "step": 7, "rates": [0.1, 0.2]}, OUT / "trainer.bin")
    save_file({name: tensor.detach().contiguous().clone() for name, tensor in state.items()}, OUT / "expected.safetensors")

    source, folder = ENGINE / "logits/yarn", ENGINE / "pytorch"
    folder.mkdir(parents=True, exist_ok=True)
    tensors = load_file(source / "model.safetensors")
    for layer in range(2):
        tensors[f"model.layers.{layer}.self_attn.rotary_emb.inv_freq"] = 1 / 10000 ** (torch.arange(16) / 16)
    names = sorted(tensors)
    shards = [names[: len(names) // 2], names[len(names) // 2 :]]
    index = {"metadata": {"total_size": sum(t.nbytes for t in tensors.values())}, "weight_map": {}}
    for number, shard in enumerate(shards, 1):
        name = f"pytorch_model-{number:05}-of-{len(shards):05}.bin"
        torch.save({key: tensors[key] for key in shard}, folder / name)
        index["weight_map"].update({key: name for key in shard})
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps(index, indent=1) + "\n")
    shutil.copy(source / "config.json", folder / "config.json")


main()
