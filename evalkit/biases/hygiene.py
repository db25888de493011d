"""Verdict hygiene: judgments without a verdict, and candidates that play the judge instead of answering.

A null model gives every question the same text, built like the end of a judge's prompt (Zheng et al. 2024,
arXiv:2410.07137); one constant answer took a win rate of 77% on AlpacaEval 2. Both marks are cheap to look for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from evalkit.evidence.evidence import Evidence, percent
from evalkit.evidence.findings import Finding, counted
from evalkit.evidence.metrics import HYGIENE, Metric, share
from evalkit.ratings.answer_checks import FEWEST, LONG, MARKED, MARKER, SUSPICIOUS

if TYPE_CHECKING:
    from evalkit.stats.arrays import FloatArray, IntArray

MEANS = {
    "transport": "never answered",
    "refused": "refused",
    "truncated": "cut off at the token limit, before the verdict",
    "unparsed": "answered, but no verdict found in the reply",
    "malformed": "answered with something that is no completion",
    "rejected": "not taken by the server",
}
"""Kinds of failure, in words."""
FAILED = Metric(
    name="hygiene_failed",
    label="Failed",
    unit=share("judgments"),
    topic=HYGIENE,
    question="How many judgments have no verdict?",
    needs="judgments",
    source="Stored with each judgment (docs/replies.md)",
)
OF_A_KIND = Metric(
    name="hygiene_{kind}",
    label="{title}",
    unit=share("judgments"),
    topic=HYGIENE,
    question="How many judgments failed because the judge's reply was {kind}: {means}?",
    needs="judgments that failed",
    source="Stored with each judgment (docs/replies.md)",
)
OF_KIND = {kind: OF_A_KIND.of(kind=kind, title=kind.capitalize(), means=means) for kind, means in MEANS.items()}
CONSTANT_ANSWERS = Metric(
    name="hygiene_constant_answers",
    label="Constant answers",
    unit=share("a candidate's questions"),
    topic=HYGIENE,
    question="Does a candidate give one and the same text to many questions, as null models do to fool judges?",
    needs="the texts of the answers",
    source="Zheng et al. 2024, arXiv:2410.07137",
    names_models=True,
)
TEMPLATE_MARKERS = Metric(
    name="hygiene_template_markers",
    label="Template markers",
    unit=share("answers"),
    topic=HYGIENE,
    question="How many answers bear marks of a judge's prompt, a chat template or an injection?",
    needs="the texts of the answers",
    source="Zheng et al. 2024, arXiv:2410.07137",
    names_models=True,
)


@dataclass(frozen=True)
class Hygiene:
    """What failed, and what looks like an attack."""

    metrics: ClassVar[tuple[Metric, ...]] = (FAILED, *OF_KIND.values(), CONSTANT_ANSWERS, TEMPLATE_MARKERS)

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield failures first, then what looks like an attack."""
        yield from _failures(evidence)
        yield from _answers(evidence)


def _failures(evidence: Evidence) -> Iterator[Finding]:
    import numpy as np

    from evalkit.stats.shares import clustered_share

    if not evidence.judgments:
        yield evidence.lacking(FAILED, "needs judgments of the newest configuration")
        return
    lost, question = _lost(evidence)
    share = clustered_share(lost, question)
    kinds = {kind: count for kind, count in sorted(evidence.failed.items(), key=lambda item: -item[1])}
    told = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items())
    answers = {kind: count for kind, count in evidence.unanswered.items() if count}
    yield evidence.finding(
        FAILED,
        share,
        f"{int(lost.sum()):,} of {counted(lost.size, 'judgment')} without a verdict ({percent(share)})"
        + (f": {told}." if told else ".")
        + (f" {counted(sum(answers.values()), 'answer')} failed, never judged." if answers else ""),
        kinds=kinds,
        unanswered=answers,
        by_category={
            category: {"failed": sum(counts.values()), "n": evidence.judgments_by_category.get(category, 0)}
            for category, counts in evidence.failed_by_category.items()
        },
    )
    for kind, means in MEANS.items():
        by_question = evidence.failed_by_question.get(kind)
        if by_question:
            part = _part(by_question, question)
            interval = clustered_share(part, np.sort(question))
            told = f"{int(part.sum()):,} of {counted(part.size, 'judgment')}: {means}."
            yield evidence.finding(OF_KIND[kind], interval, told)


def _part(by_question: Mapping[int, int], question: IntArray) -> FloatArray:
    """[N] 1 for as many of each question's judgments, sorted by question, as are counted."""
    import numpy as np

    ordered = np.sort(question)
    first = np.r_[True, ordered[1:] != ordered[:-1]]
    place = np.arange(ordered.size) - np.flatnonzero(first)[np.cumsum(first) - 1]
    counted = np.zeros(int(ordered[-1]) + 1, dtype=np.int64)
    for code, count in by_question.items():
        if code < counted.size:
            counted[code] = count
    result: FloatArray = (place < counted[ordered]).astype(np.float64)
    return result


def _lost(evidence: Evidence) -> tuple[FloatArray, IntArray]:
    """[N] whether each judgment lacks a verdict, and its question."""
    import numpy as np

    if evidence.scores is not None:
        return np.isnan(evidence.scores.score).astype(np.float64), evidence.scores.question
    pairs = evidence.pairs
    one, other = pairs.asked & 1 > 0, pairs.asked & 2 > 0
    lost = np.concatenate([np.isnan(pairs.plain[one]), np.isnan(pairs.swapped[other])])
    return lost.astype(np.float64), np.concatenate([pairs.question[one], pairs.question[other]])


def _answers(evidence: Evidence) -> Iterator[Finding]:
    """Findings by candidate: one text for many questions, and marks of templates or verdicts."""
    import numpy as np

    from evalkit.stats.resample import wilson
    from evalkit.stats.shares import clustered_share

    texts = judged_texts(evidence)
    if not texts:
        needs = "needs the texts of the answers"
        yield evidence.lacking(CONSTANT_ANSWERS, needs)
        yield evidence.lacking(TEMPLATE_MARKERS, needs)
        return
    worst: tuple[float, str, int, int] = (-1.0, "", 0, 0)
    named = []
    attackers = []
    marked: dict[str, list[int]] = {}
    about: list[int] = []
    marks: list[bool] = []
    for model, answers in texts.items():
        found = [MARKER.search(text) is not None for _, text in answers]
        about += [question for question, _ in answers]
        marks += found
        if any(found):
            marked[model] = [sum(found), len(found)]
            if sum(found) / len(found) >= MARKED:
                attackers.append(model)
        seen: dict[str, set[int]] = {}
        for question, text in answers:
            if len(text) >= LONG:
                seen.setdefault(" ".join(text.split()), set()).add(question)
        most = max((len(questions) for questions in seen.values()), default=0)
        of = len({question for question, _ in answers})
        if of >= FEWEST:
            same = most if most > 1 else 0
            worst = max(worst, (same / of, model, same, of))
            if same / of >= SUSPICIOUS:
                named.append(model)
    if worst[3]:
        _, model, same, of = worst
        told = (
            f"No candidate repeats itself: the most is {same} of {of} questions."
            if not named
            else (
                f"{model} gives one and the same text to {same} of {of} questions, as null models do to "
                f"fool judges: leave out {', '.join(named)} and judge again."
            )
        )
        interval = wilson(same, of)
        standing = {name: _standing(evidence, name) for name in named}
        yield evidence.finding(CONSTANT_ANSWERS, interval, told, models=named, standing=standing)
    else:
        yield evidence.lacking(CONSTANT_ANSWERS, f"needs a candidate with {FEWEST} answers or more")
    by_model = dict(sorted(marked.items(), key=lambda item: -item[1][0]))
    most_marked = "; ".join(f"{name}: {count:,} of {of:,}" for name, (count, of) in list(by_model.items())[:3])
    yield evidence.finding(
        TEMPLATE_MARKERS,
        clustered_share(np.array(marks, dtype=np.float64), np.array(about)),
        f"{sum(marks):,} of {len(marks):,} answers contain a mark of a judge's prompt, a chat template, a verdict or "
        "an instruction to ignore instructions" + (f" ({most_marked})." if by_model else "."),
        models={name: count for name, (count, _) in by_model.items()},
        named=attackers,
        standing={name: _standing(evidence, name) for name in attackers},
    )


def _standing(evidence: Evidence, model: str) -> dict[str, Any]:
    """How a candidate fares: its share of the wins, or how far its scores are above the others' on each question."""
    import numpy as np

    from evalkit.stats.shares import clustered_mean

    code = evidence.models.index(model)
    if evidence.scores is None:
        pairs = evidence.pairs
        mine = np.isfinite(pairs.outcome) & ((pairs.a == code) != (pairs.b == code))
        values = np.where(pairs.a == code, pairs.outcome, 1 - pairs.outcome)[mine]
        question, null, unit = pairs.question[mine], 0.5, "share"
    else:
        scores = evidence.scores
        known = np.isfinite(scores.score)
        theirs, own = known & (scores.model != code), known & (scores.model == code)
        size = int(scores.question.max(initial=-1)) + 1
        sums = np.bincount(scores.question[theirs], scores.score[theirs], minlength=size)
        counts = np.bincount(scores.question[theirs], minlength=size)
        own &= counts[scores.question] > 0
        question, null, unit = scores.question[own], 0.0, "signed"
        values = scores.score[own] - sums[question] / counts[question]
    if not values.size:
        return {}
    span = (
        0.5 if evidence.scores is None else float(np.nanmax(evidence.scores.score) - np.nanmin(evidence.scores.score))
    )
    found = clustered_mean(values, question, limits=(null - span, null + span) if span else None)
    above = found.lower is not None and found.lower > null
    return {"estimate": found.estimate, "lower": found.lower, "upper": found.upper, "above": above, "unit": unit}


def judged_texts(evidence: Evidence) -> dict[str, list[tuple[int, str]]]:
    """Question and text of every judged answer, by candidate."""
    import numpy as np

    pairs, scores = evidence.pairs, evidence.scores
    if not evidence.texts:
        return {}
    if scores is not None:
        columns = [(scores.model, scores.response, scores.question, scores.turn)]
    else:
        columns = [
            (pairs.a, pairs.response_a, pairs.question, pairs.turn),
            (pairs.b, pairs.response_b, pairs.question, pairs.turn),
        ]
    stacked = np.concatenate([np.stack(one, axis=1) for one in columns])
    rows = _distinct(stacked)
    found: dict[str, list[tuple[int, str]]] = {}
    for model, response, question, turn in rows.tolist():
        text = evidence.text(response, turn)
        if text is not None:
            found.setdefault(evidence.models[model], []).append((question, text))
    return found


def _distinct(rows: IntArray) -> IntArray:
    """Each [model, response, question, turn] once."""
    import numpy as np

    code = rows[:, 1] * (int(rows[:, 3].max(initial=0)) + 1) + rows[:, 3]  # a response is of one model and question
    return rows[np.unique(code, return_index=True)[1]]
