"""No text freezes a run: every pattern of the package, fed the repetitions that would be its worst, as it is called.

Patterns and the ways in which they are called are found in the source. Work is judged by how it grows, in time of the
processor: four times the text may take four times as long, and not sixteen times.
"""

from __future__ import annotations

import ast
import gc
import importlib
import multiprocessing
import re
import resource
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import product
from multiprocessing.connection import Connection
from pathlib import Path
from re import _parser  # type: ignore[attr-defined]  # the tree of a pattern has no public name
from typing import Any, NamedTuple

import pytest

from evalkit.biases import format as format_bias
from evalkit.core import thinking
from evalkit.core.protocols import Completion
from evalkit.judges import arena_hard, fastchat, json_replies, replies
from evalkit.stats import style_control

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FOLDERS = sorted(path.name for path in (ROOT / "evalkit").iterdir() if (path / "__init__.py").is_file())
WAYS = {"match", "fullmatch", "search", "finditer", "findall", "sub", "subn", "split"}
FAST, MIDDLE, LONGEST = 1 << 14, 1 << 16, 1 << 20
"""Characters up to which texts grow. What is quadratic takes seconds on the first already."""
SEEN = 0.005
"""Seconds of the processor from which on growth can be told from noise."""
MOST, MOST_OF_A_READER = 600, 3600
"""Seconds of the processor after which a child is ended by the system. A reader looks at each of its many lines, and
takes seconds for a million characters of verdicts."""
LIMIT = 25
"""Times as long as finding a million letters one by one, about a second: what a pattern may take on its worst text."""
TRIES = 5
"""How often in a row something has to be too slow, as other programs may be in its way for a while."""
NAMES = {
    "evalkit.interop.opencompass._JUDGED": "names of models and judges in a report",
    "evalkit.interop.prd._NAME": "names of files",
}
"""Patterns that are backtracked through, and what short names they meet."""
MADE = {
    "evalkit.app.answer_html: f'[{ranges}\\\\U000f0000-\\\\U0010ffff]'": "one character of those that are not seen",
    "evalkit.backends.chat_completions: ''.join(each).encode()": "a key, letter by letter",
    "evalkit.backends.fake: cue": "what a simulated judge is biased for; by default nothing",
    "evalkit.backends.rejections: f'\\\\b{name}\\\\b'": "a name, as it stands",
    "evalkit.backends.rejections: pattern": "of a list of pairs, whose patterns are found there",
    "evalkit.core.thinking: '|'.join(map(re.escape, [*literals, '```']))": "names of tags; it is tested by itself",
    "evalkit.evidence.relations: pattern": "families of models, looked for in a model's name",
    "evalkit.settings.members: f'(?<![\\\\w.-]){re.escape(path.stem)}(?![\\\\w.-])'": "a name, as it stands",
}
"""Patterns that are made while evalkit runs, and of what."""
Pattern = re.Pattern[str] | re.Pattern[bytes]


class Call(NamedTuple):
    """A pattern, and a way in which it is called."""

    pattern: Pattern
    way: str

    def on(self, text: str) -> None:
        """Do all of it."""
        given: Any = text.encode() if isinstance(self.pattern.pattern, bytes) else text
        called = getattr(self.pattern, self.way)
        if self.way == "finditer":
            for _ in called(given):
                pass
        elif self.way.startswith("sub"):
            called(lambda match: match[0], given)
        else:
            called(given)


def _patterns(value: object) -> Iterator[Pattern]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, tuple | list):
        for one in value:
            yield from _patterns(one)


def _read_sources() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted((ROOT / "evalkit").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if path.name != "__main__.py" and re.search(rf"\bimport re\b|\.(?:{'|'.join(WAYS)})\(", text):
            yield ".".join(path.relative_to(ROOT).with_suffix("").parts), ast.parse(text)


@cache
def sources() -> dict[str, ast.Module]:
    """The modules that use patterns, by name."""
    return dict(_read_sources())


def _ways() -> dict[tuple[str, str], set[str]]:
    """How patterns are called, by module and name; a public one also where it is called from elsewhere."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for module, tree in sources().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Attribute) and node.attr in WAYS:
                name = ast.unparse(node.value).rpartition(".")[2]
                found[module if name.startswith("_") else "", name].add(node.attr)
    return found


def _flags(node: ast.Call, names: dict[str, Any]) -> int:
    given = [word.value for word in node.keywords if word.arg == "flags"]
    place = {"compile": 1, "match": 2, "fullmatch": 2, "search": 2, "finditer": 2, "findall": 2}.get(
        ast.unparse(node.func)[3:]
    )
    if place is not None and len(node.args) > place:
        given.append(node.args[place])
    return int(eval(ast.unparse(given[0]), names)) if given else 0  # noqa: S307  # our own source


def _calls(module: str, ways: dict[tuple[str, str], set[str]], unknown: set[str]) -> Iterator[Call]:
    """Every pattern of a module with every way in which it is called; what is not known until it runs is named."""
    names = vars(importlib.import_module(module))
    for name, value in names.items():
        for pattern in _patterns(value) if f"{module}.{name}" not in NAMES else ():
            where = module if name.startswith("_") else ""
            for way in ways.get((where, name)) or {"finditer"}:  # where nobody says how, all through
                yield Call(pattern, way)
    for node in ast.walk(sources()[module]):
        if not isinstance(node, ast.Call) or not (called := ast.unparse(node.func)).startswith("re."):
            continue
        if (way := called[3:]) not in WAYS | {"compile"}:
            continue
        try:
            text = eval(ast.unparse(node.args[0]), names)  # noqa: S307  # our own source
            pattern = text if isinstance(text, re.Pattern) else re.compile(text, _flags(node, names))
        except NameError:
            unknown.add(f"{module}: {ast.unparse(node.args[0])}")
            continue
        if way != "compile":
            yield Call(pattern, way)


@cache
def found_calls() -> tuple[dict[str, list[Call]], set[str]]:
    """Every pattern with every way in which it is called, by module; and those that are not known until evalkit runs.

    Not before a test asks: all of evalkit is loaded for it.
    """
    ways, unknown = _ways(), set[str]()
    found = {module: list(dict.fromkeys(_calls(module, ways, unknown))) for module in sources()}
    found["evalkit.core.thinking"].append(Call(thinking._pattern(())[0], "finditer"))
    return found, unknown


def calls_in(folder: str) -> list[Call]:
    """The patterns of a folder of evalkit."""
    return [
        call for module, calls in found_calls()[0].items() if module.startswith(f"evalkit.{folder}.") for call in calls
    ]


def literals(tree: Any) -> Iterator[str]:  # noqa: C901
    """Runs of literal characters in a pattern, and one character of each set."""
    run = ""
    for operator, argument in tree:
        if str(operator) == "LITERAL":
            run += chr(argument)
            continue
        if run:
            yield run
            run = ""
        if str(operator) == "IN":
            for kind, value in argument:
                if str(kind) == "LITERAL":
                    yield chr(value)
                    break
                if str(kind) == "RANGE":
                    yield chr(value[0])
                    break
        for part in argument if isinstance(argument, tuple | list) else (argument,):
            for inner in part if isinstance(part, list) else (part,):
                if isinstance(inner, _parser.SubPattern):
                    yield from literals(inner)
    if run:
        yield run


def hostile(pattern: Pattern) -> list[tuple[str, str]]:
    """Beginnings and what is repeated behind them: what the pattern looks for, alone and in pairs."""
    own = list(dict.fromkeys(literals(_parser.parse(pattern.pattern, pattern.flags & ~re.DEBUG))))
    beginnings = sorted(own, key=len, reverse=True)[:3]
    runs = [*dict.fromkeys([*own[:6], " ", "\n", "7", "a"])]
    texts = {("", "".join(pair)) for pair in product(beginnings, runs[:5])}
    return sorted(texts | set(product([*beginnings[:2], ""], runs)))


def _spent(work: Callable[[str], None], text: str) -> float:
    began = time.thread_time()
    work(text)
    return time.thread_time() - began


def superlinear(work: Callable[[str], None], begin: str, run: str, longest: int) -> bool:
    """Whether the work grows clearly faster than the text.

    Where four times the text takes eight times as long, something else may be behind it: texts and what is made of them
    no longer fit where the processor has them at hand. So it is looked at again, over sixteen times the text, which
    takes 256 times as long where the work grows with the square.
    """

    def spent(size: int, times: int = 1) -> float:
        text = begin + run * (size // len(run)) + "\x00"
        return min(_spent(work, text) for _ in range(times))

    def grows(size: int) -> bool:
        return spent(4 * size, 2) > max(8 * spent(size, 5), 64 * spent(size // 4, 5))

    size = 1 << 8
    while size <= longest:
        if spent(size) > SEEN and spent(4 * size) > 8 * spent(size, 3) and all(grows(size) for _ in range(TRIES)):
            return True
        size *= 4
    return False


def _report(pipe: Connection, work: Callable[[], list[str]], most: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (most, most))
    gc.disable()  # what the parent has in memory is nothing that this work should be slower for
    pipe.send(work())


def carried_out(work: Callable[[], list[str]], most: int = MOST) -> list[str]:
    """What a child found; it is ended where it takes too much of the processor."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    child = multiprocessing.get_context("fork").Process(target=_report, args=(theirs, work, most))
    child.start()
    theirs.close()
    try:
        return list(ours.recv())
    except EOFError:
        return ["it took more of the processor's time than any linear work would"]
    finally:
        child.join()


def slow_patterns(calls: list[Call], longest: int) -> list[str]:
    found = []
    for call in calls:
        texts = hostile(call.pattern)
        bad = next(((begin, run) for begin, run in texts if superlinear(call.on, begin, run, longest)), None)
        if bad is not None:
            found.append(f"{call.pattern.pattern!r}.{call.way} on {bad[0]!r} + {bad[1]!r} * n")
    return found


def test_the_patterns_are_found_and_how_they_are_called():
    found, unknown = found_calls()
    calls = {(call.pattern.pattern, call.way) for several in found.values() for call in several}
    assert len(calls) > 150
    assert (r"[.!?;]\s", "split") in calls, "within functions, too"
    assert (replies._RATING.pattern, "fullmatch") in calls
    assert (replies._RATING.pattern, "finditer") not in calls
    assert unknown == set(MADE)


@pytest.mark.parametrize(
    ("bad", "way"),
    [(r"\[\[(\d+\.?\d*)\]\]", "search"), (r"\s+x", "search"), (r"\s*,?\s*x", "match"), (r" +$", "sub")],
)
def test_a_bad_one_is_seen(bad, way):
    assert carried_out(partial(slow_patterns, [Call(re.compile(bad), way)], FAST))


def test_a_good_one_passes():
    assert carried_out(partial(slow_patterns, [Call(re.compile(r"\s+x"), "match")], FAST)) == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_pattern_is_linear(folder):
    assert carried_out(partial(slow_patterns, calls_in(folder), FAST)) == []


def worst(work: Callable[[str], None], texts: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The texts that take longest when of middle length, and those whose time grows most up to there.

    None that takes so little that sixteen times the text would take less than a second if it took the square of it.
    """

    def spent(begin: str, run: str, size: int) -> float:
        return _spent(work, begin + run * (size // len(run)) + "\x00")

    found = [(spent(*text, MIDDLE), spent(*text, FAST), text) for text in texts]
    found = [one for one in found if one[0] > SEEN / 2]
    slowest = sorted(found, reverse=True)[:3]
    growing = sorted(found, key=lambda one: one[1] / one[0])[:3]
    return list(dict.fromkeys(text for _, _, text in [*slowest, *growing]))


def too_long(work: Callable[[str], None], text: str) -> bool:
    """Whether the work takes more than the limit, each time it is set beside what the limit is counted in."""
    letters = re.compile(r"\w").findall
    return all(_spent(work, text) > LIMIT * _spent(letters, "a" * LONGEST) for _ in range(TRIES))


def slow_on_the_longest(calls: list[Call]) -> list[str]:
    return [
        f"{call.pattern.pattern!r}.{call.way} on {begin!r} + {run!r} * n"
        for call in calls
        for begin, run in worst(call.on, hostile(call.pattern))
        if superlinear(call.on, begin, run, LONGEST // 4)
        or too_long(call.on, begin + run * (LONGEST // len(run)) + "\x00")
    ]


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_pattern_is_quick_on_a_million_characters(folder):
    assert carried_out(partial(slow_on_the_longest, calls_in(folder))) == []


def test_a_pattern_that_looks_far_ahead_from_everywhere_is_slow():
    looking = Call(re.compile(r"{[^}]{0,6000}}"), "search")
    assert too_long(looking.on, "{" * LONGEST)


PIECES = [
    *("[[7]]'", "[[7]]", "[[", '"[[7]]', "“[[7]] ", "`", "```", "> \n", "\n", " ", "1/10 ", "[[1 ", "7", "[[rating"),
    *("<think>", "</think>", "<think></think>", "<|im_end|>\n", "\n<think>\n", "x </think> ", "| ", "|\n", "\n- [[A]]"),
    *("\n- ", "**", "<|channel|>final<|message|>", "<|channel|>", "[[A>B]] ", "Rating: [[7]]\n", "{", '{"rating":'),
    *(
        "I rate it ",
        "I and ",
        "my ",
        "\nI give it a 2. [[7]]",
        'x "',
        '\n{"rating": 7}',
        '```json\n{"rating": 7}\n```\n',
    ),
]
READERS: dict[str, Callable[[str], object]] = {
    "rating": lambda text: replies.tag(Completion(text), replies.RatingScale(1, 10)),
    "five": lambda text: replies.tag(Completion(text), replies.FIVE),
    "bare label": lambda text: replies.bare_label(Completion(text), replies.FIVE),
    "json": lambda text: json_replies.json_field(Completion(text), replies.RatingScale(1, 10), "rating"),
    "fastchat": lambda text: (fastchat.published_rating(Completion(text)), fastchat.published_pair(Completion(text))),
    "arena hard": lambda text: arena_hard.published_verdict(Completion(text)),
    "thinking": thinking.part,
    "style": style_control.count_markdown,
    "format": format_bias.features,
}


def slow_readings(reader: str, longest: int) -> list[str]:
    def work(text: str) -> None:
        for whole in (text, text + "[[7]] end", text + "\nRating: [[7]]"):
            READERS[reader](whole)

    texts = list(product(("", "[[", "x", "[[7]] "), PIECES))
    chosen = texts if longest <= FAST else worst(work, texts)
    return [f"{begin!r} + {piece!r} * n" for begin, piece in chosen if superlinear(work, begin, piece, longest)]


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_is_linear(reader):
    assert carried_out(partial(slow_readings, reader, FAST)) == []


@pytest.mark.full
@pytest.mark.parametrize("reader", READERS)
def test_every_reader_is_linear_on_long_texts(reader):
    assert carried_out(partial(slow_readings, reader, LONGEST // 4), MOST_OF_A_READER) == []
