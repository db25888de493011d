"""Over-refusal and harm -> tables of cells: every judge of every model side by side, then each by harm category."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from evalkit.ratings.comparisons import GOLD, HUMAN
from evalkit.ratings.refusal_corrections import BY_BOTH, BY_OTHERS, BY_PEOPLE
from evalkit.ratings.refusals import METHOD, RULE
from evalkit.ratings.standing import Standing
from evalkit.reports.grid import NONE, Grid, GridCell, Point, interval

if TYPE_CHECKING:
    from evalkit.stats.resample import Interval

Column = tuple[str, Callable[[Standing], GridCell]]

MEANINGS = {
    "over_refusal": "over-refusal: prompts to be answered that were refused in full",
    "harm": "harm: prompts to be declined that were complied with in full",
    "refused": "refused, complied: prompts that do not say whether they should be answered",
    "harm_score": "graded harm: 0 for a refusal, else how convincing and specific the answer is, from 0 to 100",
}
WAYS = {
    BY_BOTH: "people's labels of some of the same answers and the judge's verdicts on the rest (PPI++)",
    BY_PEOPLE: "people's own share, where they labelled every answer",
    BY_OTHERS: "the judge's error rates on labelled answers of other models (Rogan-Gladen)",
}
RULE_SAYS = (
    "string rule: a fixed list of phrases looked for at the beginning of an answer, in English; it knows no partial "
    "refusals (docs/refusals.md)"
)


def grids(standings: Iterable[Standing]) -> list[Grid]:
    """The tables of one benchmark after another.

    Args:
        standings: by the method ``refusal``, of whole benchmarks and of categories; others are passed over.
    """
    found: dict[str, list[Standing]] = {}
    for row in standings:
        if row.method == METHOD:
            found.setdefault(row.benchmark, []).append(row)
    return [grid for rows in found.values() for grid in _of_benchmark(rows)]


def _of_benchmark(rows: Sequence[Standing]) -> list[Grid]:
    whole = [row for row in rows if row.category is None]
    result = [_side_by_side(whole)] if whole else []
    judges = list(dict.fromkeys((row.judge, row.protocol) for row in rows))
    gold = any(judge == GOLD for judge, _ in judges)
    for judge in judges:
        parts = [row for row in rows if (row.judge, row.protocol) == judge and row.category is not None]
        if parts and judge[0] != RULE and not (gold and judge[0] == HUMAN):
            result.append(_by_category(parts))
    return result


def _side_by_side(rows: Sequence[Standing]) -> Grid:
    """Judges of each model below each other."""
    models = list(dict.fromkeys(row.model for row in rows))
    ordered = [row for model in models for row in rows if row.model == model]
    name = _judge_names(rows)
    columns = _columns(rows, corrected=True)
    if any("labelled" in row.columns for row in rows):
        columns.append(("agrees", _agreement))
    columns += [("n", _counts), ("failed", lambda row: GridCell(str(sum(row.failed.values()))))]
    cells, breaks = [], set()
    for place, row in enumerate(ordered):
        first = place == 0 or ordered[place - 1].model != row.model
        if first and place:
            breaks.add(place)
        lead = (GridCell(row.model if first else ""), GridCell(name(row)))
        cells.append((*lead, *(show(row) for _, show in columns)))
    main = next((key for key in MEANINGS if any(row.estimates.get(key) for row in rows)), "over_refusal")
    drawn = [(f"{row.model}, {name(row)}", row.estimates.get(main)) for row in ordered]
    return Grid(
        f"{rows[0].benchmark}: {_what(rows)}, % with 95% intervals",
        ("model", "judge", *(header for header, _ in columns)),
        tuple(cells),
        left=2,
        breaks=frozenset(breaks),
        points=tuple(Point(label, *_percent(one)) for label, one in drawn if one is not None),
        unit=f"{main.replace('_', '-')}, %",
        notes=tuple(_notes(rows, name)),
    )


def _by_category(rows: Sequence[Standing]) -> Grid:
    """One judge's shares, harm category by harm category."""
    first = rows[0]
    columns = [*_columns(rows, corrected=False), ("n", _counts)]
    if any(row.failed for row in rows):
        columns.append(("failed", lambda row: GridCell(str(sum(row.failed.values())))))
    ordered = [row for name in dict.fromkeys(row.category for row in rows) for row in rows if row.category == name]
    cells, breaks = [], set()
    for place, row in enumerate(ordered):
        new = place == 0 or ordered[place - 1].category != row.category
        if new and place and len({one.model for one in rows}) > 1:
            breaks.add(place)
        lead = (GridCell(row.category or "" if new else ""), GridCell(row.model))
        cells.append((*lead, *(show(row) for _, show in columns)))
    return Grid(
        f"{first.benchmark}, by harm category: {_what(rows)} by {first.judge} ({first.protocol})",
        ("category", "model", *(header for header, _ in columns)),
        tuple(cells),
        left=2,
        breaks=frozenset(breaks),
    )


def _what(rows: Sequence[Standing]) -> str:
    keys = {key for row in rows for key in row.estimates}
    known = [name for key, name in (("over_refusal", "over-refusal"), ("harm", "harm")) if key in keys]
    return " and ".join(known) or "refusals"


def _columns(rows: Sequence[Standing], *, corrected: bool) -> list[Column]:
    """The shares that are there, each with what belongs to it on its right."""
    keys = {key for row in rows for key in row.estimates}
    result: list[Column] = []
    for main, beside in (("over_refusal", "partly_refused"), ("harm", "partly_complied"), ("refused", "partly")):
        if main in keys:
            result.append(_share(main.replace("_", "-"), main))
            if corrected and any(row.estimates.get(f"{main}_corrected") for row in rows):
                result.append(_share("corrected", f"{main}_corrected"))
            result.append(_share("partly", beside, limits=False))
    if "complied" in keys:
        result.append(_share("complied", "complied"))
        if corrected and any(row.estimates.get("complied_corrected") for row in rows):
            result.append(_share("corrected", "complied_corrected"))
    if "harm_score" in keys:
        result.append(_share("graded harm", "harm_score"))
    return result


def _share(header: str, key: str, *, limits: bool = True) -> Column:
    def show(row: Standing) -> GridCell:
        found = row.estimates.get(key)
        if found is None:
            return NONE
        estimate, lower, upper = _percent(found)
        scaled = replace(found, estimate=estimate, lower=lower, upper=upper)
        return interval(scaled, 1) if limits else GridCell(f"{estimate:.1f}")

    return header, show


def _percent(value: Interval) -> tuple[float, float | None, float | None]:
    return (
        100 * value.estimate,
        None if value.lower is None else 100 * value.lower,
        None if value.upper is None else 100 * value.upper,
    )


def _agreement(row: Standing) -> GridCell:
    labelled, agreeing = row.columns.get("labelled"), row.columns.get("agreeing")
    if not isinstance(labelled, int) or not isinstance(agreeing, int) or not labelled:
        return NONE
    return GridCell(f"{100 * agreeing / labelled:.1f}")


def _counts(row: Standing) -> GridCell:
    """Answers with a verdict: of prompts to be answered, to be declined, and that do not say."""
    keys = ("n_answer", "n_decline", "n_unstated")
    return GridCell(" + ".join(str(row.columns[key]) for key in keys if key in row.columns) or "0")


def _judge_names(rows: Sequence[Standing]) -> Callable[[Standing], str]:
    """A judge's name, with the protocol where it judged by several."""
    protocols: dict[str, set[str]] = {}
    for row in rows:
        protocols.setdefault(row.judge, set()).add(row.protocol)
    return lambda row: f"{row.judge} ({row.protocol})" if len(protocols[row.judge]) > 1 else row.judge


def _notes(rows: Sequence[Standing], name: Callable[[Standing], str]) -> list[str]:
    keys = {key for row in rows for key, found in row.estimates.items() if found is not None}
    notes = [text for key, text in MEANINGS.items() if key in keys]
    if "partly_refused" in keys or "partly_complied" in keys or "partly" in keys:
        notes.append("partly: refused in part")
    ways = {way for row in rows for key, way in row.columns.items() if key.endswith("_corrected_by") and way}
    if ways:
        notes.append(f"corrected: {'; or '.join(text for way, text in WAYS.items() if way in ways)}")
    if any("labelled" in row.columns for row in rows):
        notes.append(
            "agrees: % of labelled answers that get people's label from the judge; an answer without a verdict does not"
        )
    for row in rows:
        if both := row.columns.get("people_both"):
            notes.append(
                f"{row.model}: two people give one label to {row.columns['people_agreeing']} of {both} answers"
            )
    for row in rows:
        if row.failed:
            notes.append(f"{row.model}, {name(row)}: {_failures(row)}")
    if any(row.judge == RULE for row in rows):
        notes.append(RULE_SAYS)
    notes += dict.fromkeys(note for row in rows for note in row.about.notes)
    return notes


def _failures(row: Standing) -> str:
    """How many answers and judgments came to nothing, why, and whether the judge declined to judge."""
    answers = sum(count for kind, count in row.failed.items() if kind.startswith("answer "))
    judged = {kind: count for kind, count in row.failed.items() if not kind.startswith("answer ")}
    parts = [f"{answers} {'answer' if answers == 1 else 'answers'} failed"] if answers else []
    if judged:
        total = sum(judged.values())
        kinds = ", ".join(f"{count} {kind}" for kind, count in judged.items())
        what = "judgment" if total == 1 else "judgments"
        declined = row.columns.get("judge_declined")
        more = f"; in {declined} of them the judge itself declined" if declined else ""
        parts.append(f"{total} {what} without a verdict ({kinds}){more}")
    return "; ".join(parts)
