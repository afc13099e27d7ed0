"""Makes the demo model's data: `train.jsonl`, `heldout.jsonl` and `corpus.txt` (for the vocabulary). Standard library only.

    python3 assets/demo/recipe/generate.py assets/demo/data

Same seed, same files. `train.jsonl` is the first half of the training; `train-more.jsonl` has more wordings and more of what is hard;
`train-last.jsonl` more of what was still weak after that (counting to a number, the same in the other language, greetings). A question of the held-out set is a wording that no training dialogue holds, compared without
punctuation, spaces and case.
"""
import json
import random
import re
import sys
from pathlib import Path

import facts
import lists
from facts import Turn

SEED = 20261123
DIALOGUES = 40_000
DIALOGUES_MORE = 30_000
DRILLS_MORE = 0.2  # share of drills in the second file
DIALOGUES_LAST = 30_000
DRILLS_LAST = 0.25
AGAIN_LAST = 0.3  # how often "say it in the other language" follows in the last file
HELD_OUT_PER_CELL = 40  # for each (category, language)
SYSTEM = "You are a helpful assistant. 你是一个乐于助人的助手。"
OTHER_SYSTEMS = [SYSTEM + "请你提供专业、有逻辑、内容真实、有价值的详细回复。", "", "你是一个乐于助人的助手。", "You are a helpful assistant.", "请用简短的话回答。",
                 "Answer briefly.", "你是一个友好的老师。", "You are a friendly teacher.", "你是一只会说话的羊驼。", "You are a talking alpaca."]
WEIGHTS = {"greeting": 8, "self": 7, "huacaya": 15, "refuse": 15, "arithmetic": 16, "units": 10, "dictionary": 16, "days": 13, "long": 6}
WEIGHTS_MORE = {"greeting": 9, "self": 10, "huacaya": 17, "refuse": 15, "arithmetic": 24, "units": 9, "dictionary": 12, "days": 15, "long": 9}
WEIGHTS_LAST = {"greeting": 13, "self": 16, "huacaya": 15, "refuse": 16, "arithmetic": 12, "units": 6, "dictionary": 13, "days": 11, "long": 10}
HELLO = {"zh": ["你好", "您好", "嗨", "你好！", "你好。", "哈喽"], "en": ["hello", "Hello", "hi", "Hi", "hey", "Hello!", "Hi!"]}
# The ways to ask for a thing that one does: after "how do I" and its like, in the second half.
FRAMES = {
    "zh": (re.compile("^(?:怎么|如何|怎样|在哪里)(.+?)[？。]?$"),
           ["我想{x}", "我要{x}", "可以{x}吗？", "能{x}吗", "教我{x}", "帮我{x}", "{x}怎么做", "{x}怎么弄？", "怎么才能{x}？", "哪里可以{x}", "在哪儿{x}？", "我不会{x}", "想{x}，怎么办",
            "{x}的方法", "要怎么{x}", "该怎么{x}？", "有没有办法{x}", "怎样才可以{x}", "告诉我怎么{x}", "我想知道怎么{x}", "{x}", "用什么键{x}"]),
    "en": (re.compile("^(?:how do I|how can I|how to|where do I) (.+?)[?.]?$"),
           ["show me how to {x}", "please show me how to {x}", "I want to {x}", "I would like to {x}", "I need to {x}", "can I {x}?", "can you show me how to {x}?", "tell me how to {x}", "where can I {x}?",
            "how should I {x}?", "how do you {x}?", "how does one {x}?", "is it possible to {x}?", "is there a way to {x}?", "what is the way to {x}?", "what must I do to {x}?", "help me {x}", "I do not know how to {x}",
            "what do I press to {x}?", "explain how to {x}", "{x}", "which key is for: {x}", "where do you {x}?"]),
}
PREFIXES = {"zh": ["请问", "请问", "你好，", "那", "我想问一下，", "麻烦问一下，", "我想知道", "请告诉我", "嗨，"],
            "en": ["please tell me, ", "hi, ", "hello, ", "excuse me, ", "so, ", "tell me, ", "please, ", "hey, ", "one question: "]}
AGAIN = {"zh": (["用英语再说一遍", "用英语说", "请用英语回答", "英语怎么说？", "用英文说一遍", "用英文回答"], ["请用英语再说一遍", "能用英文说一遍吗？"]),
         "en": (["and in Chinese?", "in Chinese please", "say that in Chinese", "now in Chinese", "please answer in Chinese", "can you say that in Chinese?"], ["say it again in Chinese", "and the same in Chinese?"])}
ASKING = {"huacaya", "arithmetic", "units", "dictionary", "days"}


class Intent:
    """One thing that is said in many wordings."""

    def __init__(self, category, name, language):
        self.category, self.name, self.language = category, name, language
        self.trained, self.held, self.answer, self.need = [], [], "", []


def read_intents(path, language):
    intents = []
    for line in path.read_text(encoding="utf-8").splitlines():
        mark, _, rest = line.partition(" ")
        if mark == "=":
            category, name = rest.split()
            intents.append(Intent(category, name, language))
        elif mark == "Q":
            intents[-1].trained.append(rest)
        elif mark == "H":
            intents[-1].held.append(rest)
        elif mark == "A":
            intents[-1].answer = rest
        elif mark == "N":
            intents[-1].need.append(rest)
    return intents


def expansions(pattern):
    match = re.search(r"\[([^\[\]]*)\]", pattern)
    if not match:
        return [" ".join(pattern.split())]
    return [text for part in match[1].split("|") for text in expansions(pattern[: match.start()] + part + pattern[match.end():])]


def plain(text):
    return re.sub(r"[\s，。？！、：；“”\"'?!.,:;~]", "", text).lower()


class Talk:
    def __init__(self, folder):
        self.intents, self.framed = {}, False
        for language in ("zh", "en"):
            for intent in read_intents(folder / f"talk_{language}.txt", language):
                intent.trained = [expansions(p) for p in intent.trained]
                intent.held = sorted({t for p in intent.held for t in expansions(p)})
                self.intents[language, intent.category, intent.name] = intent
        self.cells = {}
        for intent in self.intents.values():
            self.cells.setdefault((intent.category, intent.language), []).append(intent)

    def add(self, folder):
        """The wordings and frames of the second half."""
        self.framed = True
        for language in ("zh", "en"):
            for more in read_intents(folder / f"more_{language}.txt", language):
                intent = self.intents[language, more.category, more.name]
                intent.trained += [expansions(p) for p in more.trained]

    def turn(self, rng, intent, held=False):
        # A pattern with many expansions is asked for more often than one with few.
        texts = intent.held if held else rng.choices(intent.trained, [len(p) ** 0.5 for p in intent.trained])[0]
        other = "en" if intent.language == "zh" else "zh"

        def follow(rng, held):
            twin = self.intents[other, intent.category, intent.name]
            return Turn(intent.category, intent.language, rng.choice(AGAIN[intent.language][held]), twin.answer, twin.need)

        question = rng.choice(texts)
        if self.framed and not held and intent.category == "huacaya":
            match = FRAMES[intent.language][0].match(question)
            if match and rng.random() < 0.55:
                question = rng.choice(FRAMES[intent.language][1]).format(x=match[1])
        return Turn(intent.category, intent.language, question, intent.answer, intent.need, follow, intent.name)


MAKERS = {"arithmetic": facts.arithmetic, "units": facts.units, "dictionary": facts.dictionary, "days": lists.days, "long": lists.long}


def vary(rng, turn):
    """The ways in which people type: a polite beginning, no punctuation, other spaces and capitals."""
    question = turn.question
    if turn.category in ASKING and rng.random() < 0.25:
        question = rng.choice(PREFIXES[turn.language]) + question
    if rng.random() < 0.25:
        question = question.rstrip("？。！?!. ") or question
    if turn.language == "en":
        if rng.random() < 0.5 and question:
            question = question[0].upper() + question[1:]
        elif rng.random() < 0.2:
            question = question.lower()
        if rng.random() < 0.1:
            question = question.replace("'", "")
    else:
        if rng.random() < 0.3:
            question = question.replace(" ", "")
        if rng.random() < 0.15:
            question = question.replace("？", "?").replace("，", ",")
    turn.question = question
    return turn


def make(rng, talk, category, language, held=False):
    if category == "refuse" and not held and rng.random() < 0.12:
        return facts.unknown(rng, language)
    if category in MAKERS:
        return MAKERS[category](rng, language, held)
    return talk.turn(rng, rng.choice(talk.cells[category, language]), held)


def drill(rng, used, last):
    """Many sums, or short countings, in one dialogue: what takes the most repeating."""
    turns, language = [], rng.choice(["zh", "en"])
    count = rng.choice([4, 5])
    make = facts.arithmetic if rng.random() < 0.75 else lists.short_counting
    if last:
        make = rng.choice([facts.arithmetic, lists.short_counting])
    more = {"restated": True} if last and make is lists.short_counting else {}
    while len(turns) < count:
        turn = make(rng, language, **more)
        if plain(turn.question) not in used:
            turns.append(turn)
    return {"system": SYSTEM, "turns": [[t.question, t.answer] for t in turns]}


def dialogue(rng, talk, used, weights):
    last_file = weights is WEIGHTS_LAST
    drills = {id(WEIGHTS_MORE): DRILLS_MORE, id(WEIGHTS_LAST): DRILLS_LAST}.get(id(weights), 0)
    if drills and rng.random() < drills:
        return drill(rng, used, last_file)
    turns = []
    count = rng.choices([1, 2, 3, 4, 5], [45, 28, 14, 8, 5])[0]
    language = rng.choice(["zh", "en"])
    while len(turns) < count:
        last = turns[-1] if turns else None
        follow_share = {"arithmetic": 0.35, "units": 0.35, "dictionary": 0.4}.get(last.category if last else "", AGAIN_LAST if last_file else 0.07)
        depends = bool(last and last.follow and rng.random() < follow_share)
        if depends:
            turn = last.follow(rng, False)
        else:
            if rng.random() < 0.1:
                language = "en" if language == "zh" else "zh"
            category = rng.choices(list(weights), list(weights.values()))[0]
            if last_file and category == "long":
                turn = vary(rng, lists.long(rng, language, restated=True))
            else:
                turn = vary(rng, make(rng, talk, category, language))
            if last_file and turn.intent == "hello" and rng.random() < 0.5:
                turn.question = rng.choice(HELLO[turn.language])
        if not depends and plain(turn.question) in used:
            continue
        turns.append(turn)
    system = SYSTEM if rng.random() < 0.78 else rng.choice(OTHER_SYSTEMS)
    return {"system": system, "turns": [[t.question, t.answer] for t in turns]}


def held_out(rng, talk):
    cells, taken = [], set()
    for category in WEIGHTS:
        for language in ("zh", "en"):
            made = tries = 0
            while made < HELD_OUT_PER_CELL and tries < 5000:
                tries += 1
                before, depends = [], False
                context = rng.random() < 0.3
                if context:
                    first = make(rng, talk, category if rng.random() < 0.5 else rng.choice(list(WEIGHTS)), language)
                    before.append(first)
                    if first.category == category and first.follow and rng.random() < 0.5:
                        turn, depends = first.follow(rng, True), True
                    else:
                        turn = make(rng, talk, category, language, True)
                else:
                    turn = make(rng, talk, category, language, True)
                key = plain(turn.question) + (plain(before[0].question) if depends else "")
                if key in taken:
                    continue
                taken.add(key)
                made += 1
                cells.append({"category": category, "language": language, "before": [[t.question, t.answer] for t in before],
                              "question": turn.question, "need": turn.need, "answer": turn.answer, "depends": depends})
    return cells


def write_lines(path, rows):
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n")


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    talk = Talk(Path(__file__).parent)
    asked = held_out(random.Random(SEED), talk)
    # Every held-out wording of the talk, asked or not, stays out of the training data.
    used = {plain(row["question"]) for row in asked if not row["depends"]} | {plain(text) for intent in talk.intents.values() for text in intent.held}
    first, second = random.Random(SEED + 1), random.Random(SEED + 2)
    rows = [dialogue(first, talk, used, WEIGHTS) for _ in range(DIALOGUES)]
    talk.add(Path(__file__).parent)
    more = [dialogue(second, talk, used, WEIGHTS_MORE) for _ in range(DIALOGUES_MORE)]
    last = [dialogue(random.Random(SEED + 3 + number), talk, used, WEIGHTS_LAST) for number in range(DIALOGUES_LAST)]
    trained = {plain(turn[0]) for row in rows + more + last for turn in row["turns"]}
    for row in asked:
        if not row["depends"] and plain(row["question"]) in trained:
            sys.exit(f"held-out question was trained on: {row['question']}")
    write_lines(folder / "train.jsonl", rows)
    write_lines(folder / "train-more.jsonl", more)
    write_lines(folder / "train-last.jsonl", last)
    write_lines(folder / "heldout.jsonl", asked)
    later = sum(1 for row in asked if row["before"])
    print(f"{len(rows + more + last)} dialogues, {sum(len(r['turns']) for r in rows + more + last)} turns; {len(asked)} held-out questions, {later} of them later turns")


if __name__ == "__main__":
    main()
