"""Verdicts on trials, by probe and by what was shown. No input or output."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalkit.probes.trials import Arm

if TYPE_CHECKING:
    from evalkit.stats.arrays import FloatArray


@dataclass(frozen=True)
class Outcome:
    """One verdict on one trial."""

    probe: str
    arm: Arm
    item: str
    order: int
    repeat: int
    share: float | None
    """The target's share of the win, or, of an answer shown by itself, its score; None where there is no verdict."""
    first: float | None
    """That of whatever was shown first."""
    turn: int = 1


PairKey = tuple[str, int, int]
"""Question, turn and repeat: one pair, judged in both orders."""
Key = tuple[str, int, int, int]
"""Question, turn, repeat and order: one verdict."""
SINGLE: frozenset[Arm] = frozenset({"alone", "alone_other", "alone_cue"})
"""Where an answer is shown by itself."""


class ProbeTable:
    """Verdicts by probe and arm, then by question, turn, repeat and order; those that failed are not in it."""

    def __init__(self, outcomes: Sequence[Outcome]) -> None:
        self._rows: dict[tuple[str, Arm], dict[Key, Outcome]] = {}
        for row in outcomes:
            if row.share is not None:
                self._rows.setdefault((row.probe, row.arm), {})[row.item, row.turn, row.repeat, row.order] = row

    def of(self, probe: str, arm: Arm) -> Mapping[Key, Outcome]:
        """Verdicts of one arm; ``base`` and ``repeat`` are every probe's."""
        return self._rows.get(("" if arm in ("base", "repeat") else probe, arm), {})

    def shares(self, probe: str, arm: Arm, keys: Sequence[Key]) -> FloatArray:
        """[N] share of the verdict that goes to the changed answer, by key."""
        import numpy as np

        rows = self.of(probe, arm)
        return np.array([rows[key].share for key in keys], dtype=np.float64)

    def shared(self, probe: str, *arms: Arm) -> list[Key]:
        """What all of these arms have a verdict on."""
        first, *others = (self.of(probe, arm) for arm in arms)
        return [key for key in first if all(key in other for other in others)]

    @property
    def soft(self) -> bool:
        """Whether the judge gives odds rather than verdicts."""
        return any(
            row.share not in (0.0, 0.5, 1.0)
            for (_, arm), rows in self._rows.items()
            if arm not in SINGLE
            for row in rows.values()
        )

    def wins(self, probe: str, arm: Arm) -> dict[PairKey, float]:
        """For each pair with both orders: +1 the target wins, -1 the other, 0 where a tie or undecided between them."""
        import numpy as np

        from evalkit.stats.flips import side

        rows, result = self.of(probe, arm), {}
        for (item, turn, repeat, order), row in rows.items():
            other = rows.get((item, turn, repeat, 1))
            if order == 0 and other is not None:
                both = np.array([row.share, other.share], dtype=np.float64)
                result[item, turn, repeat] = float(np.sign(side(both).sum()))
        return result

    def scores(self, probe: str, arm: Arm) -> dict[PairKey, float]:
        """Scores of answers shown by themselves."""
        return {key[:3]: row.share for key, row in self.of(probe, arm).items() if row.share is not None}

    def leans(self, probe: str, arm: Arm) -> dict[PairKey, tuple[float, float]]:
        """For each pair with both orders: +1 leans first, -1 second, 0 holds; and how far, if soft."""
        import numpy as np

        from evalkit.stats.flips import side

        rows, result = self.of(probe, arm), {}
        for (item, turn, repeat, order), row in rows.items():
            other = rows.get((item, turn, repeat, 1))
            if order == 0 and other is not None:
                both = np.array([row.first, other.first], dtype=np.float64)
                result[item, turn, repeat] = float(np.sign(side(both).sum())), float(both.mean() - 0.5)
        return result
