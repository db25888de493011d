"""No text freezes a run: every pattern that meets a model's text, fed the repetitions that would be its worst."""

from __future__ import annotations

import importlib
import multiprocessing
import pkgutil
import re
from collections.abc import Callable, Iterator
from itertools import product
from re import _parser  # type: ignore[attr-defined]  # the tree of a pattern has no public name
from typing import Any

import pytest

from evalkit import judges
from evalkit.biases import format as format_bias
from evalkit.core import thinking
from evalkit.core.protocols import Completion
from evalkit.judges import arena_hard, fastchat, replies
from evalkit.stats import style_control

SIZE = 1_000_000
LIMIT = 600.0
"""Seconds until a child is killed. Linear work takes a few even on a busy machine; quadratic work takes days."""
MODULES = [
    *(f"evalkit.judges.{found.name}" for found in pkgutil.iter_modules(judges.__path__)),
    *("evalkit.core.thinking", "evalkit.biases.format", "evalkit.biases.hygiene", "evalkit.stats.style_control"),
]


def _patterns(value: object) -> Iterator[re.Pattern[str]]:
    if isinstance(value, re.Pattern) and isinstance(value.pattern, str):
        yield value
    elif isinstance(value, tuple | list):
        for one in value:
            yield from _patterns(one)


def compiled() -> dict[str, re.Pattern[str]]:
    found: dict[str, re.Pattern[str]] = {"thinking": thinking._pattern(())[0]}
    for module in MODULES:
        for name, value in vars(importlib.import_module(module)).items():
            for number, pattern in enumerate(_patterns(value)):
                found[f"{module}.{name}.{number}"] = pattern
    return found


PATTERNS = compiled()


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


def hostile(pattern: re.Pattern[str]) -> list[str]:
    """Repetitions of what the pattern looks for, alone, in pairs, and behind one beginning; none of them ends well."""
    own = list(dict.fromkeys(literals(_parser.parse(pattern.pattern, pattern.flags))))
    beginnings = sorted(own, key=len, reverse=True)[:3]
    runs = [*dict.fromkeys([*own[:5], " ", "\n", "7", "a"])]
    texts = {"".join(pair) * (SIZE // len("".join(pair))) for pair in product(beginnings, runs[:5])}
    texts |= {begin + run * (SIZE // len(run)) for begin, run in product([*beginnings[:2], ""], runs)}
    return [text + "\x00" for text in texts]


def search(name: str) -> None:
    for text in hostile(PATTERNS[name]):
        for _ in PATTERNS[name].finditer(text):
            pass


def finishes(work: Callable[..., None], *arguments: object) -> bool:
    child = multiprocessing.get_context("fork").Process(target=work, args=arguments)
    child.start()
    child.join(LIMIT)
    alive = child.is_alive()
    child.kill()
    child.join()
    return not alive and child.exitcode == 0


def test_the_patterns_are_found_and_a_bad_one_would_be_seen():
    assert len(PATTERNS) > 15
    bad = re.compile(r"\[\[(\d+\.?\d*)\]\]")
    assert any(re.fullmatch(r"\[\[[07]{1000,}\x00", text) for text in hostile(bad))


def _all(names: list[str]) -> None:
    for name in names:
        search(name)


@pytest.mark.parametrize("module", sorted({name.rpartition(".")[0].rpartition(".")[0] or name for name in PATTERNS}))
def test_every_pattern_is_linear(module):
    assert finishes(_all, [name for name in PATTERNS if name.startswith(module)])


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
