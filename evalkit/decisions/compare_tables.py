"""Comparisons -> what a person or a program reads: terminal tables, JSON, CSV, Markdown, LaTeX, a page."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from evalkit.core.protocols import UsageError
from evalkit.decisions.compare import MOST_MOVED, Answers, Comparison
from evalkit.decisions.pairing import AGAINST_BASELINE, AGREEMENT, PREFERENCE, SCORE, WINS
from evalkit.ratings.differences import sign_test
from evalkit.ratings.standing import named
from evalkit.reports.audit_figures import Figure, Forest, Mark
from evalkit.reports.grid import NONE, Grid, GridCell, signed

SCHEMA = "evalkit.compare/1"
SHOWN = 60
"""Characters of a question or an answer in a table; the JSON form has all."""


def rows(found: Iterable[Comparison]) -> list[dict[str, Any]]:
    """Comparisons as plain data; ``difference`` is A - B, shares are of questions."""
    return [_row(one) for one in found]


def _row(one: Comparison) -> dict[str, Any]:
    verdicts, interval = one.verdicts, one.interval
    total = max(one.questions, 1)
    row: dict[str, Any] = {
        "a": verdicts.a,
        "b": verdicts.b,
        "benchmark": verdicts.benchmark,
        "judge": verdicts.judge or None,
        "protocol": verdicts.protocol,
        "category": one.category,
        "about": verdicts.about or None,
        "of": verdicts.kind,
        "unit": one.unit,
        "difference": interval.estimate if interval else None,
        "lower": interval.lower if interval else None,
        "upper": interval.upper if interval else None,
        "standard_error": interval.standard_error if interval else None,
        "t": t_statistic(one),
        "n": one.questions,
        "better": one.better / total,
        "worse": one.worse / total,
        "equal": one.equal / total,
        "questions_better": one.better,
        "questions_worse": one.worse,
        "questions_equal": one.equal,
        "sign_test_p": sign_test(one.better, one.worse),
        "told_apart": one.apart,
        "excluded": one.excluded,
        "detectable": interval.detectable() if interval else None,
        "failed_a": one.failed[0],
        "failed_b": one.failed[1],
        "worst_case_lower": one.worst[0] if one.worst else None,
        "worst_case_upper": one.worst[1] if one.worst else None,
        "reason": interval.reason if interval else "no question that both have a verdict on",
        "sentence": one.sentence(),
    }
    people = one.corrected
    if people is not None:
        got = people.interval
        row["corrected"] = {
            "difference": got.estimate if got else None,
            "lower": got.lower if got else None,
            "upper": got.upper if got else None,
            "of": people.kind,
            "judge_alone": people.naive,
            "labels_alone": people.classical.estimate if people.classical else None,
            "labelled": people.labelled,
            "unlabelled": people.unlabelled,
            "power": people.power,
            "refused": people.refused,
        }
    return row


def flat(found: Iterable[Comparison]) -> list[dict[str, Any]]:
    """Comparisons as rows of a table: what people's labels say in columns of its own."""
    result = []
    for row in rows(found):
        people = row.pop("corrected", None) or {}
        result.append(row | {f"corrected_{name}": value for name, value in people.items()})
    return result


def t_statistic(one: Comparison) -> float | None:
    """The difference in standard errors; None without an interval."""
    found = one.interval
    if found is None or not found.standard_error or found.lower is None:
        return None
    return found.estimate / found.standard_error


def to_json(
    found: Sequence[Comparison], notes: Sequence[str], answers: Answers, asked: Mapping[str, Sequence[str]]
) -> str:
    """Comparisons as data, with the questions that moved most, their answers in full."""
    listed = rows(found)
    for row, one in zip(listed, found, strict=True):
        if one.category is None:
            row["moved"] = [
                {
                    "question": moved.question,
                    "category": moved.category,
                    "a": moved.first,
                    "b": moved.second,
                    "difference": moved.difference,
                    "turns": list(asked.get(moved.question, ())),
                    "answer_a": list(answers.get((one.verdicts.a, moved.question), ())),
                    "answer_b": list(answers.get((one.verdicts.b, moved.question), ())),
                }
                for moved in one.moved
            ]
    content = {"schema": SCHEMA, "rows": listed, "notes": list(notes)}
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)


def grids(
    found: Sequence[Comparison], answers: Answers, asked: Mapping[str, Sequence[str]], *, full: bool = False
) -> list[Grid]:
    """Tables of all comparisons, one for each judge and pair, with their sentences and the questions that moved most.

    Args:
        found: whole benchmarks, each followed by its categories.
        answers: of the questions that moved.
        asked: the questions themselves.
        full: whether texts are shown whole, as on a page.
    """
    result = []
    for group in grouped(found):
        result.append(_table(group))
        if group[0].moved:
            result.append(_moved(group[0], answers, asked, full=full))
    return result


def _table(group: Sequence[Comparison]) -> Grid:
    whole, several = group[0], len({one.verdicts.about for one in group}) > 1
    verdicts = whole.verdicts
    digits = 3 if verdicts.kind == SCORE else 1
    failures = any(sum(one.failed) for one in group)
    headers = (
        "",
        "difference",
        "t",
        *(("better", "equal", "worse") if verdicts.judge else ("higher", "equal", "lower")),
        "questions",
        *(("failed", "at worst") if failures else ()),
    )
    lines = []
    for one in group:
        t, total = t_statistic(one), max(one.questions, 1)
        line = [
            GridCell(_line_name(one, several=several)),
            signed(one.interval, digits),
            NONE if t is None else GridCell(f"{t:z.1f}"),
            *(GridCell(f"{100 * count / total:.0f}%") for count in (one.better, one.equal, one.worse)),
            GridCell(str(one.questions)),
        ]
        if failures:
            line.append(GridCell(f"{one.failed[0]} + {one.failed[1]}"))
            ends = one.worst
            line.append(NONE if ends is None else GridCell(f"{ends[0]:+z.{digits}f} to {ends[1]:+z.{digits}f}"))
        lines.append(tuple(line))
    by = f" by {verdicts.judge} ({verdicts.protocol})" if verdicts.judge else f" ({verdicts.protocol})"
    what = {
        SCORE: "scores",
        PREFERENCE: "preferences",
        AGAINST_BASELINE: "win rates against the baseline",
        WINS: "how often each prefers a model",
        AGREEMENT: "how often each prefers whom people prefer",
    }[verdicts.kind]
    wholes = [one for one in group if one.category is None]
    said = [text for one in wholes for text in (one.sentence(), one.about_people(), one.about_failures())]
    notes = [text for text in said if text]
    without: dict[str, list[str]] = {}
    for one in group:
        if one.category is not None and one.interval is not None and one.interval.reason:
            without.setdefault(one.interval.reason, []).append(one.category or "")
    notes += [f"no interval of {named(names)}: {reason}" for reason, names in without.items()]
    alone = ", each line by itself" if several else ", each category by itself" if len(group) > 1 else ""
    notes.append(f"95% intervals, paired by question{alone}")
    return Grid(
        f"{verdicts.benchmark}: {verdicts.a} minus {verdicts.b}, {what}{by}",
        headers,
        tuple(lines),
        breaks=frozenset({1} if len(group) > len(wholes) == 1 else ()),
        notes=tuple(notes),
    )


FIGURES = {"differences": "the difference on all questions and on each category, with its interval"}
"""Kinds of figures of a comparison."""


def figures(found: Sequence[Comparison]) -> list[Figure]:
    """One figure for each judge and pair: the difference on all questions, and on each category where there are such.

    Raises:
        UsageError: no difference could be computed.
    """
    result: list[Figure] = []
    for group in grouped(found):
        whole = group[0]
        several = len({one.verdicts.about for one in group}) > 1
        marks = {_line_name(one, several=several): one.interval for one in group if one.interval is not None}
        if not marks:
            continue
        by = f" by {whole.verdicts.judge} ({whole.verdicts.protocol})" if whole.verdicts.judge else ""
        unit = f"{whole.verdicts.a} minus {whole.verdicts.b}, {whole.unit}"
        result.append(
            Forest(
                alt=f"{whole.verdicts.benchmark}: {unit}{by}",
                unit=f"{unit}, with 95% interval",
                rows=tuple(marks),
                series={unit: [Mark(one.estimate, one.lower, one.upper) for one in marks.values()]},
                null=0.0,
            )
        )
    if not result:
        raise UsageError("there is no difference to draw: the two have no question in common")
    return result


def grouped(found: Sequence[Comparison]) -> list[list[Comparison]]:
    """Rows grouped by judge and pair: the whole benchmark, then its categories."""
    groups: dict[tuple[str, ...], list[Comparison]] = {}
    for one in found:
        key = one.verdicts
        groups.setdefault((key.benchmark, key.judge, key.protocol, key.a, key.b, key.kind), []).append(one)
    return list(groups.values())


def _line_name(one: Comparison, *, several: bool) -> str:
    """What a line of a table is about: a category, a model, or either within the other."""
    about = one.verdicts.about if several or one.verdicts.kind == WINS else ""
    return ", ".join(part for part in (about, one.category) if part) or "all"


def _moved(one: Comparison, answers: Answers, asked: Mapping[str, Sequence[str]], *, full: bool) -> Grid:
    verdicts = one.verdicts
    digits = 2 if verdicts.kind == SCORE else 0

    def text(turns: Sequence[str]) -> GridCell:
        words = " / ".join(" ".join(turn.split()) for turn in turns)
        return GridCell(words if full or len(words) <= SHOWN else words[: SHOWN - 1] + "…")

    listed = one.moved if full else one.moved[:MOST_MOVED]
    texts = any((name, row.question) in answers for row in listed for name in (verdicts.a, verdicts.b))
    known = any(row.question in asked for row in listed)
    models = bool(verdicts.judge) and texts
    lines = []
    for row in listed:
        line = [GridCell(row.question)]
        line += [text(asked.get(row.question, ()))] if known else []
        line += [text(answers.get((name, row.question), ())) for name in (verdicts.a, verdicts.b)] if models else []
        line += [GridCell(f"{value:z.{digits}f}") for value in (row.first, row.second)]
        line.append(GridCell(f"{row.difference:+z.{digits}f}"))
        lines.append(tuple(line))
    lead = ("question", *(("asked",) if known else ()))
    lead += (f"{verdicts.a} says", f"{verdicts.b} says") if models else ()
    return Grid(
        f"{verdicts.benchmark}: questions that moved most between {verdicts.a} and {verdicts.b}"
        + (f", wins of {verdicts.about}" if verdicts.kind == WINS else ""),
        (*lead, verdicts.a, verdicts.b, "difference"),
        tuple(lines),
        left=len(lead),
    )
