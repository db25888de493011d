"""Experiments on a judge that grades by a rubric: one answer to each question, judged by changed rubrics and changed.

The judge grades each answer as it is (``base``) and once more (``repeat``). A probe of the rubric has it graded by the
changed rubric (``cue``). A probe of the answer adds a criterion about what it changes, and has the answer graded as it
is (``plain``), changed (``cue``), and, where that is of use, with as much neutral text (``placebo``).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from evalkit.core.protocols import Case, Judge
from evalkit.core.schema import Criterion, Item, Judgment, Response, digest
from evalkit.evidence.findings import Finding
from evalkit.judges.rubric import Rubric
from evalkit.probes import rubric_findings
from evalkit.probes.effect import Conclusions, ProbedJudge
from evalkit.probes.rubric_library import RubricProbe
from evalkit.probes.study import Study
from evalkit.probes.text import filler
from evalkit.probes.trials import Arm, Trial, changed_row


@dataclass(frozen=True)
class RubricStudy(Study):
    """Experiments on judges that grade by a rubric."""

    probes: Sequence[RubricProbe]

    @property
    def names(self) -> tuple[str, ...]:
        """What is tried."""
        return tuple(probe.name for probe in self.probes)

    @property
    def calls(self) -> int:
        """How many gradings of one answer there are at the most."""
        each = (len(_arms(probe)) for probe in self.probes)
        return self.experiment.repeats * (2 + sum(each))

    @property
    def note(self) -> str:
        """How the answers were made."""
        return f"{self.experiment.models[0].name} answered every question once; it is graded by changed rubrics"

    def forms(self, judge: Judge) -> dict[str, Judge]:
        """The judge as it is, and under a name of its own for each probe: its verdicts are no grades of answers."""
        result = {"": judge}
        for probe in self.probes:
            protocol = judge.protocol
            if probe.changes == "calls" and isinstance(protocol, Rubric):
                protocol = dataclasses.replace(protocol, calls="criterion" if protocol.calls == "item" else "item")
            result[probe.name] = Judge(f"{judge.name}+{probe.name}", judge.model, protocol, judge.references)
        return result

    def planned(self, judge: Judge, answers: Mapping[str, Sequence[Response]]) -> list[Trial]:
        """Every trial, given an answer to each item."""
        return [
            trial
            for item in self.experiment.benchmark.items
            if item.id in answers
            for turn in range(1, len(item.turns) + 1)
            for trial in self._about(judge, item, turn, answers[item.id][0])
        ]

    def _about(self, judge: Judge, item: Item, turn: int, answer: Response) -> Iterator[Trial]:
        repeats = range(self.experiment.repeats)
        for draw in repeats:
            yield Trial("", "base", 0, draw, 0, "", Case(item, turn, (answer,), draw))
        for draw in repeats:
            yield Trial("", "repeat", 0, draw, 0, "", Case(item, turn, (answer,), draw + len(repeats)))
        for probe in self.probes:
            criteria = probe.criteria(_rubric(judge, item))
            changed = edited(answer, probe, "cue", turn)
            if not criteria or (probe.changes == "answer" and changed is answer and answer.created):
                continue
            about = replace(item, rubric=criteria)
            for arm in _arms(probe):
                shown = edited(answer, probe, arm, turn)
                for draw in repeats:
                    yield Trial(probe.name, arm, 0, draw, 0, probe.name, Case(about, turn, (shown,), draw))

    def findings(self, about: ProbedJudge, judge: Judge, heard: Sequence[tuple[Trial, Judgment]]) -> list[Finding]:
        """What a judge's verdicts showed."""
        together = not isinstance(judge.protocol, Rubric) or judge.protocol.calls == "item"
        verdicts = [
            rubric_findings.Graded(trial.probe, trial.arm, row.item, row.turn, trial.repeat, row.criteria)
            for trial, row in heard
        ]
        return list(rubric_findings.findings(about, verdicts, self.probes, together=together))

    def conclusions(self, rows: Sequence[Finding]) -> Conclusions:
        """What findings about one judge come to in words."""
        return rubric_findings.conclusions(rows, self.probes)


def _arms(probe: RubricProbe) -> tuple[Arm, ...]:
    if probe.changes != "answer":
        return ("cue",)
    return ("plain", "cue", "placebo") if probe.neutral else ("plain", "cue")


def _rubric(judge: Judge, item: Item) -> tuple[Criterion, ...]:
    """What a judge grades answers to an item by."""
    return judge.protocol.criteria(item) if isinstance(judge.protocol, Rubric) else ()


def edited(answer: Response, probe: RubricProbe, arm: Arm, turn: int) -> Response:
    """The answer as an arm shows it; the very row where nothing is changed."""
    text = answer.turns[turn - 1]
    changed = text
    if probe.changes == "answer" and arm == "cue":
        changed = probe.rewrite(text)
    elif probe.changes == "answer" and arm == "placebo":
        changed = text + filler(len(probe.rewrite(text)) - len(text), digest(probe.name, answer.item, turn))
    if changed == text:
        return answer
    suffix = probe.name + ("-placebo" if arm == "placebo" else "") + ("" if turn == 1 else f"-turn{turn}")
    turns = tuple(changed if at == turn else one for at, one in enumerate(answer.turns, start=1))
    return changed_row(answer, suffix, turns)
