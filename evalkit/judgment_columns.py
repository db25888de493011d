"""Stored judgments -> columns: one pass over the rows, for ratings and audits alike.

Here, and nowhere else, is decided what scores amount to, who is a person, which votes repeat an earlier one, and which
rows belong to the newest configuration of a judge and of the models it saw.
"""

from __future__ import annotations

import gc
import itertools
import math
import re
from array import array
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from evalkit.schema import Judged, Judgment, Ref

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from evalkit.stats.arrays import BoolArray, FloatArray, IntArray

    Array = TypeVar("Array", IntArray, FloatArray)

Built = TypeVar("Built", bound="BenchmarkRows")

HUMAN = "human"
"""Fingerprint of people, whose votes are pooled under this name unless they are asked for one by one."""

GOLD = "gold"
"""Name of the judge that gives labels known to be right."""

ANONYMOUS_RATERS = frozenset({HUMAN, "unknown"})
"""What imports and plain votes call a person who is not named: nobody knows how many they are."""

STRONG = frozenset({"A>>B", "B>>A", "A<<B", "B<<A"})
"""Labels that say one answer is much better."""

PLAIN: Final[dict[tuple[float, ...], float]] = {(1.0, 0.0): 1.0, (0.0, 1.0): 0.0, (0.5, 0.5): 0.5}
"""Outcomes of the usual scores, for speed."""
CHUNK = 8192
"""Rows moved to the arrays at once."""


def rater_kind(judge: Ref) -> Literal["person", "gold", "judge"]:
    """Whether a verdict is a person's, a label known to be right, or a judge's."""
    if judge.name == GOLD:
        return "gold"
    return "person" if judge.fingerprint == HUMAN else "judge"


def groups_of_people(names: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Groups of raters by name: names that differ only in a number at the end belong together, the rest are a group."""
    by_stem: dict[str, list[str]] = {}
    for name in names:
        by_stem.setdefault(re.sub(r"[\s_.-]*\d+$", "", name), []).append(name)
    alone = [name for names in by_stem.values() if len(names) == 1 for name in names]
    yield from ((stem, names) for stem, names in by_stem.items() if len(names) > 1)
    if alone:
        yield "", alone


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
        self.inconsistent = array("i")
        """Rows of which the source says that two orders disagreed."""
        self.joint = protocol.endswith("_aggregated")
        self.rows = 0
        self.last_used = 0
        """Rank among the buffers of the benchmark by when the last row arrived."""
        self._some_codes: list[int] = []
        """The last rows, until they are moved to the arrays: lists grow faster, and take more room."""
        self._some_numbers: list[float] = []

    def append(self, codes: tuple[int, ...], numbers: tuple[float, ...]) -> None:
        """Add one row."""
        self._some_codes += codes
        self._some_numbers += numbers
        self.rows += 1
        if self.rows % CHUNK == 0:
            self._move()

    def _move(self) -> None:
        self.codes.fromlist(self._some_codes)
        self.numbers.fromlist(self._some_numbers)
        self._some_codes, self._some_numbers = [], []

    def table(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
        """Codes [N, 4 + 3 shows] and numbers [N, 1 + shows]."""
        import numpy as np

        self._move()
        codes = np.frombuffer(self.codes, dtype=np.int32) if self.codes else np.zeros(0, np.int32)
        numbers = np.frombuffer(self.numbers, dtype=np.float64) if self.numbers else np.zeros(0)
        return codes.reshape(-1, 4 + 3 * self.shows), numbers.reshape(-1, 1 + self.shows)

    def marked(self, rows: array[int]) -> BoolArray:
        """[N] whether a row is one of those listed."""
        import numpy as np

        result = np.zeros(self.rows, dtype=bool)
        result[np.frombuffer(rows, dtype=np.int32) if rows else []] = True
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
    _rater: int = -1
    """Number of the person; -1 for judges."""
    _uses: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def add(self, row: Judgment | Judged) -> None:
        """Enter one judgment of one answer or of two; others are passed over."""
        shown = row.shown
        shows = len(shown)
        if shows not in (1, 2):
            return
        judge = row.judge
        place = (judge.name, judge.fingerprint, row.protocol, shows)
        if place != self._place:
            self._go_to(place, judge)
        buffer, scores = self._buffer, row.scores
        one, versions, models, responses = row.models[0], self.versions, self.models, self.responses
        codes: tuple[int, ...] = (
            self.questions[row.item],
            self.categories[row.category],
            row.turn,
            row.repeat,
            models[one.name],
            versions[one.fingerprint],
            responses[shown[0]],
        )
        if shows == 2:
            two = row.models[1]
            codes += (models[two.name], versions[two.fingerprint], responses[shown[1]])
        if scores is None:
            buffer.failures.append(self.kinds[row.error.kind if row.error else "unparsed"])
            outcome = math.nan
        else:
            known = PLAIN.get(scores)
            outcome = known if known is not None else outcome_of(scores) if shows == 2 else scores[0]
            label = row.label
            if label:
                if label in STRONG:
                    buffer.strong.append(buffer.rows)
                elif "inconsistent" in label:
                    buffer.inconsistent.append(buffer.rows)
                    buffer.joint = True
        if self._rater >= 0:
            buffer.raters.append(self._rater)
        lengths = row.lengths
        buffer.append(codes, (outcome, *lengths) if len(lengths) == shows else (outcome, *(math.nan,) * shows))

    def _go_to(self, place: tuple[str, str, str, int], judge: Ref) -> None:
        """Find, or make, the buffer of this judge."""
        self._place = place
        _, _, protocol, shows = place
        person = rater_kind(judge) == "person"
        self._rater = self.raters[judge.name] if person else -1
        if person:
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
    benchmark, add = None, None
    enabled = gc.isenabled()
    gc.disable()  # no row refers to itself, and looking for cycles among millions takes a fifth of the time
    try:
        for row in judgments:
            if wanted is None or wanted(row):
                if row.benchmark != benchmark or add is None:
                    benchmark = row.benchmark
                    add = (found.get(benchmark) or found.setdefault(benchmark, make(benchmark))).add
                add(row)
    finally:
        if enabled:
            gc.enable()
    return found


@dataclass(frozen=True, eq=False, kw_only=True)
class Pairs:
    """One row for each pair of answers and repeat; a and b in an order that does not depend on what was shown."""

    a: IntArray
    """[N] models."""
    b: IntArray
    response_a: IntArray
    """[N] the very answers; -1 where unknown."""
    response_b: IntArray
    question: IntArray
    category: IntArray
    turn: IntArray
    repeat: IntArray
    plain: FloatArray
    """[N] outcome with a shown first."""
    swapped: FloatArray
    """[N] outcome with b shown first."""
    asked: IntArray
    """[N] showings, failed ones included: bit 1 a first, bit 2 b first."""
    inconsistent: BoolArray
    """[N] the source says that two orders disagreed, and no more than that."""
    length_a: FloatArray
    """[N] characters; NaN where unknown."""
    length_b: FloatArray

    def __len__(self) -> int:
        return int(self.a.size)

    @cached_property
    def both(self) -> BoolArray:
        """[N] judged in both orders, with a verdict each."""
        import numpy as np

        return np.isfinite(self.plain) & np.isfinite(self.swapped)

    @cached_property
    def failed(self) -> BoolArray:
        """[N] some showing has no verdict."""
        import numpy as np

        result: BoolArray = ((self.asked & 1 > 0) & np.isnan(self.plain)) | (
            (self.asked & 2 > 0) & np.isnan(self.swapped)
        )
        return result

    @cached_property
    def outcome(self) -> FloatArray:
        """[N] mean over the orders that have a verdict."""
        return mean_of_orders(self.plain, self.swapped)

    @cached_property
    def verdict(self) -> FloatArray:
        """[N] 1, 0 or .5 as MT-Bench has it: a tie unless both orders name the same winner. NaN where one failed."""
        import numpy as np

        one, other = np.sign(self.plain - 0.5), np.sign(self.swapped - 0.5)
        said = np.where(np.isnan(one), other, np.where(np.isnan(other) | (one == other), one, 0.0))
        result: FloatArray = np.where(self.failed, np.nan, 0.5 + said / 2)
        return result


@dataclass(frozen=True, eq=False, kw_only=True)
class Votes:
    """What people, or gold labels, say of pairs; a and b as in ``Pairs``."""

    pair: IntArray
    """[V] row of ``Pairs``; -1 where this judge has no verdict on the pair."""
    a: IntArray
    b: IntArray
    key: IntArray
    """[V, 4] question, turn and contestants: the same for votes on the same pair."""
    response_a: IntArray
    """[V] -1 where a vote names models only."""
    response_b: IntArray
    question: IntArray
    category: IntArray
    turn: IntArray
    outcome: FloatArray
    voter: IntArray

    def __len__(self) -> int:
        return int(self.a.size)

    def where(self, keep: BoolArray | IntArray) -> Votes:
        """Only these."""
        return Votes(**{name: getattr(self, name)[keep] for name in self.__dataclass_fields__})


@dataclass(frozen=True, eq=False, kw_only=True)
class Scores:
    """Single grading, one row a judgment."""

    model: IntArray
    response: IntArray
    question: IntArray
    category: IntArray
    turn: IntArray
    repeat: IntArray
    score: FloatArray
    """NaN where it failed."""
    length: FloatArray


def mean_of_orders(plain: FloatArray, swapped: FloatArray) -> FloatArray:
    """[N] mean of the two values that are there; NaN where neither is."""
    import numpy as np

    one, other = np.isfinite(plain), np.isfinite(swapped)
    total = np.where(one, plain, 0.0) + np.where(other, swapped, 0.0)
    count = one.astype(np.int64) + other
    result: FloatArray = np.divide(total, count, out=np.full(plain.size, np.nan), where=count > 0)
    return result


@dataclass(frozen=True, eq=False)
class Collation:
    """Showings of two answers put together by pair: what ``collate`` makes."""

    pairs: Pairs
    keys: IntArray
    """[N, 4] what makes two rows the same pair."""
    first: IntArray
    """[N] the first showing of each pair, a row of what was collated."""
    plain_row: IntArray
    """[N] the showing that ``pairs.plain`` is of; -1 where there is none."""
    swapped_row: IntArray


def collate(
    models: int, codes: IntArray, numbers: FloatArray, inconsistent: BoolArray, *, apart: bool = False
) -> Collation:
    """Put showings together: one row a pair and repeat. Of several rows on one pair in the same order the last counts.

    Args:
        models: how many are numbered.
        codes: [N, 10] as in ``RowBuffer``.
        numbers: [N, 3].
        inconsistent: [N] as in ``Pairs``.
        apart: one row for each order.
    """
    import numpy as np

    question, category, turn, repeat, first, _, one, second, _, other = codes.T
    keys, flipped = pair_keys(models, question, turn, (first, second), (one, other))
    order, group, rows = grouped(np.column_stack([keys, repeat, flipped] if apart else [keys, repeat]))
    count, turned = len(rows), flipped[rows]

    def side(plain: Array, swapped: Array) -> Array:
        return np.where(turned, swapped[rows], plain[rows])

    places = np.full((2, count), -1, dtype=np.int64)
    unsure = np.zeros(count, dtype=bool)
    turns = flipped[order]
    places[0, group[~turns]] = order[~turns]
    places[1, group[turns]] = order[turns]
    unsure[group[inconsistent[order]]] = True
    outcome = np.r_[numbers[:, 0], np.nan]  # place -1 has no verdict
    pairs = Pairs(
        a=side(first, second),
        b=side(second, first),
        response_a=side(one, other),
        response_b=side(other, one),
        question=question[rows],
        category=category[rows],
        turn=turn[rows],
        repeat=repeat[rows],
        plain=outcome[places[0]],
        swapped=1 - outcome[places[1]],
        asked=(places[0] >= 0) + 2 * (places[1] >= 0),
        inconsistent=unsure,
        length_a=side(numbers[:, 1], numbers[:, 2]),
        length_b=side(numbers[:, 2], numbers[:, 1]),
    )
    return Collation(pairs, keys[rows], rows, places[0], places[1])


def votes_of(models: int, codes: IntArray, outcome: FloatArray, voter: IntArray) -> Votes:
    """Votes of people, or gold labels, not matched to a judge's pairs.

    Args:
        models: how many are numbered.
        codes: [V, 10] as in ``RowBuffer``.
        outcome: [V] for the first side.
        voter: [V] who says so.
    """
    import numpy as np

    question, category, turn, _, first, _, one, second, _, other = codes.T
    keys, flipped = pair_keys(models, question, turn, (first, second), (one, other))
    return Votes(
        pair=np.full(len(codes), -1, dtype=np.int64),
        a=np.where(flipped, second, first),
        b=np.where(flipped, first, second),
        key=keys,
        response_a=np.where(flipped, other, one),
        response_b=np.where(flipped, one, other),
        question=question,
        category=category,
        turn=turn,
        outcome=np.where(flipped, 1 - outcome, outcome),
        voter=voter,
    )


def last_votes(votes: Votes, raters: Sequence[str]) -> BoolArray:
    """[V] whether a vote counts: of a person's votes on the same two answers, in whichever order, the last does.

    Args:
        votes: in the order stored.
        raters: names, by code; votes of those who are not named all count.
    """
    import numpy as np

    named = np.array([name not in ANONYMOUS_RATERS for name in raters], dtype=bool)
    shown = np.column_stack([votes.key, votes.response_a + 1, votes.response_b + 1, votes.voter])
    order, group, _ = grouped(shown)
    keep: BoolArray = ~named[votes.voter]
    keep[order[np.diff(group, append=-1) != 0]] = True
    return keep


def people_in_words(raters: Sequence[str], voter: IntArray) -> str | None:
    """Which groups of people are pooled, as a sentence; None where there is one group."""
    import numpy as np

    votes = np.bincount(voter, minlength=len(raters))
    present: Collection[str] = [name for name, count in zip(raters, votes, strict=True) if count]
    count_of = dict(zip(raters, votes.tolist(), strict=True))
    parts = [(sum(count_of[name] for name in names), len(names), stem) for stem, names in groups_of_people(present)]
    if len(parts) < 2:
        return None
    told = "; ".join(f"{votes:,} of {people} in {stem or 'no group'}" for votes, people, stem in sorted(parts)[::-1])
    return f"ratings by `{HUMAN}` pool all votes of all people: {told}"


def repeats_in_words(repeated: int) -> str:
    """What is done with votes that repeat an earlier one, as a sentence."""
    said = "1 vote repeats" if repeated == 1 else f"{repeated:,} votes repeat"
    return f"{said} what the same person was asked before, the same pair on the same turn; only the last answer counts"


def pair_keys(
    models: int,
    question: IntArray,
    turn: IntArray,
    sides: tuple[IntArray, IntArray],
    responses: tuple[IntArray, IntArray],
) -> tuple[IntArray, BoolArray]:
    """[N, 4] what makes two rows the same pair, and [N] whether the first side is the one with the higher code.

    Models make the pair; two answers of one model are told apart by the answer.
    """
    import numpy as np

    itself = sides[0] == sides[1]
    one, other = (np.where(itself, models + r, side) for side, r in zip(sides, responses, strict=True))
    flipped: BoolArray = one > other
    return np.stack([question, turn, np.minimum(one, other), np.maximum(one, other)], axis=1), flipped


def grouped(keys: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Sorting order of the rows [N, K], stable; the group of each in that order; and the first row of each group."""
    import numpy as np

    spans = [int(column.max(initial=0)) + 1 for column in keys.T]
    if math.prod(spans) < 1 << 62 and keys.min(initial=0) >= 0:  # one number a row, which sorts faster
        code = np.zeros(len(keys), dtype=np.int64)
        for column, span in zip(keys.T, spans, strict=True):
            code = code * span + column
        order = np.argsort(code, kind="stable")
        ordered = code[order][:, None]
    else:
        order = np.lexsort(keys.T[::-1])
        ordered = keys[order]
    new = np.ones(len(keys), dtype=bool)
    new[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    return order, np.cumsum(new) - 1, order[new]
