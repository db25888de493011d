"""No text freezes a run: every pattern that meets a model's text, fed the repetitions that would be its worst."""

from __future__ import annotations

import ast
import importlib
import multiprocessing
import re
import resource
from collections.abc import Callable, Iterator
from functools import reduce
from itertools import product
from operator import or_
from pathlib import Path
from re import _parser  # type: ignore[attr-defined]  # the tree of a pattern has no public name
from typing import Any

import pytest

from evalkit.biases import format as format_bias
from evalkit.core import thinking
from evalkit.core.protocols import Completion
from evalkit.judges import arena_hard, fastchat, replies
from evalkit.stats import style_control

SIZE = 1_000_000
SHORTER = 50_000
"""Characters in the fast form: quadratic work on them takes minutes, linear work no time."""
SECONDS = 300
"""Of the processor, after which a child is ended by the system. Linear work takes a few; quadratic work takes days."""
ROOT = Path(__file__).parents[2]
CALLS = {"compile", "search", "match", "fullmatch", "split", "sub", "subn", "finditer", "findall"}


SHORT = frozenset(
    {
        "evalkit.cli.audit",
        "evalkit.cli.rejudge",
        "evalkit.core.secrets",
        "evalkit.datasets.downloads",
        "evalkit.interop.fastchat",
    }
)
"""Modules whose patterns read names, settings and one-line messages from their beginning, and no text of a model."""


def written(path: Path) -> Iterator[re.Pattern[str]]:
    """Every pattern that stands in a module's source, wherever in it and under whatever name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(node, ast.Call) or ast.unparse(node.func) not in {f"re.{name}" for name in CALLS}:
            continue
        if isinstance(text := getattr(node.args[0], "value", None), str):
            flags = [part for part in ast.unparse(node).split("re.")[2:] if part[:1].isupper()]
            names = (re.match(r"[A-Z]+", part) for part in flags)
            yield re.compile(text, reduce(or_, (getattr(re, name[0]) for name in names if name), re.RegexFlag(0)))


def _patterns(value: object) -> Iterator[re.Pattern[str]]:
    if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
        yield value
    elif isinstance(value, tuple | list):
        for one in value:
            yield from _patterns(one)


def loaded(module: str) -> Iterator[re.Pattern[str]]:
    """Every pattern that a module holds, put together by whatever means."""
    for value in vars(importlib.import_module(module)).values():
        yield from _patterns(value)


def compiled() -> dict[str, list[re.Pattern[str]]]:
    """The patterns of every module of the package, by module; a new one is among them by existing."""
    found: dict[str, list[re.Pattern[str]]] = {}
    for path in sorted((ROOT / "evalkit").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        here = list(written(path))
        if path.name != "__main__.py" and "import re\n" in path.read_text(encoding="utf-8"):
            here += loaded(module)
        if module == "evalkit.core.thinking":
            here.append(thinking._pattern(())[0])
        if here and module not in SHORT:
            found[module] = list({(one.pattern, one.flags): one for one in here}.values())
    return found


PATTERNS = compiled()
MODEL_TEXT = ("evalkit.judges", "evalkit.core", "evalkit.biases", "evalkit.stats", "evalkit.backends", "evalkit.probes")
"""Where nearly all text is a model's: tested on the longest texts, too; the other modules where there is time."""


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


def hostile(pattern: re.Pattern[str], size: int = SIZE) -> list[str]:
    """Repetitions of what the pattern looks for, alone, in pairs, and behind one beginning; none of them ends well."""
    own = list(dict.fromkeys(literals(_parser.parse(pattern.pattern, pattern.flags))))
    beginnings = sorted(own, key=len, reverse=True)[:3]
    runs = [*dict.fromkeys([*own[:5], " ", "\n", "7", "a"])]
    texts = {"".join(pair) * (size // len("".join(pair))) for pair in product(beginnings, runs[:5])}
    texts |= {begin + run * (size // len(run)) for begin, run in product([*beginnings[:2], ""], runs)}
    return [text + "\x00" for text in texts]


def search(patterns: list[re.Pattern[str]], size: int = SIZE) -> None:
    for pattern in patterns:
        for text in hostile(pattern, size):
            for _ in pattern.finditer(text):
                pass


def _limited(work: Callable[..., None], *arguments: object) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    work(*arguments)


def finishes(work: Callable[..., None], *arguments: object) -> bool:
    """Whether it ends within the processor's time; how busy the machine is makes no difference."""
    child = multiprocessing.get_context("fork").Process(target=_limited, args=(work, *arguments))
    child.start()
    child.join()
    return child.exitcode == 0


def test_the_patterns_are_found_and_a_bad_one_would_be_seen():
    assert sum(map(len, PATTERNS.values())) > 60
    assert any(one.pattern == r"[.!?;]\s" for one in PATTERNS["evalkit.judges.replies"]), "within functions, too"
    bad = re.compile(r"\[\[(\d+\.?\d*)\]\]")
    assert any(re.fullmatch(r"\[\[[07]{1000,}\x00", text) for text in hostile(bad))


def test_what_is_quadratic_does_not_finish(monkeypatch):
    monkeypatch.setattr(f"{__name__}.SECONDS", 1)
    assert not finishes(search, [re.compile(r"\s+x")])


@pytest.mark.parametrize("module", PATTERNS)
def test_every_pattern_is_linear(module, monkeypatch):
    monkeypatch.setattr(f"{__name__}.SECONDS", 30)
    assert finishes(search, PATTERNS[module], SHORTER)


@pytest.mark.parametrize(
    "module",
    [
        pytest.param(name, marks=pytest.mark.slow if name.startswith(MODEL_TEXT) else pytest.mark.full)
        for name in PATTERNS
    ],
)
def test_every_pattern_is_linear_on_the_longest_texts(module):
    assert finishes(search, PATTERNS[module])


PIECES = [
    *("[[7]]'", "[[7]]", "[[", '"[[7]]', "“[[7]] ", "`", "```", "> \n", "\n", " ", "1/10 ", "[[1 ", "7", "[[rating"),
    *("<think>", "</think>", "<think></think>", "<|im_end|>\n", "\n<think>\n", "x </think> ", "| ", "|\n", "\n- [[A]]"),
    *("\n- ", "**", "<|channel|>final<|message|>", "<|channel|>", "[[A>B]] ", "Rating: [[7]]\n", "{", '{"rating":'),
]


def read(piece: str) -> None:
    size = SIZE // len(piece)
    for text in (piece * size, "[[" + piece * size, "x" + piece * size + "[[7]] end"):
        reply = Completion(text)
        readings = (
            replies.tag(reply, replies.RatingScale(1, 10)),
            fastchat.published_rating(reply),
            arena_hard.published_verdict(reply),
        )
        for _ in readings:
            pass
        replies.tag(reply, replies.FIVE)
        replies.json_field(reply, replies.RatingScale(1, 10), "rating")
        thinking.part(text)
        style_control.count_markdown(text)
        format_bias.features(text)


@pytest.mark.slow
@pytest.mark.parametrize("piece", PIECES)
def test_every_reader_is_linear(piece):
    assert finishes(read, piece)
