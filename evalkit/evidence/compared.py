"""The pairs that tell of a judge's taste, in words: of what they are made, and why there are none."""

from __future__ import annotations

from evalkit.evidence.evidence import Evidence

VERDICTS = "needs judgments with a verdict"
SCORES = "needs scores of several models on the same questions"
MODELS = "needs answers of different models"


def made_of_scores(evidence: Evidence) -> str:
    """Words to add to a sentence about ``evidence.compared``; none where the judge saw pairs."""
    if evidence.scores is None:
        return ""
    used = len(evidence.compared)
    every = f"{used:,} drawn at random of {evidence.comparable:,}" if used < evidence.comparable else f"all {used:,}"
    return f" The judge saw one answer at a time: these are pairs of scores of two models on one question ({every})."


def nothing_compared(evidence: Evidence) -> str | None:
    """Why no verdict is on answers of different models; None where some is."""
    import numpy as np

    pairs = evidence.compared
    judged = np.isfinite(pairs.outcome)
    if not judged.any():
        scored = evidence.scores is not None and bool(np.isfinite(evidence.scores.score).any())
        return SCORES if scored else VERDICTS
    return MODELS if (pairs.a == pairs.b)[judged].all() else None


def no_votes_on(evidence: Evidence) -> str:
    """What is lacking where people voted on none of the pairs."""
    judged = "the pairs this judge judged" if evidence.scores is None else "pairs of answers that this judge scored"
    return f"needs votes of people on {judged}"
