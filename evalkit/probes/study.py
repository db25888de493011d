"""What experiments on judges have in common: what is planned, in which forms a judge is asked, and what it showed."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from evalkit.core.protocols import Judge
from evalkit.core.schema import Judgment, Response
from evalkit.engine import spending
from evalkit.engine.experiment import Experiment
from evalkit.engine.judge import JudgeRunner
from evalkit.evidence.findings import Finding
from evalkit.models.budget import Amount
from evalkit.models.client import Clients
from evalkit.probes.effect import Conclusions, ProbedJudge
from evalkit.probes.trials import Trial, Turns
from evalkit.storage.store import Store


@dataclass(frozen=True)
class Study(ABC):
    """Judges, answers to show them, and probes. One subclass for each way to judge."""

    experiment: Experiment
    turns: Turns

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """What is tried."""

    @property
    @abstractmethod
    def calls(self) -> int:
        """How many questions are put to a judge about one turn of one item, if none is left out."""

    @property
    @abstractmethod
    def note(self) -> str:
        """How the answers were made."""

    @property
    def answers(self) -> int:
        """How many answers are shown for each item."""
        return len(self.experiment.models)

    @property
    def judged_turns(self) -> int:
        """How many turns there are to judge."""
        return sum(len(item.turns) for item in self.experiment.benchmark.items)

    @abstractmethod
    def planned(self, judge: Judge, answers: Mapping[str, Sequence[Response]]) -> list[Trial]:
        """Every trial of a judge, given the answers to each item."""

    @abstractmethod
    def forms(self, judge: Judge) -> dict[str, Judge]:
        """The judge by variant: empty for as it is; those that its protocol does not allow are not there."""

    @abstractmethod
    def findings(self, about: ProbedJudge, judge: Judge, heard: Sequence[tuple[Trial, Judgment]]) -> list[Finding]:
        """What a judge's verdicts showed."""

    @abstractmethod
    def conclusions(self, rows: Sequence[Finding]) -> Conclusions:
        """What findings about one judge come to in words."""

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
