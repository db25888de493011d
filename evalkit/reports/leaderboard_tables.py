"""Standings -> terminal tables, JSON, CSV, Markdown and LaTeX."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evalkit.core.text import plain, safe_cell
from evalkit.ratings.differences import MAX_T, PAIRED_T, ModelDifference
from evalkit.ratings.refusals import METHOD as REFUSALS
from evalkit.ratings.standing import Standing
from evalkit.reports import terminal
from evalkit.reports.grid import Grid

if TYPE_CHECKING:
    from rich.console import Console

    from evalkit.stats.resample import Interval

LEADERBOARD_SCHEMA = "evalkit.leaderboard/1"
ALONE = ("score", REFUSALS)
"""Methods that rate a model by its own answers alone, without comparisons."""


def rows(standings: Iterable[Standing], *, by_category: bool = False) -> list[dict[str, Any]]:
    """The leaderboard as plain data: each estimate with limits, those of the main one as ``lower`` and ``upper``."""
    return [_row(standing) for standing in standings if (standing.category is not None) == by_category]


def _row(standing: Standing) -> dict[str, Any]:
    row: dict[str, Any] = {"model": standing.model}
    if standing.category is not None:
        row["category"] = standing.category
    for place, (name, estimate) in enumerate(standing.estimates.items()):
        prefix = "" if place == 0 else f"{name}_"
        row |= {name: estimate.estimate if estimate else None, **_limits(prefix, estimate)}
    compared = {
        "wins": standing.wins,
        "losses": standing.losses,
        "ties": standing.ties,
        "method": standing.method,
        "baseline": standing.about.baseline,
    }
    if standing.method == REFUSALS and standing.about.notes:
        row["notes"] = "; ".join(standing.about.notes)
    return row | {
        **(compared if standing.method not in ALONE else {}),
        **standing.columns,
        "n": standing.n,
        "failed": sum(standing.failed.values()),
        "failed_by_kind": standing.failed,
        "judge": standing.judge,
        "protocol": standing.protocol,
        "benchmark": standing.benchmark,
    }


def _limits(prefix: str, estimate: Interval | None) -> dict[str, float | None]:
    return {
        f"{prefix}lower": estimate.lower if estimate else None,
        f"{prefix}upper": estimate.upper if estimate else None,
    }


def tables(standings: Iterable[Standing], *, by_category: bool = False) -> list[dict[str, Any]]:
    """For each table of comparisons, the facts that its rows have in common."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in standings:
        if (row.category is not None) != by_category or row.method in ALONE:
            continue
        about = row.about
        found[row.benchmark, row.judge, row.protocol, row.method, row.category or ""] = {
            "benchmark": row.benchmark,
            "judge": row.judge,
            "protocol": row.protocol,
            "category": row.category,
            "method": row.method,
            "baseline": about.baseline,
            "separability": about.separability,
            "tie_parameter": about.tie,
            "style_effects": {
                name: {"estimate": effect.estimate, **_limits("", effect)}
                for name, effect in about.coefficients.items()
            },
            "notes": list(about.notes),
        }
    return list(found.values())


def differences(standings: Iterable[Standing], *, by_category: bool = False) -> list[dict[str, Any]]:
    """For each table, every two of its models beside each other, and the ranks that these leave open."""
    found: dict[tuple[str, ...], dict[str, Any]] = {}
    for row in standings:
        listed = row.about.differences
        table = (row.benchmark, row.judge, row.protocol, row.method, row.category or "")
        if (row.category is not None) != by_category or listed is None or table in found:  # its rows share them
            continue
        found[table] = {
            "benchmark": row.benchmark,
            "judge": row.judge,
            "protocol": row.protocol,
            "category": row.category,
            "method": row.method,
            "estimate": next(iter(row.estimates)),
            "limits": MAX_T if len(listed.pairs) > 1 else PAIRED_T,
            "level": listed.level,
            "pairwise_level": listed.pairwise,
            "models": listed.models,
            "ranks": [{"model": name, "best": best, "worst": worst} for name, (best, worst) in listed.ranks.items()],
            "pairs": [pair_data(pair) for pair in listed.pairs],
            "notes": listed.notes,
        }
    return list(found.values())


def pair_data(pair: ModelDifference) -> dict[str, Any]:
    """A pair of models, or judges, as plain data."""
    found = pair.interval
    worst = pair.worst or (None, None)
    return {
        "a": pair.a,
        "b": pair.b,
        "difference": found.estimate if found else None,
        **_limits("", found),
        "standard_error": found.standard_error if found else None,
        "n": found.clusters if found else 0,
        "told_apart": pair.apart,
        "failed_a": pair.failed[0],
        "failed_b": pair.failed[1],
        "worst_case_lower": worst[0],
        "worst_case_upper": worst[1],
        "reason": found.reason if found else "no question that both have a verdict on",
    }


def to_json(standings: list[Standing], notes: list[str], *, by_category: bool = False) -> str:
    """The leaderboard as JSON, with its schema; of comparisons also what the rows of a table share, and all notes."""
    content: dict[str, Any] = {"schema": LEADERBOARD_SCHEMA, "rows": rows(standings, by_category=by_category)}
    if found := differences(standings, by_category=by_category):
        content["differences"] = found
    if shared := tables(standings, by_category=by_category):
        content |= {"tables": shared, "notes": notes}
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)


def to_csv(standings: list[Standing], *, by_category: bool = False) -> str:
    """The leaderboard as CSV, in full precision; failures by kind are JSON in one field."""
    listed = rows(standings, by_category=by_category)
    return csv_of([{**row, "failed_by_kind": json.dumps(row["failed_by_kind"])} for row in listed])


def csv_of(listed: Sequence[Mapping[str, Any]]) -> str:
    """Rows as CSV, in full precision; no text is a formula to a spreadsheet."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(key for row in listed for key in row)), lineterminator="\n")
    writer.writeheader()
    for row in listed:
        writer.writerow({key: safe_cell(value) if isinstance(value, str) else value for key, value in row.items()})
    return out.getvalue().rstrip("\n")


def to_markdown(grids: Iterable[Grid]) -> str:
    """The tables as Markdown, each under its title."""
    parts = []
    for grid in grids:
        rule = [" --- " if column < grid.left else " ---: " for column in range(len(grid.headers))]
        lines = [f"**{markdown_text(grid.title)}**", "", "| " + " | ".join(map(markdown_text, grid.headers)) + " |"]
        lines.append("|" + "|".join(rule) + "|")
        lines += ["| " + " | ".join(markdown_text(cell.joined) for cell in row) + " |" for row in grid.rows]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def to_latex(grids: Iterable[Grid]) -> str:
    """The tables as LaTeX, in the style of the booktabs package, which the document must load."""
    parts = []
    for grid in grids:
        columns = "".join("l" if column < grid.left else "r" for column in range(len(grid.headers)))
        lines = [
            r"\begin{table}",
            r"\centering",
            f"\\caption{{{latex_text(grid.title)}}}",
            f"\\begin{{tabular}}{{{columns}}}",
        ]
        lines += [r"\toprule", " & ".join(map(latex_text, grid.headers)) + r" \\", r"\midrule"]
        for place, row in enumerate(grid.rows):
            lines += [r"\midrule"] if place in grid.breaks else []
            lines.append(" & ".join(latex_text(cell.joined) for cell in row) + r" \\")
        parts.append("\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"]))
    return "\n\n".join(parts)


LATEX = {
    **{char: "\\" + char for char in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "–": "--", "[": "{[}", "]": "{]}"},
}
"""Replacements of characters that LaTeX would take for something else."""


def latex_text(text: str) -> str:
    """Text as LaTeX prints it, whatever it holds."""
    return "".join(LATEX.get(char, char) for char in plain(text))


def markdown_text(text: str) -> str:
    """Text as Markdown shows it, whatever it holds."""
    return re.sub(r"[\\|\[\]`*_]", r"\\\g<0>", plain(text)).replace("&", "&amp;").replace("<", "&lt;")


def show(console: Console, grids: Iterable[Grid]) -> None:
    """Print tables with their notes to a terminal."""
    from rich.text import Text

    for grid in grids:
        console.print(Text(plain(grid.title), style="bold"))
        for table in terminal.tables(grid, console.width):
            console.print(table)
        for note in grid.notes:
            console.print(Text(plain(note), style="yellow" if _warns(note) else "dim"))
        console.print()


def say(console: Console, sentences: Iterable[str]) -> None:
    """Print sentences before the tables that they sum up."""
    from rich.text import Text

    listed = list(sentences)
    for sentence in listed:
        console.print(Text(plain(sentence), style="bold"))
    if listed:
        console.print()


def _warns(note: str) -> bool:
    return "not " in note or "without a verdict" in note
