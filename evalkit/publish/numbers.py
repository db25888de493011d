"""The numbers of a leaderboard, each with the judging that it comes from: what exports for other tools are made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from evalkit.core.protocols import UsageError
from evalkit.publish.facts import JudgingFacts, facts, places
from evalkit.ratings.leaderboard import Choices, rate
from evalkit.ratings.scores import METHOD
from evalkit.ratings.standing import Standing


@dataclass(frozen=True)
class RatedModel:
    """How one judge rates one model, whole and by category."""

    facts: JudgingFacts
    standing: Standing
    """Of all questions; it has an estimate."""
    categories: tuple[Standing, ...] = ()

    @property
    def scale(self) -> tuple[float, float] | None:
        """Ends of the scale of its estimate; None where they are not known, or there are none."""
        if self.standing.method in ("winrate", "lc"):
            return 0.0, 100.0
        return self.standing.about.scale if self.standing.method == METHOD else None

    @property
    def summary(self) -> str:
        """The estimate, its interval and what it rests on, in words."""
        main = self.standing.main
        assert main is not None
        limits = "no interval" if main.lower is None else f"95% interval {main.lower:.4g} to {main.upper:.4g}"
        failed = sum(self.standing.failed.values())
        row = self.standing
        return (
            f"{row.method} by {row.judge} ({row.protocol}): {main.estimate:.4g}, {limits}, "
            f"{main.clusters:,} questions, {failed:,} failed"
        )


def rated_models(
    paths: Sequence[Path], *, method: str | None = None, judge: str | None = None, protocol: str | None = None
) -> list[RatedModel]:
    """Every model that a judge rates, by benchmark, judge and protocol.

    Args:
        paths: results folders, or judgments files.
        method: score, winrate, lc, bt or elo; None takes score of single grading and bt of pairs.
        judge: only this one.
        protocol: only this one.

    Raises:
        UsageError: nothing is rated.
    """
    roots = places(paths).roots
    result: list[RatedModel] = []
    for about in facts(paths, judge):
        if protocol not in (None, about.protocol) or (method is not None and (method == METHOD) != (about.shows == 1)):
            continue
        way = method or (METHOD if about.shows == 1 else "bt")
        board = rate(Choices(paths=roots, method=way, judge=about.judge.name, by_category=True))
        names = {model.name for model in about.models}
        mine = [row for row in _of(board.standings, about) if row.model in names and row.main is not None]
        result += _by_model(about, mine)
    if not result:
        where = ", ".join(map(str, paths))
        raise UsageError(f"nothing is rated in {where} that fits; `evalkit leaderboard` says what there is, and why")
    return result


def _of(standings: Iterable[Standing], about: JudgingFacts) -> Iterator[Standing]:
    place = about.benchmark, about.judge.name, about.protocol
    return (row for row in standings if (row.benchmark, row.judge, row.protocol) == place)


def _by_model(about: JudgingFacts, rows: Sequence[Standing]) -> Iterator[RatedModel]:
    for whole in rows:
        if whole.category is None:
            parts = tuple(row for row in rows if row.category is not None and row.model == whole.model)
            yield RatedModel(about, whole, parts)
