"""Agreement -> a section of the audit page: the overall counts, and by category as a figure and a heat map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evalkit.evidence.findings import AgreementRow, Audit, Setup
from evalkit.reports.audit_figures import SHARES, Figure, Forest, Mark
from evalkit.reports.audit_parts import NONE, Cell, Section, Table, shade, who

CHANCE = {"S1": 1 / 3, "S2": 1 / 2}
FEW = 50
"""Votes below which a category is marked."""
SERIES = 4
SETUPS = (
    "S1 counts every vote, a tie being a verdict; chance alone gives 33%. "
    "S2 counts only pairs where neither side calls it a tie, so that it matters how many those are; chance alone gives "
    "50%. "
    "“Same winner” counts the votes that name a winner: a verdict that names none is wrong there. "
    "Shading runs from chance to full agreement. “Length alone” is what a rule that always prefers the longer answer "
    "would get: on the same votes, or on as many as are given, where not all lengths are known; among people it stands "
    "in for either of two. “Shrunk” is a small category's share drawn towards that of the others."
)


Names = Mapping[tuple[str, str, str, str], str]
"""What to call a pair of raters, by benchmark, judge, protocol and the other."""


def _who(row: AgreementRow) -> tuple[str, str, str, str]:
    return row.benchmark, row.judge, row.protocol, row.other


def _names(rows: Sequence[AgreementRow]) -> Names:
    """Benchmark and protocol only where they tell two apart."""
    every = list(dict.fromkeys(_who(row) for row in rows))
    many = len({benchmark for benchmark, *_ in every}) > 1
    result = {}
    for benchmark, judge, protocol, other in every:
        alone = len({one[2] for one in every if (one[0], one[1]) == (benchmark, judge)}) == 1
        extra = ([benchmark] if many else []) + ([] if alone else [protocol])
        name = f"{who(judge)} with {'one another' if judge == other else who(other)}"
        result[benchmark, judge, protocol, other] = f"{name} ({', '.join(extra)})" if extra else name
    return result


def _share(row: AgreementRow | None) -> Cell:
    """The share, its limits, counts, and what the longer answer would have got."""
    if row is None or not row.total:
        return NONE
    share = row.agree / row.total
    limits = "" if row.lower is None or row.upper is None else f"{100 * row.lower:.0f}–{100 * row.upper:.0f}%"
    counted = f"{row.agree:,.0f}" if row.agree == int(row.agree) else f"{row.agree:,.1f}"
    small = [f"{counted} of {row.total:,}"]
    if row.out_of is not None:
        small[0] += f", of {row.out_of:,} votes"
    if row.category is not None and row.total < FEW:
        small[0] += " (few)"
    if row.correct is not None:
        small.append(f"same winner {row.correct:.1%}")
    if row.shrunk is not None:
        small.append(f"shrunk {row.shrunk:.1%}")
    if row.length_only is not None:
        some = row.length_only_total not in (None, row.total)
        small.append(f"length alone {row.length_only:.1%}" + (f" of {row.length_only_total:,}" if some else ""))
    text = "; ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in small)
    return Cell(f"{share:.1%}", limits, shade(share, CHANCE[row.setup]), text)


def _kappa(row: AgreementRow | None) -> Cell:
    if row is None or row.kappa is None:
        return NONE
    alone = "" if row.length_only_kappa is None else f"length alone {row.length_only_kappa:z.3f}"
    return Cell(f"{row.kappa:z.3f}", small=alone.replace(" ", "\N{NO-BREAK SPACE}"))


def agreement(audit: Audit) -> Section | None:
    """How often the judge says what people (or gold labels, or other judges) say."""
    rows = audit.agreement
    if not rows:
        return None
    called = _names(rows)
    parts: list[Table | Figure] = []
    if overall := _overall([row for row in rows if row.category is None], called):
        parts.append(overall)
    local = [row for row in rows if row.category is not None and row.total]
    if any(row.turn is None for row in local):
        local = [row for row in local if row.turn is None]
    if local:
        parts += _by_category(local, called)
        parts += _heat(local, called)
    return Section(id="agreement", title="Agreement", says=SETUPS, parts=tuple(parts))


def _overall(rows: Sequence[AgreementRow], called: Names) -> Table | None:
    groups: dict[tuple[str, int | None], dict[str, AgreementRow]] = {}
    for row in rows:
        groups.setdefault((called[_who(row)], row.turn), {})[row.setup] = row
    if not groups:
        return None
    cells: list[tuple[Cell, ...]] = []
    breaks: set[int] = set()
    before = ""
    for (name, turn), found in groups.items():
        if before not in ("", name):
            breaks.add(len(cells))
        line = [Cell("" if before == name else name), Cell("all" if turn is None else str(turn))]
        before = name
        for setup in ("S1", "S2"):
            cell = found.get(setup)
            line += [_share(cell), _kappa(cell)]
        cells.append(tuple(line))
    headers = ("who", "turn", "S1 agreement", "S1 kappa", "S2 agreement", "S2 kappa")
    return Table(
        title="Agreement over all categories",
        headers=headers,
        rows=tuple(cells),
        breaks=frozenset(breaks),
    )


def overall_figure(rows: Sequence[AgreementRow]) -> Forest | None:
    """Agreement over all categories and turns, by both setups; None where there is none."""
    whole = [row for row in rows if row.category is None and row.total]
    if any(row.turn is None for row in whole):
        whole = [row for row in whole if row.turn is None]
    called = _names(whole)
    cells = {(_label(row, called), row.setup): Mark(row.agree / row.total, row.lower, row.upper) for row in whole}
    pairs = list(dict.fromkeys(label for label, _ in cells))[:30]
    if not pairs:
        return None
    setups: tuple[tuple[Setup, str], ...] = (("S1", "S1: all votes"), ("S2", "S2: no ties"))
    return Forest(
        alt=f"Agreement of {len(pairs)} pairs of raters, over all categories",
        unit="agreement, with 95% interval",
        rows=tuple(pairs),
        series={
            text: [cells.get((pair, setup)) for pair in pairs]
            for setup, text in setups
            if any((pair, setup) in cells for pair in pairs)
        },
        span=SHARES,
    )


def _label(row: AgreementRow, called: Names) -> str:
    return called[_who(row)] + ("" if row.turn is None else f", turn {row.turn}")


def _heat(rows: Sequence[AgreementRow], called: Names) -> list[Table]:
    """Categories down, pairs of raters across, a few pairs a table."""
    pairs = list(dict.fromkeys(_label(row, called) for row in rows))
    listed = list(dict.fromkeys(row.category for row in rows))
    cells: dict[tuple[str, str | None, str], AgreementRow] = {
        (_label(row, called), row.category, row.setup): row for row in rows
    }
    result = []
    for start in range(0, len(pairs), 2):
        some = [(pair, setup) for pair in pairs[start : start + 2] for setup in ("S1", "S2")]
        some = [(pair, setup) for pair, setup in some if any((pair, one, setup) in cells for one in listed)]
        lines = [(Cell(one or ""), *(_share(cells.get((pair, one, setup))) for pair, setup in some)) for one in listed]
        result.append(
            Table(
                title="Agreement by category",
                headers=("category", *(f"{pair}, {setup}" for pair, setup in some)),
                rows=tuple(lines),
                folded=start >= 4,
            )
        )
    return result


def _by_category(rows: Sequence[AgreementRow], called: Names) -> list[Figure]:
    """Same winners, which a judge cannot raise by naming few; where nothing tells of them, agreement."""
    mine = [row for row in rows if row.correct is not None]
    unit = "names the same winner; naming none is wrong"
    if not mine:
        setup = "S1" if any(row.setup == "S1" for row in rows) else "S2"
        mine, unit = [row for row in rows if row.setup == setup], f"{setup} agreement"
    categories = list(dict.fromkeys(row.category or "" for row in mine))[:30]
    cells = {(_label(row, called), row.category): _mark(row) for row in mine}
    pairs = list(dict.fromkeys(label for label, _ in cells))[:SERIES]
    return [
        Forest(
            alt=f"{unit}, by category; the table below has the numbers",
            unit=unit,
            rows=tuple(categories),
            series={pair: [cells.get((pair, one)) for one in categories] for pair in pairs},
            span=SHARES,
        )
    ]


def _mark(row: AgreementRow) -> Mark:
    if row.correct is None:
        return Mark(row.agree / row.total, row.lower, row.upper)
    return Mark(row.correct, row.correct_lower, row.correct_upper)
