"""A judge under examination, and the forms that probes give it: another instruction, other labels, one answer alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.core.protocols import Judge, JudgeProtocol
from evalkit.core.schema import Judgment, Response
from evalkit.evidence.findings import Finding
from evalkit.probes import findings
from evalkit.probes.effect import Conclusions, ProbedJudge
from evalkit.probes.library import Probe, Rewrites
from evalkit.probes.study import Study
from evalkit.probes.table import Outcome
from evalkit.probes.trials import Trial, calls, placebo, trials
from evalkit.settings import targets
from evalkit.settings.config import JudgeConfig

SINGLE = "evalkit.judges.single.Single"
"""By which answers are scored alone."""
TEMPERATURE = 0.7
"""Of both answers, as in MT-Bench's study of position bias."""


@dataclass(frozen=True)
class PairStudy(Study):
    """Experiments on judges that compare two answers."""

    probes: Sequence[Probe]
    singles: Mapping[str, JudgeProtocol]
    """For each judge, how it scores an answer alone."""

    @property
    def names(self) -> tuple[str, ...]:
        """What is tried."""
        return tuple(probe.name for probe in self.probes)

    @property
    def calls(self) -> int:
        """How many questions are put to a judge about one turn of one pair."""
        return calls(self.probes, self.experiment.repeats)

    @property
    def note(self) -> str:
        """How the answers were made."""
        return (
            f"{self.experiment.models[0].name} answered every question twice, at temperature {TEMPERATURE:g}: between "
            "answers that are nearly equally good a judge is moved most easily"
        )

    def planned(self, judge: Judge, answers: Mapping[str, Sequence[Response]]) -> list[Trial]:
        """Every trial, given two answers to each item."""
        pairs = {item: (rows[0], rows[1]) for item, rows in answers.items()}
        return list(trials(self.experiment.benchmark.items, pairs, self.probes, self.experiment.repeats))

    def forms(self, judge: Judge) -> dict[str, Judge]:
        """The judge by variant: empty for as it is; those that its protocol does not allow are not there."""
        result = {"": judge}
        for variant, protocol in protocols(judge.protocol, self.singles[judge.name], self.probes).items():
            name = judge.name if protocol is self.singles[judge.name] else f"{judge.name}+{variant}"
            result[variant] = Judge(name, judge.model, protocol, judge.references)
        return result

    def findings(self, about: ProbedJudge, judge: Judge, heard: Sequence[tuple[Trial, Judgment]]) -> list[Finding]:
        """What a judge's verdicts showed."""
        outcomes = [outcome_of(trial, judgment) for trial, judgment in heard]
        return list(findings.findings(about, outcomes, self.probes, beyond=fixed_in(judge.protocol)))

    def conclusions(self, rows: Sequence[Finding]) -> Conclusions:
        """What findings about one judge come to in words."""
        return findings.conclusions(rows, self.probes)


def outcome_of(trial: Trial, judgment: Judgment) -> Outcome:
    """A judgment as the outcome of its trial."""
    scores = judgment.scores
    share, first = (scores[trial.slot], scores[0]) if scores is not None else (None, None)
    return Outcome(trial.probe, trial.arm, judgment.item, trial.order, trial.repeat, share, first, judgment.turn)


def protocols(protocol: JudgeProtocol, single: JudgeProtocol, probes: Sequence[Probe]) -> dict[str, JudgeProtocol]:
    """How the judge is asked where a probe changes that, by variant of the trial."""
    impossible, result = fixed_in(protocol), {}
    for probe in probes:
        if probe.rewrites in impossible:
            continue
        match probe.rewrites:
            case "instruction":
                instruction = str(getattr(protocol, "system", ""))
                result[probe.name] = _changed(protocol, system=probe.rewrite(instruction, ""))
                result[f"{probe.name}-placebo"] = _changed(protocol, system=placebo(probe, instruction, ""))
            case "labels":
                result[probe.name] = _changed(protocol, labels=str(getattr(protocol, "labels", ""))[::-1])
            case "alone":
                result[probe.name] = single
    return result


def fixed_in(protocol: JudgeProtocol) -> frozenset[Rewrites]:
    """What a protocol's own wording does not let probes change."""
    fields: dict[Rewrites, str] = {"instruction": "system", "labels": "labels"}
    return frozenset(kind for kind, field in fields.items() if not isinstance(getattr(protocol, field, None), str))


def _changed(protocol: Any, **fields: str) -> JudgeProtocol:
    changed: JudgeProtocol = dataclasses.replace(protocol, **fields)
    return changed


def single_of(judge: Judge, settings: JudgeConfig) -> JudgeProtocol:
    """How a judge scores one answer: as it does for ``protocol=single``, by odds if it compares by odds."""
    own = settings.protocols.get("single", {})
    scoring = {"scoring": "logprobs"} if getattr(judge.protocol, "scoring", None) == "logprobs" else {}
    where = f"judge.{judge.name}.protocols.single"
    return targets.build({"_target_": SINGLE, **scoring, **own}, where, JudgeProtocol)
