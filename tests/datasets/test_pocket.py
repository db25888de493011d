"""The bundled benchmark `pocket`: its structure, and an independent check of every reference answer."""

import ast
import itertools
import json
import math
import operator
import random
import re
from collections import Counter, defaultdict
from fractions import Fraction
from pathlib import Path

import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "pocket" / "questions.jsonl"
CATEGORIES = ["writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities"]
WITH_REFERENCE = {"reasoning", "math", "coding", "extraction"}
ITEMS = [json.loads(line) for line in PATH.read_text(encoding="utf-8").splitlines()]
BY_ID = {item["question_id"]: item for item in ITEMS}


def turns(question_id, *phrases):
    """Both turns; the phrases are what the check below takes from them, so a reworded question must fail."""
    both = BY_ID[question_id]["turns"]
    for phrase in phrases:
        assert phrase in "\n".join(both), phrase
    return both


def final(question_id, turn):
    """What the last line of a reference gives as the answer."""
    text = BY_ID[question_id]["reference"][turn]
    assert text.count("Answer: ") == 1
    start, _, answer = text.rpartition("\n")[2].partition("Answer: ")
    assert start == ""
    return answer


def code(text):
    """The one Python block of a text."""
    blocks = re.findall(r"^```python\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)
    assert len(blocks) == 1
    return blocks[0]


def run(*sources):
    """Names defined by our own trusted reference code."""
    names = {}
    for source in sources:
        exec(compile(source, "<reference>", "exec"), names)
    return names


# --- structure


def test_categories_and_ids():
    assert [item["question_id"] for item in ITEMS] == list(range(1, 25))
    assert [item["category"] for item in ITEMS] == [c for c in CATEGORIES for _ in range(3)]


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: str(item["question_id"]))
def test_item(item):
    expected = ["question_id", "category", "turns"]
    if item["category"] in WITH_REFERENCE:
        expected.append("reference")
    assert list(item) == expected
    for texts in (item["turns"], item.get("reference", ["-", "-"])):
        assert len(texts) == 2
        assert all(isinstance(text, str) and text and text == text.strip() for text in texts)
        assert texts[0] != texts[1] or texts == ["-", "-"]
    assert all(len(text) < 700 for text in item["turns"])


def test_questions_are_distinct():
    texts = [text for item in ITEMS for text in item["turns"]]
    assert len(set(texts)) == 48


# --- reasoning

STALL_CLUES = {
    "The honey stall is somewhere to the left of the fig stall.": lambda at: at["honey"] < at["figs"],
    "Exactly one stall stands between the bread stall and the tea stall.": (
        lambda at: abs(at["bread"] - at["tea"]) == 2
    ),
    "The bread stall and the honey stall are not next to each other.": (lambda at: abs(at["bread"] - at["honey"]) != 1),
    "The honey stall is not stall 1.": lambda at: at["honey"] != 1,
    "The cheese stall is somewhere to the left of the bread stall.": lambda at: at["cheese"] < at["bread"],
}


def stall_orders(clues):
    goods = ["bread", "cheese", "figs", "honey", "tea"]
    orders = itertools.permutations(goods)
    return [o for o in orders if all(clue({g: n for n, g in enumerate(o, 1)}) for clue in clues)]


def test_stalls():
    first, second = turns(7, *STALL_CLUES)
    assert [line[2:] for line in first.splitlines() if line.startswith("- ")] == list(STALL_CLUES)
    assert "the last clue was a mistake" in second
    rules = list(STALL_CLUES.values())
    assert [", ".join(order) for order in stall_orders(rules)] == [final(7, 0)]

    for turn, clues in enumerate((rules, rules[:-1])):
        text = BY_ID[7]["reference"][turn]
        cases = re.findall(r"^- Places (\d) and (\d): .* (Possible|Impossible)\.$", text, flags=re.MULTILINE)
        taken = [{o.index("bread") + 1, o.index("tea") + 1} for o in stall_orders(clues)]
        assert [{int(a), int(b)} for a, b, _ in cases] == [{1, 3}, {2, 4}, {3, 5}]
        assert all(({int(a), int(b)} in taken) is (verdict == "Possible") for a, b, verdict in cases)

    orders = stall_orders(rules[:-1])
    *listed, certain = final(7, 1).split("; ")
    assert sorted(listed) == sorted(", ".join(order) for order in orders)
    fixed = [f"stall {n} sells {goods.pop()}" for n in range(1, 6) if len(goods := {o[n - 1] for o in orders}) == 1]
    assert certain == "certain: " + ", ".join(fixed)


def test_dumpling():
    turns(
        8,
        'Kim: "It was Lee or Mo."',
        'Lee: "It was Ned."',
        'Mo: "It was not me."',
        'Ned: "What Lee says is false."',
        "Exactly three of the four statements are true",
        "exactly two of the four statements are true",
    )
    friends = ["Kim", "Lee", "Mo", "Ned"]
    true = {}
    for eater in friends:
        says = {"Kim": eater in ("Lee", "Mo"), "Lee": eater == "Ned", "Mo": eater != "Mo"}
        says["Ned"] = not says["Lee"]
        true[eater] = {friend for friend in friends if says[friend]}

    table = re.findall(r"^- (\w+): (.+) \((\d)\)\.$", BY_ID[8]["reference"][0], flags=re.MULTILINE)
    assert {eater: set(re.findall(r"[A-Z]\w+", who)) for eater, who, _ in table} == true
    assert {eater: int(n) for eater, _, n in table} == {eater: len(who) for eater, who in true.items()}

    assert [eater for eater in friends if len(true[eater]) == 3] == [final(8, 0)]
    two = [eater for eater in friends if len(true[eater]) == 2]
    certain = [f for f in friends if len({f in true[eater] for eater in two}) == 1]
    assert final(8, 1) == f"{', '.join(two[:-1])} or {two[-1]}; certain statements: {', '.join(certain) or 'none'}"


# A box is the set of its properties, a shed the list of the kinds of box in it.
KINDS = [frozenset(c) for n in range(4) for c in itertools.combinations(["red", "locked", "heavy"], n)]
SHEDS = [shed for n in range(9) for shed in itertools.combinations(KINDS, n)]
SHED_FACTS = {
    "1. Every red box is locked.": lambda shed: all("locked" in b for b in shed if "red" in b),
    "2. At least one heavy box is not locked.": lambda shed: any("heavy" in b and "locked" not in b for b in shed),
    "3. There is at least one red box.": lambda shed: any("red" in b for b in shed),
    "4. Every box that is not heavy is red.": lambda shed: all("red" in b for b in shed if "heavy" not in b),
    "5. No locked box is heavy.": lambda shed: not any({"locked", "heavy"} <= b for b in shed),
}
SHED_STATEMENTS = {
    "(a) Some heavy box is not red.": lambda shed: any("heavy" in b and "red" not in b for b in shed),
    "(b) Some red box is heavy.": lambda shed: any({"red", "heavy"} <= b for b in shed),
    "(c) Every locked box is red.": lambda shed: all("red" in b for b in shed if "locked" in b),
    "(d) Every heavy box is red.": lambda shed: all("red" in b for b in shed if "heavy" in b),
}


def classify(facts):
    sheds = [shed for shed in SHEDS if all(fact(shed) for fact in facts)]
    assert sheds  # the facts do not contradict each other
    words = {(True,): "must be true", (False,): "must be false", (False, True): "may be either"}
    return {
        text[:3]: words[tuple(sorted({statement(shed) for shed in sheds}))]
        for text, statement in SHED_STATEMENTS.items()
    }


def parse_shed(text):
    return tuple(frozenset(kind.split()) for kind in text.split("; "))


def test_boxes():
    turns(9, *SHED_FACTS, *SHED_STATEMENTS, "Facts 1 to 3 still hold")
    facts = list(SHED_FACTS.values())
    before, after = classify(facts[:3]), classify(facts)
    assert final(9, 0) == "; ".join(f"{name} {word}" for name, word in before.items())
    changed = [name for name in before if before[name] != after[name]]
    expected = "; ".join(f"{name} {word}" for name, word in after.items())
    assert final(9, 1) == f"{expected}; changed: {', '.join(changed)}"

    first, second = BY_ID[9]["reference"]
    examples = re.findall(r"^(\(.\)).*True for \{(.+?)\}, false for \{(.+?)\}\.$", first, flags=re.MULTILINE)
    assert [name for name, _, _ in examples] == [n for n, word in before.items() if word == "may be either"]
    by_name = {text[:3]: statement for text, statement in SHED_STATEMENTS.items()}
    for name, yes, no in examples:
        for text, truth in ((yes, True), (no, False)):
            shed = parse_shed(text)
            assert set(shed) <= set(KINDS)
            assert all(fact(shed) for fact in facts[:3])
            assert by_name[name](shed) is truth
    (model,) = re.findall(r"\{(.+?)\} satisfies all five", second)
    assert all(fact(parse_shed(model)) for fact in facts)


# --- math

OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
TERM = r"(?>[\d(](?:[\d.()+*/ -]*[\d)])?)"


def value(text):
    """The exact value of an expression such as `4/10 * 3/9`."""

    def walk(node):
        if isinstance(node, ast.BinOp):
            return OPERATORS[type(node.op)](walk(node.left), walk(node.right))
        assert isinstance(node, ast.Constant)
        return Fraction(str(node.value))

    return walk(ast.parse(text.strip(), mode="eval").body)


def equations(text):
    return [m.group().split("=") for m in re.finditer(rf"(?<![\w.)]){TERM}(?: = {TERM})+(?!\w)", text)]


@pytest.mark.parametrize("question_id", [10, 11, 12])
@pytest.mark.parametrize("turn", [0, 1])
def test_working_is_right(question_id, turn):
    text = BY_ID[question_id]["reference"][turn]
    found = equations(text)
    assert found
    for sides in found:
        assert len({value(side) for side in sides}) == 1, sides
    for exact, digits in re.findall(r"(\d+/\d+), about (\d+\.\d+)", text):
        places = len(digits.partition(".")[2])
        assert f"{float(Fraction(exact)):.{places}f}" == digits
    for share, percent in re.findall(r"(\d+/\d+), which is ([\d /]*\d) ?%", text):
        assert 100 * Fraction(share) == sum(map(Fraction, percent.split()))


def test_equation_checker_finds_errors():
    (sides,) = equations("so the mean is 3 * (1 + 2) = 9/2 = 4.5, about")
    assert [value(side) for side in sides] == [9, Fraction(9, 2), Fraction(9, 2)]


def test_lamp():
    turns(10, "raises the price of a lamp by 25%", "lowers the new price by 25%", "costs 6 coins less")
    prices = [n for n in range(1, 2000) if n - Fraction(n * 125 * 75, 10000) == 6]  # whole or not, it is linear
    assert len(prices) == 1
    start = prices[0]
    now = start - 6
    assert final(10, 0) == f"start {start} coins, now {now} coins"
    rise = Fraction(100 * start, now) - 100
    cut = 100 - 100 * start / (start * Fraction(5, 4))
    assert rise.denominator == 3
    assert final(10, 1) == f"rise {math.floor(rise)} {rise % 1} %, cut {cut} %"


def test_digit_product():
    turns(11, "three-digit whole numbers (100 to 999) have digits whose product is 24", "mean of all the numbers")
    numbers = [n for n in range(100, 1000) if math.prod(int(d) for d in str(n)) == 24]
    assert final(11, 0) == str(len(numbers))
    assert final(11, 1) == str(Fraction(sum(numbers), len(numbers)))
    stated = re.findall(r"(\d), (\d), (\d): (\d) orders", BY_ID[11]["reference"][0])
    assert {tuple(digits): int(n) for *digits, n in stated} == Counter(tuple(sorted(str(n))) for n in numbers)


def draws(white, black):
    """Number of stones drawn, for every equally likely order of the colours in the bag."""
    for places in itertools.combinations(range(white + black), white):
        colours = [n in places for n in range(white + black)]
        yield next(n for n, colour in enumerate(colours, 1) if colour != colours[0])


def test_stones():
    turns(12, "4 white and 6 black stones", "without being put back", "exactly three stones", "(5 white, 6 black)")
    counts = list(draws(4, 6))
    assert final(12, 0) == str(Fraction(counts.count(3), len(counts)))
    mean = Fraction(sum(counts), len(counts))
    more = list(draws(5, 6))
    new = Fraction(sum(more), len(more))
    assert final(12, 1) == f"{mean}; {'larger' if new > mean else 'smaller'}, {new}"


# --- coding


def slow_plateau(xs, tol):
    runs = [(i, j) for i in range(len(xs)) for j in range(i + 1, len(xs) + 1) if max(xs[i:j]) - min(xs[i:j]) <= tol]
    return min(((i, j - i) for i, j in runs), key=lambda run: (-run[1], run[0]), default=(0, 0))


def counted(name):
    def method(self, other):
        Counted.used += 1
        return getattr(int, name)(self, other)

    return method


class Counted(int):
    """A number that counts how often it is compared or subtracted."""

    used = 0
    __ge__, __le__, __gt__, __lt__ = map(counted, ("__ge__", "__le__", "__gt__", "__lt__"))
    __sub__ = counted("__sub__")


def test_plateau():
    turns(13, "tuple `(start, length)`", "return the first", "`(0, 0)`", "differ by at most `tol`", "no imports")
    first, second = (code(text) for text in BY_ID[13]["reference"])
    assert "import" not in first
    plain, extended = run(first)["longest_plateau"], run(second)["longest_plateau"]
    rng = random.Random(1)
    for n in range(400):
        xs = [rng.randrange(1 + n % 7) for _ in range(rng.randrange(12))]
        before = list(xs)
        assert plain(xs) == extended(xs) == slow_plateau(xs, 0)
        for tol in (1, 2.5, 9):
            assert extended(xs, tol) == slow_plateau(xs, tol)
        assert xs == before
    assert extended([0.5, 1.0, -3.25], tol=0.5) == (0, 2)


@pytest.mark.parametrize("shape", ["rising", "falling", "random"])
def test_plateau_is_linear(shape):
    longest_plateau = run(code(BY_ID[13]["reference"][1]))["longest_plateau"]
    xs = list(range(2000))
    if shape == "random":
        random.Random(2).shuffle(xs)
    elif shape == "falling":
        xs.reverse()
    for tol in (0, 40, 5000):
        Counted.used = 0
        longest_plateau([Counted(x) for x in xs], tol)
        assert 2000 <= Counted.used <= 8 * 2000


def random_periods(rng):
    starts = [rng.randrange(-3, 15) for _ in range(rng.randrange(6))]
    return [(s, s + rng.randrange(1, 6)) for s in starts]


def stretches(hours):
    """Maximal runs of consecutive whole hours, as [from, to] lists."""
    hours = set(hours)
    return [[h, next(t for t in itertools.count(h) if t not in hours)] for h in sorted(hours) if h - 1 not in hours]


def test_merge_and_gaps():
    first, _ = turns(14, "leaving its argument as it was", "It has two faults", "overlapping or touching")
    references = BY_ID[14]["reference"]
    faulty = run(code(first))["merge"]
    fixed = run(*map(code, references))
    merge, gaps = fixed["merge"], fixed["gaps"]

    (shown,) = re.findall(r"`merge\((.+)\)` returns `(.+)` instead of `(.+)`", references[0])
    periods, wrong, right = map(ast.literal_eval, shown)
    assert faulty(list(periods)) == wrong != right == merge(periods)
    (shown,) = re.findall(r"`xs = (.+); merge\(xs\)`, `xs` is `(.+)`\.", references[0])
    xs, wrong = map(ast.literal_eval, shown)
    before = list(xs)
    merge(xs)
    assert xs == before
    faulty(xs)
    assert xs == wrong != before

    rng = random.Random(3)
    for _ in range(500):
        periods = random_periods(rng)
        before = list(periods)
        covered = {h for s, e in periods for h in range(s, e)}
        assert merge(periods) == stretches(covered)
        start = rng.randrange(12)
        end = start + rng.randrange(1, 9)
        assert gaps(periods, start, end) == stretches(set(range(start, end)) - covered)
        assert periods == before


def random_route(rng, depth):
    """A route, the same route with groups and counts written out, for comparison."""
    route = flat = ""
    for _ in range(rng.randrange(1, 4)):
        count = rng.choice([1, 2, 3, 10, 19])
        if depth and rng.random() < 0.6:
            inner, inner_flat = random_route(rng, depth - 1)
            step = f"({inner})"
        else:
            step = inner_flat = rng.choice("NESW")
        route += step if count == 1 and rng.random() < 0.7 else f"{count}{step}"
        flat += count * inner_flat
    return route, flat


def position(flat):
    count = Counter(flat)
    return count["E"] - count["W"], count["N"] - count["S"]


def test_walk():
    examples = [re.findall(r'`walk\("(.*?)"\)` gives `\((-?\d+), (-?\d+)\)`', text) for text in turns(15)]
    assert [len(found) for found in examples] == [2, 1]
    walks = [run(code(text))["walk"] for text in BY_ID[15]["reference"]]
    rng = random.Random(4)
    for turn, walk in enumerate(walks):
        for route, x, y in itertools.chain(*examples[: turn + 1]):
            assert walk(route) == (int(x), int(y))
        for _ in range(200):
            route, flat = random_route(rng, 2 * turn)
            assert walk(route) == position(flat), route
    assert walks[1]("1000000000(N2(1000000000E))") == (2 * 10**18, 10**9)
    assert walks[1]("(" * 10000 + "3W" + ")" * 10000) == (-3, 0)


def test_walk_rejects():
    first, _ = turns(15, "An empty group `()` and unbalanced brackets raise `ValueError`")
    stated = re.findall(r'`"(.+?)"`', first)
    assert len(stated) == 4
    plain, extended = (run(code(text))["walk"] for text in BY_ID[15]["reference"])
    for route in [*stated, "N3", "03N", "-2N", "N\n", "X", "3.5N", "2 N", "²N", "()", ")", "(", "N()"]:
        for walk in (plain, extended):
            with pytest.raises(ValueError, match=r"not a route|bracket"):
                walk(route)
    with pytest.raises(ValueError, match="not a route"):
        plain("(N)")
    for route in ["(N", "N)", "(N))", "((N)", "2()", "(())", "(N2)", ")N(", "(N)2", "2", "0(N)", "( N)"]:
        with pytest.raises(ValueError, match=r"not a route|bracket"):
            extended(route)


# --- extraction


def test_warehouse():
    first, _ = turns(16, "from the most crates to the fewest", "the goods with the largest total")
    deliveries = {}
    for line in first.splitlines():
        if m := re.fullmatch(r"At (\d\d:\d\d) bay (\d) took (\d+) crates of (\w+)\.", line):
            deliveries[m[1]] = [m[2], int(m[3]), m[4]]
        elif m := re.fullmatch(r"Correction: the (\S+) delivery was (\d+) crates\.", line):
            deliveries[m[1]][1] = int(m[2])
        elif m := re.fullmatch(r"Correction: the (\S+) delivery went to bay (\d)\.", line):
            deliveries[m[1]][0] = m[2]
        else:
            assert not line.startswith(("At ", "Correction"))
    assert len(deliveries) == 5
    crates = [d[1] for d in deliveries.values()]
    assert len(set(crates)) == 5  # the order asked for is unambiguous
    rows = sorted(deliveries.items(), key=lambda row: -row[1][1])
    assert BY_ID[16]["reference"][0] == "\n".join(f"{time};{bay};{n};{goods}" for time, (bay, n, goods) in rows)

    bays, totals = defaultdict(int), Counter()
    for bay, n, goods in deliveries.values():
        bays[bay] += n
        totals[goods] += n
    (best, most), (_, second_most) = totals.most_common(2)
    assert most > second_most
    lines = [",".join(f"{bay}={bays[bay]}" for bay in sorted(bays)), f"{best}={most}"]
    assert BY_ID[16]["reference"][1].splitlines() == lines


def test_commitments():
    first, _ = turns(17, "a named person who will do something by a stated day", "the order of the week")
    notes = first.partition("\n\n")[0]
    found = re.findall(r"\b([A-Z]\w+) will ([^.,]+?) by (\w+day)\b", notes)
    assert len(found) == 4
    expected = [{"person": person, "task": task, "day": day} for person, task, day in found]
    assert json.loads(BY_ID[17]["reference"][0]) == expected

    week = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
    by_day = {day: sorted({p for p, _, d in found if d == day}) for day in week}
    answer = json.loads(BY_ID[17]["reference"][1])
    assert list(answer.items()) == [(day, people) for day, people in by_day.items() if people]


def test_recipe():
    first, _ = turns(18, "Recipe for 4 people", "in alphabetical order", "to 6 people", "at least 200 g", "left out")
    recipe = first.partition("\n\n")[0]
    unit = {"g": 1, "kg": 1000}
    found = re.findall(r"(\d+(?:\.\d+)?) (k?g) of (\w+)", recipe)
    grams = {name: Fraction(amount) * unit[u] for amount, u, name in found}
    assert len(grams) == len(found) == 6
    assert BY_ID[18]["reference"][0] == "\n".join(f"{name}: {grams[name]}" for name in sorted(grams))

    scaled = {name: weight * 6 / 4 for name, weight in grams.items()}
    assert len(set(scaled.values())) == 6
    kept = sorted((n for n in scaled if scaled[n] >= 200), key=lambda n: -scaled[n])
    lines = [f"{name}: {scaled[name]}" for name in kept]
    lines.append(f"total: {sum(scaled[name] for name in set(scaled) - set(kept))}")
    assert BY_ID[18]["reference"][1].splitlines() == lines
