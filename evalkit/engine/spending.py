"""What stored rows were paid for: an experiment's budget counts earlier runs of it too."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from evalkit.core.schema import Judgment, Ref, Response, Usage
from evalkit.engine.experiment import Experiment
from evalkit.models.budget import Amount, amount
from evalkit.models.client import Clients
from evalkit.models.prices import Price
from evalkit.storage.store import Log, Store


def used_before(experiment: Experiment, clients: Clients, store: Store) -> Amount:
    """What earlier runs of the experiment used, by its stored rows: at what each cost then, or at today's price.

    A judge's replies count by its name, however it was configured then: that they are read by another parser now makes
    none of them unpaid, and a row does not tell a parser's change from a prompt's.
    """
    total = Amount()
    for candidate in experiment.candidates:
        rows = (row for row in store.responses(candidate.model.name) if row.item in experiment.item_ids)
        total += answers(rows, candidate.ref, clients.price(candidate.model))
    for judge in experiment.judges:
        log = store.judgments(judge.name, judge.protocol.name)
        total += judgments(log, experiment.covers, clients.price(judge.model))
    return total


def answers(rows: Iterable[Response], model: Ref, price: Price | None) -> Amount:
    """What a model's answers cost. A row carries what all attempts at its item used, the refused ones too."""
    mine = (row for row in rows if row.model == model)
    return sum((_paid(sum(row.usage, Usage()), row.bound, row.cost, price) for row in mine), Amount())


def judgments(log: Log[Judgment], owned: Callable[[Judgment], bool], price: Price | None) -> Amount:
    """What a judge's replies cost, those included that were of no use and have been asked for again."""
    return sum((_paid(row.usage, row.bound, row.cost, price) for row in _replies(log, owned)), Amount())


def _replies(log: Log[Judgment], owned: Callable[[Judgment], bool]) -> Iterator[Judgment]:
    """Each reply once: one that was only read again, by another parser, keeps the time at which it was created."""
    before: dict[str, dict[float, Judgment]] = {}
    for row in log.replaced():
        before.setdefault(row.key, {})[row.created] = row
    for row in filter(owned, log):
        yield row
        yield from (other for created, other in before.get(row.key, {}).items() if created != row.created)


def _paid(usage: Usage, bound: Usage | None, cost: float | None, price: Price | None) -> Amount:
    """Cost at today's price where none is stored, and for what nobody counted, which no stored cost includes."""
    used, more = amount(usage, price), amount(bound or Usage(), price)
    return (used if cost is None else Amount(cost, used.tokens)) + more
