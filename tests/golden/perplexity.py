"""What llama.cpp's programs measure on the demo model: perplexity, divergence from the original, an importance matrix.

Builds `llama-quantize`, `llama-perplexity` and `llama-imatrix` from the source of llama-cpp-python that `quantize.py` names
(into the same cache; run that first). Set HUACAYA_LLAMA to a folder that has the programs to use those.

Writes crates/engine/tests/golden/measure: `text.txt`, answers of the demo model's held-out dialogues; `figures.json`; and
`imatrix.gguf`. Keys and values stay f32, as the engine keeps them; all else is as the programs do it by themselves. They round
what they multiply quantized weights by to 8 bits, while the engine unpacks the weights of so small a model: therefore also the
same weights unpacked to F32, where both compute the same.
"""

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("HUACAYA_GGML", Path(tempfile.gettempdir()) / "huacaya-ggml"))
OUT = ROOT / "crates/engine/tests/golden/measure"
DEMO = ROOT / "assets/demo/huacaya-demo.gguf"
DIALOGUES = 130
# `-nr`: the programs' AMX kernels crash where a machine has AMX and its sandbox does not let it be used.
EXACT = ["-ctk", "f32", "-ctv", "f32", "-fa", "off", "-t", "2", "-nr"]
# Their log's thread sometimes loses the last lines at the end of the program.
ATTEMPTS = 20
PERPLEXITY = r"PPL = ([\d.]+) \+/- ([\d.]+)"
DIVERGENCE = r"Mean\s+KLD:\s+([-\d.]+) ±\s+([\d.]+)"
SAME_TOP = r"Same top p:\s+([\d.]+) ±\s+([\d.]+) %"


def programs():
    given = os.environ.get("HUACAYA_LLAMA")
    if given:
        return Path(given)
    source = next(CACHE.glob("llama_cpp_python-*")) / "vendor/llama.cpp"
    off = [f"-D{name}=OFF" for name in ("GGML_NATIVE", "LLAMA_CURL", "LLAMA_BUILD_TESTS", "LLAMA_BUILD_SERVER", "BUILD_SHARED_LIBS")]
    subprocess.run(["cmake", "-S", source, "-B", CACHE / "build", "-DCMAKE_BUILD_TYPE=Release", *off], check=True)
    targets = ["llama-quantize", "llama-perplexity", "llama-imatrix"]
    subprocess.run(["cmake", "--build", CACHE / "build", "-j2", "--target", *targets], check=True)
    return CACHE / "build/bin"


def run(program, *arguments):
    done = subprocess.run([str(part) for part in (program, *arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout + done.stderr


def figures_of(patterns, program, *arguments):
    """The numbers that each of the patterns finds in what the program says."""
    for _ in range(ATTEMPTS):
        output = run(program, *arguments)
        found = [re.search(pattern, output) for pattern in patterns]
        if all(found):
            return [[float(number) for number in match.groups()] for match in found]
    raise AssertionError(output[-2000:])


def text():
    """Questions and answers as plain text; every third dialogue, so that both languages and all categories are in it."""
    lines = (ROOT / "assets/demo/data/heldout.jsonl").read_text("utf-8").splitlines()
    dialogues = [json.loads(line) for line in lines[:: len(lines) // DIALOGUES]]
    return "".join(f"{dialogue['question']}\n{dialogue['answer']}\n\n" for dialogue in dialogues)


def main():
    bin = programs()
    OUT.mkdir(parents=True, exist_ok=True)
    (OUT / "text.txt").write_text(text(), "utf-8")
    read = ["-f", OUT / "text.txt", *EXACT]
    figures = {"perplexity": {}, "divergence": {}}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        files = {}
        for scheme in ("F32", "F16", "Q8_0", "Q4_K_M", "Q4_0"):
            files[scheme] = folder / f"{scheme}.gguf"
            run(bin / "llama-quantize", "--allow-requantize", DEMO, files[scheme], scheme)
        for scheme in ("Q4_K_M", "Q4_0"):
            files[f"{scheme} unpacked"] = folder / f"{scheme}-unpacked.gguf"
            run(bin / "llama-quantize", "--allow-requantize", files[scheme], files[f"{scheme} unpacked"], "F32")
        for scheme, file in files.items():
            for context in (512, 128):
                [found] = figures_of([PERPLEXITY], bin / "llama-perplexity", "-m", file, "-c", context, "-b", context, *read)
                figures["perplexity"][f"{scheme} {context}"] = found
        base = folder / "base.kld"
        run(bin / "llama-perplexity", "-m", files["F32"], "-c", 512, "-b", 512, "--kl-divergence-base", base, *read)
        for scheme in ("Q4_K_M", "Q4_0", "Q4_K_M unpacked", "Q4_0 unpacked"):
            compare = ["--kl-divergence-base", base, "--kl-divergence", "-m", files[scheme], "-c", 512, "-b", 512, *EXACT]
            mean, top = figures_of([DIVERGENCE, SAME_TOP], bin / "llama-perplexity", *compare)
            figures["divergence"][scheme] = {"mean": mean, "same_top_percent": top}
        run(bin / "llama-imatrix", "-m", files["F32"], "-c", 512, "-b", 512, "--no-ppl", "-o", OUT / "imatrix.gguf", *read)
    (OUT / "figures.json").write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
