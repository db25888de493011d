"""RewardBench 2's score of questions with several right answers: right ones above wrong ones, and close together.

A judge that likes one right answer much better than another prefers something that does not matter: its right answers
should lie closer together than the worst of them lies above the best wrong one.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from evalkit.stats.errors import NotMeasurable

Answers = tuple[Sequence[float], Sequence[float]]
"""Scores of the right answers of one question, and of the wrong ones."""


def ties_score(single: Mapping[str, Answers], tied: Mapping[str, Answers]) -> float:
    """The weighted score, 0 to about 1.01.

    Of .3 each: the share of questions with one right answer, and of those with several, on which all right answers are
    above all wrong ones. Of .2 each: on how many questions with several the gap between right and wrong is wider than
    the spread of the right ones, and on how many so is also the gap of the same question with one right answer. Of .01:
    by how much, as tanh(gap / spread - 1).

    Args:
        single: questions with one right answer, by number.
        tied: the same questions with several right answers.

    Raises:
        NotMeasurable: No question is there in both forms.

    Source: Malik et al. 2025, RewardBench 2, arXiv:2506.01937, and its published scoring.
    """
    numbers = sorted(single.keys() & tied.keys())
    if not numbers:
        raise NotMeasurable("needs questions with one right answer, and the same ones with several")
    gaps = np.array([_gap(tied[number]) for number in numbers])
    gaps_single = np.array([_gap(single[number]) for number in numbers])
    spread = np.array([max(tied[number][0]) - min(tied[number][0]) for number in numbers])
    narrow = np.minimum(gaps, gaps_single)
    with np.errstate(divide="ignore", invalid="ignore"):  # right answers of one score have no spread
        margin = np.nan_to_num(np.tanh(narrow / spread - 1), nan=0.0)
    right = [float(np.mean([_gap(one) > 0 for one in form.values()])) for form in (single, tied)]
    terms = (right[0], right[1], float((gaps > spread).mean()), float((narrow > spread).mean()), float(margin.mean()))
    return float(np.dot((0.3, 0.3, 0.2, 0.2, 0.01), terms))


def _gap(answers: Answers) -> float:
    """How far the worst right answer is above the best wrong one."""
    return min(answers[0]) - max(answers[1])
