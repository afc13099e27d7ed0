"""Golden data of the tokenizers: a corpus of our own, two small SentencePiece models, one small byte-level model, and what
sentencepiece and tokenizers make of every line.

Run by `cargo xtask golden tokenizer`. With ../shared/reference/tokenizer.model beside the checkout, the ids of the real
55,296-piece vocabulary are written too. Writes to crates/engine/tests/text/.
"""

import io
import json
import random
import struct
from pathlib import Path

import sentencepiece
import tokenizers
from sentencepiece import sentencepiece_model_pb2 as model_pb2

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "crates/engine/tests/text"
REAL = ROOT.parent / "shared/reference/tokenizer.model"
random.seed(20)

CHINESE = """
你好，请问今天天气怎么样？|我想学习如何做一道红烧肉，请写出详细的步骤。|人工智能正在改变我们的生活方式和工作方式。
请把下面这段话翻译成英文，并解释其中的成语。|北京是中华人民共和国的首都，有三千多年的建城史。|床前明月光，疑是地上霜。举头望明月，低头思故乡。
羊驼是一种温顺的动物，主要生活在南美洲的安第斯山脉。|这个函数的时间复杂度是多少？能不能优化一下？|他说：“明天下午三点，我们在图书馆门口见。”
如何提高睡眠质量？请从饮食、运动、心理三个方面回答。|《红楼梦》的作者是曹雪芹，后四十回一般认为是高鹗续写的。|价格：￥１２３．４５（含税），折扣后为 99 元。
大规模语言模型的参数量通常在数十亿到数千亿之间。|对不起，我不知道这个问题的答案。|請問您可以說繁體中文嗎？謝謝您的幫忙。
量化可以减小模型体积，但会带来一定的精度损失。|今年的国内生产总值同比增长百分之五点二。|从前有座山，山里有座庙，庙里有个老和尚在讲故事。
水的化学式是H₂O，二氧化碳是CO₂。|请用Python写一个快速排序，并加上注释。|中文 English 混排 text 的时候，空格 怎么 处理？
患者主诉头痛三天，伴有发热，体温最高三十八度五。|根据《中华人民共和国合同法》第五十二条的规定，该合同无效。|股票市场今日大幅震荡，上证指数收于三千点下方。
""".replace("\n", "|").split("|")
CHINESE = [line for line in CHINESE if line]
WORDS = """人工 智能 模型 学习 中国 北京 上海 大学 研究 发展 经济 社会 文化 历史 科学 技术 计算机 数据 网络 安全 系统 分析 问题 方法 结果 我们 他们 你们
可以 应该 因为 所以 但是 如果 虽然 已经 正在 进行 实现 提供 使用 需要 支持 服务 用户 信息 管理 企业 公司 市场 产品 设计 开发 测试 语言 中文 英文 翻译 回答
天气 春天 夏天 秋天 冬天 早上 晚上 吃饭 喝茶 电影 音乐 小说 故事 朋友 家人 老师 学生 孩子 医生 医院 健康 运动 足球 篮球 旅游 飞机 火车 汽车 手机 电脑
的 了 是 在 和 与 不 也 很 都 就 还 把 被 从 到 对 为 上 下 中 大 小 多 少 一 二 三 十 百 千 万 亿 ， 。 ？ ！ 、 ； ： “ ” （ ） 《 》 …… ——""".split()
ENGLISH = """
The quick brown fox jumps over the lazy dog.|Hello, world! How are you today?|Large language models predict the next token.
Please summarise the following paragraph in one sentence.|It's a well-known fact that you'd rather not say: don't, won't, can't.
Quantization reduces the size of a model; 4-bit weights need 0.5 bytes each.|"To be, or not to be," he said, "that is the question."
In 2023, Llama 2 was released with 7B, 13B and 70B parameters.|internationalization antidisestablishmentarianism floccinaucinihilipilification
Visit https://example.org/path?query=1&other=%E4%BD%A0#fragment or write to someone@example.org.|naïve café façade Über straße Ångström
ALL CAPS TEXT AND camelCaseIdentifiers and snake_case_names|3.14159 2.71828 1,000,000 0x1F600 1e-5 -273.15|a b c d e f g h i j k l m n o p q r s t u v w x y z
""".replace("\n", "|").split("|")
ENGLISH = [line for line in ENGLISH if line]
CODE = [
    "def quick_sort(values: list[int]) -> list[int]:\n    if len(values) < 2:\n        return values\n",
    "for (int i = 0; i < n; ++i) { sum += a[i] * b[i]; }",
    "fn main() {\n\tprintln!(\"你好, {}!\", name);\n}",
    "SELECT id, 名称 FROM models WHERE size > 1024 ORDER BY name;",
    "<div class=\"box\"><p>段落</p></div>",
    "{\"key\": [1, 2.5, null, true], \"中文键\": \"值\"}",
    "$ git commit -m 'Fix the thing' && git push --force",
    "\\begin{equation} E = mc^2 \\end{equation}  $\\frac{1}{2}$",
    "#include <stdio.h>\r\nint main(void) { return 0; }\r\n",
    "if x != y and (a <= b or c >= d): x //= 2  # 注释",
    "| 列一 | 列二 |\n|---|---:|\n| 1 | 2 |\n",
    "    four spaces\n        eight spaces\n\ttab\n\n\n\nend",
]
EMOJI = ["😀", "👍🏽", "👨‍👩‍👧‍👦", "🇨🇳", "🏳️‍🌈", "🦙", "❤️", "1️⃣", "🤖🔥✨", "👩🏻‍💻", "☕️", "🀄"]
SCRIPTS = ["Привет, мир", "こんにちは、世界", "カタカナ テスト", "안녕하세요 세계", "مرحبا بالعالم", "שלום עולם", "नमस्ते दुनिया", "สวัสดีชาวโลก", "Γειά σου Κόσμε",
           "ქართული", "Việt Nam", "བོད་ཡིག", "ᠮᠣᠩᠭᠣᠯ", "𝕳𝖊𝖑𝖑𝖔", "ﬁ ﬂ Ⅷ ① ㊗ ㌔", "e\u0301 a\u0308 (combining)"]
RARE = ["𠮷野家", "𪚥𪚥", "㐀㐁㐂", "龘靐齉", "𬺈𰻝", "〇", "⿰亻木", "䲜䴉", "\ue000\uf8ff", "\U0010ffff\ufffe", "\u200b\u200d\ufeff", "\x00\x01\x7f", "\u2028\u2029\x85", "▁▁下划线▁", "�"]
MARKS = ["[INST] 你好 [/INST]", "</s>", "<s>", "<unk>", "<<SYS>>\nx\n<</SYS>>", "<|im_start|>system\n你好<|im_end|>", "<|eot_id|>", "<0x0A>", "<pad>", "<think>嗯</think>", "华驼华驼", "Huacaya 华驼说："]
SPACES = ["", " ", "  ", "   x", "x   ", " a  b   c    d     e", "\t\t", "\n\n\n", " \n \n ", "　　全角空格", "\u00a0nbsp", "end with space ", "\r\n", "a\n", "\na", "    ", "        ", "x" + " " * 40 + "y"]


def common_characters():
    """The 3,755 most used characters: the first level of GB 2312."""
    codes = (bytes([high, low]) for high in range(0xB0, 0xD8) for low in range(0xA1, 0xFF))
    return [text for text in (code.decode("gb2312", "ignore") for code in codes) if text]


def corpus():
    common = common_characters()
    parts = [CHINESE, ENGLISH, CODE, EMOJI, SCRIPTS, RARE, MARKS, SPACES]
    lines = [line for part in parts for line in part]
    anything = [item for part in parts for item in part]
    while len(lines) < 700:
        lines.append("".join(random.choices(WORDS, k=random.randint(2, 30))))
    while len(lines) < 1000:
        lines.append("".join(random.choices(common, k=random.randint(1, 30))))
    while len(lines) < 1200:
        lines.append("".join(chr(random.randint(0x3400, 0x9FFF)) for _ in range(random.randint(1, 15))))
    while len(lines) < 1300:
        lines.append("".join(chr(random.choice([*range(0x20, 0x7F)])) for _ in range(random.randint(1, 60))))
    while len(lines) < 1400:
        code = (random.randint(0x80, 0x2FFFF) for _ in range(random.randint(1, 12)))
        lines.append("".join(chr(c) for c in code if not 0xD800 <= c < 0xE000))
    while len(lines) < 1800:
        words = " ".join(ENGLISH).split() + WORDS
        lines.append(random.choice(["", " ", "  "]).join(random.choices(words, k=random.randint(3, 25))))
    while len(lines) < 2300:
        lines.append(random.choice(["", " ", "，", "\n"]).join(random.choices(anything, k=random.randint(2, 4))))
    lines += [character * count for character in "啊a哈=-。 😀\n0" for count in (2, 3, 5, 8, 17, 64)]
    lines += ["哈哈哈呵呵" * 40, "ab" * 100, "的一是在不了有和人这中大为上个国我以要他" * 5]
    return lines


def digest(ids):
    """FNV-1a over the ids as little-endian 32-bit numbers."""
    value = 0xCBF29CE484222325
    for byte in b"".join(struct.pack("<I", i) for i in ids):
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return f"{value:016x}"


def write_golden(name, lines, encode):
    """One line each: count of ids, their digest, and for every twelfth line the ids."""
    with open(OUT / name, "w") as file:
        for number, line in enumerate(lines):
            ids = encode(line)
            words = [str(len(ids)), digest(ids)] + ([str(i) for i in ids] if number % 12 == 0 else [])
            file.write(" ".join(words) + "\n")


def train(lines, **options):
    model = io.BytesIO()
    sentences = CHINESE + ENGLISH + CODE + SPACES + ["华驼 <ctl>"] + lines[450:700]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(sentences), model_writer=model, model_type="bpe", normalization_rule_name="identity", num_threads=1,
        minloglevel=2, **options)
    return model.getvalue()


def small_models(lines):
    """One in the family's manner, with user-defined and unused pieces; one without bytes and with white space taken out."""
    family = train(lines, vocab_size=1500, character_coverage=0.99, byte_fallback=True, remove_extra_whitespaces=False,
                   user_defined_symbols=["华驼", "    "], control_symbols=["<ctl>"], pad_id=3, allow_whitespace_only_pieces=True)
    proto = model_pb2.ModelProto.FromString(family)
    normal = [piece for piece in proto.pieces if piece.type == model_pb2.ModelProto.SentencePiece.NORMAL]
    for piece in random.sample([piece for piece in normal if len(piece.piece) > 1], 25):
        piece.type = model_pb2.ModelProto.SentencePiece.UNUSED
    for piece in random.sample(normal, 200):
        piece.score = 0.0
    # What no reader here needs: how it was trained.
    proto.trainer_spec.ClearField("input")
    for name, data in [("family", proto.SerializeToString()),
                       ("plain", train(lines, vocab_size=1200, character_coverage=0.98, remove_extra_whitespaces=True))]:
        (OUT / f"{name}.model").write_bytes(data)
        write_golden(f"{name}.ids", lines, sentencepiece.SentencePieceProcessor(model_proto=data).encode)


LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def byte_level(lines):
    """In the manner of Llama 3: a pattern, bytes, added tokens. The ids are those of text: without the added tokens."""
    pre = tokenizers.pre_tokenizers
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre.Sequence([
        pre.Split(tokenizers.Regex(LLAMA3), "isolated"), pre.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=900, initial_alphabet=pre.ByteLevel.alphabet(), show_progress=False, special_tokens=[])
    tokenizer.train_from_iterator(lines, trainer)
    write_golden("byte-level.ids", lines, lambda line: tokenizer.encode(line, add_special_tokens=False).ids)
    special = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|im_start|>", "<|im_end|>", "<s>", "</s>", "[INST]", "[/INST]"]
    tokenizer.add_special_tokens(special)
    tokenizer.add_tokens(["<think>", "</think>"])
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", tokenizer.token_to_id("<|begin_of_text|>"))])
    (OUT / "byte-level.json").write_text(tokenizer.to_str())


if __name__ == "__main__":
    OUT.mkdir(exist_ok=True)
    lines = corpus()
    (OUT / "corpus.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    small_models(lines)
    byte_level(lines)
    if REAL.exists():
        write_golden("real.ids", lines, sentencepiece.SentencePieceProcessor(model_file=str(REAL)).encode)
    print(len(lines), "lines")
