"""Stored judgments -> Audit: how far each judge can be trusted, from what it has said already.

The biases are the classes in ``biases/`` with a method ``findings``; adding one is adding a module. Classes of other
packages are found by their entry points, group ``evalkit.biases``.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import entry_points
from itertools import chain, compress
from operator import not_
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from evalkit.audit.example_texts import Questions, completed
from evalkit.core.protocols import Bias, UsageError
from evalkit.core.schema import Judged
from evalkit.evidence.evidence import Evidence
from evalkit.evidence.findings import ROUNDING, AgreementRow, Audit, Example, Finding, Histogram, Rating, Subject
from evalkit.evidence.gather import BenchmarkEvidence, gather
from evalkit.evidence.labels import read_votes
from evalkit.evidence.metrics import TOPICS
from evalkit.ratings.judgment_columns import rater_kind
from evalkit.storage.results import answer_logs, judged_rows, known_items

if TYPE_CHECKING:
    from evalkit.datasets.model_table import ModelTable
    from evalkit.stats.arrays import FloatArray

__all__ = [
    "AgreementRow",
    "Audit",
    "Example",
    "Finding",
    "Histogram",
    "Rating",
    "Subject",
    "audit",
    "audited",
    "biases",
]

Plugin = TypeVar("Plugin", bound="Bias | type[Bias]")
GROUP = "evalkit.biases"
"""The entry points of biases in other packages."""


def audit(
    paths: Iterable[Path],
    human: Path | None = None,
    judge: str | None = None,
    *,
    questions: Questions | None = None,
    only: Callable[[Judged], bool] | None = None,
    columns: Mapping[str, str] | None = None,
    table: ModelTable | None = None,
    reference: str | None = None,
    own: Sequence[Bias] = (),
) -> Audit:
    """Audit every judge in results folders and judgments files.

    Args:
        paths: results folders or judgments files.
        human: more votes of people: imported results, or a table (labels.py).
        judge: only this one.
        questions: of benchmarks that are loaded already, for the examples.
        only: judgments to look at; people's votes and gold labels always are.
        columns: of the votes, by field, where the user names them.
        table: figures of the same models by automatic benchmarks, to set the judges' ratings beside.
        reference: a judge whose verdicts on criteria of a rubric stand in people's place.
        own: biases of the caller's to look for, besides all that there are.

    Raises:
        UsageError: there is nothing to audit, or a file is malformed.
    """
    from evalkit.evidence.relations import relations
    from evalkit.ratings.tournament import caution
    from evalkit.storage.run_records import run_records, tournaments

    listed = list(dict.fromkeys(paths))
    notes: list[str] = []
    votes, imported = read_votes(human, columns, notes.append, known_items(listed)) if human is not None else ([], [])
    rows = _Rows(listed, imported, only)
    answers = (row for log in answer_logs([*listed, *imported]) for row in log)
    found = gather(rows, answers, votes=votes, kin=relations(run_records(listed)), judge=judge, reference=reference)
    if reference is not None and reference not in rows.judges:
        raise UsageError(f"--reference {reference}: no such judge; there are: {', '.join(sorted(rows.judges))}")
    if not any(gathered.evidence for gathered in found):
        raise UsageError(_nothing(listed, judge, sorted(rows.judges), rows.people))
    if human is not None and not any(gathered.people or gathered.grades for gathered in found):
        notes.append(f"no vote in {str(human)!r} is on an item that was judged")
    said = audited(found, notes, own)
    rating_notes = dict(said.rating_notes)
    for name, until in tournaments(listed):
        if name in {row.benchmark for row in said.ratings}:
            rating_notes[name] = (*rating_notes.get(name, ()), caution(until))
    examples = completed(said.examples, rows.files, questions)
    said = replace(said, examples=tuple(examples), dated=rows.dated, rating_notes=rating_notes)
    return said if table is None else _beside(said, found, table, rows.files)


def _beside(said: Audit, found: Sequence[BenchmarkEvidence], table: ModelTable, files: Sequence[Path]) -> Audit:
    """The audit with the judges' ratings beside automatic benchmarks; the notes name who has no row, or no rating."""
    from evalkit.audit.against import against
    from evalkit.audit.example_texts import prompt_lengths

    every = [evidence for gathered in found for evidence in gathered.evidence]
    judged = dict.fromkeys(row.model for row in said.ratings if row.rater != "human")
    rows, others = table.named(judged)
    if not rows:
        raise UsageError(
            f"no model of {table.name!r} was judged: it has {_some(table.models)}, and there are ratings of "
            f"{_some(list(judged))}"
        )
    notes = [*said.notes]
    if missing := [model for model in judged if model not in rows]:
        notes.append(f"not in {table.name}: {_some(missing)}")
    if others:
        notes.append(f"in {table.name} and not judged: {_some(others)}")
    compared = [
        row
        for evidence in every
        for row in against(evidence, said.ratings, table, prompt_lengths(evidence.benchmark, files))
    ]
    return replace(said, against=tuple(compared), notes=tuple(notes))


def _some(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more


class _Rows:
    """Judgments to look at, one after another, and what was seen on the way."""

    def __init__(self, listed: list[Path], imported: list[Path], only: Callable[[Judged], bool] | None) -> None:
        self._logs = judged_rows(listed)
        self._only = only
        self.files = [log.path for log in self._logs]
        self._others = [log for log in judged_rows(imported) if log.path not in self.files]
        """Beside people's votes there may be other judges, who are not asked about."""
        self.judges: dict[str, None] = {}
        self.people = False
        """Whether anything is by people, or a gold label."""
        self.dated: tuple[float, float] | None = None
        """Of the first and the last judgment."""
        self._first, self._last = float("inf"), 0.0

    def __iter__(self) -> Iterator[Judged]:
        return chain.from_iterable(self._batches())

    def _batches(self) -> Iterator[Iterable[Judged]]:
        """Some rows at a time, as what is done for each takes long for a million."""
        for log in self._logs:
            for batch in log.batches():
                yield self._asked_about(batch)
        for log in self._others:
            for batch in log.batches():
                yield [row for row in batch if self._labels(row)]
        self.dated = (self._first, self._last) if self._last else None

    def _labels(self, row: Judged) -> bool:
        """Whether a row is by people, or a label known to be right."""
        found = rater_kind(row.judge) != "judge"
        self.people |= found
        return found

    def _asked_about(self, batch: Sequence[Judged]) -> Iterable[Judged]:
        """The rows to look at; of those by judges, when they were made is noted."""
        judge = batch[0].judge
        if rater_kind(judge) == "judge" and all([row.judge == judge for row in batch]):
            kept = judged = batch if self._only is None else [row for row in batch if self._only(row)]
            self.judges[judge.name] = None
        else:
            labels = [self._labels(row) for row in batch]
            self.judges.update((row.judge.name, None) for row in compress(batch, map(not_, labels)))
            said = [label or self._only is None or self._only(row) for row, label in zip(batch, labels, strict=True)]
            kept = list(compress(batch, said))
            judged = [row for row in kept if rater_kind(row.judge) == "judge"]
        dates = [row.created for row in judged if row.created]
        self._first, self._last = min([self._first, *dates]), max([self._last, *dates])
        return kept


def audited(found: Sequence[BenchmarkEvidence], notes: Iterable[str] = (), own: Sequence[Bias] = ()) -> Audit:
    """Audit evidence that was gathered already; biases of the caller's ``own`` are looked for last."""
    from evalkit.audit import corrections
    from evalkit.audit.agreement_counts import agreement_rows
    from evalkit.audit.agreement_statistics import statistics
    from evalkit.audit.examples import examples
    from evalkit.audit.label_budgets import label_budgets
    from evalkit.audit.panel import panels
    from evalkit.audit.rankings_compared import compared, ratings

    said = [*notes]
    plugins = [*biases(), *map(_declared, own)]
    subjects: list[Subject] = []
    findings: list[Finding] = []
    agreement: list[AgreementRow] = []
    rated: list[Rating] = []
    rating_notes: dict[str, tuple[str, ...]] = {}
    histograms: list[Histogram] = []
    shown: list[Example] = []
    for gathered in found:
        for evidence in gathered.evidence:
            subjects.append(_subject(evidence))
            for bias in plugins:
                findings.extend(bias.findings(evidence))
            findings.extend(corrections.findings(evidence))
            shown.extend(examples(evidence, gathered.people))
            if len(gathered.people) and not (evidence.votes.pair >= 0).any():
                said.append(
                    f"{gathered.benchmark}, {evidence.judge} ({evidence.protocol}): people voted on none of its pairs"
                )
            if evidence.grades is not None and not len(evidence.grades.both[0]):
                said.append(
                    f"{gathered.benchmark}, {evidence.judge} ({evidence.protocol}): people scored none of its answers"
                )
        histograms.extend(_histograms(gathered))
        mine, about_ratings = ratings(gathered)
        if about_ratings:
            rating_notes[gathered.benchmark] = tuple(about_ratings)
        findings.extend(label_budgets(gathered))
        findings.extend(statistics(gathered))
        findings.extend(compared(gathered, mine))
        agreement.extend(agreement_rows(gathered))
        rated.extend(mine)
        said.extend(gathered.notes)
    if len(found) > 1:
        said.append(f"benchmarks are audited apart: {', '.join(gathered.benchmark for gathered in found)}")
    return Audit(
        subjects=tuple(subjects),
        findings=tuple(_without_empty_limits(row) for row in findings),
        agreement=tuple(agreement),
        ratings=tuple(rated),
        rating_notes=rating_notes,
        histograms=tuple(histograms),
        examples=tuple(shown),
        panels=tuple(panel for gathered in found for panel in panels(gathered)),
        notes=tuple(said),
    )


def biases() -> list[Bias]:
    """One of every bias there is, in the order of their topics.

    Raises:
        UsageError: a bias of another package cannot be imported, or declares no metrics.
    """
    import evalkit.biases

    kinds: list[type[Bias]] = []
    for name in sorted(module.name for module in pkgutil.iter_modules(evalkit.biases.__path__)):
        module = importlib.import_module(f"evalkit.biases.{name}")
        kinds += [
            value
            for value in vars(module).values()
            if isinstance(value, type) and value.__module__ == module.__name__ and hasattr(value, "findings")
        ]
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name):
        try:
            kinds.append(entry.load())
        except (ImportError, AttributeError) as error:
            raise UsageError(f"the bias {entry.name!r} ({entry.value}) cannot be imported: {error}") from error
    for kind in kinds:
        _declared(kind)
    headings = [topic.name for topic in TOPICS]

    def place(kind: type[Bias]) -> tuple[int, str]:
        topic = kind.metrics[0].topic.name
        return headings.index(topic) if topic in headings else len(headings), kind.__qualname__

    return [kind() for kind in sorted(dict.fromkeys(kinds), key=place)]


def _declared(bias: Plugin) -> Plugin:
    """The bias, or the class of one, which says what its findings measure.

    Raises:
        UsageError: it is none, or does not.
    """
    kind = bias if isinstance(bias, type) else type(bias)
    if not hasattr(kind, "findings"):
        raise UsageError(f"{bias!r} is no bias: it has no method `findings`, as evalkit/biases/scale.py does")
    if not getattr(kind, "metrics", ()):
        raise UsageError(
            f"the bias {kind.__module__}.{kind.__qualname__} declares no metrics; list what its findings "
            "measure in a class attribute `metrics`, as evalkit/biases/scale.py does"
        )
    return bias


def _without_empty_limits(row: Finding) -> Finding:
    """The finding, without limits where they coincide: an interval of no width claims a certainty that no data give."""
    if row.lower is None or row.upper is None or row.upper - row.lower > ROUNDING * max(1.0, abs(row.lower)):
        return row
    return replace(row, lower=None, upper=None)


def _subject(evidence: Evidence) -> Subject:
    import numpy as np

    pairs = evidence.pairs
    columns = [pairs.a, pairs.b] if evidence.scores is None else [evidence.scores.model]
    asked = pairs.question if evidence.scores is None else evidence.scores.question
    codes = np.unique(np.concatenate(columns)).tolist()
    return Subject(
        benchmark=evidence.benchmark,
        judge=evidence.judge,
        protocol=evidence.protocol,
        shows=evidence.shows,
        judgments=evidence.judgments,
        failed=evidence.failed,
        models=tuple(evidence.models[code] for code in codes),
        questions=int(np.unique(asked).size),
        votes=int((evidence.votes.pair >= 0).sum()),
        grades=0 if evidence.grades is None else int(np.isfinite(evidence.grades.judged).sum()),
        unanswered=evidence.unanswered_by_model,
        failed_by_model=_failed_by_model(evidence),
    )


def _failed_by_model(evidence: Evidence) -> dict[str, tuple[int, int]]:
    """Judgments without a verdict, and all judgments, that each model is in."""
    import numpy as np

    size = len(evidence.models)
    lost, asked = np.zeros(size), np.zeros(size)
    if evidence.scores is not None:
        asked += np.bincount(evidence.scores.model, minlength=size)
        lost += np.bincount(evidence.scores.model, np.isnan(evidence.scores.score), minlength=size)
    else:
        pairs = evidence.pairs
        for bit, said in ((1, pairs.plain), (2, pairs.swapped)):
            there = pairs.asked & bit > 0
            for side in (pairs.a, pairs.b):
                asked += np.bincount(side[there], minlength=size)
                lost += np.bincount(side[there], np.isnan(said[there]), minlength=size)
    rows = zip(evidence.models, lost.astype(int).tolist(), asked.astype(int).tolist(), strict=True)
    return {name: (without, n) for name, without, n in rows if n}


def _histograms(gathered: BenchmarkEvidence) -> Iterator[Histogram]:
    """Of judges, then of people where a judge was asked for the like."""
    from evalkit.audit.agreement_counts import HUMAN as PEOPLE

    for evidence in gathered.evidence:
        about = (evidence.benchmark, evidence.judge, evidence.protocol)
        if evidence.scores is not None:
            yield from histogram(*about, evidence.scores.score)
        elif not evidence.joint:
            yield from histogram(*about, evidence.pairs.points_of_the_first(), "places")
    if gathered.evidence and gathered.grades is not None:
        yield from histogram(gathered.benchmark, PEOPLE, "", gathered.grades.score)
    if gathered.people and any(evidence.shows == 2 and not evidence.joint for evidence in gathered.evidence):
        votes = gathered.people[0].votes
        yield from histogram(gathered.benchmark, PEOPLE, "", votes.points_of_the_first(), "places")


def histogram(
    benchmark: str, judge: str, protocol: str, score: FloatArray, of: Literal["scores", "places"] = "scores"
) -> Iterator[Histogram]:
    """How often each score was given, [N] with NaN for failures; none where there is no score."""
    import numpy as np

    score = score[np.isfinite(score)]
    values, counts = np.unique(score, return_counts=True)
    if values.size > 50:  # a continuous scale: twenty bins, each named by its middle
        counts, edges = np.histogram(score, bins=20)
        values = (edges[:-1] + edges[1:]) / 2
    if values.size:
        yield Histogram(
            benchmark=benchmark,
            judge=judge,
            protocol=protocol,
            scores=tuple(values.tolist()),
            counts=tuple(counts.tolist()),
            of=of,
        )


def _nothing(paths: Sequence[Path], judge: str | None, names: Sequence[str], people: bool) -> str:
    where = ", ".join(str(path) for path in paths)
    if judge is not None and names:
        return f"no judgments by {judge!r} in {where}; there are judgments by: {', '.join(names[:12])}"
    if people:
        return (
            f"nothing to audit in {where}: only people or gold labels judged there; a judge's verdicts are needed too"
        )
    return f"no judgments in {where}; `evalkit run BENCHMARK` or `evalkit import FORMAT PATH` makes some"
