r"""Style control: ratings with the effect of length and markdown taken out.

Features of a response: its length in tokens, and how many markdown headers, list items and bold spans it has outside
fenced code. A battle's covariates are the normalised differences of those, standardised over all battles.

Source: Chatbot Arena "Does style matter?" (2024-08-28), FastChat `rating_systems.py`; Arena-Hard-Auto v2.
"""

import re
from dataclasses import dataclass

import numpy as np

from evalkit.stats.arrays import FloatArray, IntArray, floats
from evalkit.stats.covariates import CovariateRatings, rate_with_covariates
from evalkit.stats.errors import NotMeasurable

FEATURES = ("length", "header", "list", "bold")
FENCE = re.compile(r"```([^`]*)```")
HEADER = re.compile(r"^#{1,6}\s", re.MULTILINE)
LIST_ITEMS = (re.compile(r"^[^\S\n]*+\d++\.\s", re.MULTILINE), re.compile(r"^[^\S\n]*+[-*+]\s", re.MULTILINE))
BOLDS = (re.compile(r"\*\*[^*\n]+\*\*"), re.compile(r"__[^_\n]+__"))


@dataclass(frozen=True, slots=True)
class Markdown:
    """How often a text uses markdown outside fenced code.

    Attributes:
        header: Lines that start with one to six # and a space.
        list: Lines that start a numbered or bulleted item.
        bold: Spans in double asterisks or double underscores.
    """

    header: int
    list: int
    bold: int


def count_markdown(text: str) -> Markdown:
    """Count headers, list items and bold spans, leaving out fenced code."""
    prose = FENCE.sub("", text)
    items, bolds = (sum(len(p.findall(prose)) for p in patterns) for patterns in (LIST_ITEMS, BOLDS))
    return Markdown(len(HEADER.findall(prose)), items, bolds)


def normalised_difference(a: FloatArray, b: FloatArray, *, offset: float = 0.0) -> FloatArray:
    """Differences (a - b) / (a + b + offset) of counts, 0 where both and the offset are 0.

    Args:
        a: Counts of the first response, any shape.
        b: Counts of the second response, the same shape.
        offset: 0, or FastChat's 1.

    Raises:
        ValueError: On negative or non-finite counts.
    """
    a, b = floats(a, "a", ndim=np.ndim(a)), floats(b, "b", ndim=np.ndim(b))
    if min(a.min(initial=0), b.min(initial=0)) < 0:
        raise ValueError("counts must not be negative")
    total = a + b + offset
    return np.divide(a - b, total, out=np.zeros_like(total), where=total > 0)


def standardise(differences: FloatArray, *, centre: bool = False, ddof: int = 0) -> FloatArray:
    """Divide each column [N, F] by its standard deviation.

    Args:
        differences: [N, F] covariates.
        centre: Subtract the mean too, as FastChat does. Differences change sign with the order of a pair, so their
            natural zero is "no difference", and centring makes ratings depend on which response came first.
        ddof: 0 population, 1 sample standard deviation.

    Raises:
        NotMeasurable: If a column does not vary.
    """
    differences = floats(differences, "differences", ndim=2)
    spread = differences.std(axis=0, ddof=ddof)
    if (spread == 0).any():
        flat = np.flatnonzero(spread == 0).tolist()
        raise NotMeasurable(f"needs style features that differ between responses; column {flat} does not")
    origin = differences.mean(axis=0) if centre else 0.0
    result: FloatArray = (differences - origin) / spread
    return result


def style_controlled_ratings(
    a: IntArray,
    b: IntArray,
    outcome: FloatArray,
    style_a: FloatArray,
    style_b: FloatArray,
    *,
    models: int,
    clusters: IntArray | None = None,
    strata: IntArray | None = None,
    weights: FloatArray | None = None,
    ridge: float = 0.0,
    faithful: bool = False,
) -> CovariateRatings:
    """Bradley-Terry ratings at equal style.

    Args:
        a: [N] index of the first model.
        b: [N] index of the second model.
        outcome: [N] score of the first model in [0, 1]; a tie is .5.
        style_a: [N, F] features of the first response, such as `FEATURES`.
        style_b: [N, F] features of the second response.
        models: Number of models M.
        clusters: [N] question of each battle, whole numbers from 0.
        strata: [N] category of each battle's question, where the benchmark fixes the categories; needs `clusters`.
        weights: [N] positive weight of each battle.
        ridge: Penalty on the coefficients; 0 is plain maximum likelihood.
        faithful: Reproduce FastChat 0.2.36: differences over a + b + 1, centred, and a penalty of .25 times the
            squares of all parameters, ratings counted in units of 400 Elo points.

    Returns:
        Ratings at equal style, and coefficients in logits per standard deviation of each difference.

    Raises:
        Disconnected: If no finite ratings exist.
        NotMeasurable: If a feature does not vary or is collinear with others.
        NotConverged: If the fit does not reach its tolerance.
    """
    if not faithful:
        covariates = standardise(normalised_difference(style_a, style_b))
        return rate_with_covariates(
            a, b, outcome, covariates, models=models, clusters=clusters, strata=strata, weights=weights, ridge=ridge
        )
    if ridge != 0:
        raise ValueError("ridge is fixed where faithful=True")
    covariates = standardise(normalised_difference(style_a, style_b, offset=1), centre=True)
    return rate_with_covariates(
        a,
        b,
        outcome,
        covariates,
        models=models,
        clusters=clusters,
        strata=strata,
        weights=weights,
        ridge=0.5,
        ridge_ratings=0.5 / np.log(10) ** 2,
    )
