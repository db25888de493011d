"""Why an interval is as wide as it is: what it covers without the floor, here and where the other end comes up."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from unittest.mock import patch

import numpy as np

from evalkit.stats import bradley_terry, length_control, resample, sandwich, shares

UNSHOWN = {"a third": 1 / 3, "a tenth": 1 / 10}
"""Part of the data sets that show no question at the other end of the scale, where some are planted."""


def hidden_share(questions: int, unshown: float) -> float:
    """Share of questions at the other end of the scale of which so many show none in this part of the data sets.

    These are drawn as if there were none, so that nothing in them tells.
    """
    return 1 - unshown ** (1 / questions)


@contextmanager
def without_floor() -> Iterator[None]:
    """Limits of resampling, of Student's t or of the sandwich alone, within the scale."""

    def inner(estimate, standard_error, inner, units, kurtosis, limits, **_):
        return np.maximum(inner[0], limits[0]), np.minimum(inner[1], limits[1]), standard_error

    def no_score_limits(successes, n, *, level=0.95):
        return replace(resample.wilson(successes, n, level=level), lower=np.inf, upper=-np.inf)

    with ExitStack() as stack:
        for module, name, instead in (
            (resample, "widened", inner),
            (shares, "wilson", no_score_limits),
            (length_control, "_of_a_share", lambda *_: (np.inf, -np.inf)),
            (bradley_terry, "floored_covariance", lambda covariance, *_: covariance),
            (sandwich, "_towards_the_rare", lambda usual, *_: usual),
        ):
            stack.enter_context(patch.object(module, name, instead))
        yield
