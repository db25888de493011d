"""Ratings, scores, failures and provenance -> sections of the audit page."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from evalkit.evidence.findings import Audit, Histogram, Rating
from evalkit.reports.audit_figures import Bars, Cloud, Figure, Forest, Mark
from evalkit.reports.audit_metrics import JudgeKey, judge_key
from evalkit.reports.audit_parts import NONE, PEOPLE, Cell, Section, Table, who

SERIES = 4
NEAR = 1e-9
"""Points this far from a step of a scale are at it."""
BINS = 21
"""Steps of a scale that are shown one by one."""


def ratings(audit: Audit) -> Section | None:
    """Models as the judge rates them, beside people."""
    if not audit.ratings and not audit.rating_notes:
        return None
    parts: list[Table | Figure] = []
    for benchmark in dict.fromkeys(row.benchmark for row in audit.ratings):
        rows = [row for row in audit.ratings if row.benchmark == benchmark]
        raters = _raters(rows)
        models = _models(raters)
        for kind, unit in (("logit", "Bradley-Terry rating, logits, mean 0"), ("score", "mean score")):
            some = {name: found for name, found in raters.items() if _kind(found) == kind}
            there = [model for model in models if any(model in found for found in some.values())]
            if some and len(there) > 1:
                parts.append(_intervals(unit, there[:40], dict(list(some.items())[:SERIES])))
        parts += _scatter(raters)
        parts.append(_rated(benchmark, models, raters))
    says = (
        "Intervals resample whole questions. A sharper judge spreads the same models further apart, "
        "so what matters is who stands out of line."
    )
    if any(row.elo is not None for row in audit.ratings):
        says += " Elo is the Bradley-Terry rating on Elo's scale: 400 points are odds of 10, the models' mean is 1000."
    beside = ": the judge beside people" if any(row.rater == PEOPLE for row in audit.ratings) else ""
    notes = tuple(note for said in audit.rating_notes.values() for note in said)
    return Section(id="ratings", title=f"Ratings{beside}", says=says, parts=tuple(parts), notes=notes)


Raters = Mapping[str, Mapping[str, Rating]]
"""By rater and model."""


def _raters(rows: Sequence[Rating]) -> Raters:
    """People first; the protocol only where it tells two apart."""
    each = list(dict.fromkeys((row.rater, row.protocol) for row in rows))
    each.sort(key=lambda rater: rater[0] != PEOPLE)
    result: dict[str, dict[str, Rating]] = {}
    for rater, protocol in each:
        alone = sum(other == rater for other, _ in each) == 1
        name = who(rater) if alone or not protocol else f"{who(rater)} ({protocol})"
        result[name] = {row.model: row for row in rows if (row.rater, row.protocol) == (rater, protocol)}
    return result


def _models(raters: Raters) -> list[str]:
    """Best first, as the first rater has them."""
    first = next(iter(raters.values()))
    every = list(dict.fromkeys(model for found in raters.values() for model in found))
    return sorted(every, key=lambda model: (model not in first, -first[model].rating if model in first else 0.0))


def _kind(found: Mapping[str, Rating]) -> str:
    return next(iter(found.values())).kind


def _by_people(found: Mapping[str, Rating]) -> bool:
    return next(iter(found.values())).rater == PEOPLE


def _mark(row: Rating | None) -> Mark | None:
    return None if row is None else Mark(round(row.rating, 6) + 0.0, row.lower, row.upper)  # no -3e-18


def _intervals(unit: str, models: Sequence[str], raters: Raters) -> Forest:
    return Forest(
        alt=f"Ratings of {len(models)} models by {', '.join(raters)}; the table below has the numbers",
        unit=unit,
        rows=tuple(models),
        series={name: [_mark(found.get(model)) for model in models] for name, found in raters.items()},
    )


def _scatter(raters: Raters) -> list[Figure]:
    asked = {_kind(found): name for name, found in raters.items() if _by_people(found)}
    result: list[Figure] = []
    for name, found in raters.items():
        people = raters.get(asked.get(_kind(found), ""))
        if people is None or _by_people(found) or len(result) == SERIES:
            continue
        shared = [model for model in people if model in found]
        points = tuple(
            (model, Mark(people[model].rating, people[model].lower, people[model].upper), mark)
            for model in shared
            if (mark := _mark(found[model])) is not None
        )
        if len(points) > 1:
            alt = f"Ratings by {name} against ratings by people, {len(points)} models"
            result.append(Cloud(alt=alt, x="rating by people", y=f"rating by {name}", points=points[:200]))
    return result


def _rated(benchmark: str, models: Sequence[str], raters: Raters) -> Table:
    some = dict(list(raters.items())[:8])
    columns = [(name, found, _cell) for name, found in some.items()]
    columns += [(f"{name}, Elo", found, _elo) for name, found in some.items() if _kind(found) == "logit"]
    return Table(
        title=f"{benchmark}: ratings",
        headers=("model", *(name for name, _, _ in columns)),
        rows=tuple((Cell(model), *(cell(found.get(model)) for _, found, cell in columns)) for model in models),
    )


def _cell(row: Rating | None) -> Cell:
    if row is None:
        return NONE
    limits = "" if row.lower is None or row.upper is None else f"{row.lower:z.2f}–{row.upper:z.2f}"
    if row.kind == "logit":
        limits = limits and f"{row.lower:+z.2f} to {row.upper:+z.2f}"
    return Cell(f"{row.rating:+z.2f}" if row.kind == "logit" else f"{row.rating:z.2f}", limits, small=f"n={row.n:,}")


def _elo(row: Rating | None) -> Cell:
    if row is None or row.elo is None:
        return NONE
    known = row.elo_lower is not None and row.elo_upper is not None
    return Cell(f"{row.elo:z.0f}", f"{row.elo_lower:z.0f}–{row.elo_upper:z.0f}" if known else "")


def histograms(audit: Audit) -> Section | None:
    """How the scores of single grading are spread."""
    parts = _beside_people(audit, "scores")
    return Section(id="scores", title="Scores given", parts=parts) if parts else None


def places(audit: Audit) -> Section | None:
    """How often the answer shown first won, and by how much."""
    parts = _beside_people(audit, "places")
    return Section(id="places", title="Which place wins", parts=parts) if parts else None


def _beside_people(audit: Audit, of: Literal["scores", "places"]) -> tuple[Table | Figure, ...]:
    """Histograms of judges, a few in each figure, with people's."""
    groups: dict[str, list[Histogram]] = {}
    for row in audit.histograms:
        if sum(row.counts) and row.of == of:
            groups.setdefault(row.benchmark, []).append(row)
    parts: list[Table | Figure] = []
    for benchmark, rows in groups.items():
        people = [row for row in rows if row.judge == PEOPLE]
        judges = [row for row in rows if row.judge != PEOPLE] or people
        beside = people if judges is not people else []
        each = SERIES - len(beside)
        for some in (judges[start : start + each] for start in range(0, len(judges), each)):
            parts += _spread(benchmark, [*some, *beside])
    return tuple(parts)


def _place_bins(points: Sequence[float]) -> tuple[list[float], tuple[str, ...]]:
    """Steps from a win of the answer shown second to one of the first: three, the eight of votes by margin, or ten."""
    if all(point in (0.0, 0.5, 1.0) for point in points):
        return [0.0, 0.5, 1.0], ("second", "tie", "first")
    steps = [step / 7 for step in range(8)]
    names = [str(8 - step) for step in range(8)]
    if all(point == 0.5 or min(abs(point - step) for step in steps) < NEAR for point in points):
        starts = [step - NEAR for step in steps]
        if 0.5 in points:
            starts, names = [*starts[:4], 0.5, *starts[4:]], [*names[:4], "tie", *names[4:]]
        return starts, tuple(names)
    tenths = [at / 10 for at in range(10)]
    return tenths, tuple(f"{start:g}–{start + 0.1:g}" for start in tenths)


def _bins(scores: Sequence[float]) -> tuple[list[float], tuple[str, ...]]:
    """Where each bin starts, and its name: every step of a scale of a few steps, or else ten of equal width."""
    low, high = scores[0], scores[-1]
    for step in (1.0, 0.5):
        count = int((high - low) / step) + 1
        if count <= BINS and all(score % step == 0 for score in scores):
            starts = [low + step * at for at in range(count)]
            return starts, tuple(f"{start:g}" for start in starts)
    width = (high - low) / 10 or 1.0
    starts = [low + width * at for at in range(10)]
    return starts, tuple(f"{start:.4g}–{start + width:.4g}" for start in starts)


def _spread(benchmark: str, rows: Sequence[Histogram]) -> list[Table | Figure]:
    of = rows[0].of
    starts, bins = (_bins if of == "scores" else _place_bins)(sorted({score for row in rows for score in row.scores}))
    alike = len({row.judge for row in rows}) < len(rows)
    named = {(f"{who(row.judge)} ({row.protocol})" if alike else who(row.judge)): row for row in rows}
    counts = {name: [0] * len(bins) for name in named}
    for name, row in named.items():
        for score, count in zip(row.scores, row.counts, strict=True):
            counts[name][bisect_right(starts, score) - 1] += count
    series = {name: [count / sum(found) for count in found] for name, found in counts.items()}
    what, x = ("each score was given", "score") if of == "scores" else ("each place won", "place shown")
    if of == "places":  # from the first place to the second
        bins = bins[::-1]
        counts = {name: found[::-1] for name, found in counts.items()}
        series = {name: shares[::-1] for name, shares in series.items()}
    alt = f"{benchmark}: how often {what}; the table below has the numbers"
    parts: list[Table | Figure] = [Bars(alt=alt, x=x, bins=bins, series=series)]
    lines = [
        (Cell(label), *(Cell(f"{found[at]:,}", f"{series[name][at]:.1%}") for name, found in counts.items()))
        for at, label in enumerate(bins)
    ]
    title = f"{benchmark}: {'scores given' if of == 'scores' else 'which place wins'}"
    headers = (x, *named)
    return [*parts, Table(title=title, headers=headers, rows=tuple(lines), folded=True)]


def failures(audit: Audit, labels: Mapping[JudgeKey, str]) -> Section | None:
    """Judgments without a verdict, by kind."""
    kinds = list(dict.fromkeys(kind for row in audit.subjects for kind in row.failed))
    if not audit.subjects:
        return None
    lines = []
    for row in audit.subjects:
        lost = sum(row.failed.values())
        share = f"{lost / row.judgments:.1%}" if row.judgments else ""
        counts = (Cell(f"{row.failed.get(kind, 0):,}") for kind in kinds)
        lines.append((Cell(labels[judge_key(row)]), Cell(f"{row.judgments:,}"), Cell(f"{lost:,}", share), *counts))
    table = Table(
        title="Judgments without a verdict", headers=("judge", "judgments", "failed", *kinds), rows=tuple(lines)
    )
    says = "A failed judgment is never a number: it counts neither as a loss nor as a tie."
    return Section(id="failures", title="Judgments without a verdict", says=says, parts=(table,))


def with_failures(listed: Sequence[Section], lost: Section | None) -> list[Section]:
    """Failures first among what is said of verdicts that cannot be used."""
    if lost is None or not any(section.id == "hygiene" for section in listed):
        return [*listed, *([] if lost is None else [lost])]
    return [
        replace(section, parts=(*lost.parts, *section.parts)) if section.id == "hygiene" else section
        for section in listed
    ]


def provenance(audit: Audit, labels: Mapping[JudgeKey, str], about: Sequence[tuple[str, str]]) -> Section | None:
    """What was audited, and with what."""
    parts: list[Table | Figure] = []
    if audit.subjects:
        headers = ("judge", "benchmark", "protocol", "models", "questions", "judgments", "human votes")
        lines = tuple(
            (
                Cell(labels[judge_key(row)]),
                Cell(row.benchmark),
                Cell(f"{row.protocol} ({'single grading' if row.shows == 1 else 'pairs'})"),
                Cell(f"{len(row.models):,}", small=", ".join(row.models[:12]) + "…" * (len(row.models) > 12)),
                *(Cell(f"{value:,}") for value in (row.questions, row.judgments, row.votes)),
            )
            for row in audit.subjects
        )
        parts.append(Table(title="What was audited", headers=headers, rows=lines, left=4))
    if about:
        lines = tuple((Cell(name), Cell(value)) for name, value in about)
        parts.append(Table(title="Configuration", headers=("what", "value"), rows=lines, left=2))
    if not parts:
        return None
    return Section(id="provenance", title="Configuration and provenance", parts=tuple(parts))
