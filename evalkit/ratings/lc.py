"""Length-controlled win rates (AlpacaEval 2): what they would be at answers as long as the baseline's.

Given difficulties of the instructions, and rows of the baseline against longer and shorter versions of itself, this
is AlpacaEval's own fit. Without them it is the fit on length alone, which is called minimal wherever it is shown.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass, field, replace
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.core.protocols import UsageError
from evalkit.core.schema import digest
from evalkit.ratings.baseline import Baseline, Matches, matches
from evalkit.ratings.comparisons import Comparisons
from evalkit.ratings.differences import ModelDifferences, of_pairs
from evalkit.ratings.standing import (
    Standing,
    TableInfo,
    best_first,
    count_outcomes,
    how_drawn,
    mean_lengths,
    named,
    strata_of,
    with_differences,
    with_info,
)
from evalkit.ratings.winrate import against

if TYPE_CHECKING:
    from evalkit.stats.arrays import FloatArray, IntArray
    from evalkit.stats.length_control import GamedBaseline, ResampledWinRate
    from evalkit.stats.resample import Interval

ID_COLUMNS = ("item", "id", "question_id", "instruction")
"""What may name an instruction; the last holds its text, and stands for the id that text has in evalkit."""

DIFFICULTY_COLUMNS = ("instruction_difficulty", "difficulty")

MOST_UNKNOWN = 0.1
"""Largest share of a model's comparisons that may be left out because the length of an answer is not known."""

GAMED_WEIGHT = 0.1
"""Of each gamed row: .2 shared by a verbose and a concise version (alpaca_eval 0.6.6)."""


@dataclass(frozen=True)
class Gamed:
    """Rows of the baseline against verbose and concise versions of itself."""

    preference: tuple[float, ...]
    length: tuple[float, ...]
    """Standardised length differences."""
    difficulty: tuple[float, ...]
    index: tuple[int, ...]
    """Place of the instruction in the file of difficulties; only the bootstrap reads it."""


@dataclass(frozen=True, eq=False)
class _Fitted:
    """One model's controlled win rate."""

    interval: Interval
    error: float | None
    length_effect: float
    questions: IntArray
    """Those it has a verdict on."""
    resampled: ResampledWinRate | None
    """None where resampling was not possible."""


@dataclass(frozen=True)
class LengthControlledWinRates:
    """Length-controlled win rates against a baseline, in points."""

    baseline: Baseline = None
    difficulties: dict[str, float] | None = field(default=None, hash=False)
    """By item; their order deals the folds of the cross-validation. None: the minimal fit."""
    gamed: Gamed | None = None
    resamples: int = 200
    """Of the interval: the fit is repeated on resampled instructions."""

    name = "lc"

    def rate(self, table: Comparisons) -> list[Standing]:
        """Rate every model but the baseline."""
        met = matches(table, self.baseline)
        if met is None:
            raise UsageError(
                "length control needs a baseline that all models were compared with; name it with --baseline: "
                f"{named(table.models, 12)}"
            )
        notes = [] if self.difficulties else [
            "length control is minimal: fitted on length alone, as no --difficulties were given; not comparable with "
            "published AlpacaEval 2 numbers"
        ]  # fmt: skip
        lengths = mean_lengths(table)
        rated = []
        fits: dict[str, _Fitted] = {}
        for standing in count_outcomes(table, self.name):
            model = table.models.index(standing.model)
            if (met.model == model).any():
                base = against(table, met, standing, lengths)
                rated.append(self._controlled(table, met, base, notes, fits))
        found = self._differences(table, met, fits, [row.model for row in best_first(rated)], notes)
        notes += how_drawn(table, within=True)
        about = TableInfo(notes=tuple(dict.fromkeys(notes)), baseline=met.baseline)
        return with_differences(with_info(rated, about), found)

    def _differences(
        self, table: Comparisons, met: Matches, fits: dict[str, _Fitted], order: list[str], notes: list[str]
    ) -> ModelDifferences | None:
        """Every two models on the questions that all of them have, from the same resampled questions."""
        import numpy as np

        from evalkit.stats.errors import StatisticsError
        from evalkit.stats.paired_differences import differences_of_estimates

        order = [name for name in order if name in fits]
        if len(order) < 2 or not table.questions:
            return None
        common = set.intersection(*(set(fits[name].questions.tolist()) for name in order))
        if any(len(common) < fits[name].questions.size for name in order):
            keep = np.isin(table.question[met.rows], list(common))
            part = replace(
                met, **{name: getattr(met, name)[keep] for name in ("model", "preference", "length", "rows")}
            )
            try:
                fits = {name: self._fit(table, part, table.models.index(name), []) for name in order}
            except StatisticsError as problem:
                notes.append(f"no differences: {getattr(problem, 'reason', problem)} on the questions that all have")
                return None
            notes.append(f"differences are on the {len(common)} questions that every model has a verdict on")
        resampled = [fits[name].resampled for name in order]
        if any(one is None for one in resampled):
            return None
        replicates = np.column_stack([one.replicates for one in resampled if one])
        found = differences_of_estimates(
            np.array([fits[name].interval.estimate for name in order]),
            np.atleast_2d(np.cov(replicates, rowvar=False)),
            clusters=len(common),
            n=sum(fits[name].interval.n for name in order) // len(order),
            influence=np.column_stack([one.influence for one in resampled if one]),
            limits=(0.0, 100.0),
        )
        return of_pairs(found, order)

    def _controlled(
        self, table: Comparisons, met: Matches, standing: Standing, notes: list[str], fits: dict[str, _Fitted]
    ) -> Standing:
        from evalkit.stats.errors import StatisticsError

        estimates: dict[str, Interval | None] = {"length_controlled_win_rate": None}
        columns = dict(standing.columns)
        try:
            found = self._fit(table, met, table.models.index(standing.model), notes)
            fits[standing.model] = found
            estimates["length_controlled_win_rate"] = found.interval
            columns |= {
                "length_effect": found.length_effect,
                "lc_standard_error": found.error if self.difficulties else None,  # of equal predictions it would be 0
                "lc_bootstrap_standard_error": found.interval.standard_error,
            }
        except StatisticsError as problem:
            reason = getattr(problem, "reason", str(problem))
            notes.append(f"length-controlled win rate of {standing.model!r} is not measurable: {reason}")
        columns["length_control"] = "full" if self.difficulties else "minimal"
        return replace(standing, estimates=estimates | standing.estimates, columns=columns)

    def _fit(self, table: Comparisons, met: Matches, model: int, notes: list[str]) -> _Fitted:
        import numpy as np

        from evalkit.stats.errors import NotMeasurable, StatisticsError
        from evalkit.stats.length_control import fit, resampled
        from evalkit.stats.resample import Interval

        mine = np.flatnonzero(met.model == model)
        unknown = np.isnan(met.length[mine])
        without = f"{unknown.sum()} of {mine.size} comparisons have none"
        if unknown.sum() > MOST_UNKNOWN * mine.size:
            raise NotMeasurable(f"needs the length of every answer, but {without}, more than {MOST_UNKNOWN:.0%}")
        if unknown.any():
            notes.append(
                f"length-controlled win rate of {table.models[model]!r} leaves out comparisons with an answer of "
                f"unknown length: {without}"
            )
        mine = mine[~unknown]
        question = table.question[met.rows[mine]] if table.questions else np.arange(mine.size)
        order = np.lexsort((table.turn[met.rows[mine]], self._places(table, question)))
        preference, length, question = met.preference[mine][order], met.length[mine][order], question[order]
        lost = self._lost(table, met, model)
        scale = float(np.concatenate([length, lost[1]]).std(ddof=1)) if length.size > 1 else None
        levels = self._levels(table, question)
        everywhere = None if levels is None else np.concatenate([levels, self._levels(table, lost[0])])
        gamed = self._gamed(table)
        strata = strata_of(table, met.rows[mine][order])
        point = fit(preference, length, levels, gamed=gamed, length_scale=scale, predict_difficulty=everywhere)
        boot = None
        try:
            boot = resampled(
                preference, length, question, levels,
                gamed=gamed, length_scale=scale, strata=strata, resamples=self.resamples,
            )  # fmt: skip
            interval = boot.interval
        except StatisticsError as problem:
            units = len(np.unique(question))
            reason = str(getattr(problem, "reason", problem))
            interval = Interval(point.win_rate, None, None, preference.size, 0.95, None, units, reason=reason)
        return _Fitted(
            replace(interval, estimate=point.win_rate),
            point.standard_error,
            point.coefficients[0],
            np.unique(question),
            boot,
        )

    def _places(self, table: Comparisons, question: Any) -> FloatArray:
        """Rank of each row's question: in the file of difficulties, or by name, so that storage order is nothing."""
        import numpy as np

        known = list(self.difficulties or sorted(table.questions))
        place = {name: i for i, name in enumerate(known)}
        if not table.questions:
            return np.arange(len(question), dtype=np.float64)
        return np.array([place.get(table.questions[q], len(place)) for q in question], dtype=np.float64)

    def _lost(self, table: Comparisons, met: Matches, model: int) -> tuple[Any, FloatArray]:
        """Questions and length differences of failed judgments: AlpacaEval counts them in scale and prediction."""
        import numpy as np

        rows = [
            (row.question, row.length_b - row.length_a if row.a == model else row.length_a - row.length_b)
            for row in table.failed
            if model in (row.a, row.b) and ({row.a, row.b} & met.baselines) and row.question >= 0
        ]
        judged = set(table.question[met.rows[met.model == model]].tolist())
        rows = [(q, length) for q, length in rows if not isnan(length) and q not in judged]
        return np.array([q for q, _ in rows], dtype=np.int64), np.array([length for _, length in rows], dtype=float)

    def _levels(self, table: Comparisons, question: Any) -> FloatArray | None:
        import numpy as np

        from evalkit.stats.errors import NotMeasurable

        if self.difficulties is None:
            return None
        names = [table.questions[q] for q in question]
        missing = sorted(set(names) - set(self.difficulties))
        if missing:
            raise NotMeasurable(
                f"needs a difficulty of every question; {len(missing)} of {len(set(names))} are not in the file, such "
                f"as {missing[0]!r}"
            )
        return np.array([self.difficulties[name] for name in names])

    def _gamed(self, table: Comparisons) -> GamedBaseline | None:
        import numpy as np

        from evalkit.stats.length_control import GamedBaseline

        if self.gamed is None or self.difficulties is None:
            return None
        position = {name: i for i, name in enumerate(table.questions)}
        names = list(self.difficulties)
        beyond = len(names) + len(table.questions)  # instructions that nobody was judged on: kept as they are
        question = [position.get(names[i], beyond + i) if i < len(names) else beyond + i for i in self.gamed.index]
        return GamedBaseline(
            np.array(self.gamed.preference),
            np.array(self.gamed.length),
            np.array(self.gamed.difficulty),
            np.array(question, dtype=np.int64),
            GAMED_WEIGHT,
        )


def read_difficulties(path: Path) -> dict[str, float]:
    """Difficulties by item, in the order of a CSV with a column for the item (or instruction) and one for the level.

    Raises:
        UsageError: the file cannot be read as such.
    """
    rows = _table(path)
    key = next((name for name in ID_COLUMNS if name in rows[0]), None)
    value = next((name for name in DIFFICULTY_COLUMNS if name in rows[0]), None)
    if key is None or value is None:
        raise UsageError(
            f"{path}: needs a column {' or '.join(ID_COLUMNS)} (which instruction, never its position) and a column "
            f"{' or '.join(DIFFICULTY_COLUMNS)}; it has {named(list(rows[0]), 12)}"
        )
    result: dict[str, float] = {}
    for number, row in enumerate(rows, start=2):
        name = digest((row[key],))[:16] if key == "instruction" else row[key]
        if name in result:
            raise UsageError(f"{path}, line {number}: {key} {row[key][:60]!r} occurs twice")
        result[name] = _number(path, number, value, row)
    return result


def read_gamed(path: Path) -> Gamed:
    """Gamed rows as in AlpacaEval's df_gamed.csv: preference, index, std_delta_len, instruction_difficulty.

    Raises:
        UsageError: the file cannot be read as such.
    """
    rows = _table(path)
    names = ("preference", "std_delta_len", "instruction_difficulty", "index")
    missing = [name for name in names if name not in rows[0]]
    if missing:
        raise UsageError(f"{path}: has no column {named(missing)}; gamed rows have {', '.join(names)}")
    columns = [tuple(_number(path, line, name, row) for line, row in enumerate(rows, start=2)) for name in names]
    low = min(columns[0])
    if low < 0 or max(columns[0]) > 1:
        raise UsageError(f"{path}: preferences must be between 0 (baseline) and 1 (gamed version)")
    return Gamed(columns[0], columns[1], columns[2], tuple(int(index) for index in columns[3]))


def _table(path: Path) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as lines:
            rows = list(csv.DictReader(lines))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"cannot read {str(path)!r} as CSV: {error}") from error
    if not rows:
        raise UsageError(f"{path}: no rows")
    return rows


def _number(path: Path, line: int, name: str, row: dict[str, str]) -> float:
    try:
        value = float(row[name])
    except (TypeError, ValueError):
        value = float("nan")
    if not abs(value) < float("inf"):
        raise UsageError(f"{path}, line {line}: {name} must be a number, not {row[name]!r}")
    return value
