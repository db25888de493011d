"""Which pairs a tournament asks next: rounds of units, chosen by what is still undecided.

A unit is all that the judges say about one pair on one question: both orders, all turns, all repeats. Every pair goes
through the questions in one order, which their ids fix, so that what was chosen when cannot spoil what is claimed.
What is stored of a unit is not asked again, so a tournament that was killed goes on where it was.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.core import streams
from evalkit.core.protocols import Case
from evalkit.core.schema import Item, Judgment, Response, digest
from evalkit.engine.experiment import Experiment
from evalkit.engine.judge import CaseBuilder, JudgeRunner
from evalkit.engine.ordering import asked, runner_of
from evalkit.models.client import Clients
from evalkit.ratings.tournament import Tournament, TournamentOutcome
from evalkit.storage.store import Store

if TYPE_CHECKING:
    from evalkit.engine.stopping_rule import StoppingRule


@dataclass(frozen=True)
class PairUnit:
    """One question of one pair."""

    pair: int
    first: str
    second: str
    item: Item
    cases: tuple[Case, ...]
    """What each judge is asked; empty where one of the two failed to answer, or has not answered yet."""
    lost: bool
    """One of the two failed to answer."""


class PairChoice:
    """Chooses units, and learns from what was said of them.

    Args:
        experiment: with a stopping rule.
        responses: all answers, failed ones too.
        clients: the judges are asked through.
        store: of answers and judgments.
        on_new: called with the key of each judgment that this run makes.
    """

    def __init__(
        self,
        experiment: Experiment,
        responses: Iterable[Response],
        clients: Clients,
        store: Store,
        on_new: Callable[[str], object] = str,
    ) -> None:
        assert experiment.rule is not None
        self._experiment = experiment
        self._rule: StoppingRule = experiment.rule
        self._answers = {(row.item, row.model.name): row for row in responses}
        self._items = sorted(experiment.benchmark.items, key=lambda item: digest("order of questions", item.id))
        self._runners = [runner_of(judge, experiment, clients, store, on_new) for judge in experiment.judges]
        self._rows: dict[tuple[str, frozenset[str]], list[Judgment]] = defaultdict(list)
        self.tournament = Tournament.begun([model.name for model in experiment.models], len(self._items), self._rule)

    def known(self, *, whatever_failed: bool = False) -> Iterator[Judgment]:
        """Judgments of units that are stored, pair by pair as far as all of a unit is there.

        Args:
            whatever_failed: count failures that a run would ask again as failures, too.
        """
        for pair in range(self.tournament.pairs):
            while (unit := self._next(pair)) is not None:
                rows = [] if unit.lost else self._stored(unit, whatever_failed)
                if rows is None:
                    break
                yield from rows
                self._take(unit, rows)

    def next_round(self) -> list[PairUnit]:
        """Units to ask now: as many as the judges are asked at once; empty when the tournament is over."""
        at_once = max(runner.client.backend.concurrency for runner in self._runners) * len(self._runners)
        most = max(1, at_once // self.judgments_of_a_unit)
        if self._rule.max_judgments is not None:
            most = min(most, (self._rule.max_judgments - self.tournament.judgments) // self.judgments_of_a_unit)
        found: list[PairUnit] = []
        while most > 0 and not found and (chosen := self.tournament.choose(most)):
            ahead: dict[int, int] = defaultdict(int)
            for pair in chosen:
                unit = self._next(pair, ahead[pair])
                ahead[pair] += 1
                if unit is not None:
                    found.append(unit)
            if all(unit.lost for unit in found):  # nothing to ask: the pairs' next questions take their places
                for unit in found:
                    self._take(unit, [])
                found = []
        return [] if any(not unit.cases and not unit.lost for unit in found) else found

    async def asked(self, units: Sequence[PairUnit]) -> AsyncGenerator[Judgment, None]:
        """What the judges say of them, as it arrives."""
        work = [case for unit in units for case in unit.cases]
        async with aclosing(streams.merge(*(asked(runner, work) for runner in self._runners))) as arriving:
            async for judgment in arriving:
                self._rows[judgment.item, frozenset(model.name for model in judgment.models)].append(judgment)
                yield judgment

    def learned(self, units: Sequence[PairUnit]) -> bool:
        """Take what was said of units; False where some was not, as the run is stopping."""
        stopped: set[int] = set()
        for unit in units:
            rows = self._rows.pop((unit.item.id, frozenset((unit.first, unit.second))), [])
            if len(rows) < len(unit.cases) * len(self._runners) or unit.pair in stopped:
                stopped.add(unit.pair)  # its later units wait, too: the order of questions is fixed
            else:
                self._take(unit, rows)
        return not stopped

    @property
    def judgments_of_a_unit(self) -> int:
        """How many judgments the longest question of one pair takes, of all judges together."""
        turns = max((len(item.turns) for item in self._items), default=1)
        return len(self._runners) * 2 * self._experiment.repeats * turns

    def _next(self, pair: int, ahead: int = 0) -> PairUnit | None:
        """A pair's next unit, or one ``ahead`` of that; None where there is none."""
        place = self.tournament.asked_of(pair) + ahead
        if place >= len(self._items):
            return None
        item, (first, second) = self._items[place], self.tournament.names(pair)
        shown = [row for name in (first, second) if (row := self._answers.get((item.id, name))) is not None]
        lost = any(row.error is not None for row in shown)
        builder = CaseBuilder(
            {item.id: item}, shows=2, pairing=self._experiment.pairing, repeats=self._experiment.repeats
        )
        return PairUnit(pair, first, second, item, () if lost else tuple(builder.of(shown)), lost)

    def _stored(self, unit: PairUnit, whatever_failed: bool) -> list[Judgment] | None:
        """All that the judges were asked of a unit; None where some is missing, or to be asked again."""
        if not unit.cases:
            return None
        rows = []
        for runner in self._runners:
            for case in unit.cases:
                row = _stored(runner, case, whatever_failed)
                if row is None:
                    return None
                rows.append(row)
        return rows

    def _take(self, unit: PairUnit, rows: Sequence[Judgment]) -> None:
        values = [value_for(unit.first, row) for row in rows]
        known = [value for value in values if value is not None]
        whole = len(known) == len(values) > 0
        self.tournament.add(unit.pair, sum(known) / len(known) if whole else None, judgments=len(rows))


def value_for(model: str, row: Judgment) -> float | None:
    """What a judgment says of a model, from 0 to 1; None where it failed."""
    if row.scores is None:
        return None
    own, other = row.scores if row.models[0].name == model else reversed(row.scores)
    return min(1.0, max(0.0, 0.5 + (own - other) / 2))


def _stored(runner: JudgeRunner, case: Case, whatever_failed: bool) -> Judgment | None:
    request = runner.request(case)
    key = runner.key(case, request)
    if runner.has(key):
        return runner.stored(key, case, request)
    return runner.log.get(key) if whatever_failed and runner.log.entry(key) is not None else None


def _answers(experiment: Experiment, store: Store) -> Iterator[Response]:
    """Stored answers to all turns, and failures of any kind."""
    for candidate in experiment.candidates:
        log = store.responses(candidate.model.name)
        for item in experiment.benchmark.items:
            row = log.get(candidate.begin(item).key)
            if row is not None and (row.error is not None or len(row.turns) == len(item.turns)):
                yield row


def outcome(experiment: Experiment, clients: Clients, store: Store) -> TournamentOutcome:
    """Where the tournament stands by what is stored. Asks nothing."""
    choice = PairChoice(experiment, _answers(experiment, store), clients, store)
    for _ in choice.known(whatever_failed=True):
        pass
    return choice.tournament.outcome(experiment.cases, choice.judgments_of_a_unit)
