"""Every way of rating returns standings: one row a model, with its estimates and what was counted."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from evalkit.datasets import benchmark
from evalkit.ratings.comparisons import Comparisons
from evalkit.ratings.differences import ModelDifferences, VerdictCells, differences

if TYPE_CHECKING:
    from evalkit.stats.arrays import FloatArray, IntArray
    from evalkit.stats.resample import Interval


WITHIN = "questions are drawn within the categories that the benchmark declares"
AS_A_WHOLE = "questions are drawn as a whole, whatever their category"
"""Said of intervals under a table."""


@dataclass(frozen=True)
class TableInfo:
    """Everything that the rows of one table have in common."""

    notes: tuple[str, ...] = ()
    """What a reader must know: what was not rated and why, what was left out."""
    scale: tuple[float, float] | None = None
    """Ends of the scale of scores, where they are known."""
    baseline: str | None = None
    """The model that all others were compared with."""
    separability: float | None = None
    """Share of model pairs whose difference is significant, all pairs at once."""
    tie: float | None = None
    """Davidson's v or Rao and Kupper's theta."""
    coefficients: dict[str, Interval] = field(default_factory=dict)
    """Effects of style, in logits per standard deviation."""
    differences: ModelDifferences | None = None
    """Every two models beside each other, on what both have a verdict on; None for one model."""


@dataclass(frozen=True)
class Standing:
    """How one judge rates one model, on one benchmark or one category of it."""

    benchmark: str
    judge: str
    protocol: str
    category: str | None
    """None: the whole benchmark."""
    model: str
    method: str
    n: int
    """Comparisons the model took part in; of single grading, usable judgments."""
    failed: dict[str, int]
    """Its judgments and answers that failed, by kind; answers as ``answer <kind>``."""
    wins: int = 0
    losses: int = 0
    ties: int = 0
    estimates: dict[str, Interval | None] = field(default_factory=dict)
    """The first is what the table is sorted by; None: the data cannot tell."""
    columns: dict[str, float | int | str | None] = field(default_factory=dict)
    """Further numbers without an interval of their own."""
    about: TableInfo = TableInfo()

    @property
    def main(self) -> Interval | None:
        """The estimate the table is sorted by."""
        return next(iter(self.estimates.values()), None)


@dataclass(frozen=True)
class Board:
    """A leaderboard: its standings, and remarks on the data as a whole."""

    standings: list[Standing] = field(default_factory=list)
    """Of whole benchmarks, then of their categories where those were asked for; table by table, best first."""
    notes: list[str] = field(default_factory=list)
    """Remarks on the data as a whole; those about one table are with its standings."""


class Method(Protocol):
    """A way to rate models from comparisons; a module of this folder each."""

    @property
    def name(self) -> str:
        """The method's name, as on the command line."""
        ...

    def rate(self, table: Comparisons) -> list[Standing]:
        """Rate the models: one standing each, the best first.

        Raises:
            StatisticsError: nothing at all can be rated; the message says what is missing.
            UsageError: the method does not fit this table; the message says what does.
        """
        ...


def declared_categories(name: str) -> bool:
    """Whether a benchmark of ours fixes its categories, so that only questions within them vary."""
    return name in benchmark.names() and len(benchmark.spec(name).categories) > 1


def strata_of(table: Comparisons, rows: IntArray) -> IntArray | None:
    """Category of each of these comparisons [N] where the benchmark declares several; None: questions vary freely."""
    import numpy as np

    if not declared_categories(table.benchmark) or not table.questions:
        return None
    chosen = table.category[rows].astype(np.int64)
    return chosen if np.unique(chosen).size > 1 else None


def how_drawn(table: Comparisons, *, within: bool = False) -> tuple[str, ...]:
    """Which questions the intervals are over, as a caption; nothing where there is one category.

    Args:
        table: the comparisons.
        within: whether the method draws questions within declared categories where there are such (`strata_of`).
    """
    import numpy as np

    if not table.questions or np.unique(table.category).size < 2:
        return ()
    fixed = within and strata_of(table, np.arange(len(table))) is not None
    return (f"intervals: {WITHIN if fixed else AS_A_WHOLE}",)


def count_outcomes(table: Comparisons, method: str) -> list[Standing]:
    """Every model of a table with what was counted, and no estimate yet; in the order of ``table.models``."""
    import numpy as np

    size = len(table.models)
    sides = ((table.a, table.outcome > 0.5, table.outcome < 0.5), (table.b, table.outcome < 0.5, table.outcome > 0.5))
    wins, losses, n = np.zeros(size, int), np.zeros(size, int), np.zeros(size, int)
    for side, won, lost in sides:
        wins += np.bincount(side[won], minlength=size)
        losses += np.bincount(side[lost], minlength=size)
        n += np.bincount(side, minlength=size)
    failed: list[Counter[str]] = [Counter() for _ in range(size)]
    for row in table.failed:
        for model in {row.a, row.b} - {-1}:
            failed[model][row.kind] += 1
    return [
        Standing(
            table.benchmark,
            table.judge,
            table.protocol,
            None,
            model,
            method,
            int(n[i]),
            dict(sorted(failed[i].items())),
            int(wins[i]),
            int(losses[i]),
            int(n[i] - wins[i] - losses[i]),
        )
        for i, model in enumerate(table.models)
        if n[i] or failed[i]
    ]


def best_first(standings: list[Standing]) -> list[Standing]:
    """Sorted by their main estimate; what has none comes last, by name."""

    def key(standing: Standing) -> tuple[bool, float, str]:
        main = standing.main
        return main is None, -main.estimate if main else 0.0, standing.model

    return sorted(standings, key=key)


def with_info(standings: list[Standing], about: TableInfo) -> list[Standing]:
    """The standings, best first, with what they have in common."""
    return [replace(standing, about=about) for standing in best_first(standings)]


def compared(standings: list[Standing], cells: VerdictCells) -> list[Standing]:
    """The standings of one table, with the differences between their models and the ranks that these leave open."""
    return with_differences(standings, differences(cells, [row.model for row in best_first(standings) if row.main]))


def with_differences(standings: list[Standing], found: ModelDifferences | None) -> list[Standing]:
    """The standings with these differences, the ranks that they leave open, and the share of pairs told apart."""
    if found is None:
        return standings
    share = (
        found.apart / len(found.pairs) if any(pair.interval and pair.interval.limited for pair in found.pairs) else None
    )
    result = []
    for row in standings:
        best, worst = found.ranks.get(row.model, (None, None)) if share is not None else (None, None)
        better = sum(1 for other in standings if row.main and other.main and other.main.estimate > row.main.estimate)
        ranks = {"rank": 1 + better if row.main else None, "rank_best": best, "rank_worst": worst}
        about = replace(row.about, differences=found, separability=share)
        result.append(replace(row, columns=ranks | row.columns, about=about))
    return result


def named(names: tuple[str, ...] | list[str], most: int = 6) -> str:
    """The names as a list within a sentence."""
    shown = ", ".join(repr(name) for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown


def mean_lengths(table: Comparisons) -> FloatArray:
    """[M] mean characters of each model's answers, judged or not, each answer once; NaN where not known."""
    import numpy as np

    model = np.concatenate([table.a, table.b, [row.a for row in table.failed], [row.b for row in table.failed]])
    lost = [row.question for row in table.failed]
    question = np.concatenate([table.question, table.question, lost, lost])
    turns = [row.turn for row in table.failed]
    turn = np.concatenate([table.turn, table.turn, turns, turns])
    lengths = np.concatenate(
        [table.length_a, table.length_b, [row.length_a for row in table.failed], [row.length_b for row in table.failed]]
    )
    known = np.flatnonzero(~np.isnan(lengths))
    if known.size == 0:
        return np.full(len(table.models), np.nan)
    key = np.column_stack([model[known], question[known], turn[known]]).astype(np.int64)
    _, first = np.unique(key, axis=0, return_index=True)
    owner: IntArray = key[first, 0]
    size = len(table.models)
    count = np.bincount(owner, minlength=size)
    total = np.bincount(owner, lengths[known][first], minlength=size)
    result: FloatArray = np.divide(total, count, out=np.full(size, np.nan), where=count > 0)
    return result
