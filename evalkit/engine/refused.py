"""Over-refusal and harm of a run's models, from what is stored of it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from evalkit.core.schema import Judged, Response
from evalkit.engine.experiment import Experiment
from evalkit.ratings import refusals
from evalkit.ratings.judgment_columns import rater_kind
from evalkit.ratings.standing import Board
from evalkit.storage.results import judged_rows
from evalkit.storage.store import Store


def refused(experiment: Experiment, store: Store) -> tuple[Board, set[tuple[str, str]]]:
    """Over-refusal and harm, where there are verdicts on refusals; and judge and protocol of these.

    Labels of people for the same answers, which may be stored beside them, count too.
    """
    items = {item.id: item for item in experiment.benchmark.items}
    protocols = {judge.protocol.name for judge in experiment.judges}
    if not refusals.may_be_told(items.values(), protocols):
        return Board(), set()
    refs = {*(candidate.ref for candidate in experiment.candidates), *experiment.given}
    answers = [row for row in taking_part(experiment, store) if row.model in refs]
    rows = chain(labels_of_people(experiment, store), experiment.judgments(store))
    found = refusals.read(rows, {item.benchmark: items for item in items.values()}, answers)
    return refusals.board(found), {who for one in found for who in one.taken}


def labels_of_people(experiment: Experiment, store: Store) -> Iterator[Judged]:
    """What people said of single answers of this experiment, of what is stored beside its judgments."""
    if not store.root.exists():
        return
    for rows in judged_rows([store.root]):
        first = next(iter(rows), None)
        if first is not None and rater_kind(first.judge) != "judge":
            yield from (row for row in rows if experiment.covers(row))


def taking_part(experiment: Experiment, store: Store) -> Iterator[Response]:
    """The stored answers of the models that take part to the questions asked."""
    stored = (row for name in experiment.names for row in store.responses(name))
    return (row for row in stored if row.item in experiment.item_ids)
