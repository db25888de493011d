"""A board of judges in sentences: which judge to choose on a set, or why the labels do not say."""

from __future__ import annotations

import math
from collections.abc import Iterator

from evalkit.audit.judge_board import BoardRow, BoardTable
from evalkit.audit.label_cells import LONGER
from evalkit.evidence.findings import counted

NAMED = 4
"""Judges, or items without a verdict, that are named in one sentence."""


def set_name(table: BoardTable) -> str:
    """The set, what of it, and the category, as ``rewardmath, best of 10, algebra``."""
    parts = [table.benchmark]
    if table.measure == "best of n":
        parts.append(
            f"best of {table.shown}" if table.fewest == table.shown else f"best of {table.fewest}-{table.shown}"
        )
    elif table.measure == "answers":
        parts.append("labels of answers")
    elif table.source == "people":
        parts.append("people's votes")
    return ", ".join([*parts, *([table.category] if table.category else [])])


def what_is_right(table: BoardTable) -> str:
    """What the main column counts, for a heading or an axis."""
    if table.measure == "best of n":
        return "every right answer strictly above every wrong one"
    return "right" if table.source == "gold" else "says what people say"


def answer(table: BoardTable) -> str:
    """Which judge to choose, in one line."""
    where, leaders, judges = set_name(table), table.leaders, table.judges
    if not judges:
        return f"{where}: no judge has a verdict on these labels."
    first = leaders[0]
    if len(judges) == 1:
        return f"{where}: one judge only: {_share(first)}{_beside_rules(table, first)}."
    if len(leaders) == 1:
        second = next(row for row in judges if row is not first)
        return (
            f"{where}: choose {_share(first)}, told apart from {_others(len(judges) - 1)}; the next, {second.name}, is "
            f"{_behind(table, first, second)} behind{_beside_rules(table, first)}."
        )
    named = ", ".join(_share(row) for row in leaders[:NAMED])
    more = f" and {len(leaders) - NAMED} more" if len(leaders) > NAMED else ""
    return f"{where}: not told apart: {named}{more}; {_more_labels(table)}{_beside_rules(table, first)}."


def _share(row: BoardRow) -> str:
    assert row.right is not None
    limits = ""
    if row.right.lower is not None and row.right.upper is not None:
        limits = f", 95% {100 * row.right.lower:.1f} to {100 * row.right.upper:.1f}"
    without = f"; no verdict on {row.failed:,} of {row.labels:,}" if row.failed else ""
    return f"{row.name} ({100 * row.right.estimate:.1f}%{limits}{without})"


def _others(number: int) -> str:
    return "the other one" if number == 1 else f"all {number} others"


def _behind(table: BoardTable, first: BoardRow, second: BoardRow) -> str:
    pair = table.difference(first.name, second.name)
    if pair is None or pair.interval is None or pair.interval.lower is None or pair.interval.upper is None:
        return "not comparable"
    ends = sorted((abs(pair.interval.lower), abs(pair.interval.upper)))
    return f"{100 * abs(pair.interval.estimate):.1f} points (95% {100 * ends[0]:.1f} to {100 * ends[1]:.1f})"


def _more_labels(table: BoardTable) -> str:
    """How many labels would tell the first two apart."""
    first, second = table.leaders[:2]
    pair = table.difference(first.name, second.name)
    if pair is None or pair.interval is None:
        return f"{first.name} and {second.name} have no label in common"
    needed = table.needed
    if needed is None:
        if abs(pair.interval.estimate) < 1e-12:
            return f"{first.name} and {second.name} are right equally often on the labels there are"
        return f"how many labels would tell {first.name} and {second.name} apart, these do not say"
    more = max(1, math.ceil(needed.estimate) - needed.n)
    return (
        f"about {more:,} more labels would tell {first.name} and {second.name} apart, 4 times in 5, if they differ as "
        "they seem to"
    )


def _beside_rules(table: BoardTable, first: BoardRow) -> str:
    """The rules that this judge is not clearly ahead of."""
    said = []
    for rule in (row for row in table.rows if row.kind == "rule" and row.right is not None):
        assert rule.right is not None
        pair = table.difference(first.name, rule.name)
        if pair is None or pair.interval is None:
            continue
        called = "the rule that prefers the longer answer" if rule.name == LONGER else f"the rule {rule.name}"
        share = f"{100 * rule.right.estimate:.1f}%"
        behind = pair.interval.estimate > 0 if pair.a == rule.name else pair.interval.estimate < 0
        if not pair.apart:
            said.append(f"{first.name} is not told apart from {called} ({share})")
        elif behind:
            said.append(f"{called} is right more often than {first.name} ({share}, told apart)")
    return "".join(f"; {text}" for text in said)


def remarks(table: BoardTable) -> Iterator[str]:
    """What a reader must know of a table: failures with the items, and uneven ones."""
    for row in table.rows:
        if row.failed:
            listed = ", ".join(row.items[:NAMED])
            rest = f" and {len(row.items) - NAMED:,} more" if len(row.items) > NAMED else ""
            strict = "" if row.strict is None else f"; as not right, they leave {100 * row.strict:.1f}%"
            yield (
                f"{row.name}: no verdict on {counted(row.failed, 'label')} of {row.labels:,}, of "
                f"{counted(len(row.items), 'question')} ({listed}{rest}){strict}"
            )
    yield from table.notes
