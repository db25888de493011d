"""Cases: what one judge, or people together, said of the same answers to the same question, both orders and repeats.

A case is a line of the viewer's table. Everything is a column [C], made in one pass over the rows of the index.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from evalkit.app.judgment_index import IndexNames, JudgmentIndex, read_judgment
from evalkit.core.schema import Judgment

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from evalkit.stats.arrays import BoolArray, FloatArray, IntArray

FAR = 0.25
"""Share of a scale by which a judge's grade and people's must differ to count as disagreement."""
EVEN = 1e-9


@dataclass(frozen=True, eq=False)
class Cases:
    """Columns [C] over the cases, and which rows [N] of the index belong to each."""

    names: IndexNames
    columns: dict[str, npt.NDArray[Any]]
    """Of the index, when the cases were made."""
    judge: IntArray
    item: IntArray
    turn: IntArray
    shown: IntArray
    judgments: IntArray
    """How many."""
    failed: IntArray
    value: FloatArray
    """Mean score, or mean outcome for the pair's first model by name; NaN without a verdict."""
    plain: FloatArray
    swapped: FloatArray
    """Of pairs: the mean outcome where the first model by name was shown first, and where it was shown second."""
    length: IntArray
    """Characters of the longest answer."""
    newest: FloatArray
    rows: IntArray
    """[N] rows of the index, case by case, in the order stored within each."""
    starts: IntArray
    """[C + 1] where each case begins in ``rows``."""
    kinds: IntArray
    labels: IntArray
    """[N] failure and label of each of ``rows``; -1 where there is none."""
    cached: dict[Any, Any] = field(default_factory=dict)
    """What was worked out for filters, which come again."""

    def __len__(self) -> int:
        return int(self.judge.size)

    def rows_of(self, case: int) -> list[int]:
        """Rows of the index."""
        found: list[int] = self.rows[self.starts[case] : self.starts[case + 1]].tolist()
        return found

    def judgments_of(self, case: int) -> list[Judgment]:
        """Read from their files, in the order stored.

        Raises:
            UsageError: a file is not what it was.
        """
        return [read_judgment(self.names, self.columns, row) for row in self.rows_of(case)]

    @cached_property
    def pair(self) -> BoolArray:
        """Whether two answers were compared."""
        import numpy as np

        widths = np.array([len(models) for models in self.names.shown] or [0])
        found: BoolArray = widths[self.shown] == 2
        return found

    @cached_property
    def person(self) -> BoolArray:
        """Whether people judged."""
        found: BoolArray = self.by_judge([judge.person for judge in self.names.judges])
        return found

    def by_judge(self, values: Iterable[Any]) -> Any:
        """A column from one value for each judge."""
        import numpy as np

        return np.array([*values] or [0])[self.judge]

    def by_question(self, values: Iterable[Any]) -> Any:
        """A column from one value for each question."""
        import numpy as np

        return np.array([*values] or [0])[self.item]

    def by_shown(self, values: Iterable[Any]) -> Any:
        """A column from one value for each set of models shown."""
        import numpy as np

        return np.array([*values] or [0])[self.shown]

    @cached_property
    def standing(self) -> FloatArray:
        """The value as a share of its scale: for grades, of the range this judge uses."""
        import numpy as np

        low = np.full(len(self.names.judges), np.inf)
        high = -low
        known = np.isfinite(self.value)
        np.minimum.at(low, self.judge[known], self.value[known])
        np.maximum.at(high, self.judge[known], self.value[known])
        wide = np.where(high > low, high - low, 1.0)
        low = np.where(np.isfinite(low), low, 0.0)
        scaled = (self.value - low[self.judge]) / wide[self.judge]
        found: FloatArray = np.where(self.pair, self.value, scaled)
        return found

    @cached_property
    def spread(self) -> FloatArray:
        """How far apart the models are: of a pair, how one-sided; of grades, best less worst on the same question."""
        import numpy as np

        _, group = np.unique(self._key(self.judge, self.item, self.turn), return_inverse=True)
        single = ~self.pair & np.isfinite(self.value)
        low = np.full(int(group.max(initial=-1)) + 1, np.inf)
        high = -low
        np.minimum.at(low, group[single], self.standing[single])
        np.maximum.at(high, group[single], self.standing[single])
        difference = high[group] - low[group]
        found: FloatArray = np.where(self.pair, np.abs(2 * self.value - 1), difference)
        found[~np.isfinite(found)] = np.nan
        return found

    @cached_property
    def match(self) -> IntArray:
        """A number for each question, turn and models by name: cases of different judges and runs that are alike."""
        import numpy as np

        questions = _renumbered((question.benchmark, question.item) for question in self.names.questions)
        models = self.names.models
        shown = _renumbered(tuple(models[one].name for one in several) for several in self.names.shown)
        key = self._key(np.array(questions or [0])[self.item], np.array(shown or [0])[self.shown], self.turn)
        return np.unique(key, return_inverse=True)[1].astype(np.int64)

    @cached_property
    def people(self) -> FloatArray:
        """What people say of the same answers, as a share of the scale; NaN where nobody said anything."""
        return self._mean_by_match(self.person)

    @cached_property
    def apart(self) -> FloatArray:
        """How far a case is from what all others say of the same answers, as a share of the scale."""
        import numpy as np

        known = np.isfinite(self.standing)
        size = int(self.match.max(initial=-1)) + 1
        total = np.bincount(self.match[known], weights=self.standing[known], minlength=size)[self.match]
        others = np.bincount(self.match[known], minlength=size)[self.match] - known
        mean = (total - np.where(known, self.standing, 0.0)) / np.maximum(others, 1)
        found: FloatArray = np.where(known & (others > 0), np.abs(self.standing - mean), np.nan)
        return found

    @cached_property
    def orders_disagree(self) -> BoolArray:
        """Whether the two orders of a pair came to different verdicts."""
        import numpy as np

        both = np.isfinite(self.plain) & np.isfinite(self.swapped)
        found: BoolArray = self.pair & both & (_side(self.plain) != _side(self.swapped))
        return found

    @cached_property
    def people_disagree(self) -> BoolArray:
        """Whether a judge and people say different things of the same answers."""
        import numpy as np

        known = np.isfinite(self.people) & np.isfinite(self.standing) & ~self.person
        sides = _side(self.people) != _side(self.standing)
        with np.errstate(invalid="ignore"):
            far = np.abs(self.people - self.standing) > FAR
        found: BoolArray = known & np.where(self.pair, sides, far)
        return found

    def elsewhere(self, run: int) -> FloatArray:
        """What the same judge says of the same answers' models in another run, as its mean value; NaN where nothing."""
        import numpy as np

        judges = _renumbered((judge.name, judge.protocol) for judge in self.names.judges)
        key = self._key(self.match, self.by_judge(judges))
        code = np.unique(key, return_inverse=True)[1]
        there = self.by_judge(judge.root == run for judge in self.names.judges) & np.isfinite(self.value)
        found = _means(code, self.value, there)
        found[self.by_judge(judge.root == run for judge in self.names.judges)] = np.nan
        return found

    def _mean_by_match(self, which: BoolArray) -> FloatArray:
        import numpy as np

        return _means(self.match, self.standing, which & np.isfinite(self.standing))

    def any_row(self, hit: BoolArray) -> BoolArray:
        """Cases of which any row is one; ``hit`` is [N], in the order of ``rows``."""
        import numpy as np

        counts = np.concatenate([[0], np.cumsum(hit)])
        found: BoolArray = counts[self.starts[1:]] > counts[self.starts[:-1]]
        return found

    @staticmethod
    def _key(*parts: IntArray) -> IntArray:
        """One number for each combination."""
        import numpy as np

        key = np.zeros(parts[0].size, dtype=np.int64)
        for part in parts:
            key = key * (int(part.max(initial=0)) + 1) + part
        return key


def cases_of(index: JudgmentIndex) -> Cases:
    """Group the rows of an index; of several rows of one key in a file, the last counts."""
    import numpy as np

    columns = index.columns
    live = _latest(columns["source"], columns["key"])
    part = {name: column[live] for name, column in columns.items()}
    key = Cases._key(*(part[name].astype(np.int64) for name in ("judge", "item", "turn", "shown")))
    order = np.argsort(key, kind="stable")
    ordered = key[order]
    begins = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if order.size else order
    starts = np.concatenate([begins, [order.size]]).astype(np.int64)
    number = np.repeat(np.arange(begins.size), np.diff(starts))
    first = order[begins]
    outcome, flipped = part["outcome"][order], part["flipped"][order] == 1

    def mean(which: BoolArray) -> FloatArray:
        counts = np.bincount(number[which], minlength=begins.size)
        sums = np.bincount(number[which], weights=outcome[which], minlength=begins.size)
        found: FloatArray = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
        return found

    scored = np.isfinite(outcome)
    plain, swapped = mean(scored & ~flipped), mean(scored & flipped)
    both = np.isfinite(plain) & np.isfinite(swapped)
    value = np.where(both, (plain + swapped) / 2, np.where(np.isfinite(plain), plain, swapped))
    kinds = part["kind"][order]
    reduce = np.maximum.reduceat if begins.size else (lambda values, _: values[:0])
    return Cases(
        names=index.names,
        columns=columns,
        judge=part["judge"][first].astype(np.int64),
        item=part["item"][first].astype(np.int64),
        turn=part["turn"][first].astype(np.int64),
        shown=part["shown"][first].astype(np.int64),
        judgments=np.diff(starts),
        failed=np.bincount(number[kinds >= 0], minlength=begins.size),
        value=value,
        plain=plain,
        swapped=swapped,
        length=reduce(part["length"][order], begins).astype(np.int64),
        newest=reduce(part["created"][order], begins),
        rows=live[order],
        starts=starts,
        kinds=kinds,
        labels=part["label"][order],
    )


def _latest(source: npt.NDArray[np.int32], key: npt.NDArray[np.uint64]) -> IntArray:
    """Rows that no later row of the same key in the same file replaces, in order."""
    import numpy as np

    mixed = key ^ (source.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    last = np.unique(mixed[::-1], return_index=True)[1]
    return np.sort(mixed.size - 1 - last)


def _means(code: IntArray, values: FloatArray, which: BoolArray) -> FloatArray:
    """For each case, the mean over those cases of its code that are chosen; NaN where there are none."""
    import numpy as np

    size = int(code.max(initial=-1)) + 1
    sums = np.bincount(code[which], weights=values[which], minlength=size)
    counts = np.bincount(code[which], minlength=size)
    found: FloatArray = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)[code]
    return found


def _side(outcome: FloatArray) -> FloatArray:
    """1 for the first, -1 for the second, 0 for neither."""
    import numpy as np

    with np.errstate(invalid="ignore"):
        off = outcome - 0.5
        found: FloatArray = np.where(np.abs(off) < EVEN, 0.0, np.sign(off))
    return found


def _renumbered(names: Iterable[Any]) -> list[int]:
    """A number for each name; equal names have equal numbers."""
    known: dict[Any, int] = {}
    return [known.setdefault(name, len(known)) for name in names]
