"""What several judges of the same cases are worth together, and what may be said of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


class Limits(NamedTuple):
    """An estimate with 95% limits over questions."""

    estimate: float
    lower: float
    upper: float


class ErrorsTogether(NamedTuple):
    """Correlation of how wrong two judges are."""

    judge: str
    other: str
    correlation: Limits
    """Limits for all pairs of judges at once."""


class Accuracy(NamedTuple):
    """How good one judge may be by what all of them say, without labels."""

    judge: str
    lower: float
    upper: float
    independent: float | None
    """If all judges erred independently (Dawid and Skene); None where that does not converge."""
    weight: float | None
    """Log odds of that: what a vote then weighs."""


class SubPanelFound(NamedTuple):
    """The fewest judges that are nearly as precise as all."""

    judges: tuple[str, ...]
    half_width: float
    of_all: float
    """Half width of all judges."""


@dataclass(frozen=True, kw_only=True)
class JudgePanel:
    """Judges of one protocol on the cases that all of them have a verdict on."""

    benchmark: str
    protocol: str
    judges: tuple[str, ...]
    cases: int
    questions: int
    left_out: int
    """Cases that some judge has no verdict on."""
    without: tuple[str, ...]
    """Judges that share too few cases with the others."""
    same: tuple[tuple[float, ...], ...]
    """[K][K] share of cases with the same verdict."""
    votes: Limits
    """Independent verdicts that the average verdict is worth."""
    labels: str | None
    """``gold``, or ``people``; None without labels."""
    labelled: int = 0
    """Cases that have one."""
    error_votes: Limits | None = None
    """Likewise of how wrong the judges are."""
    accuracy: tuple[float, ...] = ()
    """[K] share of labelled cases that each judge has right, ties half."""
    errors: tuple[ErrorsTogether, ...] = ()
    """Of each pair of judges."""
    without_labels: tuple[Accuracy, ...] = ()
    """Of each judge; empty with fewer than three."""
    alike: float = 0.0
    """Correlation of two judges, given the right answer, that those bounds allow for."""
    possible: bool = True
    """Whether any accuracies fit at all."""
    enough: SubPanelFound | None = None

    def sentences(self) -> list[str]:
        """What may be said of the panel, each true of these numbers and of no others."""
        every = "both" if len(self.judges) == 2 else f"all {len(self.judges)}"
        many = NUMBERS[len(self.judges)] if len(self.judges) < len(NUMBERS) else f"{len(self.judges)}"
        found = [
            f"For a win rate, the {many} judges carry {_limits(self.votes)} votes on a case: it would be "
            f"{len(self.judges)} if their verdicts were unrelated, and 1 if they were copies of one another."
        ]
        if self.error_votes is not None:
            found.append(
                f"Against the truth, they carry {_limits(self.error_votes)} votes, measured by "
                f"{self._labels()} on {self.labelled:,} cases."
            )
            found += self._together()
        if self.without_labels:
            found.append(self._accuracies())
        if self.enough is not None and len(self.enough.judges) < len(self.judges):
            names = _listed(self.enough.judges)
            alone = " alone is" if len(self.enough.judges) == 1 else " are"
            found.append(
                f"{names}{alone} enough for win rates nearly as precise as by {every}: to within "
                f"{100 * self.enough.half_width:.1f} points on these {self.cases:,} cases, {every} to within "
                f"{100 * self.enough.of_all:.1f}. That says nothing of who is right."
            )
        return found

    def _labels(self) -> str:
        return "gold labels" if self.labels == "gold" else "the majority of people's votes"

    def _together(self) -> list[str]:
        alike = [one for one in self.errors if one.correlation.lower > 0]
        if not alike:
            return ["No two of them are shown to err together."]
        return [
            f"{one.judge} and {one.other} err together: correlation {one.correlation.estimate:.2f} "
            f"(95% {one.correlation.lower:.2f} to {one.correlation.upper:.2f})."
            for one in sorted(alike, key=lambda one: -one.correlation.estimate)
        ]

    def _accuracies(self) -> str:
        if not self.possible:
            return (
                "Without labels, no accuracies explain these verdicts: some two judges agree more than "
                f"a correlation of {self.alike:.1f} beside the right answer allows. Treat them as one."
            )
        listed = "; ".join(
            f"{one.judge} {100 * one.lower:.0f}% to {100 * one.upper:.0f}%"
            + (f" ({100 * one.independent:.0f}%)" if one.independent is not None else "")
            for one in self.without_labels
        )
        return (
            "Without labels, the share of cases that each has right is known to within these limits, if none is worse "
            f"than chance and no two correlate by more than {self.alike:.1f} given the right answer (in brackets: if "
            f"all erred independently, Dawid and Skene's figure, mostly too high): {listed}."
        )


def _limits(found: Limits) -> str:
    digits = 1 if found.upper - found.lower > 0.2 else 2
    return f"{found.estimate:.{digits}f} (95% {found.lower:.{digits}f} to {found.upper:.{digits}f})"


def _listed(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
