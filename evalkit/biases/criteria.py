"""How a judge that grades by a rubric agrees with people on each criterion, and where it is stricter or laxer.

A score can be right for the wrong reasons: verdicts on single criteria show which ones the judge can be trusted with.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from evalkit.evidence.evidence import CriterionLabels, Evidence, percent, within
from evalkit.evidence.findings import Finding, counted
from evalkit.evidence.metrics import BEYOND_CHANCE, Metric, Topic, Unit, share

if TYPE_CHECKING:
    from evalkit.stats.arrays import BoolArray
    from evalkit.stats.resample import Interval

FEWEST = 4
"""Questions with a verdict by both, below which a criterion is not looked at by itself."""
CRITERIA = Topic(
    "criteria",
    "Criteria of the rubric",
    "Verdicts on single criteria beside those of people, or of a reference judge, on the same answers.",
)
NEEDS = (
    "people's verdicts on criteria that the judge has a verdict on (`evalkit label --rubric FILE`), or those of a "
    "reference judge (`--reference JUDGE`)"
)
AGREEMENT = Metric(
    name="criteria_agreement",
    label="Verdicts on criteria that people or the reference share",
    unit=share("verdicts on criteria"),
    topic=CRITERIA,
    question="On the same criterion of the same answer, how often does the judge say just what a person says?",
    needs=NEEDS,
    source="Own definition: equal verdicts, limits clustered by question; Miller 2024, arXiv:2411.00640",
)
KAPPA = Metric(
    name="criteria_kappa",
    label="Agreement on criteria beyond chance",
    unit=BEYOND_CHANCE,
    topic=CRITERIA,
    question="How much do judge and people agree on criteria beyond what their shares of each verdict would give?",
    chance=0.0,
    needs=NEEDS,
    source="Cohen's kappa; Cohen 1960, Educational and Psychological Measurement 20:37",
)
LEAN = Metric(
    name="criteria_lean",
    label="Criteria judged met more often or higher",
    unit=Unit("of the scale", "signed", "of the scale", small=0.1),
    topic=CRITERIA,
    question="Does the judge find criteria met, or grades higher, more than people do on the same answers?",
    unbiased=0.0,
    risk="That the judge finds criteria met as often as people do.",
    safe="On criteria it is neither laxer nor stricter than people:",
    needs=NEEDS,
    source="Own definition: mean difference, limits clustered by question; Miller 2024, arXiv:2411.00640",
)


@dataclass(frozen=True)
class Criteria:
    """Agreement with people on criteria, all together and one by one."""

    metrics: ClassVar[tuple[Metric, ...]] = (AGREEMENT, KAPPA, LEAN)

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        """Yield agreement, kappa and lean over all criteria, then of each that enough questions bear."""
        import numpy as np

        labels = evidence.criteria
        if labels is None:
            return
        everything = np.ones(len(labels), dtype=bool)
        yield from _about(evidence, labels, everything, None)
        for code, name in enumerate(labels.names):
            mine = labels.criterion == code
            if np.unique(labels.question[mine]).size >= FEWEST:
                yield from _about(evidence, labels, mine, name)


def _about(evidence: Evidence, labels: CriterionLabels, rows: BoolArray, name: str | None) -> Iterator[Finding]:
    """All three figures of some verdicts."""
    import numpy as np

    from evalkit.stats.agreement import cohen_kappa
    from evalkit.stats.errors import NotMeasurable
    from evalkit.stats.shares import clustered_mean, clustered_share

    judged, said, question = labels.judged[rows], labels.said[rows], labels.question[rows]
    people = np.unique(labels.person[rows]).size
    who = (
        f"what {counted(people, 'person says', 'people say')}" if labels.by_people else f"what {labels.people[0]} says"
    )
    what = "criteria" if name is None else f"criterion {name!r}"
    same = clustered_share((judged == said).astype(np.float64), question)
    yield evidence.finding(
        AGREEMENT,
        same,
        f"On {what}, {evidence.judge} says {who} in {percent(same)} of {counted(judged.size, 'verdict')}.",
        category=name,
    )
    try:
        kappa = cohen_kappa(judged.tolist(), said.tolist(), clusters=question)
    except NotMeasurable as error:
        yield evidence.lacking(KAPPA, f"needs verdicts that differ: {error}", category=name, n=int(judged.size))
    else:
        yield evidence.finding(
            KAPPA,
            kappa,
            f"On {what}, its agreement beyond chance is {kappa.estimate:.2f} ({within(kappa, 2)}).",
            category=name,
        )
    lean = clustered_mean(judged - said, question, limits=(-1.0, 1.0))
    than = "people" if labels.by_people else labels.people[0]
    yield evidence.finding(LEAN, lean, _lean_sentence(evidence.judge, what, than, lean), category=name)


def _lean_sentence(judge: str, what: str, than: str, lean: Interval) -> str:
    how = "neither laxer nor stricter for certain"
    if lean.lower is not None and lean.lower > 0:
        how = "laxer"
    if lean.upper is not None and lean.upper < 0:
        how = "stricter"
    return f"On {what}, {judge} is {how} than {than}: {lean.estimate:+z.2f} of the scale ({within(lean, 2)})."
