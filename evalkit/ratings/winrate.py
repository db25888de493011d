"""Win rates in points: against a baseline, or on average over the opponents."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import isnan
from typing import TYPE_CHECKING

from evalkit.ratings.baseline import Baseline, Matches, matches
from evalkit.ratings.comparisons import Comparisons
from evalkit.ratings.differences import VerdictCells, of_pairs
from evalkit.ratings.links import apart
from evalkit.ratings.standing import (
    Standing,
    TableInfo,
    best_first,
    compared,
    count_outcomes,
    how_drawn,
    mean_lengths,
    strata_of,
    with_differences,
    with_info,
)

if TYPE_CHECKING:
    from evalkit.stats.arrays import BoolArray, FloatArray, IntArray
    from evalkit.stats.resample import Interval

RIDGE = 5.0
"""Penalty on the ratings behind an interval: 20 comparisons against an equal. Few comparisons thus stay residuals."""


@dataclass(frozen=True)
class WinRates:
    """Win rates with question-clustered intervals, in the columns of AlpacaEval's leaderboard."""

    baseline: Baseline = None

    name = "winrate"

    def rate(self, table: Comparisons) -> list[Standing]:
        """Every model but the baseline; or every model, where there is none."""
        standings = count_outcomes(table, self.name)
        met = matches(table, self.baseline)
        lengths = mean_lengths(table)
        if met is None:
            means = "win rates are means over opponents, each of which counts alike"
            drawn = how_drawn(table, within=True)
            about = TableInfo(notes=(means, *drawn, *apart(table.models, table.a, table.b)))
            return _compared_over_opponents(table, with_info(_over_opponents(table, standings, lengths), about))
        notes: tuple[str, ...] = ()
        if met.left_out:
            notes = (f"{met.left_out} comparisons between other models than the baseline do not count here",)
        notes += how_drawn(table, within=True)
        rated = [against(table, met, standing, lengths) for standing in standings if _competes(table, met, standing)]
        rated = with_info(rated, TableInfo(notes=notes, baseline=met.baseline))
        cells = preference_cells(table, met)
        return rated if cells is None else compared(rated, cells)


def preference_cells(table: Comparisons, met: Matches) -> VerdictCells | None:
    """Points against the baseline of every model on every turn of every question; None where questions have no names.

    Where verdicts weigh differently, a model's value on a question is its win rate plus what the question adds to it.
    """
    import numpy as np

    if not table.questions or not met.rows.size:
        return None
    chosen = np.unique(met.model)
    model = np.searchsorted(chosen, met.model)
    question, turn, weight = table.question[met.rows], table.turn[met.rows], table.weight[met.rows]
    weighted = table.weights is not None
    if weighted:
        turn = np.zeros_like(turn)
    turns = int(turn.max(initial=0)) + 1
    place, first, cell = np.unique(question * turns + turn, return_index=True, return_inverse=True)
    shape = place.size, chosen.size
    key, size = cell.reshape(-1) * chosen.size + model, place.size * chosen.size
    counts = np.bincount(key, weight, size).reshape(shape)
    sums = np.bincount(key, weight * 100 * met.preference, size).reshape(shape)
    values = np.divide(sums, counts, out=np.full(shape, np.nan), where=counts > 0)
    if weighted:
        mean, share = sums.sum(axis=0) / counts.sum(axis=0), counts.sum(axis=0) / (counts > 0).sum(axis=0)
        values = np.where(counts > 0, mean + (sums - mean * counts) / share, np.nan)
    return VerdictCells(
        tuple(table.models[i] for i in chosen.tolist()),
        values,
        _failed_cells(table, met, place, turns, chosen) & np.isnan(values),
        place // turns,
        place % turns,
        table.category[met.rows][first].astype(np.int64),
        strata_of(table, met.rows) is not None,
        None if weighted else (0.0, 100.0),
        pooled=True,
    )


def _failed_cells(table: Comparisons, met: Matches, place: IntArray, turns: int, chosen: IntArray) -> BoolArray:
    """[C, M] cells of models without a verdict against the baseline, or without an answer to judge."""
    import numpy as np

    failed = np.zeros((place.size, chosen.size), dtype=bool)
    column = {model: i for i, model in enumerate(chosen.tolist())}
    for row in table.failed:
        sides = {row.a, row.b} - met.baselines - {-1}
        if len(sides) != 1 or row.question < 0 or (row.b >= 0 and not {row.a, row.b} & met.baselines):
            continue
        (model,) = sides
        if model in column:
            of_question = place // turns == row.question
            mine = of_question if row.turn == 0 or turns == 1 else of_question & (place % turns == row.turn)
            failed[mine, column[model]] = True
    return failed


def _competes(table: Comparisons, met: Matches, standing: Standing) -> bool:
    model = table.models.index(standing.model)
    return model not in met.baselines or bool((met.model == model).any())


def against(table: Comparisons, met: Matches, standing: Standing, lengths: FloatArray) -> Standing:
    """One model against the baseline, with AlpacaEval's columns."""
    import numpy as np

    from evalkit.stats.arena_hard import arena_hard_score
    from evalkit.stats.bounded import FEWEST
    from evalkit.stats.resample import cluster_sums, floored
    from evalkit.stats.win_rate import win_rate

    model = table.models.index(standing.model)
    mine = np.flatnonzero(met.model == model)
    preference, rows = met.preference[mine], met.rows[mine]
    if mine.size == 0:
        return replace(standing, n=0, wins=0, losses=0, ties=0, estimates={"win_rate": None})
    questions = np.arange(mine.size) if table.clusters is None else _numbered(table.question[rows])
    strata = strata_of(table, rows)
    summary = win_rate(preference, clusters=questions, strata=strata)
    interval = summary.interval
    if table.weights is not None:
        weight = table.weight[rows]
        interval = arena_hard_score(preference, weight, questions, strata=strata).affine(100)
        surprise = cluster_sums(weight * (preference - interval.estimate / 100), questions)[0]
        interval = floored(interval, surprise, (0.0, 100.0))
    if interval.clusters < FEWEST:
        reason = f"needs at least {FEWEST} questions"
        interval = replace(interval, lower=None, upper=None, standard_error=None, reason=reason)
    # AlpacaEval prints the error of independent rows; elsewhere it is that of the interval beside it.
    as_published = alpaca_eval_error(table) and questions.max() + 1 == mine.size
    error = summary.standard_error if as_published else interval.standard_error
    return replace(
        standing,
        n=summary.n_total,
        wins=summary.n_wins,
        losses=summary.n_wins_base,
        ties=summary.n_draws,
        estimates={"win_rate": interval},
        columns=_alpaca_eval(
            error, summary.n_wins, summary.n_wins_base, summary.n_draws, summary.discrete_win_rate, lengths[model]
        ),
    )


def alpaca_eval_error(table: Comparisons) -> bool:
    """Whether standard errors are those that AlpacaEval publishes: of rows, each of which is a question."""
    return table.protocol.startswith("alpaca_eval") and table.weights is None


def _alpaca_eval(
    error: float | None, wins: int, losses: int, draws: int, discrete: float | None, length: float
) -> dict[str, float | int | str | None]:
    """Further columns, named as in AlpacaEval's leaderboards."""
    return {
        "standard_error": error,
        "n_wins": wins,
        "n_wins_base": losses,
        "n_draws": draws,
        "n_total": wins + losses + draws,
        "discrete_win_rate": discrete,
        "avg_length": None if isnan(length) else int(length),
    }


def _over_opponents(table: Comparisons, standings: list[Standing], lengths: FloatArray) -> list[Standing]:
    shares = _average(table)
    result = []
    for standing in standings:
        model = table.models.index(standing.model)
        interval = shares.get(model)
        decided = standing.wins + standing.losses + standing.ties
        discrete = 100 * (standing.wins + standing.ties / 2) / decided if decided else None
        error = interval.standard_error if interval else None
        columns = _alpaca_eval(error, standing.wins, standing.losses, standing.ties, discrete, lengths[model])
        result.append(replace(standing, estimates={"win_rate": interval}, columns=columns))
    return result


def _average(table: Comparisons) -> dict[int, Interval]:
    """Mean over the opponents met of the share of wins, by model; the interval from the influence of each question.

    Who has met whom is taken as given: the interval is not for opponents that a model might have met as well.
    An opponent met once varies like any other, so outcomes are set against what ratings expect, not against the share
    of that opponent. Where every question has every pair, this is the error of the mean over questions.
    """
    import numpy as np

    if not len(table):
        return {}
    share, part, surprise, question, model = _from_both_sides(table)
    category = _twice(strata_of(table, np.arange(len(table))))
    return {
        int(i): _interval(
            share[i], part[mine], surprise[mine], question[mine], None if category is None else category[mine]
        )
        for i in np.unique(model).tolist()
        for mine in [model == i]
    }


def _compared_over_opponents(table: Comparisons, standings: list[Standing]) -> list[Standing]:
    """Add differences of mean win rates, of models on the questions that each was compared on."""
    import numpy as np

    from evalkit.stats.paired_differences import differences_of_estimates

    names = [row.model for row in best_first(standings) if row.main is not None]
    if len(names) < 2:
        return standings
    _, part, surprise, question, model = _from_both_sides(table)
    number, category = _numbered(question), _twice(strata_of(table, np.arange(len(table))))
    units = int(number.max()) + 1
    moved, degrees = np.zeros((units, len(names))), np.zeros(len(names))
    for place, name in enumerate(names):
        mine = model == table.models.index(name)
        fixed = None if category is None else category[mine]
        found, _, degrees[place] = _leverage(part[mine], surprise[mine], number[mine], units, fixed)
        moved[:, place] = 100 * found
    estimates = np.array([row.main.estimate for row in best_first(standings) if row.main is not None])
    pairs = differences_of_estimates(
        estimates, moved.T @ moved, clusters=units, n=len(table), degrees=degrees, influence=moved, limits=(0.0, 100.0)
    )
    return with_differences(standings, of_pairs(pairs, names))


def _from_both_sides(table: Comparisons) -> tuple[FloatArray, FloatArray, FloatArray, IntArray, IntArray]:
    """Mean share of wins [M]; and of every comparison from both sides [2N], its part, surprise, question and model."""
    import numpy as np

    size = len(table.models)
    # Every comparison from both sides: [2N] model, opponent, points, weight.
    model, other = np.concatenate([table.a, table.b]), np.concatenate([table.b, table.a])
    points = np.concatenate([table.outcome, 1 - table.outcome])
    weight = np.concatenate([table.weight, table.weight])
    pair = model * size + other
    met = np.bincount(pair, weight, size * size).reshape(size, size)
    won = np.bincount(pair, weight * points, size * size).reshape(size, size)
    share = np.divide(won, met, out=np.zeros_like(won), where=met > 0)
    opponents = (met > 0).sum(axis=1)
    part = weight / (met.ravel()[pair] * opponents[model])
    surprise = part * (points - _expected(table).ravel()[pair])
    cluster = np.arange(len(table)) if table.clusters is None else table.clusters
    means = share.sum(axis=1) / np.maximum(opponents, 1)
    return means, part, surprise, np.concatenate([cluster, cluster]), model


def _expected(table: Comparisons) -> FloatArray:
    """[M, M] share of wins of one model over another, by penalised ratings, which always exist."""
    from evalkit.stats.arrays import sigmoid
    from evalkit.stats.battles import compress
    from evalkit.stats.bradley_terry import bradley_terry

    battles = compress(table.a, table.b, table.outcome, models=len(table.models), weights=table.weights)
    ratings = bradley_terry(battles, ridge=RIDGE).ratings
    return sigmoid(ratings[:, None] - ratings)


def _interval(
    estimate: float, part: FloatArray, surprise: FloatArray, question: IntArray, category: IntArray | None
) -> Interval:
    """A weighted mean over questions, in percent, with its t limits.

    Each question's residual is scaled up by its leverage, and the degrees of freedom are Satterthwaite's for variances
    in proportion to what each counts; of U questions that count alike, U - 1 (Bell & McCaffrey 2002, Survey
    Methodology 28:169).

    Args:
        estimate: the mean.
        part: [N] how much each comparison counts in it; they sum to 1.
        surprise: [N] that, times outcome minus expectation.
        question: [N] the unit that varies.
        category: [N] category of the question, where the benchmark fixes the categories.
    """
    import numpy as np

    from evalkit.stats.bounded import FEWEST
    from evalkit.stats.resample import Interval, floored, t_quantile

    number = _numbered(question)
    units = int(number.max()) + 1
    if units < FEWEST:
        reason = f"needs at least {FEWEST} questions"
        return Interval(100 * float(estimate), None, None, part.size, 0.95, None, units, reason=reason)
    moved, influence, degrees = _leverage(part, surprise, number, units, category)
    error = 100 * float(np.sqrt((moved**2).sum()))
    reach = t_quantile(0.975, degrees) * error
    middle = 100 * float(estimate)
    found = Interval(middle, max(0.0, middle - reach), min(100.0, middle + reach), part.size, 0.95, error, units)
    return floored(found, (influence * units).astype(np.float64), (0.0, 100.0))


def _leverage(
    part: FloatArray, surprise: FloatArray, number: IntArray, units: int, category: IntArray | None
) -> tuple[FloatArray, FloatArray, float]:
    """What each question adds to a mean, with and without its leverage [U each], and degrees of freedom.

    Within categories that are fixed a question is set against what its category adds, and its leverage is its part of
    the category; each category has degrees of freedom of its own, taken together as Satterthwaite does.
    """
    import numpy as np

    from evalkit.stats.sandwich import taken_together

    counts = np.bincount(number, part, units).astype(np.float64)
    influence = np.bincount(number, surprise, units).astype(np.float64)
    label = np.zeros(units, dtype=np.int64)
    if category is not None:
        label[number] = category
        there = np.flatnonzero(counts > 0)
        label[there] = np.unique(taken_together(label[there]), return_inverse=True)[1]
        label[counts == 0] = 0
    moved, spread, doubt = np.zeros(units), 0.0, 0.0
    for stratum in np.unique(label).tolist():
        mine = label == stratum
        own = counts[mine] / max(counts[mine].sum(), 1e-300)
        alone = category is not None and bool((own == 1).any())  # the only lone question, against the mean of all
        if not alone:
            influence[mine] -= own * influence[mine].sum()
        leverage = own**2 / np.maximum(1 - own, 1e-12)
        degrees = 1 / float(own @ own + leverage @ (leverage.sum() - leverage))  # so that of one question it is 1
        moved[mine] = influence[mine] / (1.0 if alone else np.sqrt(np.maximum(1 - own, 1e-12)))
        square = float(counts[mine] @ counts[mine])
        spread, doubt = spread + square, doubt + square**2 / degrees
    return moved, influence, spread**2 / max(doubt, 1e-300)


def _twice(category: IntArray | None) -> IntArray | None:
    """Categories of comparisons [2N] seen from both sides."""
    import numpy as np

    return None if category is None else np.concatenate([category, category])


def _numbered(question: IntArray) -> IntArray:
    """Questions numbered from 0 without gaps."""
    import numpy as np

    return np.unique(question, return_inverse=True)[1].astype(np.int64)
