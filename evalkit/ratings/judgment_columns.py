"""Stored judgments -> columns: one pass over the rows, for ratings and audits alike.

Here, and nowhere else, is decided what scores amount to, who is a person, which votes repeat an earlier one, and which
rows belong to the newest configuration of a judge and of the models it saw.
"""

from __future__ import annotations

import gc
import itertools
import math
import struct
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeVar

from msgspec import UnsetType
from msgspec.structs import astuple

from evalkit.core.preference_strength import strength_of
from evalkit.core.schema import CriterionVerdict, Failure, Judged, Judgment, Ref

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from evalkit.stats.arrays import BoolArray, IntArray

Built = TypeVar("Built", bound="BenchmarkRows")
Value = TypeVar("Value", int, float)

HUMAN = "human"
"""Fingerprint of people, whose votes are pooled under this name unless they are asked for one by one."""

GOLD = "gold"
"""Name of the judge that gives labels known to be right."""

ANONYMOUS_RATERS = frozenset({HUMAN, "unknown"})
"""What imports and plain votes call a person who is not named: nobody knows how many they are."""

STRONG = frozenset({"A>>B", "B>>A", "A<<B", "B<<A"})
"""Labels that say one answer is much better."""

EIGHT_STEPS: Final = "human_pair_8"
"""The protocol of people's votes from 1 (the first is much better) to 8 (the second is)."""

PLAIN: Final[dict[tuple[float, ...], float]] = {(1.0, 0.0): 1.0, (0.0, 1.0): 0.0, (0.5, 0.5): 0.5}
"""Outcomes of the usual scores of two answers."""
TOGETHER = 128
"""Rows entered at once: few enough that the processor still has them at hand."""


class _Columns(NamedTuple):
    """The fields of ``Judged``, in its order: of each the values of some rows."""

    item: tuple[str, ...]
    benchmark: tuple[str, ...]
    category: tuple[str, ...]
    turn: tuple[int, ...]
    judge: tuple[Ref, ...]
    protocol: tuple[str, ...]
    shown: tuple[tuple[str, ...], ...]
    models: tuple[tuple[Ref, ...], ...]
    lengths: tuple[tuple[int, ...], ...]
    repeat: tuple[int, ...]
    scores: tuple[tuple[float, ...] | None, ...]
    label: tuple[str | None, ...]
    error: tuple[Failure | None, ...]
    criteria: tuple[tuple[CriterionVerdict, ...], ...]
    score_range: tuple[tuple[float, float] | UnsetType, ...]
    created: tuple[float, ...]


assert _Columns._fields == Judged.__struct_fields__


def rater_kind(judge: Ref) -> Literal["person", "gold", "judge"]:
    """Whether a verdict is a person's, a label known to be right, or a judge's."""
    if judge.name == GOLD:
        return "gold"
    return "person" if judge.fingerprint == HUMAN else "judge"


def groups_of_people(names: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Groups of raters by name: names that differ only in a number at the end belong together, the rest are a group."""
    by_stem: dict[str, list[str]] = {}
    for name in names:
        by_stem.setdefault(_stem(name), []).append(name)
    alone = [name for names in by_stem.values() if len(names) == 1 for name in names]
    yield from ((stem, names) for stem, names in by_stem.items() if len(names) > 1)
    if alone:
        yield "", alone


def _stem(name: str) -> str:
    """A name without the number that it ends in."""
    bare = name.rstrip("0123456789")
    return name if bare == name else bare.rstrip(" \t\n_.-")


def outcome_of(scores: tuple[float, ...]) -> float:
    """The outcome for the first of two answers, 0 to 1; of scores on a scale of the judge's own, the higher wins."""
    first, second = scores
    if 0 <= first <= 1 and abs(first + second - 1) < 1e-6:
        return first
    return 0.5 if first == second else float(first > second)


class Codes(dict[str, int]):
    """Numbers names in order of appearance."""

    def __missing__(self, name: str) -> int:
        self[name] = code = len(self)
        return code

    def of(self, names: Iterable[str]) -> list[int]:
        """The numbers of these names."""
        return list(map(self.__getitem__, names))


class RowBuffer:
    """Rows of one judge and protocol, or of all people under one protocol; about 80 bytes a row."""

    def __init__(self, judge: Ref, protocol: str, shows: int) -> None:
        self.judge = judge
        self.protocol = protocol
        self.shows = shows
        self.codes = array("i")
        """For each row: question, category, turn, repeat, then model, version and response of each side."""
        self.numbers = array("d")
        """For each row: score or outcome of the first side, and the length of each side."""
        self.raters = array("i")
        """For each row the person, where people are the judge."""
        self.failures = array("i")
        """For each row without a verdict, the kind of its error."""
        self.strong = array("i")
        """Rows with a strong verdict."""
        self.strength: dict[int, int] = {}
        """By how much people, or gold labels, prefer one answer, 1 to 4, by row, where their label says it."""
        self.inconsistent = array("i")
        """Rows of which the source says that two orders disagreed."""
        self.criteria = 0
        """Verdicts on criteria, and typed failures of such, in rows with scores."""
        self.criteria_failed: Counter[str] = Counter()
        """The failures among them, by kind."""
        self.score_ranges: set[tuple[str, tuple[float, float] | UnsetType]] = set()
        """Categories, with lowest and highest possible score as the rows with scores say; UNSET where they do not."""
        self.shares = self.grades = False
        """Whether there are scores that are shares of points, and other ones."""
        self.joint = protocol.endswith("_aggregated")
        self.rows = 0
        self.last_used = 0
        """Rank among the buffers of the benchmark by when the last row arrived."""

    @property
    def share(self) -> bool:
        """Whether all scores are shares of points, whose mean is clipped to 0 and 1."""
        return self.shares and not self.grades

    def score_range(self, category: str | None = None) -> tuple[float, float] | None:
        """Lowest and highest score that any row, or any of a category, could have; None where some row does not say."""
        said = {ends for name, ends in self.score_ranges if category in (None, name)}
        ends = [ends for ends in said if not isinstance(ends, UnsetType)]
        if not ends or len(ends) < len(said):
            return None
        return min(low for low, _ in ends), max(high for _, high in ends)

    def append(self, codes: tuple[int, ...], numbers: tuple[float, ...]) -> None:
        """Add one judgment's values to the columns."""
        self.codes.extend(codes)
        self.numbers.extend(numbers)
        self.rows += 1

    def extend(self, codes: Sequence[Sequence[int]], numbers: Sequence[Sequence[float]]) -> None:
        """Add some rows, given column by column."""
        _append(self.codes, _by_row(codes))
        _append(self.numbers, _by_row(numbers))
        self.rows += len(codes[0])

    def table(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
        """Codes [N, 4 + 3 shows] and numbers [N, 1 + shows]."""
        import numpy as np

        codes = np.frombuffer(self.codes, dtype=np.int32) if self.codes else np.zeros(0, np.int32)
        numbers = np.frombuffer(self.numbers, dtype=np.float64) if self.numbers else np.zeros(0)
        return codes.reshape(-1, 4 + 3 * self.shows), numbers.reshape(-1, 1 + self.shows)

    def marked(self, rows: array[int]) -> BoolArray:
        """[N] whether a row is one of those listed."""
        import numpy as np

        result = np.zeros(self.rows, dtype=bool)
        result[np.frombuffer(rows, dtype=np.int32) if rows else []] = True
        return result

    def strengths(self) -> IntArray:
        """[N] by how much one answer is preferred, 1 to 4; 0 where nothing says it."""
        import numpy as np

        result = np.zeros(self.rows, dtype=np.int64)
        result[list(self.strength)] = list(self.strength.values())
        return result

    def current(self, models: int) -> BoolArray:
        """[N] whether every model of a row is in the configuration that was judged last under its name.

        A row that names no configuration (a vote of the plain format) is about whichever there is.

        Args:
            models: how many are numbered.
        """
        import numpy as np

        codes = self.table()[0]
        model, version = codes[:, 4::3], codes[:, 5::3]
        latest = np.full(models, -1, dtype=np.int32)
        known = version >= 0
        latest[model[known]] = version[known]  # of several rows the last counts
        result: BoolArray = ((version == latest[model]) | ~known).all(axis=1)
        return result


@dataclass
class BenchmarkRows:
    """Every judgment of one benchmark in columns. Names are numbered in order of appearance."""

    benchmark: str
    taken: frozenset[int] = frozenset({1, 2})
    """By how many answers were shown: the judgments that are entered."""
    models: Codes = field(default_factory=Codes)
    versions: Codes = field(default_factory=Codes)
    """Fingerprints of models."""
    questions: Codes = field(default_factory=Codes)
    categories: Codes = field(default_factory=Codes)
    responses: Codes = field(default_factory=Codes)
    raters: Codes = field(default_factory=Codes)
    """Names of people."""
    kinds: Codes = field(default_factory=Codes)
    """Kinds of error."""
    judges: dict[tuple[Ref, str, int], RowBuffer] = field(default_factory=dict)
    """By judge, protocol and number of answers shown; gold labels among them."""
    people: dict[tuple[str, int], RowBuffer] = field(default_factory=dict)
    """By protocol and number of answers shown."""
    _place: tuple[str, str, str, int] | None = None
    """Judge and protocol of the last row: a file holds one of each, so the next row goes there too."""
    _buffer: RowBuffer = field(default_factory=lambda: RowBuffer(Ref("", ""), "", 0))
    _people: bool = False
    """Whether the rows being entered are by people."""
    _uses: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def add(self, rows: Sequence[Judgment | Judged], columns: _Columns) -> None:
        """Enter judgments of one answer or of two; others are passed over.

        Column by column, as what is done for each row is what a leaderboard of a million waits for.

        Args:
            rows: all by one judge, or all by people, under one protocol, and of as many answers.
            columns: the same.
        """
        shows = len(columns.shown[0])
        if shows not in self.taken:
            return
        place = (*_who(columns.judge[0]), columns.protocol[0], shows)
        if place != self._place:
            self._go_to(place, columns.judge[0])
        buffer, scores = self._buffer, columns.scores
        models = list(itertools.chain.from_iterable(columns.models))
        sides = (
            self.models.of([model.name for model in models]),
            self.versions.of([model.fingerprint for model in models]),
            self.responses.of(itertools.chain.from_iterable(columns.shown)),
        )
        codes = (
            self.questions.of(columns.item),
            self.categories.of(columns.category),
            columns.turn,
            columns.repeat,
            *(column[side::shows] for side in range(shows) for column in sides),
        )
        failed = None in scores
        said = {label for label in set(columns.label) if label and (_says_more(label) or self._strength(label, buffer))}
        if failed or said or any(columns.criteria):
            for number, row in enumerate(rows, buffer.rows):
                if row.scores is None or row.criteria or row.label in said:
                    self._remark(number, row, buffer)
        if shows == 1:
            ends = zip(columns.category, columns.score_range, strict=True)
            known = [given is not None for given in scores] if failed else itertools.repeat(True)
            buffer.score_ranges.update(itertools.compress(ends, known))
        if self._people:
            buffer.raters.fromlist(self.raters.of([judge.name for judge in columns.judge]))
        buffer.extend(codes, (_outcomes(scores, shows), *_by_side(columns.lengths, shows)))

    def _strength(self, label: str, buffer: RowBuffer) -> int:
        """By how much one answer is preferred, where the rows being entered are people's votes or known labels."""
        labelled = self._people or buffer.judge.name == GOLD
        return strength_of(label, eight=buffer.protocol == EIGHT_STEPS) if labelled else 0

    def _remark(self, number: int, row: Judgment | Judged, buffer: RowBuffer) -> None:
        """Keep what few rows have: an error, a label that says more than the outcome, or criteria."""
        if row.scores is None:
            buffer.failures.append(self.kinds[row.error.kind if row.error else "unparsed"])
            return
        if label := row.label:
            if label in STRONG:
                buffer.strong.append(number)
            elif "inconsistent" in label:
                buffer.inconsistent.append(number)
                buffer.joint = True
            if step := self._strength(label, buffer):
                buffer.strength[number] = step
        if row.criteria:
            buffer.criteria += len(row.criteria)
            buffer.criteria_failed.update(one.error.kind for one in row.criteria if one.error is not None)
            share = (row.label or "").startswith("share")
            buffer.shares, buffer.grades = buffer.shares or share, buffer.grades or not share

    def _go_to(self, place: tuple[str, str, str, int], judge: Ref) -> None:
        """Find, or make, the buffer of this judge."""
        self._place = place
        _, _, protocol, shows = place
        self._people = rater_kind(judge) == "person"
        if self._people:
            self._buffer = self.people_under(protocol, shows)
        else:
            key = (judge, protocol, shows)
            self._buffer = self.judges.get(key) or self.judges.setdefault(key, RowBuffer(*key))
        self._buffer.last_used = next(self._uses)

    def people_under(self, protocol: str, shows: int) -> RowBuffer:
        """The buffer of all people's rows under a protocol."""
        return self.people.setdefault((protocol, shows), RowBuffer(Ref(HUMAN, HUMAN), protocol, shows))

    def newest(self) -> dict[tuple[str, str, int], RowBuffer]:
        """The configuration of each judge that judged last, by name, protocol and number of answers shown."""
        found: dict[tuple[str, str, int], RowBuffer] = {}
        for (judge, protocol, shows), buffer in self.judges.items():
            known = found.get((judge.name, protocol, shows))
            if known is None or known.last_used < buffer.last_used:
                found[judge.name, protocol, shows] = buffer
        return found


def _by_row(columns: Sequence[Sequence[Value]]) -> list[Value]:
    """The values of columns, row after row."""
    width = len(columns)
    values = list(columns[0]) * width
    for place, column in enumerate(columns):
        values[place::width] = column
    return values


def _append(column: array[Value], values: Sequence[Value]) -> None:
    """Append many values; an array's own methods take twice as long."""
    column.frombytes(struct.pack(f"{len(values)}{column.typecode}", *values))


def _says_more(label: str) -> bool:
    """Whether a label says more than the outcome."""
    return label in STRONG or "inconsistent" in label


def _who(judge: Ref) -> tuple[str, str]:
    """The judge whose rows are entered together: all people are one."""
    return ("" if rater_kind(judge) == "person" else judge.name), judge.fingerprint


class _Outcomes(dict[tuple[float, ...] | None, float]):
    """The outcome for the first of two answers, by their scores; the usual ones are at hand."""

    def __missing__(self, scores: tuple[float, ...]) -> float:
        return outcome_of(scores)


_OUTCOMES: Final = _Outcomes([(None, math.nan), *PLAIN.items()])


def _outcomes(scores: Sequence[tuple[float, ...] | None], shows: int) -> list[float]:
    """The scores of single answers, or the outcomes for the first of two; NaN where there are none."""
    if shows == 1:
        return [math.nan if given is None else given[0] for given in scores]
    return list(map(_OUTCOMES.__getitem__, scores))


def _by_side(lengths: Sequence[tuple[int, ...]], shows: int) -> Sequence[Sequence[float]]:
    """The lengths of the answers on each side; NaN where they are not known."""
    unknown = (math.nan,) * shows
    return list(zip(*[known if len(known) == shows else unknown for known in lengths], strict=True))


def _judged_by(row: Judgment | Judged) -> tuple[object, ...]:
    """What rows that are entered together have in common."""
    return row.benchmark, _who(row.judge), row.protocol, len(row.shown)


def _columns(rows: Sequence[Judgment | Judged]) -> _Columns:
    columns = zip(*map(astuple, rows), strict=True)
    return _Columns(*itertools.islice(columns, len(_Columns._fields)))


def _runs(rows: Sequence[Judgment | Judged]) -> Iterable[tuple[Sequence[Judgment | Judged], _Columns]]:
    """Rows that follow each other and are alike, together, and their columns."""
    columns = _columns(rows)
    kinds: tuple[Sequence[object], ...] = (
        columns.benchmark,
        columns.protocol,
        columns.judge,
        [len(shown) for shown in columns.shown],
    )
    if all(values.count(values[0]) == len(rows) for values in kinds):  # nearly always: a file holds one judge's rows
        yield rows, columns
        return
    for _, alike in itertools.groupby(rows, _judged_by):
        listed = tuple(alike)
        yield listed, _columns(listed)


def read_rows(
    judgments: Iterable[Judgment | Judged], make: Callable[[str], Built], wanted: Callable[[Any], bool] | None = None
) -> dict[str, Built]:
    """Read all judgments into columns, by benchmark.

    Args:
        judgments: in the order stored.
        make: makes the columns of a benchmark, given its name.
        wanted: which judgments to take; all unless given.
    """
    found: dict[str, Built] = {}
    left: Iterator[Judgment | Judged] = iter(judgments) if wanted is None else filter(wanted, judgments)
    enabled = gc.isenabled()
    gc.disable()  # no row refers to itself, and looking for cycles among millions takes a fifth of the time
    try:
        while rows := tuple(itertools.islice(left, TOGETHER)):
            for alike, columns in _runs(rows):
                benchmark = columns.benchmark[0]
                if benchmark not in found:
                    found[benchmark] = make(benchmark)
                found[benchmark].add(alike, columns)
    finally:
        if enabled:
            gc.enable()
    return found
