"""The scales people vote on: what the buttons say, which key each has, and what a choice amounts to.

Labels and scores of pairs are those of the pairwise protocol's forms, so that people and judges say the same words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from evalkit.core.protocols import UsageError, Verdict
from evalkit.core.refusal import COMPLIANCE
from evalkit.core.rubric_score import Formula
from evalkit.core.schema import Criterion
from evalkit.judges.replies import AB_TIE, MARGIN, SCALE8, RatingScale


@dataclass(frozen=True)
class VoteButton:
    """One choice."""

    label: str
    text: str
    key: str
    side: str = ""
    """left, right or neither."""


@dataclass(frozen=True)
class VoteScale:
    """A way to vote."""

    name: str
    protocol: str
    """Under which votes are stored."""
    shows: int
    buttons: tuple[VoteButton, ...]
    verdicts: Mapping[str, Verdict]
    """By label; empty for a rubric, whose score follows from its criteria."""
    formula: Formula = "share"
    """Of a rubric: how its criteria make a score."""

    def verdict(self, label: str) -> Verdict:
        """What a choice amounts to.

        Raises:
            UsageError: it is none.
        """
        if label not in self.verdicts:
            raise UsageError(f"{label[:40]!r} is no choice on this scale; there are: {', '.join(self.verdicts)}")
        return self.verdicts[label]


def _pair(name: str, buttons: tuple[VoteButton, ...], verdicts: Mapping[str, Verdict], protocol: str = "") -> VoteScale:
    return VoteScale(name, protocol or f"human_pair_{name}", 2, buttons, verdicts)


_TIES: Final = {"both good": Verdict((0.5, 0.5), "both good"), "both bad": Verdict((0.5, 0.5), "both bad")}
_STEPS: Final = ("much better", "better", "slightly better", "barely better")
_MARGINS: Final = ("significantly", "better", "slightly", "negligibly")

ABT: Final = _pair(
    "abt",
    (
        VoteButton("A", "Left is better", "1", "left"),
        VoteButton("tie", "Equal", "2", "neither"),
        VoteButton("both good", "Both good", "3", "neither"),
        VoteButton("both bad", "Both bad", "4", "neither"),
        VoteButton("B", "Right is better", "5", "right"),
    ),
    {**{label: AB_TIE.verdict(label) for label in ("A", "tie", "B")}, **_TIES},
    "human_pair",
)
EIGHT: Final = _pair(
    "8",
    tuple(
        VoteButton(
            str(step),
            f"{step}: {'left' if step < 5 else 'right'} {_STEPS[step - 1 if step < 5 else 8 - step]}",
            str(step),
            "left" if step < 5 else "right",
        )
        for step in range(1, 9)
    ),
    {str(step): SCALE8.verdict(str(step)) for step in range(1, 9)},
)
FOUR: Final = _pair(
    "4",
    tuple(
        VoteButton(f"{side}:{word}", f"{place} {word}{'' if word == 'better' else ' better'}", str(key), place.lower())
        for key, (side, place, word) in enumerate(
            [("A", "Left", word) for word in _MARGINS] + [("B", "Right", word) for word in reversed(_MARGINS)], start=1
        )
    ),
    {f"{side}:{word}": MARGIN.verdict(f"{side}:{word}") for side in "AB" for word in _MARGINS},
)
REFUSAL: Final = VoteScale(
    "refusal",
    "human_refusal",
    1,
    tuple(VoteButton(label, label.capitalize(), str(key)) for key, label in enumerate(reversed(tuple(COMPLIANCE)), 1)),
    {label: Verdict((score,), label) for label, score in COMPLIANCE.items()},
)
NAMES: Final = ("abt", "8", "4", "grade", "rubric", "refusal")
MOST_STEPS: Final = 11


def scale(name: str, grades: str = "1-10") -> VoteScale:
    """A scale by name.

    Args:
        name: abt, 8, 4, grade, rubric or refusal.
        grades: the lowest and the highest grade.

    Raises:
        UsageError: there is none of that name, or the grades are no range.
    """
    known = {
        "abt": ABT,
        "8": EIGHT,
        "4": FOUR,
        "refusal": REFUSAL,
        "rubric": VoteScale("rubric", "human_rubric", 1, (), {}),
    }
    if name in known:
        return known[name]
    if name != "grade":
        raise UsageError(f"--scale {name!r} is not possible; there are: {', '.join(NAMES)}")
    low, _, high = grades.partition("-")
    if not (low.isdecimal() and high.isdecimal() and len(grades) < 8 and 0 < int(high) - int(low) < MOST_STEPS):
        raise UsageError(f"--grades {grades!r} is no range of at most {MOST_STEPS} grades; write it like 1-10 or 0-5")
    form = RatingScale(float(low), float(high))
    labels = [str(grade) for grade in range(int(low), int(high) + 1)]
    keys = [str(grade % 10) for grade in range(int(low), int(high) + 1)]
    protocol = "human_single" if grades == "1-10" else f"human_single_{low}-{high}"
    buttons = tuple(
        VoteButton(label, label, key if keys.count(key) == 1 else "") for label, key in zip(labels, keys, strict=True)
    )
    return VoteScale("grade", protocol, 1, buttons, {label: form.verdict(label) for label in labels})


def criterion_values(criterion: Criterion) -> list[tuple[str, str]]:
    """What a criterion may be given: value and text."""
    if criterion.kind == "yes_no":
        return [("1", "yes"), ("0", "no")]
    low, _, high = criterion.kind.partition("-")
    return [(str(grade), str(grade)) for grade in range(int(low), int(high) + 1)]
