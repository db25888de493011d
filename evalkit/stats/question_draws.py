"""Draws of a question bootstrap: how often each question is in each replicate."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from evalkit.stats.arrays import FloatArray, IntArray, indices

CHUNK = 1 << 17  # draws held in memory at a time: small enough for the cache
KEPT_CELLS = 1 << 19  # draws that are kept for the next figure of as many questions: 4 MB each


def question_counts(
    questions: int, resamples: int, seed: int, *, strata: IntArray | None = None
) -> Iterator[FloatArray]:
    """Yield the replicates of a question bootstrap as multinomial counts, in chunks of bounded memory.

    Within strata of n questions, n - 1 are drawn and weigh n / (n - 1) each, as the variance of a handful of questions
    would come out too small else (Rao & Wu 1988, JASA 83:231). Strata of one question are taken together.

    Args:
        questions: Q, clusters to draw from.
        resamples: Replicates in total.
        seed: Seed of the draws.
        strata: [Q] category of each question, where the benchmark fixes the categories.

    Yields:
        [B', Q] how often each question was drawn; each row sums to Q; the B' add up to `resamples`.
    """
    if strata is not None:
        yield from _stratified_counts(indices(strata, "strata", length=questions), resamples, seed)
        return
    if questions * resamples <= KEPT_CELLS:
        yield from _kept_counts(questions, resamples, seed)
    else:
        yield from _fresh_counts(questions, resamples, seed)


def _fresh_counts(questions: int, resamples: int, seed: int) -> Iterator[FloatArray]:
    for draw in _draws(questions, resamples, seed):
        rows = draw.shape[0]
        cells = draw + questions * np.arange(rows)[:, None]
        counts = np.bincount(cells.ravel(), minlength=rows * questions)
        yield counts.reshape(rows, questions).astype(np.float64)


@lru_cache(maxsize=16)
def _kept_counts(questions: int, resamples: int, seed: int) -> tuple[FloatArray, ...]:
    """The same draws, kept: an audit makes them for dozens of figures of the same questions."""
    found = tuple(_fresh_counts(questions, resamples, seed))
    for counts in found:
        counts.setflags(write=False)
    return found


def _stratified_counts(strata: IntArray, resamples: int, seed: int) -> Iterator[FloatArray]:
    rng = np.random.default_rng(seed)
    label = np.unique(strata, return_inverse=True)[1]
    label = np.where(np.bincount(label)[label] == 1, -1, label)
    rows = max(1, CHUNK // strata.size)
    for start in range(0, resamples, rows):
        size = min(rows, resamples - start)
        counts = np.ones((size, strata.size))
        for stratum in np.unique(label).tolist():
            mine = np.flatnonzero(label == stratum)
            if mine.size > 1:
                drawn = rng.multinomial(mine.size - 1, np.full(mine.size, 1 / mine.size), size=size)
                counts[:, mine] = drawn * (mine.size / (mine.size - 1))
        yield counts


def _draws(size: int, resamples: int, seed: int) -> Iterator[IntArray]:
    if resamples < 1:
        raise ValueError(f"resamples must be at least 1 but is {resamples}")
    rng = np.random.default_rng(seed)
    rows = max(1, CHUNK // size)
    for start in range(0, resamples, rows):
        yield rng.integers(size, size=(min(rows, resamples - start), size))
