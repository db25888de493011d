"""Answers that are stored and are to be judged without asking anybody for one: whose, and to which questions."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Ref
from evalkit.ratings.judgment_columns import rater_kind
from evalkit.storage.results import answer_logs, judged_rows


@dataclass(frozen=True)
class GivenAnswers:
    """Stored answers of some models, each in the configuration that answered last."""

    root: Path
    """The results folder of the benchmark."""
    models: tuple[Ref, ...]
    items: frozenset[str]
    """What they answered."""
    failed: int
    """Answers that are failures: nothing can be judged of them."""
    replaced: int
    """Answers of earlier configurations, left out."""
    again: int
    """Further answers of a model to the same item."""
    labelled: frozenset[tuple[str, str]] = frozenset()
    """Pairs of answers with a label, by their ids in order, where judges are put to those alone."""

    def notes(self, *, pairwise: bool) -> list[str]:
        """What a reader of the results must know of them."""
        said = []
        if self.failed:
            said.append(f"{self.failed:,} answers are failures: they are not judged, and count as failed")
        if self.replaced:
            said.append(f"{self.replaced:,} answers of earlier configurations of the same models are left out")
        if self.again and pairwise and not self.labelled:
            said.append(
                f"{self.again:,} answers are further ones to the same question: of a model's answers, the first meets "
                "those of others"
            )
        return said


def given_answers(root: Path, wanted: Sequence[str] = ()) -> GivenAnswers:
    """Find the stored answers of a benchmark.

    Args:
        root: its results folder.
        wanted: names of models; empty: all.

    Raises:
        UsageError: there are none, or none of a model that is wanted.
    """
    latest: dict[str, Ref] = {}
    rows: Counter[Ref] = Counter()
    failed: Counter[Ref] = Counter()
    again: Counter[Ref] = Counter()
    items: dict[Ref, set[str]] = {}
    for log in answer_logs([root]):
        for row in log:
            latest[row.model.name] = row.model
            rows[row.model] += 1
            failed[row.model] += row.error is not None
            again[row.model] += row.sample > 0
            items.setdefault(row.model, set()).add(row.item)
    if not latest:
        raise UsageError(f"no answers in {str(root)!r}; `evalkit import` or `evalkit run` brings some")
    chosen = [latest[name] for name in _chosen(wanted, latest)]
    earlier = sum(rows[model] for model in rows if model.name in {ref.name for ref in chosen} and model not in chosen)
    return GivenAnswers(
        root,
        tuple(chosen),
        frozenset(item for model in chosen for item in items[model]),
        sum(failed[model] for model in chosen),
        earlier,
        sum(again[model] for model in chosen),
    )


def labelled_answers(root: Path) -> GivenAnswers:
    """The stored answers of a set with labels, and which two of them a label compares.

    Args:
        root: the results folder of the set.

    Raises:
        UsageError: it has no answers, or no labels.
    """
    pairs = frozenset(
        (min(row.shown), max(row.shown))
        for log in judged_rows([root])
        for row in log
        if len(row.shown) == 2 and rater_kind(row.judge) != "judge"
    )
    if not pairs:
        raise UsageError(f"no label in {str(root)!r} compares two answers; labels are those of gold, or people's votes")
    return replace(given_answers(root), labelled=pairs)


def _chosen(wanted: Sequence[str], known: Collection[str]) -> list[str]:
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UsageError(f"no answers of {name!r}{hint} There are those of: {', '.join(sorted(known))}")
    return list(dict.fromkeys(wanted)) or sorted(known)
