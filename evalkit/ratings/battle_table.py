"""Battle tables: files with model_a, model_b and winner, of any kind that data_files.py reads, rated without import.

Read in chunks into numbers, so that ten million rows fit in memory: a name is kept once, however often it occurs.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evalkit.core.protocols import UsageError
from evalkit.datasets.data_files import KINDS, Where, chunks, columns, first, kind, stem
from evalkit.datasets.vocabulary import (
    BattleColumns,
    battle_columns,
    is_person,
    number,
    outcome,
    outcomes,
    people_among,
    pooling,
    truth,
    turn_of,
    unknown,
)
from evalkit.ratings.comparisons import HUMAN, Comparisons, Failed

PROTOCOL = "battles"


class Anonymous(Sequence[str]):
    """Questions known by number alone, without names."""

    def __init__(self, size: int) -> None:
        self._size = size

    def __len__(self) -> int:
        return self._size

    def __getitem__(self, place: Any) -> Any:
        return [str(i) for i in range(self._size)[place]] if isinstance(place, slice) else str(range(self._size)[place])


@dataclass
class _NameCodes:
    """Names, each numbered at its first occurrence."""

    number: dict[str, int] = field(default_factory=dict)

    def of(self, name: str) -> int:
        return self.number.setdefault(name, len(self.number))

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.number)


@dataclass
class _Columns:
    """The columns read so far, as numbers."""

    models: _NameCodes = field(default_factory=_NameCodes)
    judges: _NameCodes = field(default_factory=_NameCodes)
    categories: _NameCodes = field(default_factory=_NameCodes)
    a: array[int] = field(default_factory=lambda: array("i"))
    b: array[int] = field(default_factory=lambda: array("i"))
    outcome: array[float] = field(default_factory=lambda: array("d"))
    """For a; NaN where the verdict failed."""
    question: array[int] = field(default_factory=lambda: array("Q"))
    """Hashes: there may be as many questions as comparisons."""
    judge: array[int] = field(default_factory=lambda: array("i"))
    category: array[int] = field(default_factory=lambda: array("i"))
    turn: array[int] = field(default_factory=lambda: array("b"))
    without_question: bool = False
    people: set[str] = field(default_factory=set)
    """Judges who are people."""


def is_battle_table(path: Path) -> bool:
    """Whether a path is a battle table rather than results of ours."""
    if kind(path) not in KINDS or not path.is_file():
        return False
    if kind(path) not in (".json", ".jsonl", ".ndjson"):
        return True
    try:
        found = first(path)
    except UsageError:
        return kind(path) != ".jsonl"  # what is wrong with it is said where it is read
    return found is not None and not str(found.get("schema", "")).startswith("evalkit.")


def read(
    paths: Iterable[Path], given: Mapping[str, str] | None = None, note: Callable[[str], None] = lambda _: None
) -> list[Comparisons]:
    """One table for each judge of all files together; a file without a judge column is one judge of its own name.

    Args:
        paths: the files.
        given: columns by field, where the user names them.
        note: is told what had to be assumed.

    Raises:
        UsageError: a file lacks a column or has a winner that is none, by file and row.
    """
    import numpy as np

    listed = list(paths)
    kept = _Columns()
    for path in listed:
        _read(kept, path, given, note)
    if again := _again(kept):
        rows = "1 row is" if again == 1 else f"{again:,} rows are"
        note(
            f"{rows} there again: same question, turn, models, winner and judge; each counts, none narrows an interval"
        )
    benchmark = stem(listed[0]) if len(listed) == 1 else PROTOCOL
    return _by_judge(kept, benchmark, np.frombuffer(kept.judge, dtype=np.int32))


def _read(kept: _Columns, path: Path, given: Mapping[str, str] | None, note: Callable[[str], None]) -> None:
    """Enter one file; what its winners mean is known when all of them are."""
    import numpy as np

    about = battle_columns(columns(path), path, given)
    wanted = {**about.fields, **{f"winner {word}": column for word, column in about.one_hot.items()}}
    words, winner, judges = _NameCodes(), array("i"), _NameCodes()
    with closing(chunks(path, wanted, distinct=("question",))) as parts:
        for start, chunk in parts:
            _enter(kept, chunk, about, path, start)
            winner.frombytes(_winners(chunk, about, words, path, start).tobytes())
            for name in _distinct(chunk.get("judge", ())):
                judges.of(name)
    if not winner:
        raise UsageError(f"{str(path)!r}: no rows")
    meaning = outcomes(words.number, path)
    points = np.array([meaning.points[word] for word in words.names], dtype=np.float64)  # None becomes NaN
    kept.outcome.frombytes(points[np.frombuffer(winner, dtype=np.int32)].tobytes())
    column = about.fields.get("judge", "")
    people = people_among(judges.number, column)
    kept.people |= people
    for text in (*about.assumed, *meaning.assumed, *pooling(path, column, people)):
        note(text)


def _again(kept: _Columns) -> int:
    """Rows that are there already; of a file without questions, where votes may well be alike, none."""
    import numpy as np
    import pandas as pd

    if kept.without_question:
        return 0
    code = np.frombuffer(kept.question, dtype=np.uint64).copy()
    rest = (
        np.frombuffer(kept.a, dtype=np.int32),
        np.frombuffer(kept.b, dtype=np.int32),
        np.frombuffer(kept.judge, dtype=np.int32),
        np.frombuffer(kept.turn, dtype=np.int8),
        np.frombuffer(kept.outcome, dtype=np.float64).view(np.int64),
    )
    for column in rest:  # one number a row, as a hash of all its columns
        code = (code ^ column.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        code ^= code >> np.uint64(29)
    return int(pd.Series(code).duplicated().sum())


def _distinct(column: Any) -> Iterable[str]:
    import pandas as pd

    return map(str, pd.factorize(column)[1]) if len(column) else ()


def _enter(kept: _Columns, chunk: dict[str, Any], about: BattleColumns, path: Path, start: int) -> None:
    """Number one chunk of columns of texts, all but its winners."""
    import numpy as np
    import pandas as pd

    size = len(chunk["model_a"])

    def coded(name: str, codes: _NameCodes, default: str | None = None) -> Any:
        if name not in chunk:
            return np.full(size, codes.of(default or ""), dtype=np.int32)
        found, names = pd.factorize(chunk[name])
        if (found < 0).any() and default is None:
            raise Where(path, start + int(np.flatnonzero(found < 0)[0])).error(f"field `{about.fields[name]}` is empty")
        blank = codes.of(default or "") if (found < 0).any() else -1  # the last place, which -1 takes
        numbers = np.array([*(codes.of(str(each)) for each in names), blank])
        return numbers[found].astype(np.int32)

    kept.a.frombytes(coded("model_a", kept.models).tobytes())
    kept.b.frombytes(coded("model_b", kept.models).tobytes())
    kept.judge.frombytes(coded("judge", kept.judges, stem(path)).tobytes())
    kept.category.frombytes(coded("category", kept.categories, "all").tobytes())
    if "question" in chunk and not kept.without_question:
        found, names = pd.factorize(chunk["question"])
        if (found < 0).any():
            where = Where(path, start + int(np.flatnonzero(found < 0)[0]))
            raise where.error(f"field `{about.fields['question']}` is empty")
        hashes = pd.util.hash_array(np.array([str(name) for name in names], dtype=object), categorize=False)
        kept.question.frombytes(hashes[found].tobytes())
    else:
        kept.without_question = True
    turns = np.ones(size, dtype=np.int8)
    if "turn" in chunk:
        found, names = pd.factorize(chunk["turn"])
        read = [turn_of(str(name), Where(path, start + int(np.argmax(found == i)))) for i, name in enumerate(names)]
        turns = np.array([*read, 1], dtype=np.int8)[found]
    kept.turn.frombytes(turns.tobytes())


def _winners(chunk: dict[str, Any], about: BattleColumns, words: _NameCodes, path: Path, start: int) -> Any:
    """[n] codes of the winner words of a chunk; the name of one of the two models is model_a or model_b.

    Raises:
        UsageError: there is no word, or one that can mean nothing.
    """
    import numpy as np
    import pandas as pd

    if about.one_hot:
        chosen = np.stack(
            [pd.Series(chunk[f"winner {word}"]).astype(object).map(truth).to_numpy() for word in about.one_hot]
        )
        if (wrong := np.flatnonzero(chosen.sum(axis=0) != 1)).size:
            cells = ", ".join(map(repr, about.one_hot.values()))
            raise Where(path, start + int(wrong[0])).error(f"of {cells} one must be 1")
        return np.array([words.of(word) for word in about.one_hot], dtype=np.int32)[chosen.argmax(axis=0)]
    found, names = pd.factorize(chunk["winner"])
    models = {*_distinct(chunk["model_a"]), *_distinct(chunk["model_b"])}
    codes = np.full(found.size, -1, dtype=np.int32)
    for i, name in enumerate(names):
        word = str(name)
        mine = np.flatnonzero(found == i)
        if word in models:
            is_a, is_b = (np.asarray(chunk[side])[mine].astype(str) == word for side in ("model_a", "model_b"))
            codes[mine[is_a & ~is_b]] = words.of("model_a")
            codes[mine[is_b & ~is_a]] = words.of("model_b")
            mine = mine[is_a == is_b]
        if mine.size and _means_something(word):
            codes[mine] = words.of(word)
    if (wrong := np.flatnonzero(codes < 0)).size:
        word = "" if found[wrong[0]] < 0 else str(names[found[wrong[0]]])
        raise Where(path, start + int(wrong[0])).error(unknown(word, about.fields["winner"]))
    return codes


def _means_something(word: str) -> bool:
    try:
        outcome(word)
    except KeyError:
        return number(word) is not None
    return True


def _by_judge(kept: _Columns, benchmark: str, judge: Any) -> list[Comparisons]:
    import numpy as np
    import pandas as pd

    groups: dict[str, list[int]] = {}
    for name, number_of in kept.judges.number.items():
        groups.setdefault(HUMAN if name in kept.people or is_person(name) else name, []).append(number_of)
    a, b, category = (np.frombuffer(part, dtype=np.int32) for part in (kept.a, kept.b, kept.category))
    outcome, turn = np.frombuffer(kept.outcome, dtype=np.float64), np.frombuffer(kept.turn, dtype=np.int8)
    question, questions = None, Anonymous(0)
    if not kept.without_question:
        question, distinct = pd.factorize(np.frombuffer(kept.question, dtype=np.uint64))
        questions = Anonymous(len(distinct))
    result = []
    for name, numbers in sorted(groups.items()):
        mine = None if len(groups) == 1 else np.isin(judge, numbers)
        chosen = ~np.isnan(outcome) & (a != b)
        itself = int(((a == b) if mine is None else (a == b) & mine).sum())
        failed = np.flatnonzero(np.isnan(outcome) if mine is None else np.isnan(outcome) & mine)
        chosen = chosen if mine is None else chosen & mine
        keep = None if chosen.all() else np.flatnonzero(chosen)
        parts = [part if keep is None or part is None else part[keep] for part in (a, b, question, category, turn)]
        table = _table(kept, benchmark, name, parts, outcome if keep is None else outcome[keep], questions)
        lost = tuple(Failed("unparsed", int(a[i]), int(b[i]), int(category[i])) for i in failed)
        result.append(replace(table, failed=lost, itself=itself))
    return result


def _table(
    kept: _Columns, benchmark: str, judge: str, parts: list[Any], outcome: Any, questions: Anonymous
) -> Comparisons:
    import numpy as np

    a, b, question, category, turn = parts
    n = a.size

    def constant(value: float) -> Any:
        """A column of one value that takes no memory."""
        return np.broadcast_to(np.array(value), n)

    return Comparisons(
        benchmark=benchmark,
        judge=judge,
        protocol=PROTOCOL,
        models=kept.models.names,
        questions=questions,
        categories=kept.categories.names,
        a=a,
        b=b,
        question=constant(0).astype(np.int64, copy=False) if question is None else question,
        category=category,
        turn=turn,
        outcome=outcome,
        weight=constant(1.0),
        length_a=constant(float("nan")),
        length_b=constant(float("nan")),
        orders=constant(1),
    )
