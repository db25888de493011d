"""Win rates from pairwise preferences, as AlpacaEval 2 counts them, with question-clustered intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from evalkit.stats.arrays import FloatArray, IntArray, floats, totals
from evalkit.stats.battles import Battles
from evalkit.stats.errors import NotMeasurable
from evalkit.stats.resample import Interval, cluster_mean


@dataclass(frozen=True, slots=True)
class WinRate:
    """Win rate of a model against a baseline, in points (0 to 100).

    Attributes:
        win_rate: Mean preference for the model.
        standard_error: Its standard error: AlpacaEval's, of independent rows (ddof 1), where every question has one
            row, as in AlpacaEval; else clustered by question. None for one question.
        interval: The same estimate with the question-clustered interval, whose floor comes from the questions.
        n_wins: Rows with a preference above one half.
        n_wins_base: Rows below one half.
        n_draws: Rows at exactly one half.
        n_total: Rows with a preference.
        n_failed: Rows without one; they take part in nothing else.
        discrete_win_rate: Wins plus half the draws, over `n_total`.
    """

    win_rate: float
    standard_error: float | None
    interval: Interval
    n_wins: int
    n_wins_base: int
    n_draws: int
    n_total: int
    n_failed: int
    discrete_win_rate: float


def win_rate(
    preferences: Sequence[float | None] | FloatArray,
    *,
    convention: Literal["unit", "alpaca_eval"] = "unit",
    clusters: IntArray | None = None,
    strata: IntArray | None = None,
    resamples: int = 10_000,
    level: float = 0.95,
    seed: int = 0,
) -> WinRate:
    """Summarise preferences for a model over a baseline.

    Args:
        preferences: [N] one preference a row, None where the judgment failed.
        convention: "unit": 0 the baseline won, 1 the model won. "alpaca_eval": 1 the baseline, 2 the model, and the
            legacy 0 a draw.
        clusters: [N] question of each row, whole numbers from 0; each row its own question if not given.
        strata: [N] category of each row's question, where the benchmark fixes the categories.
        resamples: Bootstrap replicates of the interval.
        level: Coverage of the interval.
        seed: Seed of the draws.

    Raises:
        NotMeasurable: If every row failed.
        ValueError: On NaN (say None for a failed row) or a preference out of range.

    Source: alpaca_eval 0.6, `metrics/winrate.py`; Dubois et al. 2024, arXiv:2404.04475.
    """
    judged = np.array([p is not None for p in preferences], dtype=bool)
    values = floats([p for p in preferences if p is not None], "preferences")
    if values.size == 0:
        raise NotMeasurable("needs at least one judged row")
    low = 0.0
    if convention == "alpaca_eval":
        values = np.where(values == 0, 1.5, values)
        low = 1.0
    if values.min() < low or values.max() > low + 1:
        bad = values[(values < low) | (values > low + 1)][0]
        raise ValueError(f"preferences must be between {low:g} and {low + 1:g} but has {bad}")
    wins, losses = int((values > low + 0.5).sum()), int((values < low + 0.5).sum())
    values = values - low
    n = values.size
    rows = np.arange(len(judged)) if clusters is None else np.asarray(clusters)
    if len(rows) != len(judged):
        raise ValueError(f"clusters must have length {len(judged)} but has {len(rows)}")
    cluster = np.unique(rows[judged], return_inverse=True)[1]
    interval = cluster_mean(
        100 * values,
        cluster,
        limits=(0.0, 100.0),
        strata=None if strata is None else np.asarray(strata)[judged],
        resamples=resamples,
        level=level,
        seed=seed,
    )
    error = float(values.std(ddof=1) / n**0.5 * 100) if n > 1 else None
    return WinRate(
        win_rate=float(values.mean() * 100),
        standard_error=error if cluster.max() + 1 == n else interval.standard_error,
        interval=interval,
        n_wins=wins,
        n_wins_base=losses,
        n_draws=n - wins - losses,
        n_total=n,
        n_failed=int((~judged).sum()),
        discrete_win_rate=(wins + (n - wins - losses) / 2) / n * 100,
    )


def average_win_rate(battles: Battles) -> FloatArray:
    """Mean over opponents of each model's share of wins [M] in [0, 1], ties half; every opponent counts alike.

    Raises:
        NotMeasurable: If a model has no battle.
    """
    size = battles.models
    pair = battles.a * size + battles.b
    won = totals(pair, battles.mass * battles.outcome, size * size).reshape(size, size)
    met = totals(pair, battles.mass, size * size).reshape(size, size)
    wins, met = won + (met - won).T, met + met.T
    opponents = (met > 0).sum(axis=1)
    if (opponents == 0).any():
        raise NotMeasurable(f"needs a battle of each model; {np.flatnonzero(opponents == 0).tolist()} have none")
    share = np.divide(wins, met, out=np.zeros_like(wins), where=met > 0)
    result: FloatArray = share.sum(axis=1) / opponents
    return result
