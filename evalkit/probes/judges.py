"""A judge under examination, and the forms that probes give it: another instruction, other labels, one answer alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.core.protocols import Judge, JudgeProtocol
from evalkit.engine import spending
from evalkit.engine.experiment import Experiment
from evalkit.engine.judge import JudgeRunner
from evalkit.models.budget import Amount
from evalkit.models.client import Clients
from evalkit.probes.library import Probe, Rewrites
from evalkit.probes.trials import Turns, placebo
from evalkit.settings import config
from evalkit.storage.store import Store

SINGLE = "evalkit.judges.single.Single"
"""By which answers are scored alone."""


@dataclass(frozen=True)
class Study:
    """What an experiment on judges consists of."""

    experiment: Experiment
    probes: Sequence[Probe]
    turns: Turns
    singles: Mapping[str, JudgeProtocol]
    """For each judge, how it scores an answer alone."""

    @property
    def pairs(self) -> int:
        """How many turns of pairs there are to judge."""
        return sum(len(item.turns) for item in self.experiment.benchmark.items)

    def forms(self, judge: Judge) -> dict[str, Judge]:
        """The judge by variant: empty for as it is; those that its protocol does not allow are not there."""
        result = {"": judge}
        for variant, protocol in protocols(judge.protocol, self.singles[judge.name], self.probes).items():
            name = judge.name if protocol is self.singles[judge.name] else f"{judge.name}+{variant}"
            result[variant] = Judge(name, judge.model, protocol, judge.references)
        return result

    def runners(
        self, judge: Judge, clients: Clients, store: Store, on_new: Callable[[str], object] = str
    ) -> dict[str, JudgeRunner]:
        """Every form of the judge at work; ``on_new`` is called with the key of each row that is made."""
        return {
            variant: JudgeRunner(
                one,
                clients.of(one.model),
                store.judgments(one.name, one.protocol.name),
                self.experiment.ask_again,
                on_new=on_new,
                stop_unparsed=self.experiment.stop_unparsed,
            )
            for variant, one in self.forms(judge).items()
        }

    def used_before(self, clients: Clients, store: Store) -> Amount:
        """What earlier experiments with the same answers and judges used, by the rows they left."""
        total = Amount()
        for candidate in self.experiment.candidates:
            rows = store.responses(candidate.model.name)
            total += spending.answers(rows, candidate.ref, clients.price(candidate.model))
        for judge in self.experiment.judges:
            for name, protocol in {(one.name, one.protocol.name) for one in self.forms(judge).values()}:
                log = store.judgments(name, protocol)
                total += spending.judgments(log, lambda _: True, clients.price(judge.model))
        return total


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


def single_of(judge: Judge, settings: config.JudgeConfig) -> JudgeProtocol:
    """How a judge scores one answer: as it does for ``protocol=single``, by odds if it compares by odds."""
    own = settings.protocols.get("single", {})
    scoring = {"scoring": "logprobs"} if getattr(judge.protocol, "scoring", None) == "logprobs" else {}
    where = f"judge.{judge.name}.protocols.single"
    return config.build({"_target_": SINGLE, **scoring, **own}, where, JudgeProtocol)
