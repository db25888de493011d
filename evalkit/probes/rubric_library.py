"""The probes of rubric grading: changes of a rubric, or of one thing in an answer, that should move nothing else.

Their texts are our own words. A probe of an answer adds a criterion of its own, which names just what it changes, so
that whether the judge noticed is known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from msgspec.structs import replace

from evalkit.core.schema import Criterion
from evalkit.probes.library import CODE, unchanged
from evalkit.probes.text import SEARCHED

Changes = Literal["order", "calls", "sense", "anchors", "answer"]
"""What a probe of rubrics changes; ``calls``: whether criteria are asked together or one by one."""


@dataclass(frozen=True, kw_only=True)
class RubricProbe:
    """One change that should not move verdicts on criteria, or should move one of them only."""

    name: str
    action: str
    """What is done, as the beginning of a sentence: ``reversing the order of the criteria``."""
    changes: Changes
    added: Criterion | None = None
    """The criterion that a probe of the answer adds; it alone should be judged otherwise afterwards."""
    rewrite: Callable[[str], str] = unchanged  # type: ignore[assignment]
    """Of a probe of the answer: takes its text, returns it with that one thing changed."""
    neutral: bool = False
    """Whether the change is beside neutral text of the same length; otherwise beside the answer as it is."""

    def criteria(self, given: Sequence[Criterion]) -> tuple[Criterion, ...]:
        """The rubric as this probe has it; empty where it has nothing to change."""
        match self.changes:
            case "order":
                return tuple(given[::-1]) if len(given) > 1 else ()
            case "calls":
                return tuple(given) if len(given) > 1 else ()
            case "sense":
                return tuple(negated(one) for one in given if one.kind == "yes_no")
            case "anchors":
                return tuple(replace(one, anchors={}) for one in given) if any(one.anchors for one in given) else ()
            case "answer":
                return (*given, self.added) if self.added is not None else ()


def negated(criterion: Criterion) -> Criterion:
    """A criterion that is met where the given one is not. Its points only have to let the reply be read."""
    return replace(
        criterion,
        text=f"It is NOT the case that the following is true: {' '.join(criterion.text.split())}",
        points=abs(criterion.points),
        anchors={},
    )


OFFER = "If anything here should be gone into further, just ask; more help with it is gladly given."
WORD = re.compile(r"\b[a-z]{6,40}\b")


def offered(text: str) -> str:
    """Adds an offer of help at the end."""
    return f"{text}\n\n{OFFER}"


def misspelt(text: str) -> str:
    """Swaps two letters inside every third long word outside code."""
    seen = 0

    def swapped(found: re.Match[str]) -> str:
        nonlocal seen
        word, middle = found[0], len(found[0]) // 2
        at = next((at for at in range(middle, len(word) - 1) if word[at] != word[at - 1]), 0)
        seen += 1
        return word[: at - 1] + word[at] + word[at - 1] + word[at + 1 :] if at and seen % 3 == 1 else word

    parts = re.split(CODE, text[:SEARCHED], flags=re.DOTALL)
    parts[::2] = [WORD.sub(swapped, part) for part in parts[::2]]
    return "".join(parts) + text[SEARCHED:]


RUBRIC_PROBES: Final = (
    RubricProbe(name="criteria_order", action="reversing the order of the criteria", changes="order"),
    RubricProbe(
        name="criteria_calls",
        action="asking about all criteria in one call, and not about each in a call of its own,",
        changes="calls",
    ),
    RubricProbe(
        name="halo_merit",
        action="adding an offer of help to an answer",
        changes="answer",
        added=Criterion(id="evalkit-offer", text="The answer ends by offering further help."),
        rewrite=offered,
        neutral=True,
    ),
    RubricProbe(
        name="halo_fault",
        action="misspelling words of an answer",
        changes="answer",
        added=Criterion(id="evalkit-spelling", text="The answer contains misspelt words.", points=-1),
        rewrite=misspelt,
    ),
    RubricProbe(name="criteria_negated", action="asking for the opposite of a criterion", changes="sense"),
    RubricProbe(name="anchors_removed", action="leaving out what the grades mean", changes="anchors"),
)
RUBRIC_NAMES: Final = tuple(probe.name for probe in RUBRIC_PROBES)
