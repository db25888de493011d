"""The outcome of a tournament -> tables for the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalkit.core.text import limit_digits
from evalkit.ratings.tournament import PairOutcome, TournamentOutcome
from evalkit.reports.grid import Grid, GridCell
from evalkit.reports.leaderboard_tables import show

if TYPE_CHECKING:
    from rich.console import Console

MOST_PAIRS = 30
"""Pairs that the terminal shows; all are in tournament.json."""


def show_tournament(console: Console, outcome: TournamentOutcome, title: str, guarantee: str) -> None:
    """Print where each model stands, what is known of the pairs that were asked, and what that is worth."""
    show(console, [_places(outcome, title), _pairs(outcome, guarantee)])


def _places(outcome: TournamentOutcome, title: str) -> Grid:
    rated = any(place.elo for place in outcome.places)
    rows = tuple(
        (
            GridCell(place.model),
            GridCell(_range(place.best, place.worst)),
            *((GridCell(f"{place.elo[0]:+,.0f} to {place.elo[1]:+,.0f}" if place.elo else "–"),) if rated else ()),
            GridCell(f"{place.units:,}"),
        )
        for place in outcome.places
    )
    headers = ("model", "rank", *(("Elo against the mean",) if rated else ()), "units")
    return Grid(f"{title}: tournament until {outcome.until}", headers, rows, notes=tuple(outcome.sentences()))


def _range(best: int, worst: int) -> str:
    return f"{best}" if best == worst else f"{best}–{worst}"


def _pairs(outcome: TournamentOutcome, guarantee: str) -> Grid:
    asked = sorted((pair for pair in outcome.pairs if pair.units), key=lambda pair: -pair.units)
    rows = tuple(
        (
            GridCell(pair.first),
            GridCell(pair.second),
            GridCell(f"{pair.win_rate:.1%}", _limits(pair)),
            GridCell(f"{pair.units:,}"),
            GridCell(_verdict(pair)),
        )
        for pair in asked[:MOST_PAIRS]
    )
    more = (f"{len(asked) - MOST_PAIRS:,} more pairs are in tournament.json",) if len(asked) > MOST_PAIRS else ()
    headers = ("A", "B", "A wins", "units", "before the other")
    return Grid("Pairs that were asked, most first", headers, rows, left=2, notes=(*more, guarantee))


def _limits(pair: PairOutcome) -> str:
    assert pair.lower is not None
    assert pair.upper is not None
    lower, upper = 100 * pair.lower, 100 * pair.upper
    low, high = limit_digits(lower, upper, 50.0, 1)
    return f"{lower:.{low}f}%–{upper:.{high}f}%"


def _verdict(pair: PairOutcome) -> str:
    if pair.winner is None:
        return "undecided" if pair.needed else "not needed"
    return f"{pair.winner}, by other pairs" if pair.follows else pair.winner
