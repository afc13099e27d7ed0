"""The demo model's facts and the wordings that ask for them: sums, units, words, days and numbers, long answers.

Every function takes a random generator and `held` (a wording of the held-out set) and answers a Turn.
"""
from dataclasses import dataclass, field


@dataclass
class Turn:
    category: str
    language: str
    question: str
    answer: str
    need: list = field(default_factory=list)  # each entry: alternatives parted by "|"
    follow: object = None  # function (rng, held) -> Turn that depends on this turn
    intent: str = ""


DIGITS_ZH = "零一二三四五六七八九十"
ONES_EN = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
           "seventeen eighteen nineteen twenty").split()
TENS_EN = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()


def number_zh(n):
    if n <= 10:
        return DIGITS_ZH[n]
    if n == 100:
        return "一百"
    tens, ones = divmod(n, 10)
    return ("" if tens == 1 else DIGITS_ZH[tens]) + "十" + (DIGITS_ZH[ones] if ones else "")


def number_en(n):
    if n <= 20:
        return ONES_EN[n]
    if n == 100:
        return "one hundred"
    tens, ones = divmod(n, 10)
    return TENS_EN[tens] + ("-" + ONES_EN[ones] if ones else "")


# ---------------------------------------------------------------- arithmetic

SYMBOLS = {"+": ("+",), "-": ("-",), "x": ("×", "*", "x"), "/": ("÷", "/")}
SHOWN = {"+": "+", "-": "-", "x": "×", "/": "÷"}
WORDS_ZH = {"+": ("加", "加上"), "-": ("减", "减去"), "x": ("乘", "乘以"), "/": ("除以",)}
WORDS_EN = {"+": ("plus", "and"), "-": ("minus",), "x": ("times", "multiplied by"), "/": ("divided by",)}
SUM_ZH = ["{s}=?", "{s}=", "{s}等于几", "{s}等于几？", "{s}等于多少", "{s}等于多少？", "{s}是多少", "{s}是几？", "计算{s}", "算一下{s}",
          "{s}得多少", "{s}得几？", "{s}的结果是多少", "请计算{s}", "帮我算{s}", "你知道{s}等于几吗", "{s}", "{s}结果是什么？", "请问{s}等于几"]
SUM_ZH_HELD = ["请帮我算一下{s}", "请问{s}得多少？", "你好，{s}等于多少？", "{s}的答案是多少？", "我想知道{s}等于几", "请告诉我{s}等于多少", "你能算{s}吗？",
               "算算{s}是多少", "{s}等于几呢？", "那{s}的结果是几"]
SUM_EN = ["{s}=?", "{s} =", "what is {s}?", "what is {s}", "what's {s}?", "how much is {s}?", "how much is {s}", "calculate {s}", "compute {s}",
          "{s} is what?", "{s} equals what?", "tell me {s}", "can you compute {s}?", "work out {s}", "what does {s} make?", "{s}",
          "what is the result of {s}?", "please calculate {s}", "{s} makes how much"]
SUM_EN_HELD = ["please compute {s}", "hello, what is {s}?", "can you tell me what {s} is?", "what does {s} equal?", "I want to know {s}",
               "do you know what {s} is?", "could you calculate {s}?", "please tell me how much {s} is", "what is the answer to {s}?", "so how much is {s}"]


def operands(rng):
    kind = rng.choice(["+", "+", "+", "-", "-", "-", "x", "x", "/"])
    if kind == "+":
        a = rng.randint(0, 20)
        return kind, a, rng.randint(0, 20 - a)
    if kind == "-":
        a = rng.randint(0, 20)
        return kind, a, rng.randint(0, a)
    a, b = rng.randint(1, 10), rng.randint(1, 10)
    return (kind, a, b) if kind == "x" else (kind, a * b, b)


def result(kind, a, b):
    return {"+": a + b, "-": a - b, "x": a * b, "/": a // max(b, 1)}[kind]


def arithmetic(rng, language, held=False, given=None):
    kind, a, b = given or operands(rng)
    value = result(kind, a, b)
    zh = language == "zh"
    form = rng.random()
    if zh and form < 0.12 and max(a, b) <= 10:
        s = number_zh(a) + rng.choice(WORDS_ZH[kind]) + number_zh(b)
    elif form < 0.5:
        space = rng.choice(["", " "])
        s = f"{a}{space}{rng.choice(SYMBOLS[kind])}{space}{b}"
    elif zh:
        space = rng.choice(["", " "])
        s = f"{a}{space}{rng.choice(WORDS_ZH[kind])}{space}{b}"
        s = (" " + s) if space else s
    elif form < 0.62 and max(a, b) <= 20:
        s = f"{number_en(a)} {rng.choice(WORDS_EN[kind])} {number_en(b)}"
    else:
        s = f"{a} {rng.choice(WORDS_EN[kind])} {b}"
    wordings = (SUM_ZH_HELD if held else SUM_ZH) if zh else (SUM_EN_HELD if held else SUM_EN)
    question = rng.choice(wordings).format(s=s).strip()
    answer = f"{a} {SHOWN[kind]} {b} = {value}" + ("。" if zh else ".")

    def follow(rng, held):
        if value <= 15 and rng.random() < 0.5:
            k = rng.randint(1, 20 - value if value >= 10 else 9)
            zh_q = ["那再加 {k} 呢？", "再加上{k}等于多少？"] if held else ["再加 {k} 呢？", "再加{k}呢", "再加 {k} 等于几？", "再加上 {k} 呢？", "再加 {k} 是多少"]
            en_q = ["then add {k}", "and what if I add {k}?"] if held else ["and plus {k}?", "now add {k}", "plus {k}?", "add {k} to that", "and {k} more?"]
            return Turn("arithmetic", language, rng.choice(zh_q if zh else en_q).format(k=k), f"{value} + {k} = {value + k}" + ("。" if zh else "."), [f"= {value + k}" + ("。" if zh else ".")])
        kind2, a2, b2 = operands(rng)
        s2 = f"{a2} {SHOWN[kind2]} {b2}"
        zh_q = ["那么 {s} 呢？", "那 {s} 等于多少呢？"] if held else ["那 {s} 呢？", "{s} 呢？", "那{s}呢", "那 {s} 等于几"]
        en_q = ["how about {s}?", "then what is {s}?"] if held else ["and {s}?", "what about {s}?", "and what is {s}?", "now {s}"]
        return Turn("arithmetic", language, rng.choice(zh_q if zh else en_q).format(s=s2), f"{s2} = {result(kind2, a2, b2)}" + ("。" if zh else "."),
                    [f"= {result(kind2, a2, b2)}" + ("。" if zh else ".")])

    return Turn("arithmetic", language, question, answer, [answer[answer.index("="):]], follow)


# ---------------------------------------------------------------- units

# (Chinese big, English one, English many, Chinese small, English small, factor, numbers asked)
UNITS = [
    ("千米", "kilometer", "kilometers", "米", "meters", 1000, range(1, 11)), ("公里", "km", "km", "米", "m", 1000, range(1, 11)),
    ("米", "meter", "meters", "厘米", "centimeters", 100, range(1, 11)), ("厘米", "centimeter", "centimeters", "毫米", "millimeters", 10, range(1, 11)),
    ("千克", "kilogram", "kilograms", "克", "grams", 1000, range(1, 11)), ("公斤", "kg", "kg", "斤", "g", None, range(1, 11)),
    ("吨", "ton", "tons", "千克", "kilograms", 1000, range(1, 11)), ("升", "liter", "liters", "毫升", "milliliters", 1000, range(1, 11)),
    ("小时", "hour", "hours", "分钟", "minutes", 60, range(1, 11)), ("分钟", "minute", "minutes", "秒", "seconds", 60, range(1, 11)),
    ("天", "day", "days", "小时", "hours", 24, range(1, 6)), ("星期", "week", "weeks", "天", "days", 7, range(1, 11)),
    ("年", "year", "years", "个月", "months", 12, range(1, 11)), ("元", "dollar", "dollars", "角", "cents", None, range(1, 11)),
    ("英尺", "foot", "feet", "英寸", "inches", 12, range(1, 11)), ("打", "dozen", "dozen", "个", "pieces", 12, range(1, 6)),
]
FACTORS = {"公斤": (2, 1000), "元": (10, 100)}  # Chinese and English ask for different small units
UNIT_ZH = ["{n} {b}等于多少{s}", "{n} {b}等于多少{s}？", "{n} {b}是多少{s}？", "{n} {b}有多少{s}？", "把 {n} {b}换算成{s}", "{n} {b}换算成{s}是多少？",
           "{n} {b}等于几{s}？", "{n} {b}是几{s}", "{n} {b}有几{s}？", "换算：{n} {b}等于多少{s}", "{n} {b}=?{s}", "{n} {b}合多少{s}", "多少{s}等于 {n} {b}？",
           "帮我把 {n} {b}换算成{s}"]
UNIT_ZH_HELD = ["请问 {n} {b}等于多少{s}？", "你知道 {n} {b}是多少{s}吗？", "请把 {n} {b}换算成{s}", "{n} {b}换成{s}是多少？", "我想知道 {n} {b}有多少{s}",
                "你好，{n} {b}等于多少{s}？", "{n} {b}一共有多少{s}？", "请告诉我 {n} {b}是几{s}", "请问 {n} {b}合多少{s}？"]
UNIT_EN = ["how many {s} are in {n} {b}?", "how many {s} is {n} {b}?", "{n} {b} in {s}", "{n} {b} in {s}?", "convert {n} {b} to {s}", "what is {n} {b} in {s}?",
           "{n} {b} is how many {s}?", "{n} {b} equals how many {s}", "how many {s} in {n} {b}", "{n} {b} to {s}", "change {n} {b} into {s}",
           "how many {s} do {n} {b} have?", "{n} {b} = ? {s}", "express {n} {b} in {s}"]
UNIT_EN_HELD = ["please convert {n} {b} to {s}", "can you convert {n} {b} into {s}?", "hello, how many {s} are in {n} {b}?", "tell me how many {s} are in {n} {b}",
                "what are {n} {b} in {s}?", "do you know how many {s} {n} {b} are?", "how many {s} are there in {n} {b}?", "I want to know {n} {b} in {s}"]


def unit_answer(unit, n, zh):
    big_zh, one, many, small_zh, small, factor, _ = unit
    factor = factor or FACTORS[big_zh][0 if zh else 1]
    big = one if n == 1 else many
    return (f"{n} {big_zh}等于 {n * factor} {small_zh}。", [f"于 {n * factor} {small_zh}"]) if zh else (f"{n} {big} = {n * factor} {small}.", [f"= {n * factor} {small}"])


def units(rng, language, held=False):
    zh = language == "zh"
    unit = rng.choice(UNITS)
    n = rng.choice(unit[6])
    big = unit[0] if zh else (unit[1] if n == 1 else unit[2])
    shown = number_zh(n) if zh and rng.random() < 0.12 else (number_en(n) if not zh and rng.random() < 0.12 else str(n))
    wordings = (UNIT_ZH_HELD if held else UNIT_ZH) if zh else (UNIT_EN_HELD if held else UNIT_EN)
    question = rng.choice(wordings).format(n=shown, b=big, s=unit[3] if zh else unit[4])
    answer, need = unit_answer(unit, n, zh)

    def follow(rng, held):
        m = rng.choice(unit[6])
        other = unit[0] if zh else (unit[1] if m == 1 else unit[2])
        zh_q = ["那么 {n} {b}呢？"] if held else ["那 {n} {b}呢？", "{n} {b}呢？", "那{n}{b}呢", "那 {n} {b}是多少？"]
        en_q = ["how about {n} {b}?"] if held else ["and {n} {b}?", "what about {n} {b}?", "{n} {b}?", "and for {n} {b}?"]
        answer, need = unit_answer(unit, m, zh)
        return Turn("units", language, rng.choice(zh_q if zh else en_q).format(n=m, b=other), answer, need)

    return Turn("units", language, question, answer, need, follow)


# ---------------------------------------------------------------- dictionary

WORDS = [pair.split() for pair in """苹果 apple;香蕉 banana;橙子 orange;葡萄 grape;西瓜 watermelon;桃子 peach;梨 pear;草莓 strawberry;柠檬 lemon;米饭 rice;面包 bread;牛奶 milk;水 water;茶 tea;咖啡 coffee;
鸡蛋 egg;肉 meat;鱼 fish;面条 noodles;蛋糕 cake;糖 sugar;盐 salt;汤 soup;蔬菜 vegetable;水果 fruit;猫 cat;狗 dog;鸟 bird;马 horse;牛 cow;羊 sheep;猪 pig;鸡 chicken;鸭子 duck;
兔子 rabbit;老虎 tiger;狮子 lion;大象 elephant;猴子 monkey;熊 bear;熊猫 panda;羊驼 alpaca;蛇 snake;老鼠 mouse;狼 wolf;青蛙 frog;蜜蜂 bee;蝴蝶 butterfly;太阳 sun;月亮 moon;星星 star;天空 sky;
云 cloud;雨 rain;雪 snow;风 wind;山 mountain;河 river;海 sea;湖 lake;树 tree;花 flower;草 grass;森林 forest;火 fire;石头 stone;春天 spring;夏天 summer;秋天 autumn;冬天 winter;
书 book;笔 pen;纸 paper;桌子 table;椅子 chair;门 door;窗户 window;房子 house;房间 room;床 bed;灯 lamp;钟 clock;电脑 computer;手机 phone;电视 television;相机 camera;钥匙 key;
杯子 cup;刀 knife;碗 bowl;盘子 plate;衣服 clothes;鞋子 shoes;帽子 hat;包 bag;伞 umbrella;汽车 car;公共汽车 bus;火车 train;飞机 plane;船 ship;自行车 bicycle;路 road;桥 bridge;
学校 school;老师 teacher;学生 student;医生 doctor;护士 nurse;司机 driver;朋友 friend;父亲 father;母亲 mother;哥哥 brother;姐姐 sister;孩子 child;男孩 boy;女孩 girl;人 person;国家 country;
城市 city;村庄 village;商店 shop;医院 hospital;银行 bank;公园 park;图书馆 library;电影 movie;音乐 music;歌 song;游戏 game;工作 work;钱 money;时间 time;名字 name;语言 language;世界 world;
头 head;手 hand;脚 foot;眼睛 eye;耳朵 ear;嘴 mouth;鼻子 nose;心 heart;红色 red;蓝色 blue;绿色 green;黄色 yellow;黑色 black;白色 white;大 big;小 small;好 good;坏 bad;新 new;旧 old;
快 fast;慢 slow;热 hot;冷 cold;高 tall;美丽 beautiful;快乐 happy;早上 morning;晚上 evening;今天 today;明天 tomorrow;昨天 yesterday;爱 love;跑 run;走 walk;吃 eat;喝 drink;睡觉 sleep;
读 read;写 write;看 look;听 listen;说 speak;学习 study;帮助 help;买 buy;打开 open;关闭 close""".replace("\n", "").split(";")]
# The four kinds: (asked in, direction). English asked for in Chinese, Chinese for English in Chinese, and so in English.
DICT_ZH_TO_EN = ["{w}用英语怎么说", "{w}用英语怎么说？", "{w}的英文是什么？", "{w}的英语是什么", "{w}英语怎么说？", "“{w}”用英文怎么说？", "{w}的英文单词是什么", "把{w}翻译成英语", "把“{w}”翻译成英文",
                 "{w}怎么翻译成英语？", "翻译成英文：{w}", "{w}用英文怎么写", "英语里{w}怎么说？", "{w}英文怎么说", "英文的{w}是什么？", "{w}的英文"]
DICT_ZH_TO_EN_HELD = ["请问{w}用英语怎么说？", "你知道{w}的英文是什么吗？", "请把{w}翻译成英文", "{w}翻译成英语是什么？", "“{w}”的英语怎么说？", "我想知道{w}用英语怎么说", "请告诉我{w}的英文单词",
                      "你好，{w}的英语是什么？", "英文里“{w}”怎么说？"]
DICT_EN_TO_ZH = ["{w} 是什么意思", "{w} 是什么意思？", "{w} 的中文是什么？", "{w} 用中文怎么说", "{w}用中文怎么说？", "{w} 中文怎么说？", "把 {w} 翻译成中文", "翻译成中文：{w}", "单词 {w} 是什么意思？",
                 "英语单词 {w} 的意思是什么", "{w} 怎么翻译？", "{w}什么意思", "“{w}”是什么意思？", "{w} 的意思", "{w} 翻译成中文是什么？"]
DICT_EN_TO_ZH_HELD = ["请问 {w} 是什么意思？", "你知道 {w} 的中文是什么吗？", "请把 {w} 翻译成中文", "英文 {w} 是什么意思？", "“{w}”用中文怎么说？", "我想知道 {w} 是什么意思", "请告诉我 {w} 的中文意思", "单词 {w} 的中文是什么？"]
DICT_EN_ASK_ZH = ["what is {w} in Chinese?", "what is {w} in Chinese", "how do you say {w} in Chinese?", "how do I say {w} in Chinese?", "translate {w} to Chinese", "translate {w} into Chinese",
                  "the Chinese word for {w}", "what is the Chinese word for {w}?", "{w} in Chinese", "{w} in Chinese?", "how to say {w} in Chinese", "say {w} in Chinese", 'what is "{w}" in Chinese?',
                  "Chinese for {w}?", "what do you call {w} in Chinese?"]
DICT_EN_ASK_ZH_HELD = ["please translate {w} into Chinese", "can you translate {w} to Chinese?", "what's {w} in Chinese?", "hello, what is {w} in Chinese?", "tell me the Chinese word for {w}",
                       "do you know the Chinese word for {w}?", 'how do you say "{w}" in Chinese?', "I want to say {w} in Chinese"]
DICT_EN_ASK_EN = ["what does {w} mean?", "what does {w} mean", "what is {w} in English?", "how do you say {w} in English?", "translate {w} to English", "translate {w} into English", "the English word for {w}",
                  "what is the English word for {w}?", "{w} in English", "{w} in English?", "what does the Chinese word {w} mean?", "meaning of {w}", "what is the meaning of {w}?", 'what does "{w}" mean?', "English for {w}?"]
DICT_EN_ASK_EN_HELD = ["please translate {w} into English", "can you translate {w} to English?", "what's {w} in English?", "do you know what {w} means?", "tell me the meaning of {w}", "tell me the English word for {w}",
                       "hello, what does {w} mean?", 'what is "{w}" in English?']


def word_answer(zh_word, en_word, language, to_english):
    if language == "zh":
        return (f"“{zh_word}”的英文是 {en_word}。", [en_word]) if to_english else (f"{en_word} 的意思是“{zh_word}”。", [zh_word])
    return (f'"{zh_word}" means {en_word}.', [en_word]) if to_english else (f'"{en_word}" in Chinese is {zh_word}.', [zh_word])


# Common characters in the order of a national standard; two or three of them at random make a word nobody taught.
COMMON = [bytes((row, cell)).decode("gb2312") for row in range(0xB0, 0xD7) for cell in range(0xA1, 0xFA)]
SYLLABLES = "ba be bi bo ca co da de di do fa fi ga go ha hi ka ki la le li lo ma me mi mo na ne ni no pa pe ra re ri ro sa se si so ta te ti to va ve vi wa we za zo ing er ton ster ment ly".split()


def unknown_word(rng, chinese):
    if chinese:
        return "".join(rng.choice(COMMON) for _ in range(rng.choice([1, 2, 2, 3])))
    return "".join(rng.choice(SYLLABLES) for _ in range(rng.choice([2, 3, 3, 4])))


UNKNOWN_ZH = ["什么是{x}", "{x}是什么", "{x}是什么？", "{x}是谁？", "介绍一下{x}", "{x}怎么样", "为什么{x}？", "{x}", "告诉我{x}的事", "{x}在哪里？", "{x}有多少？", "怎么{x}", "你知道{x}吗？", "帮我{x}", "我想{x}"]
UNKNOWN_EN = ["what is {x}?", "who is {x}?", "tell me about {x}", "what about {x} and {y}?", "{x}", "why {x}?", "how do I {x}?", "where is {x}?", "explain {x}", "do you know {x}?", "{x} {y}", "how many {x} are there?", "help me {x}"]


def unknown(rng, language):
    """A question about something that the model was never taught."""
    zh = language == "zh"
    x, y = unknown_word(rng, zh), unknown_word(rng, zh)
    answer = "我不知道，我只是小演示模型，没有学过这个。" if zh else "I don't know. I am only a small demo model and have not learned that."
    return Turn("refuse", language, rng.choice(UNKNOWN_ZH if zh else UNKNOWN_EN).format(x=x, y=y), answer, ["不知道" if zh else "don't know"])


def dictionary(rng, language, held=False):
    zh_word, en_word = rng.choice(WORDS)
    to_english = rng.random() < 0.5
    strange = not held and rng.random() < 0.06
    if strange:
        zh_word, en_word = unknown_word(rng, True), unknown_word(rng, False)
    forms = {("zh", True): (DICT_ZH_TO_EN, DICT_ZH_TO_EN_HELD), ("zh", False): (DICT_EN_TO_ZH, DICT_EN_TO_ZH_HELD),
             ("en", False): (DICT_EN_ASK_ZH, DICT_EN_ASK_ZH_HELD), ("en", True): (DICT_EN_ASK_EN, DICT_EN_ASK_EN_HELD)}
    question = rng.choice(forms[language, to_english][held]).format(w=zh_word if to_english else en_word)
    answer, need = word_answer(zh_word, en_word, language, to_english)
    if strange:
        answer, need = ("我不认识这个词。", ["不认识"]) if language == "zh" else ("I do not know that word.", ["do not know"])

    def follow(rng, held):
        zh_next, en_next = rng.choice(WORDS)
        word = zh_next if to_english else en_next
        zh_q = ["那么{w}呢？", "那{w}怎么说呢？"] if held else ["那{w}呢？", "{w}呢？", "那{w}呢", "{w}呢", "那{w}怎么说？"]
        en_q = ["how about {w}?", "and how about {w}?"] if held else ["and {w}?", "what about {w}?", "{w}?", "and what about {w}?", "and {w}"]
        answer, need = word_answer(zh_next, en_next, language, to_english)
        return Turn("dictionary", language, rng.choice(zh_q if language == "zh" else en_q).format(w=word), answer, need)

    return Turn("dictionary", language, question, answer, need, follow)
