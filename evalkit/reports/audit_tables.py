"""Audit -> the terminal: judges beside each other, what may be concluded from each, findings, agreement by category.

Everything that came from a model or a file is made inert before it is printed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from evalkit.core.text import plain
from evalkit.evidence.findings import AgreementRow, Audit, Finding, Rating, Subject, counted
from evalkit.reports import leaderboard_tables
from evalkit.reports.audit_against import HEADERS, TITLE, by_judge, figure, named
from evalkit.reports.audit_judges import beside
from evalkit.reports.audit_metrics import (
    JudgeKey,
    counts,
    judge_key,
    judge_labels,
    limits,
    number,
    subject_name,
    topics,
    unbiased,
)
from evalkit.reports.audit_parts import PEOPLE, who
from evalkit.reports.audit_verdict import looked_at, verdict
from evalkit.reports.audit_verdict_people import VerdictBox

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

RATERS = 5
"""Columns of one table of ratings; more raters have a further table."""
MODELS = 6
"""Whose particulars are listed below what could not be measured."""
WIDE = 100
"""Columns from which a table also has one for what an unbiased judge has."""
FOLDED = 24
"""Rows of a table that are shown; the JSON and the page have all."""


def show(console: Console, audit: Audit) -> None:
    """Print an audit's tables to a terminal."""
    labels = judge_labels(audit)
    said = {judge_key(subject): verdict(audit, subject) for subject in audit.subjects}
    if (together := beside(audit, said)) is not None:
        leaderboard_tables.show(console, [together])
    for subject in audit.subjects:
        _box(console, subject, said[judge_key(subject)], labels[judge_key(subject)])
        _findings(console, audit, judge_key(subject), labels)
        _agreement(console, audit, subject)
    shown = {judge_key(subject) for subject in audit.subjects}
    for one in labels:
        if one not in shown:  # people among themselves
            _findings(console, audit, one, labels)
    _people(console, audit)
    _panels(console, audit)
    _ratings(console, audit)
    _against(console, audit)


def _box(console: Console, subject: Subject, said: VerdictBox, name: str) -> None:
    from rich.console import Group
    from rich.panel import Panel
    from rich.text import Text

    what = "pairs of answers" if subject.shows == 2 else "answers, one by one"
    lost = sum(subject.failed.values())
    head = (
        f"{counted(subject.judgments, 'judgment')} of {what}: {counted(len(subject.models), 'model')}, "
        f"{counted(subject.questions, 'question')}; {lost:,} failed; {counted(subject.votes, 'vote')} of people to "
        "compare with"
    )
    if subject.grades:
        head += f"; {subject.grades:,} scores of people"
    parts = [Text(head, style="dim")]
    for title, style, rows in (
        ("You may", "bold green", said.may),
        ("You may not", "bold red", said.may_not),
        ("Not known", "bold yellow", said.unknown),
    ):
        if rows:
            parts.append(Text(f"\n{title}", style=style))
            parts.extend(_bullet(row) for row in rows)
    if said.looked_at:
        parts.append(Text(f"\n{looked_at(said)}", style="dim"))
    heading = Text(f"What you may conclude from {plain(name)}")
    console.print(Panel(Group(*parts), title=heading, title_align="left", padding=(0, 1)))


def _bullet(sentence: str) -> Text:
    from rich.text import Text

    return Text(f"• {plain(sentence)}")


def _findings(console: Console, audit: Audit, judge: JudgeKey, labels: Mapping[JudgeKey, str]) -> None:
    mine = [row for row in audit.findings if judge_key(row) == judge and row.category is None]
    measured = [row for row in mine if row.estimate is not None and not row.measure.as_sentence]
    if measured:
        table = _table(f"Measured: {plain(labels[judge])}")
        wide = console.width >= WIDE
        headers = ["", "estimate", "95% interval", *(["unbiased"] if wide else []), "n"]
        for header, justify in zip(headers, ("left", *("right",) * 4), strict=False):
            table.add_column(header, justify=justify, overflow="fold")  # type: ignore[arg-type]
        for topic in topics(audit):
            rows = [row for row in measured if row.measure.topic.name == topic.name]
            if rows:
                table.add_section()
                table.add_row(_styled(topic.title), *[""] * (len(headers) - 1))
            for row in rows[:FOLDED]:
                table.add_row(*_cells(row, wide=wide))
            if len(rows) > FOLDED:
                table.add_row(f"  and {len(rows) - FOLDED} more: --format json or html", *[""] * (len(headers) - 1))
        console.print(table)
    for row in mine:
        if row.measure.as_sentence and row.estimate is not None:
            console.print(f"{plain(row.measure.label)}: {plain(row.sentence)}", markup=False, highlight=False)
            console.print()
    _lacking(console, [row for row in mine if row.not_measurable is not None])


def _lacking(console: Console, rows: Sequence[Finding]) -> None:
    """What could not be measured, and why; like reasons together, with each model's particulars."""
    reasons: dict[str, tuple[dict[str, None], dict[str, None]]] = {}
    for row in rows:
        needs, model = row.not_measurable or "", row.details.get("model")
        particulars = ""
        if model is not None:
            needs, _, particulars = needs.partition(":")
        metrics, about = reasons.setdefault(needs, ({}, {}))
        metrics[row.measure.label] = None
        if particulars:
            about[f"{model}: {particulars.strip()}"] = None
    if not reasons:
        return
    console.print("Not measurable:", style="bold", highlight=False)
    for needs, (metrics, about) in reasons.items():
        told = _some(metrics, 4, "; ")
        console.print(f"• {plain(told)} – {plain(needs)}", markup=False, highlight=False)
        for one in list(about)[:MODELS]:
            console.print(f"  {plain(one)}", markup=False, highlight=False)
        if len(about) > MODELS:
            console.print(f"  and {len(about) - MODELS} more models: --format json or html", highlight=False)
    console.print()


def _some(names: Iterable[str], most: int, between: str = ", ") -> str:
    told = list(names)
    return between.join(told[:most]) + (f" and {len(told) - most} more" if len(told) > most else "")


def _cells(row: Finding, *, wide: bool) -> list[str]:
    """Name, estimate, interval and rows; what an unbiased judge has, in a column or, where there is no room, below."""
    assert row.estimate is not None
    form, null = row.measure.unit.form, unbiased(row)
    name = f"  {plain(subject_name(row))}"
    if null and not wide and not null.endswith("chance"):
        name += f"; unbiased: {null}"
    cells = [_safe(name), number(row.estimate, form), limits(row.lower, row.upper, form, row.measure.unbiased)]
    return [*cells, *([null] if wide else []), counts(row)]


def _agreement(console: Console, audit: Audit, subject: Subject) -> None:
    rows = [
        row
        for row in audit.agreement
        if (row.benchmark, row.judge, row.protocol) == (subject.benchmark, subject.judge, subject.protocol)
    ]
    for other in dict.fromkeys(row.other for row in rows):
        _table_of(console, [row for row in rows if row.other == other], f"{subject.judge} with {other}")


def _people(console: Console, audit: Audit) -> None:
    judges = {(subject.benchmark, subject.judge, subject.protocol) for subject in audit.subjects}
    rows = [row for row in audit.agreement if (row.benchmark, row.judge, row.protocol) not in judges]
    for one, other, benchmark in dict.fromkeys((row.judge, row.other, row.benchmark) for row in rows):
        mine = [row for row in rows if (row.judge, row.other, row.benchmark) == (one, other, benchmark)]
        _table_of(console, mine, f"{one} with {other}" if one != other else f"{one}: one with another")


def _panels(console: Console, audit: Audit) -> None:
    """What several judges are worth together."""
    for panel in audit.panels:
        among = f" on {plain(panel.benchmark)}" if len({one.benchmark for one in audit.panels}) > 1 else ""
        console.print(_bold(f"Panel{among}: same verdict on {panel.cases:,} cases ({plain(panel.protocol)})"))
        table = _table("")
        table.add_column("", overflow="fold", min_width=12)
        for name in panel.judges[1:][:RATERS]:
            table.add_column(_safe(plain(name)), justify="right", overflow="fold")
        for place, name in enumerate(panel.judges[:-1]):
            shares = panel.same[place][1 : RATERS + 1]
            table.add_row(_safe(plain(name)), *(f"{x:.0%}" if k >= place else "" for k, x in enumerate(shares)))
        console.print(table)
        for said in panel.sentences():
            console.print(_bullet(plain(said)))
        console.print()


def _ratings(console: Console, audit: Audit) -> None:
    """Models down, raters across, people first: Elo of pairs, mean scores of single grading."""
    benchmarks = list(dict.fromkeys([*(row.benchmark for row in audit.ratings), *audit.rating_notes]))
    for benchmark in benchmarks:
        rows = [row for row in audit.ratings if row.benchmark == benchmark]
        about = [plain(note) for note in audit.rating_notes.get(benchmark, ())]
        if not rows:
            console.print(*(_safe(note) for note in about), sep="\n")
            continue
        raters = sorted(dict.fromkeys((row.rater, row.protocol) for row in rows), key=lambda one: one[0] != PEOPLE)
        each = max(1, min(RATERS, (console.width - 20) // 20))
        parts = [raters[start : start + each] for start in range(0, len(raters), each)]
        for place, some in enumerate(parts):
            title = "Ratings" + (f" on {plain(benchmark)}" if len(benchmarks) > 1 else "")
            title += f", {place + 1} of {len(parts)}" if len(parts) > 1 else ""
            last = place == len(parts) - 1
            console.print(_rated(title, rows, raters, some, about if last else []))


def _against(console: Console, audit: Audit) -> None:
    """Correlations with automatic benchmarks, and what they come to; the page and the JSON have all sentences."""
    for (benchmark, judge, _), rows in by_judge(audit).items():
        table = _table(f"{TITLE}: {plain(judge)} on {plain(benchmark)}")
        table.add_column("", overflow="fold", min_width=24)
        for header in HEADERS[1:]:
            table.add_column(header, justify="right", no_wrap=header == "n")
        for row in rows:
            cells = [" ".join(filter(None, figure(one))) for one in (row.rank, row.linear)]
            table.add_row(_safe(plain(named(row))), f"{row.n:,}", *cells)
        console.print(table)
        for row in rows:
            if not row.fixed and not row.within:
                console.print(_bullet(plain(row.sentence)))
        console.print()


def _rated(
    title: str,
    rows: Sequence[Rating],
    raters: Sequence[tuple[str, str]],
    some: Sequence[tuple[str, str]],
    about: Sequence[str],
) -> Table:
    """Table of some of the raters, as many as fit beside each other."""
    cells = {(row.rater, row.protocol, row.model): row for row in rows}
    table = _table(title)
    table.add_column("", overflow="fold", min_width=12)
    for rater, protocol in some:
        alone = [name for name, _ in raters].count(rater) == 1 or not protocol
        header = who(rater) if alone else f"{who(rater)} ({protocol})"
        table.add_column(_safe(plain(header)), justify="right", overflow="fold")
    listed = dict.fromkeys(row.model for one in some for row in rows if (row.rater, row.protocol) == one)
    for model in list(listed)[:FOLDED]:
        table.add_row(_safe(plain(model)), *(_rating(cells.get((*one, model))) for one in some))
    notes = [f"and {len(listed) - FOLDED} more models"] if len(listed) > FOLDED else []
    if any(row.elo is not None for row in rows):
        notes.insert(0, "Bradley-Terry on Elo's scale: 400 points are odds of 10, the mean is 1000")
    if notes or about:
        table.caption = _safe("\n".join([*(["; ".join(notes)] if notes else []), *about]))
        table.caption_justify = "left"
    return table


def _rating(row: Rating | None) -> str:
    if row is None:
        return "–"
    value, low, high, digits = (
        (row.rating, row.lower, row.upper, 2) if row.elo is None else (row.elo, row.elo_lower, row.elo_upper, 0)
    )
    limits = "" if low is None or high is None else f" ({low:z.{digits}f}–{high:z.{digits}f})"
    return f"{value:z.{digits}f}{limits}"


def _table_of(console: Console, rows: Sequence[AgreementRow], title: str) -> None:
    """Lines are turns and categories, the two setups side by side."""
    wide = console.width >= 110
    kappa = any(row.kappa is not None for row in rows)
    longer = any(row.length_only is not None for row in rows)
    shrunk = any(row.shrunk is not None for row in rows)
    table = _table(f"Agreement: {plain(title)}")
    table.add_column("", overflow="fold")
    for setup, about in (("S1", "all votes"), ("S2", "no ties, of all")):
        headers = [f"{setup} ({about})"]
        headers += [name for name, there in (("95%", wide), ("kappa", wide and kappa)) if there]
        headers += [name for name, there in (("longer*", longer), ("kappa*", longer and wide and kappa)) if there]
        for header in headers:
            table.add_column(header, justify="right", no_wrap=True)
    cells = {(row.turn, row.category, str(row.setup)): row for row in rows}
    before = None
    for turn, category in dict.fromkeys((row.turn, row.category) for row in rows):
        if category is not None and before is None:
            table.add_section()
        before = category
        line = ["all" if turn is None else f"turn {turn}"] if category is None else [_safe(plain(category))]
        for setup in ("S1", "S2"):
            row = cells.get((turn, category, setup))
            line += _agreement_cells(row, wide=wide, kappa=kappa, longer=longer)
        table.add_row(*line)
    notes = [f"* of a rule that always prefers the longer answer, {_known(rows)}"] if longer else []
    if shrunk:
        notes.append("† fewer than 50 votes; → drawn towards the other categories")
    if notes:
        table.caption = "; ".join(notes)
        table.caption_justify = "left"
    console.print(table)


def _known(rows: Sequence[AgreementRow]) -> str:
    """Says on how many votes the rule that goes by length could be tried."""
    whole = [row for row in rows if row.category is None and row.length_only is not None]
    first = {row.setup: row for row in reversed(whole)}  # all turns together, if there is such a row
    if all(row.length_only_total in (None, row.total) for row in first.values()):
        return "on the same votes"
    counts = (f"{row.length_only_total:,} of {row.total:,} ({setup})" for setup, row in sorted(first.items()))
    return f"where both lengths are known: {', '.join(counts)}"


def _agreement_cells(row: AgreementRow | None, *, wide: bool, kappa: bool, longer: bool) -> list[str]:
    size = 1 + (1 + kappa) * wide + longer * (1 + (wide and kappa))
    if row is None or not row.total:
        return ["–"] * size
    agree = f"{row.agree:.0f}" if float(row.agree).is_integer() else f"{row.agree:.1f}"
    small = f" †→{100 * row.shrunk:.0f}%" if row.shrunk is not None else ""
    every = f" of {row.out_of}" if row.out_of is not None else ""
    cells = [f"{100 * row.agree / row.total:.1f}% ({agree}/{row.total}{every}){small}"]
    if wide:
        low, high = row.lower, row.upper
        cells.append("–" if low is None or high is None else f"{100 * low:.0f}–{100 * high:.0f}%")
        if kappa:
            cells.append("–" if row.kappa is None else f"{row.kappa:z.2f}")
    if longer:
        cells.append("–" if row.length_only is None else f"{100 * row.length_only:.0f}%")
        if wide and kappa:
            cells.append("–" if row.length_only_kappa is None else f"{row.length_only_kappa:z.2f}")
    return cells


def _table(title: str) -> Table:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    return Table(title=Text(title, style="bold"), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)


def _bold(text: str) -> Text:
    from rich.text import Text

    return Text(text, style="bold")


def _safe(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _styled(text: str) -> str:
    return f"[bold]{_safe(text)}[/bold]"
