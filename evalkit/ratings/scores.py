"""Judgments -> ratings with intervals. Single grading: mean scores, by turn and by category.

A score is the mean over questions of the mean over that question's judged turns, so a failed turn neither counts as a
number nor shifts weight to other questions. FastChat pools all rows instead; its own protocol keeps that here.
Questions are what is resampled.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from evalkit.core.schema import ErrorKind, Judgment, Ref, Response

if TYPE_CHECKING:
    from evalkit.stats.resample import Interval

ROWS_POOLED = frozenset({"fastchat_single"})
"""Protocols whose published score averages rows, not questions (FastChat llm_judge/show_result.py)."""


@dataclass(frozen=True)
class Score:
    """How one judge scores one model on one benchmark, or on one category of it."""

    benchmark: str
    model: Ref
    judge: Ref
    protocol: str
    category: str | None
    """None: the whole benchmark."""
    score: Interval | None
    """None: not a single usable judgment."""
    turns: tuple[Interval | None, ...]
    """By turn, first turn first."""
    n: int
    """Usable judgments."""
    questions: int
    """Questions with at least one of them."""
    failed: dict[str, int]
    """Judgments and answers that failed, by kind; answers as ``answer <kind>``."""
    uneven: bool = False
    """Some question has fewer judged turns than another, and counts as much: the score may lie outside its turns'."""


@dataclass
class _Tally:
    """What is kept of one (benchmark, judge, protocol, model) while rows stream by."""

    benchmark: str
    model: Ref
    judge: Ref
    protocol: str
    scores: dict[tuple[str, str, int], list[float]] = field(default_factory=lambda: defaultdict(list))
    """By category, item and turn; one score for each repeat."""
    failed: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By category and kind."""
    last_seen: int = 0


def scores(
    judgments: Iterable[Judgment], responses: Iterable[Response] = (), *, every_configuration: bool = False
) -> list[Score]:
    """One Score for each model and judge, then one for each of its categories.

    Args:
        judgments: of single grading, in the order stored.
        responses: the answers, for those that failed and so were never judged.
        every_configuration: also those a newer one of the same name has replaced (another prompt, temperature,
            revision, ...). Different configurations are never averaged.
    """
    answers, unanswered = _read(responses)
    tallies: dict[tuple[str, Ref, str, Ref], _Tally] = {}
    for number, row in enumerate(judgments):
        if len(row.shown) != 1 or answers.get((row.benchmark, row.item, row.models[0]), row.shown) != row.shown:
            continue  # the second: an answer that has been replaced since, by a new one of the same configuration
        group = (row.benchmark, row.judge, row.protocol, row.models[0])
        if group not in tallies:
            tallies[group] = _Tally(row.benchmark, row.models[0], row.judge, row.protocol)
        tally = tallies[group]
        tally.last_seen = number
        if row.scores is not None:
            tally.scores[row.category, row.item, row.turn].append(row.scores[0])
        elif row.error is not None:
            tally.failed[row.category, row.error.kind] += 1
    _add_unjudged(tallies, {(row.benchmark, row.model) for row, _ in unanswered})
    kept = list(tallies.values()) if every_configuration else _newest(tallies.values())
    for tally in kept:
        for response, kind in unanswered:
            if response.model == tally.model and response.benchmark == tally.benchmark:
                tally.failed[response.category, f"answer {kind}"] += 1
    result = []
    for tally in kept:
        categories = dict.fromkeys([key[0] for key in tally.scores] + [key[0] for key in tally.failed])
        result.append(_score(tally, None))
        result.extend(_score(tally, category) for category in categories)
    return sorted(result, key=_best_first)


def _read(
    responses: Iterable[Response],
) -> tuple[dict[tuple[str, str, Ref], tuple[str]], list[tuple[Response, ErrorKind]]]:
    """The id of the answer each model gives now, as a judge is shown it; and the answers that failed."""
    answers, unanswered = {}, []
    for row in responses:
        if row.error is not None:
            unanswered.append((row, row.error.kind))
        elif row.sample == 0:
            answers[row.benchmark, row.item, row.model] = (row.id,)
    return answers, unanswered


def _add_unjudged(tallies: dict[tuple[str, Ref, str, Ref], _Tally], models: set[tuple[str, Ref]]) -> None:
    """Models of which no answer could be judged: a row without a score by every judge of the benchmark."""
    seen = {(benchmark, model.name) for benchmark, _, _, model in tallies}
    judges = dict.fromkeys((benchmark, judge, protocol) for benchmark, judge, protocol, _ in tallies)
    for benchmark, model in sorted(models, key=lambda pair: (pair[0], pair[1].name, pair[1].fingerprint)):
        for name, judge, protocol in judges:
            if name == benchmark and (benchmark, model.name) not in seen:
                tallies[benchmark, judge, protocol, model] = _Tally(benchmark, model, judge, protocol)


def replaced(judgments: Iterable[Judgment]) -> int:
    """How many rows belong to configurations that a newer one of the same name has replaced."""
    rows: Counter[tuple[str, Ref, str, tuple[Ref, ...]]] = Counter()
    newest: dict[tuple[str, str, str, tuple[str, ...]], tuple[str, Ref, str, tuple[Ref, ...]]] = {}
    for row in judgments:
        group = (row.benchmark, row.judge, row.protocol, row.models)
        rows[group] += 1
        newest[row.benchmark, row.judge.name, row.protocol, tuple(model.name for model in row.models)] = group
    return rows.total() - sum(rows[group] for group in newest.values())


def _newest(tallies: Iterable[_Tally]) -> list[_Tally]:
    newest: dict[tuple[str, str, str, str], _Tally] = {}
    for tally in sorted(tallies, key=lambda tally: tally.last_seen):
        newest[tally.benchmark, tally.judge.name, tally.protocol, tally.model.name] = tally
    return list(newest.values())


def _score(tally: _Tally, category: str | None) -> Score:
    chosen = {key: mean for key, mean in tally.scores.items() if category in (None, key[0])}
    last_turn = max((turn for _, _, turn in chosen), default=0)
    pooled = tally.protocol in ROWS_POOLED
    failed: Counter[str] = Counter()
    for (where, kind), count in tally.failed.items():
        if category in (None, where):
            failed[kind] += count
    return Score(
        benchmark=tally.benchmark,
        model=tally.model,
        judge=tally.judge,
        protocol=tally.protocol,
        category=category,
        score=_interval(chosen, pooled),
        turns=tuple(
            _interval({key: values for key, values in chosen.items() if key[2] == turn}, pooled)
            for turn in range(1, last_turn + 1)
        ),
        n=sum(len(values) for values in chosen.values()),
        questions=len({item for _, item, _ in chosen}),
        failed=dict(sorted(failed.items())),
        uneven=not pooled and len(set(Counter(item for _, item, _ in chosen).values())) > 1,
    )


def _interval(chosen: dict[tuple[str, str, int], list[float]], pooled: bool) -> Interval | None:
    if not chosen:
        return None
    import numpy as np

    from evalkit.stats.resample import question_bootstrap

    by_question: dict[str, list[float]] = defaultdict(list)
    for (_, item, _), values in chosen.items():
        by_question[item].append(sum(values) / len(values))  # repeats first, then turns, then questions
    sums = np.array([sum(values) for values in by_question.values()])
    counts = np.array([len(values) for values in by_question.values()], dtype=float)
    return question_bootstrap(sums, counts, pooled=pooled)


def _best_first(score: Score) -> tuple[str, str, str, float, str]:
    estimate = score.score.estimate if score.score else float("-inf")
    return (score.benchmark, score.judge.name, score.protocol, -estimate, score.model.name)


def overall(table: Sequence[Score]) -> list[Score]:
    """The rows for whole benchmarks."""
    return [score for score in table if score.category is None]
