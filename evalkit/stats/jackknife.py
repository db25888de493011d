"""Intervals of costly statistics: groups of questions left out in turn (Shao & Tu 1995, chapter 2)."""

from collections.abc import Callable

import numpy as np

from evalkit.stats.arrays import BoolArray, IntArray, renumbered
from evalkit.stats.errors import NotMeasurable
from evalkit.stats.resample import Interval, t_quantile

GROUPS = 20


def jackknife(
    statistic: Callable[[BoolArray], float],
    clusters: IntArray,
    *,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    groups: int = GROUPS,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """A statistic of rows with limits from leaving out a group of questions at a time.

    Args:
        statistic: Of the rows kept, [N] each time.
        clusters: [N] question of each row.
        bounds: Where the statistic can lie; limits stay inside.
        groups: Into how many groups of equal size the questions are dealt, at random; fewer than 3 give no limits.
        level: Coverage aimed at.
        seed: Seed of the dealing.

    Raises:
        NotMeasurable: If the statistic of all rows raises it. Where it does without a group, there are no limits.
    """
    places = renumbered(clusters)[1]
    units = int(places.max()) + 1
    estimate = statistic(np.ones(places.size, dtype=np.bool_))
    dealt = min(groups, units)
    none = Interval(estimate, None, None, places.size, level, None, units)
    if dealt < 3:
        return none
    group = np.random.default_rng(seed).permutation(units)[places] % dealt
    try:
        left = np.array([statistic(group != one) for one in range(dealt)])
    except NotMeasurable:
        return none
    error = float(np.sqrt((dealt - 1) / dealt * ((left - left.mean()) ** 2).sum()))
    reach = t_quantile(0.5 + level / 2, dealt - 1) * error
    lower, upper = max(bounds[0], estimate - reach), min(bounds[1], estimate + reach)
    return Interval(estimate, lower, upper, places.size, level, error, units)
