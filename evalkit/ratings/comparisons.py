"""Pairwise judgments -> comparisons in columns: who met whom, on which question, and who came out better.

A pair is usually judged in both orders. What the two verdicts amount to together is decided here, when rating, and
never when judging, so stored judgments can be looked at in every way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Judged, Judgment
from evalkit.ratings.collation import Group, Pairs, People, collate, last_votes, mean_of_orders, people_of, votes_of
from evalkit.ratings.judgment_columns import GOLD, HUMAN, STRONG, BenchmarkRows, RowBuffer, read_rows
from evalkit.ratings.lists import as_pairs

if TYPE_CHECKING:
    from evalkit.stats.arrays import BoolArray, FloatArray, IntArray

__all__ = [
    "GOLD",
    "HUMAN",
    "STRONG",
    "Aggregate",
    "Comparisons",
    "Failed",
    "Reading",
    "comparisons",
    "is_people",
    "tables_of",
]

Aggregate = Literal["average", "consistent", "probability", "each"]
"""What two verdicts on one pair, one for each order, amount to.

average      their mean: a win in one order and a loss in the other is half a win each.
consistent   a win only if every order says so, otherwise a tie (FastChat llm_judge/show_result.py; Zheng et al. 2023).
probability  a win for the model that is better on average, a tie only at exactly one half.
each         nothing: every showing counts by itself (Arena-Hard).
"""

STRONG_WEIGHT = 3.0
"""How often Arena-Hard counts a verdict of A>>B (arena-hard-auto show_result.py)."""

COLUMNS = ("a", "b", "question", "category", "turn", "outcome", "weight", "length_a", "length_b", "orders")


class Failed(NamedTuple):
    """One judgment without a verdict, or one answer that never came and so was never judged."""

    kind: str
    """The error; that of an answer as ``answer <kind>``."""
    a: int
    b: int
    """Positions of the models; -1 where an answer never came."""
    category: int
    question: int = -1
    turn: int = 0
    length_a: float = float("nan")
    length_b: float = float("nan")


@dataclass(frozen=True, eq=False)
class Comparisons:
    """Comparisons of one judge under one protocol, as columns of equal length N."""

    benchmark: str
    judge: str
    protocol: str
    models: tuple[str, ...]
    """Names; the columns hold positions in it."""
    questions: Sequence[str]
    """Empty where the source names none: every comparison is then taken as a question of its own."""
    categories: tuple[str, ...]
    a: IntArray
    """[N] position of the first model; in judgments, the first of each pair in alphabetical order."""
    b: IntArray
    question: IntArray
    """[N] position of the question: the unit of resampling."""
    category: IntArray
    turn: IntArray
    outcome: FloatArray
    """[N] 1 where a is better, 0 where b is, .5 a tie, or a soft preference."""
    weight: FloatArray
    length_a: FloatArray
    """[N] characters of a's answer; NaN where unknown."""
    length_b: FloatArray
    orders: IntArray
    """[N] in how many showings the pair was judged."""
    failed: tuple[Failed, ...] = ()
    style_a: FloatArray | None = None
    """[N, F] style features of a's answer; NaN where its text is not known; None where nobody looked."""
    style_b: FloatArray | None = None
    replaced: int = 0
    """Judgments of earlier configurations (prompt, sampling, model) that are not counted."""
    itself: int = 0
    """Judgments that showed a model against itself: they say something of the judge, and nothing of models."""
    about_people: tuple[str, ...] = ()
    """Of people: whose votes count, and which do not, a sentence each."""

    def __len__(self) -> int:
        return int(self.a.size)

    @property
    def clusters(self) -> IntArray | None:
        """[N] question of each comparison, or None where comparisons are independent."""
        return self.question if self.questions else None

    @property
    def weights(self) -> FloatArray | None:
        """[N] weight of each comparison, or None where all weigh the same."""
        return None if self.weight.strides == (0,) or (self.weight == 1).all() else self.weight

    def where(self, keep: IntArray) -> Comparisons:
        """Only the comparisons at these positions; models, questions and failures stay."""
        chosen = {name: getattr(self, name)[keep] for name in COLUMNS}
        styles = {name: getattr(self, name)[keep] for name in ("style_a", "style_b") if getattr(self, name) is not None}
        return replace(self, **chosen, **styles)


class Reading(NamedTuple):
    """The rule by which verdicts become comparisons."""

    aggregate: Aggregate = "average"
    """What verdicts in two orders amount to."""
    strong_weight: float = 1.0
    """Weight of a strong verdict (A>>B); Arena-Hard's is ``STRONG_WEIGHT``."""
    every_configuration: bool = False
    """Also those a newer one of the same name has replaced (another prompt, temperature, revision, ...), each under its
    name and fingerprint. Different configurations are never mixed."""


def comparisons(
    judgments: Iterable[Judgment | Judged],
    *,
    aggregate: Aggregate = "average",
    strong_weight: float = 1.0,
    every_configuration: bool = False,
) -> list[Comparisons]:
    """One table for each benchmark, judge and protocol; people who belong together are one judge, called human.

    Args:
        judgments: in the order stored; pairwise ones and lists count, others are passed over.
        aggregate: as in ``Reading``.
        strong_weight: as in ``Reading``.
        every_configuration: as in ``Reading``.
    """
    reading = Reading(aggregate, strong_weight, every_configuration)
    if aggregate not in get_args(Aggregate):
        raise UsageError(f"aggregate={aggregate!r} is not one of: {', '.join(get_args(Aggregate))}")
    if not 0 < strong_weight < float("inf"):
        raise UsageError(f"the weight of a strong verdict must be a positive number, not {strong_weight}")
    found = read_rows(as_pairs(judgments), BenchmarkRows, lambda row: len(row.shown) == 2)
    return [table for _, rows in sorted(found.items()) for table in tables_of(rows, reading)]


def tables_of(rows: BenchmarkRows, reading: Reading) -> list[Comparisons]:
    """The comparisons of every judge and protocol of one benchmark, and of every group of people, by name."""
    every, newest = reading.every_configuration, rows.newest()
    result = []
    for judge, buffer in ((key[0], buffer) for key, buffer in rows.judges.items() if buffer.shows == 2):
        place = (judge.name, buffer.protocol, 2)
        twins = [twin for (other, *key), twin in rows.judges.items() if (other.name, *key) == place]
        if every:
            label = f"{judge.name}@{judge.fingerprint[:8]}" if len(twins) > 1 else judge.name
            result.append((place, _table(rows, buffer, label, 0, reading)))
        elif newest[place] is buffer:
            older = sum(twin.rows for twin in twins) - buffer.rows
            result.append((place, _table(rows, buffer, judge.name, older, reading)))
    result += [((table.judge, table.protocol, 2), table) for table in tables_of_people(rows, people_of(rows), reading)]
    return [table for _, table in sorted(result, key=lambda found: found[0])]


def tables_of_people(rows: BenchmarkRows, people: People, reading: Reading) -> list[Comparisons]:
    """The comparisons of every group of people, under each protocol; the largest group is called human."""
    result = []
    for buffer in (buffer for buffer in rows.people.values() if buffer.shows == 2):
        for number, group in enumerate(people.groups):
            label = f"{HUMAN}: {group.name or 'others'}" if number else HUMAN
            about = () if number else tuple(people.sentences())
            result.append(replace(_table(rows, buffer, label, 0, reading, group), about_people=about))
    return result


def is_people(judge: str) -> bool:
    """Whether the judge of a table is a group of people."""
    return judge == HUMAN or judge.startswith(f"{HUMAN}: ")


def _table(
    rows: BenchmarkRows, buffer: RowBuffer, judge: str, replaced: int, reading: Reading, group: Group | None = None
) -> Comparisons:
    """The comparisons of one judge, or one group of people, under one protocol."""
    import numpy as np

    stored, numbers = buffer.table()
    codes = stored.astype(np.int64)
    voter = np.frombuffer(buffer.raters, dtype=np.int32).astype(np.int64)
    ours = np.ones(len(codes), dtype=bool)
    if group is not None:
        ours = np.isin(voter, [rows.raters[name] for name in group.voters])
    every = reading.every_configuration
    itself = (codes[:, 4] == codes[:, 7]) & (codes[:, 5] == codes[:, 8])
    keep = ~itself if every else buffer.current(len(rows.models)) & (codes[:, 4] != codes[:, 7])
    keep &= ours
    names = _names(rows, codes, apart=every)
    place = {name: i for i, name in enumerate(sorted({names[i] for i in np.unique(codes[keep][:, (4, 7)]).tolist()}))}
    # Numbered in alphabetical order: the first model of each pair is a, and the lower code.
    numbered = np.array([place.get(name, -1) for name in names] or [-1], dtype=np.int64)
    codes[:, 4], codes[:, 7] = numbered[codes[:, 4]], numbered[codes[:, 7]]
    scored = np.isfinite(numbers[:, 0])
    used = np.flatnonzero(keep & scored)
    columns = (
        _from_showings(codes[used], numbers[used], buffer.marked(buffer.strong)[used], reading)
        if group is None
        else _from_votes(codes[used], numbers[used], voter[used], list(rows.raters))
    )
    lost = np.flatnonzero(keep & ~scored)
    failures = codes[lost]
    questions, question, lost_question = _renumbered(columns["question"], failures[:, 0], list(rows.questions))
    categories, category, lost_category = _renumbered(columns["category"], failures[:, 1], list(rows.categories))
    columns |= {"question": question, "category": category}
    return Comparisons(
        benchmark=rows.benchmark,
        judge=judge,
        protocol=buffer.protocol,
        models=tuple(place),
        questions=questions,
        categories=categories,
        **columns,
        failed=_failed(rows, buffer, failures, lost, lost_question, lost_category),
        replaced=replaced + int((ours & ~keep & ~itself).sum()),
        itself=int((ours & itself).sum()),
    )


def _names(rows: BenchmarkRows, codes: IntArray, *, apart: bool) -> list[str]:
    """Names of models by code. Where configurations count apart, codes are changed to tell those apart too."""
    import numpy as np

    names, versions = list(rows.models), list(rows.versions)
    if not apart or not len(codes):
        return names
    both = np.concatenate([codes[:, 4:6], codes[:, 7:9]])
    configurations, code = np.unique(both, axis=0, return_inverse=True)
    codes[:, 4], codes[:, 7] = np.split(code.reshape(-1), 2)
    met = np.unique(codes[codes[:, 4] != codes[:, 7]][:, (4, 7)])
    alike = Counter(configurations[met, 0].tolist())
    return [
        f"{names[model]}@{versions[version][:8]}" if alike[model] > 1 else names[model]
        for model, version in configurations.tolist()
    ]


def _from_showings(codes: IntArray, numbers: FloatArray, strong: BoolArray, reading: Reading) -> dict[str, Any]:
    """The columns of comparisons by a judge, in the order in which the pairs were first judged."""
    import numpy as np

    aggregate, models = reading.aggregate, int(codes[:, (4, 7)].max(initial=0)) + 1
    found = collate(models, codes, numbers, np.zeros(len(codes), dtype=bool), apart=aggregate == "each")
    order = np.argsort(found.first, kind="stable")
    plain, swapped = found.pairs.plain[order], found.pairs.swapped[order]
    weight = np.ones(order.size)
    if reading.strong_weight != 1:
        by_row = np.r_[np.where(strong, reading.strong_weight, 1.0), np.nan]
        weight = mean_of_orders(by_row[found.plain_row], by_row[found.swapped_row])[order]
    listed = ("a", "b", "question", "category", "turn", "length_a", "length_b")
    return {name: getattr(found.pairs, name)[order] for name in listed} | {
        "outcome": combined(plain, swapped, aggregate),
        "weight": weight,
        "orders": np.isfinite(plain).astype(np.int64) + np.isfinite(swapped),
    }


def comparisons_of_pairs(benchmark: str, judge: str, protocol: str, models: Sequence[str], pairs: Pairs) -> Comparisons:
    """The comparisons that collated pairs amount to, for who has those already; models as they are numbered there."""
    import numpy as np

    keep = np.flatnonzero(np.isfinite(pairs.outcome) & (pairs.a != pairs.b))
    listed = ("a", "b", "question", "category", "turn", "outcome", "length_a", "length_b")
    return Comparisons(
        benchmark,
        judge,
        protocol,
        tuple(models),
        questions=range(int(pairs.question.max(initial=-1)) + 1),  # type: ignore[arg-type]
        categories=(),
        **{name: getattr(pairs, name)[keep] for name in listed},
        weight=np.broadcast_to(1.0, keep.size),
        orders=np.isfinite(pairs.plain)[keep].astype(np.int64) + np.isfinite(pairs.swapped)[keep],
    )


def _from_votes(codes: IntArray, numbers: FloatArray, voter: IntArray, raters: Sequence[str]) -> dict[str, Any]:
    """The columns of comparisons by people: every vote that counts is one."""
    import numpy as np

    votes = votes_of(int(codes[:, (4, 7)].max(initial=0)) + 1, codes, numbers[:, 0], voter)
    keep = np.flatnonzero(last_votes(votes, raters))
    turned = (votes.a != codes[:, 4])[keep]
    first, second = numbers[keep, 1], numbers[keep, 2]
    listed = ("a", "b", "question", "category", "turn", "outcome")
    return {name: getattr(votes, name)[keep] for name in listed} | {
        "length_a": np.where(turned, second, first),
        "length_b": np.where(turned, first, second),
        "weight": np.ones(keep.size),
        "orders": np.ones(keep.size, dtype=np.int64),
    }


def combined(plain: FloatArray, swapped: FloatArray, aggregate: Aggregate) -> FloatArray:
    """The outcomes that verdicts on the same pairs in two orders amount to; NaN stands for no verdict in that order."""
    import numpy as np

    mean = mean_of_orders(plain, swapped)
    if aggregate in ("average", "each"):
        return mean
    if aggregate == "probability":
        result: FloatArray = 0.5 + np.sign(mean - 0.5) / 2
        return result
    said = [np.where(np.isnan(side), np.sign(mean - 0.5), np.sign(side - 0.5)) for side in (plain, swapped)]
    agreed: FloatArray = np.where(said[0] == said[1], 0.5 + said[0] / 2, 0.5)
    return agreed


def _renumbered(used: IntArray, lost: IntArray, names: list[str]) -> tuple[tuple[str, ...], IntArray, IntArray]:
    """Only the names that occur, in order of appearance, and both columns as positions in them."""
    import numpy as np

    codes, first, place = np.unique(np.concatenate([used, lost]), return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty_like(order)
    rank[order] = np.arange(order.size)
    numbers = rank[place.reshape(-1)].astype(np.int64)
    return tuple(names[i] for i in codes[order].tolist()), numbers[: used.size], numbers[used.size :]


def _failed(
    rows: BenchmarkRows, buffer: RowBuffer, codes: IntArray, lost: IntArray, question: IntArray, category: IntArray
) -> tuple[Failed, ...]:
    """Judgments without a verdict, [F] rows of the buffer; models in alphabetical order."""
    import numpy as np

    if not lost.size:
        return ()
    numbers, names = buffer.table()[1], list(rows.kinds)
    failed = np.flatnonzero(np.isnan(numbers[:, 0]))
    kind = np.frombuffer(buffer.failures, dtype=np.int32)[np.searchsorted(failed, lost)]
    result = []
    for row, code in enumerate(codes.tolist()):
        sides = [(code[4], float(numbers[lost[row], 1])), (code[7], float(numbers[lost[row], 2]))]
        (a, length_a), (b, length_b) = sorted(sides, key=lambda side: side[0])
        about = int(category[row]), int(question[row]), code[2]
        result.append(Failed(names[kind[row]], a, b, *about, length_a, length_b))
    return tuple(result)
