"""Two judges' verdicts on the same cases -> how far they agree, how the second shifts scores, what that does to models.

Only cases with both verdicts are compared: a failure of either is counted, and never a number. Questions are what is
resampled. Pairwise verdicts are compared showing by showing, in the order shown.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from evalkit.core.schema import Judgment, Ref
from evalkit.ratings.scores import ROWS_POOLED

if TYPE_CHECKING:
    from evalkit.stats.resample import Interval

FIRST, SECOND, TIE = "first", "second", "tie"


class CompactJudgment(NamedTuple):
    """One verdict, without what the judge wrote."""

    item: str
    category: str
    turn: int
    shown: tuple[str, ...]
    models: tuple[Ref, ...]
    repeat: int
    scores: tuple[float, ...] | None
    error: str | None
    parser: str
    snapshot: str | None
    created: float

    @classmethod
    def of(cls, row: Judgment) -> CompactJudgment:
        """The compact form of a stored row."""
        kind = row.error.kind if row.error else None
        return cls(
            row.item, row.category, row.turn, row.shown, row.models, row.repeat, row.scores, kind, row.parser,
            row.snapshot, row.created,
        )  # fmt: skip

    @property
    def case(self) -> tuple[str, int, tuple[str, ...], int]:
        """The case that was put to the judge."""
        return self.item, self.turn, self.shown, self.repeat

    @property
    def label(self) -> str:
        """The verdict as a category: which of two answers is better, or the score itself."""
        assert self.scores is not None
        if len(self.scores) == 1:
            return f"{self.scores[0]:g}"
        return TIE if self.scores[0] == self.scores[1] else FIRST if self.scores[0] > self.scores[1] else SECOND


class VerdictPair(NamedTuple):
    """Verdicts of both judges on the same case."""

    old: CompactJudgment
    new: CompactJudgment


@dataclass(frozen=True)
class JudgeSummary:
    """One of the two judges, on the cases that were put to both."""

    judge: Ref
    protocol: str
    parsers: tuple[str, ...]
    snapshots: dict[str, int]
    """Rows by the model id that the provider reported."""
    first: float | None
    """Unix time of its earliest verdict; None where the rows have no time."""
    last: float | None
    verdicts: int
    failed: dict[str, int]
    """Rows without a verdict, by kind."""


@dataclass(frozen=True)
class Part:
    """How far the two agree, over all cases or over those of one category."""

    category: str | None
    n: int
    questions: int
    shift: Interval
    """Mean of new minus old: of the score, or of the first-shown answer's share of wins."""
    agreement: Interval
    """Share of cases with the very same verdict."""
    kappa: Interval | None
    """Agreement beyond chance; None where one verdict is all there is."""
    correlation: float | None
    """Pearson's, of scores; None where a judge always gives the same one."""


@dataclass(frozen=True)
class ModelDrift:
    """One model before both judges: its mean score, or its win rate."""

    model: str
    n: int
    old: float
    new: float
    difference: Interval
    """New minus old, paired by question."""
    old_rank: int
    new_rank: int


@dataclass(frozen=True)
class Coverage:
    """What became of the old judge's rows."""

    rows: int
    beyond_limit: int
    no_question: int
    """Rows about items whose questions are not known."""
    no_answer: int
    """Rows that showed an answer which is not stored, or not any more."""
    pending: int
    """Cases that the new judge was not asked, because the run ended before."""
    both: int
    """Cases with a verdict of each."""


@dataclass(frozen=True)
class Drift:
    """The comparison of two judges on the same cases."""

    benchmark: str
    protocol: str
    shows: int
    old: JudgeSummary
    new: JudgeSummary
    coverage: Coverage
    overall: Part | None
    """None: not one case has both verdicts."""
    categories: tuple[Part, ...]
    changes: dict[str, dict[str, int]]
    """Cases by old verdict, then new one."""
    models: tuple[ModelDrift, ...]
    """The old judge's best first."""

    @property
    def verdict(self) -> str:
        """The drift in one sentence."""
        new, old = self.new.judge.name, self.old.judge.name
        if self.overall is None:
            return f"nothing to compare: not one case has a verdict of both {old} and {new}"
        part, ranks = self.overall, _ranks(self.models)
        if self.shows == 1:
            return f"{new} is {_shifted(part.shift, old)}; {ranks}"
        kappa = f", kappa {part.kappa.estimate:.2f}" if part.kappa else ""
        return (
            f"{new} says the same as {old} in {_percent(part.agreement)} of {part.n:,} showings{kappa}; "
            f"{part.n - sum(row.get(label, 0) for label, row in self.changes.items()):,} verdicts changed; {ranks}"
        )


def measure(
    benchmark: str, old: tuple[Ref, str], new: tuple[Ref, str], twins: Sequence[VerdictPair], coverage: Coverage
) -> Drift:
    """Compare the verdicts of both judges.

    Args:
        benchmark: what was judged.
        old: the old judge, and its protocol.
        new: the new judge, and its protocol.
        twins: every case that was put to both, those without a verdict too.
        coverage: what became of the old judge's rows.
    """
    both = [twin for twin in twins if twin.old.scores is not None and twin.new.scores is not None]
    pooled = old[1] in ROWS_POOLED
    changes: dict[str, Counter[str]] = defaultdict(Counter)
    for before, after in both:
        changes[before.label][after.label] += 1
    categories = dict.fromkeys(twin.old.category for twin in both)
    return Drift(
        benchmark=benchmark,
        protocol=new[1],
        shows=len(twins[0].old.shown) if twins else 0,
        old=_side(*old, [twin.old for twin in twins]),
        new=_side(*new, [twin.new for twin in twins]),
        coverage=coverage,
        overall=_part(None, both, pooled) if both else None,
        categories=tuple(_part(name, [t for t in both if t.old.category == name], pooled) for name in categories),
        changes={label: dict(row) for label, row in changes.items()},
        models=tuple(_standings(both, pooled)),
    )


def _side(judge: Ref, protocol: str, said: Sequence[CompactJudgment]) -> JudgeSummary:
    times = [one.created for one in said if one.created > 0]
    return JudgeSummary(
        judge=judge,
        protocol=protocol,
        parsers=tuple(dict.fromkeys(one.parser for one in said)),
        snapshots=dict(Counter(one.snapshot for one in said if one.snapshot is not None)),
        first=min(times, default=None),
        last=max(times, default=None),
        verdicts=sum(one.scores is not None for one in said),
        failed=dict(Counter(one.error for one in said if one.error is not None)),
    )


def _part(category: str | None, both: Sequence[VerdictPair], pooled: bool) -> Part:
    import numpy as np

    from evalkit.stats.agreement import agreement, cohen_kappa
    from evalkit.stats.errors import NotMeasurable
    from evalkit.stats.resample import cluster_mean

    questions: dict[str, int] = {}
    clusters = np.array([questions.setdefault(twin.old.item, len(questions)) for twin in both])
    old, new = (np.array([_score(twin[side]) for twin in both]) for side in (0, 1))
    labels = [twin.old.label for twin in both], [twin.new.label for twin in both]
    same = agreement(*labels, clusters=clusters)
    assert same.clustered is not None
    try:
        kappa = cohen_kappa(*labels, clusters=clusters)
    except NotMeasurable:
        kappa = None
    varied = len(both[0].old.shown) == 1 and np.ptp(old) > 0 and np.ptp(new) > 0
    return Part(
        category=category,
        n=len(both),
        questions=len(questions),
        shift=cluster_mean(new - old, clusters, pooled=pooled),
        agreement=same.clustered,
        kappa=kappa,
        correlation=float(np.corrcoef(old, new)[0, 1]) if varied else None,
    )


def _score(said: CompactJudgment) -> float:
    assert said.scores is not None
    return said.scores[0]


def _standings(both: Iterable[VerdictPair], pooled: bool) -> Iterator[ModelDrift]:
    """Models by what the old judge thinks of them."""
    import numpy as np

    from evalkit.stats.resample import paired_difference

    questions: dict[str, int] = {}
    sums: dict[Ref, dict[int, list[float]]] = defaultdict(lambda: defaultdict(lambda: [0.0, 0.0, 0.0]))
    for old, new in both:
        assert old.scores is not None
        assert new.scores is not None
        if len(set(old.models)) < len(old.models):
            continue  # a model against itself says nothing of models
        question = questions.setdefault(old.item, len(questions))
        for model, before, after in zip(old.models, old.scores, new.scores, strict=True):
            cell = sums[model][question]
            cell[0] += 1
            cell[1] += before
            cell[2] += after
    rows = []
    for model, cells in sums.items():
        count, before, after = np.array(list(cells.values())).T
        difference = paired_difference(after, count, before, count, pooled=pooled)
        old_mean, new_mean = (
            float(total.sum() / count.sum() if pooled else (total / count).mean()) for total in (before, after)
        )
        rows.append((model, int(count.sum()), old_mean, new_mean, difference))
    named = Counter(model.name for model in sums)
    for model, n, old_mean, new_mean, difference in sorted(rows, key=lambda row: (-row[2], row[0].name)):
        label = model.name if named[model.name] == 1 else f"{model.name}@{model.fingerprint[:8]}"
        ranks = (_rank(old_mean, [row[2] for row in rows]), _rank(new_mean, [row[3] for row in rows]))
        yield ModelDrift(label, n, old_mean, new_mean, difference, *ranks)


def _rank(mine: float, all_of_them: Iterable[float]) -> int:
    """1 for the best; equals share a rank."""
    return 1 + sum(other > mine + 1e-9 for other in all_of_them)


def _ranks(models: Sequence[ModelDrift]) -> str:
    moved = [row for row in models if row.old_rank != row.new_rank]
    if len(models) < 2:
        return "with fewer than two models there are no ranks"
    if not moved:
        return "ranks unchanged"
    told = ", ".join(f"{row.model} {row.old_rank} to {row.new_rank}" for row in moved[:3])
    return f"{len(moved)} of {len(models)} models change rank: {told}" + (" ..." if len(moved) > 3 else "")


def _shifted(shift: Interval, old: str) -> str:
    if shift.lower is None or shift.upper is None:
        return f"{shift.estimate:+.2f} points off {old}, on a single question and so without an interval"
    limits = f"[{shift.lower:.2f}, {shift.upper:.2f}]"
    if shift.lower > 0:
        return f"{shift.estimate:.2f} {limits} points milder than {old}"
    if shift.upper < 0:
        return f"{-shift.estimate:.2f} [{-shift.upper:.2f}, {-shift.lower:.2f}] points stricter than {old}"
    return f"neither milder nor stricter than {old} as far as can be seen ({shift.estimate:+.2f} {limits} points)"


def _percent(share: Interval) -> str:
    if share.lower is None or share.upper is None:
        return f"{share.estimate:.0%}"
    return f"{share.estimate:.0%} [{share.lower:.0%}, {share.upper:.0%}]"
