"""Makes the demo model's vocabulary with sentencepiece (0.2.x), in the conventions of Llama's: bytes, digits apart, dummy prefix.

    python assets/demo/recipe/vocabulary.py assets/demo/data/train.jsonl assets/demo/tokenizer.model
"""
import collections
import io
import json
import sys

import sentencepiece

PIECES = 2816
SEEN_MIN = 5  # a text with a character that stands in fewer texts is left out: such characters are spelled in bytes
# The words of the template, as often as it takes for them to become pieces.
TEMPLATE = ["[INST] <<SYS>>", "<</SYS>>", "[/INST]"] * 400
# Each question counts once (the vocabulary learns from wordings, not from how often they are asked), answers more.
ANSWER_TIMES = 5
SYSTEM_TIMES = 100


def main():
    source, target = sys.argv[1:]
    questions, answers, systems = {}, {}, {}
    for line in open(source, encoding="utf-8"):
        row = json.loads(line)
        systems[row["system"]] = None
        for question, answer in row["turns"]:
            questions[question] = answers[answer] = None
    texts = [*questions, *(list(answers) * ANSWER_TIMES), *(list(systems) * SYSTEM_TIMES)]
    lines = [part for text in texts for part in text.split("\n") if part] + TEMPLATE
    seen = collections.Counter(character for text in questions for character in set(text)) + collections.Counter("".join(answers) * SEEN_MIN)
    lines = [line for line in lines if all(seen[character] >= SEEN_MIN for character in line) or line in TEMPLATE]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, model_type="bpe", vocab_size=PIECES, byte_fallback=True, split_digits=True, add_dummy_prefix=True,
        normalization_rule_name="identity", remove_extra_whitespaces=False, allow_whitespace_only_pieces=True, character_coverage=1.0, max_sentencepiece_length=10,
        unk_id=0, bos_id=1, eos_id=2, pad_id=-1, num_threads=1, minloglevel=2)
    with open(target, "wb") as file:
        file.write(model.getvalue())


if __name__ == "__main__":
    main()
