"""What one run is made of: who answers what, and who judges it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

from evalkit.core.batch_api import BatchSettings
from evalkit.core.protocols import Judge, Model
from evalkit.core.schema import ErrorKind, Judged, Judgment, Ref, Response, digest
from evalkit.datasets.benchmark import Benchmark
from evalkit.engine.generate import ASK_AGAIN, Candidate, stored
from evalkit.engine.judge import STOP_UNPARSED, Pairing, Turns, count
from evalkit.engine.stopping_rule import StoppingRule
from evalkit.storage.store import Store


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """An experiment: who answers what, and who judges the answers."""

    benchmark: Benchmark
    models: tuple[Model, ...]
    judges: tuple[Judge, ...]
    given: tuple[Ref, ...] = ()
    """Models that are not asked, in the configuration whose stored answers are judged."""
    pairing: Pairing = field(default_factory=Pairing)
    """Which answers meet, where a judge sees two."""
    turns: Turns = "every"
    """Which answers are judged."""
    repeats: int = 1
    """How often each case is put to each judge."""
    ask_again: frozenset[ErrorKind] = ASK_AGAIN
    """Kinds of failure that earlier runs left and this one asks again."""
    stop_unparsed: int | None = STOP_UNPARSED
    """A judge is asked no more when so many replies, the first of a run, hold no readable verdict; None: it is."""
    batch: BatchSettings = field(default_factory=BatchSettings)
    """How judges that are asked in batches are."""
    rule: StoppingRule | None = None
    """When a tournament is over; None: every pair meets on every item."""

    @cached_property
    def candidates(self) -> tuple[Candidate, ...]:
        """The models, as they answer this benchmark."""
        return tuple(Candidate.of(model, self.benchmark.spec.generation) for model in self.models)

    def owns(self, row: Judgment | Judged) -> bool:
        """Whether a stored judgment is of this experiment: its items, pairs, judges and models as configured now."""
        return row.judge in self._judge_refs and self.covers(row)

    def covers(self, row: Judgment | Judged) -> bool:
        """Whether a stored judgment is about answers of this experiment, whoever judged, and however it was read."""
        names = [model.name for model in row.models]
        return (
            row.item in self.item_ids
            and all(model in self._model_refs or model.name in self.only_stored for model in row.models)
            and (len(names) != 2 or self.pairing.meet(row.category, *names))
        )

    @cached_property
    def _judge_refs(self) -> frozenset[Ref]:
        return frozenset(judge.ref for judge in self.judges)

    @cached_property
    def _model_refs(self) -> frozenset[Ref]:
        return frozenset((*(candidate.ref for candidate in self.candidates), *self.given))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The models that are judged, those asked first; without baselines that take part by stored answers alone."""
        return (*(model.name for model in self.models), *(model.name for model in self.given))

    def baseline_of(self, item: str) -> str | None:
        """The model the others are compared with on an item; None if there is none, or the item takes no part."""
        return self._baselines.get(item)

    @cached_property
    def _baselines(self) -> dict[str, str]:
        baselines = {item.id: self.pairing.baseline.get(item.category) for item in self.benchmark.items}
        return {item: name for item, name in baselines.items() if name is not None}

    @cached_property
    def item_ids(self) -> frozenset[str]:
        """The items that take part."""
        return frozenset(item.id for item in self.benchmark.items)

    @cached_property
    def pairwise(self) -> bool:
        """Whether a judge sees two answers at once."""
        return any(judge.protocol.shows == 2 for judge in self.judges)

    @cached_property
    def only_stored(self) -> list[str]:
        """Baselines that are not asked: their answers are in the store already."""
        return sorted(set(self.pairing.baseline.values()) - set(self.names)) if self.pairwise else []

    def unasked(self, store: Store) -> Iterator[Response]:
        """The answers of models that are not asked: of baselines, and of those whose stored answers are judged."""
        for name in self.only_stored:
            yield from (row for row in store.responses(name) if self.baseline_of(row.item) == name)
        for model in self.given:
            yield from (row for row in store.responses(model.name) if row.model == model and self._takes_part(row))

    def _takes_part(self, row: Response) -> bool:
        """Whether a stored answer does: it has a text for every turn, or failed. Of several, a pair shows the first.

        Where labels say which answers meet, all do.
        """
        turns = self._turns.get(row.item)
        whole = turns is not None and (row.error is not None or len(row.turns) >= turns)
        return whole and not (self.pairwise and row.sample and not self.pairing.labelled)

    @cached_property
    def _turns(self) -> dict[str, int]:
        return {item.id: len(item.turns) for item in self.benchmark.items}

    def answered(self, store: Store) -> Iterator[Response]:
        """The answers that nobody need be asked for: those of models that are not asked, and final ones."""
        yield from self.unasked(store)
        for candidate in self.candidates:
            yield from stored(self.benchmark.items, candidate, store.responses(candidate.model.name), self.ask_again)

    def judgments(self, store: Store) -> Iterator[Judgment]:
        """What its judges said about its answers, by what is stored."""
        for judge in self.judges:
            yield from filter(self.owns, store.judgments(judge.name, judge.protocol.name))

    def state(self, store: Store) -> str:
        """A hash of what is stored of it; another one as soon as a row is added, whatever the clock says."""
        paths = [store.responses(name).path for name in (*self.names, *self.only_stored)]
        paths += [store.judgments(judge.name, judge.protocol.name).path for judge in self.judges]
        sizes = [path.stat().st_size if path.exists() else 0 for path in paths]
        models, judges = [*(one.ref for one in self.candidates), *self.given], [judge.ref for judge in self.judges]
        return digest(models, judges, sorted(self.item_ids), self.pairing, sizes)

    def answers_to(self, item: str) -> int:
        """How many answers to an item there are to judge, those of a baseline that is not asked included."""
        return len(self.names) + (self.baseline_of(item) in self.only_stored)

    @property
    def cases(self) -> int:
        """How many cases there are to judge, if every answer arrives."""
        return sum(
            count(self.benchmark.items, self.names, judge.protocol.shows, self.pairing, self.repeats, self.turns)
            for judge in self.judges
        )

    def ready(self, store: Store) -> None:
        """See to it that what will be asked for can be stored.

        Raises:
            StoreError: it cannot.
        """
        for candidate in self.candidates:
            log = store.responses(candidate.model.name)
            if any(log.entry(candidate.begin(item).key) is None for item in self.benchmark.items):
                log.ready()
        for judge in self.judges:
            store.judgments(judge.name, judge.protocol.name).ready()
            if judge.batch:
                store.batches(judge.name, judge.protocol.name).ready()

    @property
    def in_turns(self) -> bool:
        """Whether two backends each need the accelerator to themselves, so that one is freed before the next loads."""
        backends = [member.backend for member in (*self.models, *(judge.model for judge in self.judges))]
        exclusive = [backend for backend in backends if backend.exclusive]
        return any(backend != exclusive[0] for backend in exclusive)
