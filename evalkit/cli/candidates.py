"""What a word of a command line may become: verbs, options, keys and their values, and names of what there is.

Loads no verb: what each verb takes is read from its own help text, once, and kept in the cache.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from evalkit.cli.arguments import VERBS
from evalkit.cli.grammar import Grammar, grammar
from evalkit.core.paths import shipped

FILES = re.compile(r"FILE|PATH|DIR|FOLDER|CSV|CARD|QUESTIONS-OR-RESULTS")
"""Placeholders in help texts that files stand for."""
LISTS = {"model", "judge", "probes", "of", "ask_again", "unsupported"}
"""Keys that take several values, separated by commas."""
LIVE = ("judge=", "probes=")
"""Settings with which an audit asks a judge."""
Word = tuple[str, str]


class Offer(NamedTuple):
    """What a word may become."""

    words: list[Word]
    """Each whole word with a few words about it."""
    files: bool
    """Names of files fit, too."""


def offer(words: Sequence[str]) -> Offer:
    """What the last of the words may become; the others stand before it, the program's name aside."""
    *before, word = words
    if not before:
        top = {**VERBS, "--help": "all verbs", "--version": "which evalkit this is"}
        return Offer(_beginning(word, top.items()), files=False)
    verb, *given = before
    if verb not in VERBS:
        return Offer([], files=False)
    live = verb == "audit" and any(one.startswith(LIVE) for one in (*given, word))
    return _Line(grammar(verb, live=live), verb, given, word).offer()


def _beginning(word: str, choices: Iterable[Word]) -> list[Word]:
    return [(choice, about) for choice, about in choices if choice.startswith(word)]


class _Line:
    """One command line, up to the word to complete."""

    def __init__(self, known: Grammar, verb: str, given: Sequence[str], word: str) -> None:
        self.known = known
        self.verb = verb
        self.given = given
        self.word = word
        self.own = self._folder_of_own()

    def offer(self) -> Offer:
        """What the word may become."""
        if self.given and (option := self.known.options.get(self.given[-1])) and option.value:
            return self._values(option.value, self.given[-1].lstrip("-"), "", self.word)
        if self.word.startswith("-"):
            name, written, value = self.word.partition("=")
            if written and name in self.known.options:
                return self._values(self.known.options[name].value, name.lstrip("-"), f"{name}=", value)
            options = ((name, option.about) for name, option in self.known.options.items() if name.startswith("--"))
            return Offer(_beginning(self.word, options), files=False)
        key, written, value = self.word.partition("=")
        if written and self.known.keys:
            return self._of_key(key, value)
        place = self._place()
        again = self.known.positionals[-1:] if self.known.repeats else ()
        positional = (*self.known.positionals[place:], *again, "")[0]
        found = self._values(positional, positional.lower(), "", self.word)
        if self.verb == "audit" and not self.known.keys:
            found.words.extend(_beginning(self.word, [("judge=", "experiments on a live judge")]))
        if self.known.keys and (place or positional != "BENCHMARK"):
            found.words.extend(self._keys())
        return found

    def _place(self) -> int:
        """How many arguments without a name stand before."""
        taken = 0
        value_of_option = False
        for one in self.given:
            if value_of_option:
                value_of_option = False
            elif one.startswith("-"):
                option = self.known.options.get(one)
                value_of_option = option is not None and bool(option.value)
            elif not (self.known.keys and "=" in one):
                taken += 1
        return taken

    def _folder_of_own(self) -> Path | None:
        for one, following in pairwise([*self.given, self.word]):
            name, written, value = one.partition("=")
            if name in ("--config-dir", "-cd"):
                return Path(value if written else following).expanduser()
        return None

    def _keys(self) -> list[Word]:
        head, dot, _ = self.word.rpartition(".")
        inner = self._inner(head) if dot else ()
        given = {one.partition("=")[0] for one in self.given}
        keys = [(f"{key}=", about) for key, (_, about) in self.known.keys.items() if key not in given]
        if not dot:
            keys += [(f"{group}.", f"settings of a {group}, or of all") for group in ("model", "judge")]
        return _beginning(self.word, [*keys, *inner])

    def _inner(self, head: str) -> list[Word]:
        """Settings of one model, of one judge, or of all: ``model.NAME.sampling.`` and what follows."""
        group, *path = head.split(".", 1)
        if group not in ("model", "judge"):
            return []
        chosen = [name for name in self._chosen(group) if name]
        rest = path[0] if path else ""
        name = next((one for one in chosen if rest == one or rest.startswith(f"{one}.")), None)
        inside = (rest[len(name) :] if name else rest).strip(".")
        fields = self.known.settings.get(inside, ())
        names = [(f"{head}.{one}.", f"settings of {one}") for one in chosen] if not rest else []
        return [*names, *((f"{head}.{field}", "") for field in fields)]

    def _chosen(self, group: str) -> list[str]:
        """What takes part by the words before: by its own name, or the last part of its id."""
        values = [one.partition("=")[2] for one in self.given if one.startswith(f"{group}=")]
        ids = [one for value in values for one in value.strip("[]").split(",")]
        return [
            re.split(r"[/#]", one.partition("@")[0] if "@" in one else one)[-1].removesuffix(".gguf") for one in ids
        ]

    def _of_key(self, key: str, value: str) -> Offer:
        last = key.rpartition(".")[2]
        known = self.known.keys.get(key)
        kinds = known.value if known else self.known.values.get(last, "")
        if last in LISTS:
            done, comma, part = value.rpartition(",")
            taken = set(done.split(","))
            found = self._values(kinds, last, f"{key}={done}{comma}", part)
            words = [one for one in found.words if one[0].rpartition(",")[2].rpartition("=")[2] not in taken]
            return Offer(words, files=found.files and not comma)
        return self._values(kinds, key, f"{key}=", value)

    def _values(self, kinds: str, what: str, before: str, typed: str) -> Offer:
        """What can stand for a placeholder of the help text, ``NAME | FILE``, or one of its choices.

        Args:
            kinds: the placeholder.
            what: the name of the key, option or argument.
            before: what of the word stands before the value.
            typed: of the value, so far.
        """
        choices: list[Word] = [(one, "") for one in re.findall(r"(?<![\w.-])[a-z0-9][\w.:-]*(?![\w.:-]*\()", kinds)]
        source = NAMES.get(what)
        if source is not None:
            choices += [one for one in source(self) if one[0] not in dict(choices)]
        files = bool(FILES.search(kinds)) and not (typed and any(one[0] == typed for one in choices))
        return Offer([(f"{before}{word}", about) for word, about in _beginning(typed, choices)], files=files)


def _members(group: str) -> Callable[[_Line], Iterator[Word]]:
    """Names of YAML files of a group: those that ship, and those of the folder of the user's own."""

    def names(line: _Line) -> Iterator[Word]:
        for folder in (shipped("conf"), line.own):
            for path in sorted((folder / group).glob("*.y*ml")) if folder else ():
                yield path.stem, ""

    return names


def _benchmarks(_: _Line) -> Iterator[Word]:
    for path in sorted(shipped("benchmarks").glob("*/benchmark.yaml")):
        yield path.parent.name, ""


def _stored(folder: str) -> Callable[[_Line], Iterator[Word]]:
    """Names of models that answered, or of judges, in the results folders of the line, or in ``results``."""

    def names(line: _Line) -> Iterator[Word]:
        found = {}
        places = [Path(one) for one in line.given if Path(one).is_dir()] or [Path("results")]
        for place in places:
            for path in sorted([*place.glob(f"{folder}/*.jsonl"), *place.glob(f"*/{folder}/*.jsonl")]):
                found[path.stem.rpartition(".")[0] if folder == "judgments" else path.stem] = ""
        yield from found.items()

    return names


def _of_old_judge(line: _Line) -> Iterator[Word]:
    yield from _stored("judgments" if line.verb == "rejudge" else "answers")(line)


def _of_model(line: _Line) -> Iterator[Word]:
    if line.verb in ("run", "audit") and line.word.startswith("model="):
        yield from _members("model")(line)
    else:
        yield from _stored("answers")(line)


def _of_judge(line: _Line) -> Iterator[Word]:
    if line.word.startswith("judge="):
        yield from _members("judge")(line)
    else:
        yield from _stored("judgments")(line)


def _references(line: _Line) -> Iterator[Word]:
    """Sets of the benchmark that stands first."""
    yield "none", "show the judge no reference"
    path = shipped("benchmarks") / (line.given[0] if line.given else "") / "benchmark.yaml"
    if path.is_file():
        text = path.read_text(encoding="utf-8").partition("\nreferences:")[2]
        sets = text.partition("  sets:\n")[2]
        yield from ((name, "") for name in re.findall(r"^    ([\w-]+):", re.split(r"\n\S", sets)[0], re.MULTILINE))


def _literal(*words: str) -> Callable[[_Line], Iterator[Word]]:
    return lambda _: iter([(word, "") for word in words])


NAMES: dict[str, Callable[[_Line], Iterator[Word]]] = {
    "benchmark": _benchmarks,
    "questions": _benchmarks,
    "model": _of_model,
    "judge": _of_judge,
    "protocol": _members("protocol"),
    "rubric": _members("rubric"),
    "references": _references,
    "baseline": _stored("answers"),
    "of": _of_old_judge,
    "a": _stored("answers"),
    "b": _stored("answers"),
    "new": _stored("answers"),
    "old": _stored("answers"),
    "hydra/launcher": _literal("joblib", "submitit_local", "submitit_slurm", "ray"),
}
"""What may stand for an argument, the value of an option or of a key, by its name."""
