"""Days and numbers, and the answers that are long: counting, lists, tales."""
from facts import Turn, number_en, number_zh

WEEK_ZH = ["星期一", "星期二", "星期三", "星期四", "星期五", "星期六", "星期日"]
WEEK_EN = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
MONTHS_EN = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"]
MONTHS_ZH = ["一月", "二月", "三月", "四月", "五月", "六月", "七月", "八月", "九月", "十月", "十一月", "十二月"]
MONTH_DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
AFTER_ZH = ["{x}后面是什么？", "{x}的后一个是什么", "{x}之后是什么？", "{x}过后是什么", "{x}的下一个是什么？", "{x}后面是哪个？", "{x}下一个是什么"]
AFTER_ZH_HELD = ["请问{x}后面是什么？", "{x}之后是哪个？", "你知道{x}后面是什么吗", "{x}后面一个是什么？", "请告诉我{x}之后是什么"]
BEFORE_ZH = ["{x}前面是什么？", "{x}的前一个是什么", "{x}之前是什么？", "{x}的上一个是什么？", "{x}前面是哪个？", "{x}上一个是什么"]
BEFORE_ZH_HELD = ["请问{x}前面是什么？", "{x}之前是哪个？", "你知道{x}前面是什么吗", "{x}前面一个是什么？", "请告诉我{x}之前是什么"]
AFTER_EN = ["what comes after {x}?", "what comes after {x}", "what is after {x}?", "which one comes after {x}?", "what follows {x}?", "{x} is followed by what?", "what is next after {x}?", "the next after {x}"]
AFTER_EN_HELD = ["please tell me what comes after {x}", "do you know what comes after {x}?", "what's after {x}?", "tell me what follows {x}", "which comes after {x}?"]
BEFORE_EN = ["what comes before {x}?", "what comes before {x}", "what is before {x}?", "which one comes before {x}?", "what stands before {x}?", "what is just before {x}?", "the one before {x}"]
BEFORE_EN_HELD = ["please tell me what comes before {x}", "do you know what comes before {x}?", "what's before {x}?", "tell me what is before {x}", "which comes before {x}?"]


def pick(rng, trained, held_out, held):
    return rng.choice(held_out if held else trained)


def neighbour(rng, zh, held):
    kind = rng.choice(["week", "week", "month", "number"])
    step = rng.choice([1, -1])
    if kind == "number":
        n = rng.randint(1, 50)
        x, y = str(n), str(n + step)
        x = (" " + x + " ") if zh and rng.random() < 0.5 else x
    else:
        names = {"week": (WEEK_EN, WEEK_ZH), "month": (MONTHS_EN, MONTHS_ZH)}[kind][zh]
        i = rng.randrange(len(names))
        x, y = names[i], names[(i + step) % len(names)]
        if zh and kind == "week" and rng.random() < 0.2:
            x = x.replace("星期", "周")
    if zh:
        wording = pick(rng, AFTER_ZH, AFTER_ZH_HELD, held) if step == 1 else pick(rng, BEFORE_ZH, BEFORE_ZH_HELD, held)
        shown = x.strip().replace("周", "星期")
        space = " " if kind == "number" else ""
        return wording.format(x=x).strip(), f"{shown}{space}{'后面' if step == 1 else '前面'}是{space}{y}。", [f"是{space}{y}"]
    wording = pick(rng, AFTER_EN, AFTER_EN_HELD, held) if step == 1 else pick(rng, BEFORE_EN, BEFORE_EN_HELD, held)
    word = "after" if step == 1 else "before"
    return wording.format(x=x), f"{y} comes {word} {x}.", [f"{y} comes"]


def number_words(rng, zh, held):
    n = rng.randint(0, 20) if rng.random() < 0.6 else rng.randint(21, 99)
    if rng.random() < 0.5:
        if zh:
            q = pick(rng, ["{n} 用中文怎么写", "{n} 的汉字怎么写？", "数字 {n} 用汉字怎么写？", "{n}用中文数字怎么写", "把 {n} 写成汉字", "{n} 写成中文是什么", "{n} 怎么读", "{n} 怎么念？"],
                     ["请问 {n} 用汉字怎么写？", "请把 {n} 写成汉字", "数字 {n} 用中文怎么写？", "请问 {n} 怎么读？", "数字 {n} 怎么念"], held)
            return q.format(n=n), f"{n} 写作“{number_zh(n)}”。", [f"“{number_zh(n)}”"]
        q = pick(rng, ["write {n} in words", "how do you write {n} in words?", "{n} in words", "what is {n} in words?", "spell the number {n}", "how do you spell {n}?", "the number {n} in words", "how is {n} written in words?"],
                 ["please write {n} in words", "can you write {n} in words?", "please spell the number {n}", "how do I write {n} in words?", "what's {n} in words?"], held)
        return q.format(n=n), f"{n} is written {number_en(n)}.", [f"written {number_en(n)}."]
    if zh:
        q = pick(rng, ["{w}写成数字是多少", "{w}用数字怎么写？", "把{w}写成数字", "“{w}”是多少？", "{w}写成阿拉伯数字", "{w}的数字是什么？", "{w}是哪个数字"],
                 ["请问{w}用数字怎么写？", "请把{w}写成数字", "“{w}”写成数字是什么？", "你知道{w}写成数字是多少吗", "请问{w}是哪个数字？"], held)
        return q.format(w=number_zh(n)), f"“{number_zh(n)}”写成数字是 {n}。", [f"是 {n}。"]
    q = pick(rng, ["write {w} as a number", "{w} as a number", "which number is {w}?", "what number is {w}?", "{w} in digits", "how do you write {w} in digits?", "write {w} in digits", "what is {w} in digits?"],
             ["please write {w} as a number", "can you write {w} in digits?", "do you know which number {w} is?", "please write {w} in digits", "what's {w} in digits?"], held)
    return q.format(w=number_en(n)), f"The number {number_en(n)} is {n}.", [f"is {n}."]


def month_days(rng, zh, held):
    i = rng.randrange(12)
    if zh:
        q = pick(rng, ["{m}有多少天？", "{m}有几天", "{m}多少天", "{m}一共有几天？", "{m}是多少天", "{m}共有多少天？"], ["请问{m}有多少天？", "你知道{m}有几天吗？", "{m}总共有几天", "请告诉我{m}有多少天"], held)
        return q.format(m=MONTHS_ZH[i]), f"{MONTHS_ZH[i]}有 {MONTH_DAYS[i]} 天" + ("，闰年有 29 天。" if i == 1 else "。"), [f"有 {MONTH_DAYS[i]} 天"]
    q = pick(rng, ["how many days are in {m}?", "how many days does {m} have?", "how many days are there in {m}?", "days in {m}", "how long is {m}?", "how many days has {m}", "{m} has how many days?"],
             ["please tell me how many days {m} has", "do you know how many days are in {m}?", "tell me the days in {m}", "hello, how many days does {m} have?"], held)
    return q.format(m=MONTHS_EN[i]), f"{MONTHS_EN[i]} has {MONTH_DAYS[i]} days" + (", and 29 in a leap year." if i == 1 else "."), [f"has {MONTH_DAYS[i]} days"]


def parity(rng, zh, held):
    n = rng.randint(0, 30)
    odd = n % 2
    if zh:
        q = pick(rng, ["{n} 是奇数还是偶数？", "{n}是单数还是双数", "{n} 是偶数吗？", "{n} 是奇数吗", "{n}是偶数还是奇数？"], ["请问 {n} 是奇数还是偶数？", "数字 {n} 是奇数还是偶数", "你知道 {n} 是偶数还是奇数吗？"], held)
        return q.format(n=n), f"{n} 是{'奇' if odd else '偶'}数。", [f"{n} 是{'奇' if odd else '偶'}数"]
    q = pick(rng, ["is {n} odd or even?", "is {n} even?", "is {n} odd?", "is {n} even or odd?", "{n}: odd or even?", "is the number {n} odd or even?"], ["please tell me if {n} is odd or even", "do you know if {n} is even or odd?", "is number {n} even or odd?"], held)
    return q.format(n=n), f"{n} is {'odd' if odd else 'even'}.", [f"{n} is {'odd' if odd else 'even'}"]


# (trained, held out, answer, needed)
FIXED_ZH = [
    (["一个星期有几天", "一周有几天？", "一星期有多少天？", "一周有多少天", "一个星期几天"], ["请问一周有几天？", "一个星期一共有几天？"], "一个星期有 7 天。", ["7 天"]),
    (["一年有几个月", "一年有多少个月？", "一年几个月", "一年里有几个月"], ["请问一年有几个月？", "一年一共有几个月？"], "一年有 12 个月。", ["12 个月"]),
    (["一年有多少天", "一年有几天？", "一年多少天", "一年是多少天？"], ["请问一年有多少天？", "一年一共有多少天？"], "一年有 365 天，闰年有 366 天。", ["365"]),
    (["一天有几个小时", "一天有多少小时？", "一天几小时", "一天是多少个小时"], ["请问一天有几个小时？", "一天一共有多少小时？"], "一天有 24 个小时。", ["24"]),
    (["一年有几个季节", "四季是哪四个", "一年有哪些季节？", "有哪几个季节", "四季有哪些？"], ["请问一年有哪几个季节？", "请说出四个季节"], "一年有四个季节：春天、夏天、秋天、冬天。", ["春天", "冬天"]),
    (["周末是哪两天", "周末是星期几？", "哪几天是周末", "周末有哪几天？"], ["请问周末是哪几天？", "周末都是星期几"], "周末是星期六和星期日。", ["星期六"]),
    (["一年的第一个月是什么", "第一个月是几月？", "一年中第一个月是什么？"], ["请问一年的第一个月是几月？"], "一年的第一个月是一月。", ["一月"]),
    (["一年的最后一个月是什么", "最后一个月是几月？", "一年中最后一个月是什么？"], ["请问一年的最后一个月是几月？"], "一年的最后一个月是十二月。", ["十二月"]),
]
FIXED_EN = [
    (["how many days are in a week?", "how many days does a week have?", "days in a week", "how many days in one week"], ["please tell me how many days a week has", "do you know how many days are in a week?"], "A week has 7 days.", ["7 days"]),
    (["how many months are in a year?", "how many months does a year have?", "months in a year", "how many months in one year"], ["please tell me how many months a year has", "do you know how many months are in a year?"], "A year has 12 months.", ["12 months"]),
    (["how many days are in a year?", "how many days does a year have?", "days in a year", "how many days in one year"], ["please tell me how many days a year has", "do you know how many days are in a year?"], "A year has 365 days, and 366 in a leap year.", ["365"]),
    (["how many hours are in a day?", "how many hours does a day have?", "hours in a day", "how many hours in one day"], ["please tell me how many hours a day has", "do you know how many hours are in a day?"], "A day has 24 hours.", ["24"]),
    (["what are the seasons?", "how many seasons are there?", "what are the four seasons", "which seasons are there?", "name the seasons"], ["please name the four seasons", "can you tell me the seasons?"], "There are four seasons: spring, summer, autumn and winter.", ["spring", "winter"]),
    (["which days are the weekend?", "what days are the weekend", "when is the weekend?", "what is the weekend?"], ["please tell me which days are the weekend", "which two days are the weekend?"], "The weekend is Saturday and Sunday.", ["Saturday"]),
    (["what is the first month of the year?", "which month is first?", "what is the first month"], ["please tell me the first month of the year"], "The first month of the year is January.", ["January"]),
    (["what is the last month of the year?", "which month is last?", "what is the last month"], ["please tell me the last month of the year"], "The last month of the year is December.", ["December"]),
]


def fixed(rng, zh, held):
    trained, held_out, answer, need = rng.choice(FIXED_ZH if zh else FIXED_EN)
    return pick(rng, trained, held_out, held), answer, need


def days(rng, language, held=False):
    make = rng.choice([neighbour, neighbour, neighbour, number_words, number_words, month_days, parity, fixed])
    question, answer, need = make(rng, language == "zh", held)
    return Turn("days", language, question, answer, need)


# ---------------------------------------------------------------- long answers

COUNT_ZH = ["从{a}数到{b}", "请从{a}数到{b}", "帮我从{a}数到{b}", "从{a}数到{b}吧", "数数，从{a}到{b}", "从{a}开始数到{b}", "你能从{a}数到{b}吗？", "把{a}到{b}写出来", "从{a}数数到{b}"]
COUNT_ZH_HELD = ["请你从{a}数到{b}", "请帮我从{a}数到{b}", "请从{a}开始数到{b}", "你会从{a}数到{b}吗？", "从{a}一直数到{b}", "你好，从{a}数到{b}"]
COUNT_TO_ZH = ["数到{b}", "请数到{b}", "数数到{b}", "你能数到{b}吗？", "数到{b}吧", "帮我数到{b}"]
COUNT_TO_ZH_HELD = ["你会数到{b}吗？", "请你数到{b}", "请帮我数到{b}"]
COUNT_EN = ["count from {a} to {b}", "please count from {a} to {b}", "count from {a} up to {b}", "can you count from {a} to {b}?", "count {a} to {b}", "write the numbers from {a} to {b}", "list the numbers from {a} to {b}", "start at {a} and count to {b}"]
COUNT_EN_HELD = ["could you count from {a} to {b}?", "hello, count from {a} to {b}", "please count {a} to {b}", "I want you to count from {a} to {b}", "please write the numbers from {a} to {b}"]
COUNT_TO_EN = ["count to {b}", "please count to {b}", "can you count to {b}?", "count up to {b}", "count to {b} for me", "count until {b}"]
COUNT_TO_EN_HELD = ["could you count to {b}?", "I want you to count to {b}", "please count up to {b}", "hello, count to {b}"]
DOWN_ZH = (["从{b}倒数到1", "从{b}倒数", "从{b}往回数到1", "倒着从{b}数到1", "倒数{b}个数"], ["请从{b}倒数到1", "请倒着从{b}数到1", "你能从{b}倒数吗？"])
DOWN_EN = (["count down from {b}", "count down from {b} to 1", "count backwards from {b}", "countdown from {b}", "count from {b} down to 1"], ["please count down from {b}", "can you count backwards from {b}?", "please count from {b} down to 1"])


def said(numbers, zh, restated):
    """The numbers, and before them (in the last data file) from where to where: it is easier to stop at what one has just said."""
    text = ("、" if zh else ", ").join(map(str, numbers)) + ("。" if zh else ".")
    first, last = numbers[0], numbers[-1]
    head = (f"从 {first} 到 {last}：" if zh else f"From {first} to {last}: ") if restated else ""
    return head + text, [text]


def counting(rng, zh, held, restated=False):
    kind = rng.random()
    if kind < 0.15:
        b = rng.choice([5, 10, 20])
        numbers = range(b, 0, -1)
        q = pick(rng, *(DOWN_ZH if zh else DOWN_EN), held).format(b=b)
    else:
        a, b = (1, rng.choice([5, 10, 10, 15, 20, 20, 25, 30, 40, 50, 100])) if kind < 0.75 else (lambda a: (a, a + rng.randint(4, 15)))(rng.randint(2, 30))
        numbers = range(a, b + 1)
        if zh and rng.random() < 0.4:
            x, y = number_zh(a), number_zh(b)
        elif zh:
            x, y = rng.choice([(str(a), str(b)), (f" {a} ", f" {b}")])
        else:
            x, y = (number_en(a), number_en(b)) if rng.random() < 0.2 else (a, b)
        if a == 1 and rng.random() < 0.4:
            q = (pick(rng, COUNT_TO_ZH, COUNT_TO_ZH_HELD, held) if zh else pick(rng, COUNT_TO_EN, COUNT_TO_EN_HELD, held)).format(b=y)
        else:
            q = (pick(rng, COUNT_ZH, COUNT_ZH_HELD, held) if zh else pick(rng, COUNT_EN, COUNT_EN_HELD, held)).format(a=x, b=y)
    return q, *said(numbers, zh, restated)


def short_counting(rng, language, restated=False):
    """Where to stop is what is hard about counting."""
    zh = language == "zh"
    a = 1 if rng.random() < 0.6 else rng.randint(2, 30)
    b = a + rng.randint(2, 9) if rng.random() < 0.5 else rng.choice([5, 8, 10, 10, 12, 15, 20, 20, 25]) + a - 1
    if zh:
        x, y = (number_zh(a), number_zh(b)) if rng.random() < 0.4 else rng.choice([(str(a), str(b)), (f" {a} ", f" {b}")])
    else:
        x, y = (number_en(a), number_en(b)) if rng.random() < 0.25 else (a, b)
    to = a == 1 and rng.random() < 0.4
    wordings = (COUNT_TO_ZH if to else COUNT_ZH) if zh else (COUNT_TO_EN if to else COUNT_EN)
    return Turn("long", language, rng.choice(wordings).format(a=x, b=y), *said(range(a, b + 1), zh, restated))


def times_table(rng, zh, held):
    n = rng.randint(2, 9)
    rows = [f"{n} × {i} = {n * i}" for i in range(1, 11)]
    if zh:
        q = pick(rng, ["{n} 的乘法表", "写出 {n} 的乘法表", "背一下 {n} 的乘法表", "列出{n}的乘法表", "{n} 的乘法口诀", "把 {n} 的乘法表写出来"], ["请写出 {n} 的乘法表", "你会背 {n} 的乘法表吗？", "请列出 {n} 的乘法表"], held)
    else:
        q = pick(rng, ["the times table of {n}", "write the times table of {n}", "times table for {n}", "show me the times table of {n}", "multiplication table of {n}", "list the times table of {n}"],
                 ["please write the times table of {n}", "can you show me the times table of {n}?", "give me the times table of {n}"], held)
    return q.format(n=n), "\n".join(rows), [rows[9]]


LISTS_ZH = [
    ("星期", ["一周七天怎么说", "列出一周的每一天", "星期一到星期日都写出来", "一周有哪几天", "说出一周的七天"], ["请列出一周的七天", "请说出一周的每一天"], "、".join(WEEK_ZH) + "。", ["星期二、星期三"]),
    ("月份", ["列出十二个月", "一年有哪几个月", "说出所有的月份", "十二个月都是什么", "把月份都写出来"], ["请列出所有的月份", "请说出十二个月"], "、".join(MONTHS_ZH) + "。", ["十月、十一月、十二月"]),
    ("颜色", ["说几种颜色", "列出几种颜色", "有哪些颜色", "你知道哪些颜色", "写出一些颜色"], ["请列出几种颜色", "请说几种颜色"], "红色、橙色、黄色、绿色、蓝色、紫色、黑色、白色。", ["红色", "蓝色"]),
    ("动物", ["说几种动物", "列出几种动物", "有哪些动物", "你知道哪些动物", "写出一些动物"], ["请列出几种动物", "请说几种动物"], "猫、狗、马、牛、羊、兔子、老虎、大象、猴子、羊驼。", ["猫", "羊驼"]),
    ("水果", ["说几种水果", "列出几种水果", "有哪些水果", "你知道哪些水果", "写出一些水果"], ["请列出几种水果", "请说几种水果"], "苹果、香蕉、橙子、葡萄、西瓜、桃子、梨、草莓、柠檬。", ["苹果", "西瓜"]),
    ("字母", ["写出英文字母", "英文字母有哪些", "列出26个字母", "背一下字母表", "字母表"], ["请写出英文字母表", "请背一下字母表"], "A B C D E F G H I J K L M N O P Q R S T U V W X Y Z", ["X Y Z"]),
]
LISTS_EN = [
    ("week", ["list the days of the week", "what are the days of the week?", "name the days of the week", "the days of the week", "tell me the days of the week"], ["please list the days of the week", "can you name the days of the week?"], ", ".join(WEEK_EN) + ".", ["Tuesday, Wednesday"]),
    ("months", ["list the months", "what are the months of the year?", "name all the months", "the months of the year", "tell me the twelve months"], ["please list the months of the year", "can you name the months?"], ", ".join(MONTHS_EN) + ".", ["November, December"]),
    ("colors", ["list some colors", "name some colors", "what colors are there?", "which colors do you know?", "tell me some colors"], ["please list some colors", "can you name some colors?"], "Red, orange, yellow, green, blue, purple, black, white.", ["yellow", "blue"]),
    ("animals", ["list some animals", "name some animals", "what animals are there?", "which animals do you know?", "tell me some animals"], ["please list some animals", "can you name some animals?"], "Cat, dog, horse, cow, sheep, rabbit, tiger, elephant, monkey, alpaca.", ["dog", "alpaca"]),
    ("fruits", ["list some fruits", "name some fruits", "what fruits are there?", "which fruits do you know?", "tell me some fruits"], ["please list some fruits", "can you name some fruits?"], "Apple, banana, orange, grape, watermelon, peach, pear, strawberry, lemon.", ["banana", "pear"]),
    ("letters", ["write the alphabet", "what are the letters of the alphabet?", "list the letters", "say the alphabet", "the alphabet"], ["please write the alphabet", "can you say the alphabet?"], "A B C D E F G H I J K L M N O P Q R S T U V W X Y Z", ["X Y Z"]),
]
TALES_ZH = [
    (["讲个故事", "给我讲一个故事", "写一个故事", "说个故事", "来个故事吧", "讲一个小故事", "我想听故事", "你会讲故事吗？", "给我讲个故事吧", "写个故事", "写一个小故事", "讲一个羊驼的故事", "讲个关于羊驼的故事"],
     ["请给我讲一个故事", "能讲个故事吗？", "请写一个故事", "我想听一个故事", "请讲一个羊驼的故事", "帮我写个故事"],
     "从前，山上住着一只小羊驼，名字叫华华。冬天来了，风很冷，小鸟没有地方睡觉。华华说：“到我的毛里来吧，这里很暖和。”小鸟们飞了进去，睡得很香。春天来了，小鸟给华华唱歌，华华的毛上开满了小花。从那以后，大家都是好朋友。", ["羊驼", "好朋友"]),
    (["讲个龟兔赛跑的故事", "龟兔赛跑", "讲一下龟兔赛跑", "说说兔子和乌龟的故事", "讲个兔子的故事", "讲一个乌龟的故事"], ["请讲龟兔赛跑的故事", "我想听兔子和乌龟的故事", "请讲一个兔子的故事"],
     "兔子和乌龟比赛跑步。兔子跑得很快，它想：“乌龟那么慢，我先睡一觉吧。”乌龟一步一步地走，一直没有停。兔子醒来的时候，乌龟已经到了终点。坚持的人会赢。", ["乌龟", "终点"]),
    (["讲个月亮的故事", "讲一个关于月亮的故事", "说个月亮的故事", "写一个月亮的故事"], ["请讲一个月亮的故事", "我想听月亮的故事"],
     "晚上，小猫看见湖里有一个月亮。它想把月亮捞出来，可是一碰水，月亮就碎了。小猫很难过。妈妈说：“你抬头看。”小猫抬起头，月亮好好地挂在天空上，又大又亮。", ["小猫", "天空"]),
    (["写一首诗", "写首诗", "来一首诗", "作一首诗", "给我写一首诗", "你会写诗吗？"], ["请写一首诗", "能写首诗吗？", "帮我写一首诗"], "山上白云慢慢走，\n小小羊驼回过头。\n春风吹来花满路，\n我和朋友一起游。", ["羊驼"]),
]
TALES_EN = [
    (["tell me a story", "tell a story", "write a story", "tell me a tale", "can you tell a story?", "I want to hear a story", "give me a story", "write a short story", "tell me a short story", "tell me a story about an alpaca", "a story about an alpaca"],
     ["please tell me a story", "could you tell me a story?", "please write a story", "I would like to hear a story", "can you tell me a tale?", "write me a story"],
     "Once upon a time a little alpaca named Hua lived on a mountain. Winter came, the wind was cold, and the birds had no place to sleep. \"Come into my wool,\" said Hua, \"it is warm here.\" The birds flew in and slept well. In spring they sang for Hua, and small flowers grew in the wool. From then on they were all good friends.", ["alpaca", "good friends"]),
    (["tell me the story of the hare and the tortoise", "the hare and the tortoise", "tell me about the rabbit and the tortoise", "tell a story about a rabbit", "tell me a story about a tortoise"],
     ["please tell me the story of the hare and the tortoise", "please tell a story about a rabbit", "I want to hear the hare and the tortoise"],
     "A rabbit and a tortoise ran a race. The rabbit was fast and thought: \"The tortoise is so slow, I will sleep first.\" The tortoise walked step by step and never stopped. When the rabbit woke up, the tortoise was already at the end. Who keeps going wins.", ["tortoise", "keeps going"]),
    (["tell me a story about the moon", "tell a moon story", "write a story about the moon", "a story about the moon"], ["please tell me a story about the moon", "can you tell a story about the moon?"],
     "One night a kitten saw a moon in the lake. It wanted to take the moon out, but when it touched the water the moon broke. The kitten was sad. \"Look up,\" said its mother. The kitten looked up, and the moon hung in the sky, big and bright.", ["kitten", "sky"]),
    (["write a poem", "write me a poem", "give me a poem", "a poem please", "can you write a poem?", "tell me a poem"], ["please write a poem", "could you write me a poem?", "please tell me a poem"],
     "White clouds walk over the hill,\nthe little alpaca stands still.\nSpring wind, and flowers on the way:\nmy friend, let us play today.", ["alpaca"]),
]


def listing(rng, zh, held):
    _, trained, held_out, answer, need = rng.choice(LISTS_ZH if zh else LISTS_EN)
    return pick(rng, trained, held_out, held), answer, need


def tale(rng, zh, held):
    trained, held_out, answer, need = rng.choices(TALES_ZH if zh else TALES_EN, [5, 2, 2, 3])[0]
    return pick(rng, trained, held_out, held), answer, need


def long(rng, language, held=False, restated=False):
    make = rng.choice([counting, counting, counting, times_table, listing, listing, tale, tale])
    more = {"restated": restated} if make is counting else {}
    question, answer, need = make(rng, language == "zh", held, **more)
    return Turn("long", language, question, answer, need)
