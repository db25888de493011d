"""Checks a claim card against the rows: what it says is computed again, and every difference is named."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import msgspec

from evalkit.core.protocols import UsageError
from evalkit.core.text import plain
from evalkit.publish.claim_card import ChangedForm, ClaimCard, file_hash, read_card, recomputed, selection_of
from evalkit.publish.facts import places

CLOSE = 1e-9
"""Relative difference up to which two numbers are one: what is left is the rounding of another processor."""
ABOUT_THE_TOOL = frozenset({"evalkit", "packages", "seal"})
"""Fields that may differ where others verify with another release; the seal guards them."""
CHANGED = " (the card was changed after it was made)"
TEXT = 160
"""Characters of a value that a message shows."""


@dataclass(frozen=True)
class CardDifference:
    """One thing that the card says, and the rows do not."""

    what: str
    card: Any
    rows: Any
    why: str = ""
    """What is wrong, where no row is needed to see it."""

    def sentence(self) -> str:
        """The difference in words."""
        if self.why:
            return f"{self.what}: {self.why}"
        return f"{self.what}: the card says {_shown(self.card)}, the rows give {_shown(self.rows)}"


def _shown(value: Any) -> str:
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= TEXT else f"{text[: TEXT - 1]}…"


@dataclass(frozen=True)
class Verification:
    """What came of a check; `verify` makes it."""

    card: ClaimCard | None
    """None where the file no longer has a card's form."""
    differences: tuple[CardDifference, ...]
    notes: tuple[str, ...] = ()

    @property
    def claim(self) -> str:
        """What the card says, in a sentence."""
        return self.card.sentence if self.card is not None else "a card that can no longer be read as one"

    @property
    def holds(self) -> bool:
        """Whether everything that the card says was found again."""
        return not self.differences

    def __bool__(self) -> bool:
        return self.holds

    def _repr_html_(self) -> str:
        """Whether it holds, and every difference, as a notebook shows them."""
        said = f"{'verified' if self.holds else 'refused'}: {self.claim}"
        listed = "".join(f"<li>{escape(plain(one.sentence()))}</li>" for one in self.differences)
        return f"<p>{escape(plain(said))}</p>" + (f"<ul>{listed}</ul>" if listed else "")


def verify(
    card: ClaimCard | str | Path, paths: Sequence[Path] = (Path("results"),), *, human: Path | None = None
) -> Verification:
    """Compute a card's number, hashes and audit from the rows again, and compare.

    Args:
        card: a card, or the file that holds one.
        paths: where the rows are: results folders, or judgments files.
        human: people's votes that the audit was given beside them.

    Raises:
        UsageError: the card cannot be read, or there are no results at the paths.
    """
    try:
        given = card if isinstance(card, ClaimCard) else read_card(Path(card))
    except ChangedForm as error:
        return Verification(None, (CardDifference(f"form{CHANGED}", None, None, why=str(error)),))
    differences = []
    if (contents := given.contents_hash()) != given.seal:
        why = f"its seal is {given.seal[:16]!r}, its contents have {contents[:16]!r}"
        differences.append(CardDifference(f"seal{CHANGED}", given.seal, contents, why=why))
    _check_votes(given, human)
    try:
        found = recomputed(given.claim, selection_of(given), places(paths), human)
    except UsageError as error:
        if not all(path.exists() for path in paths):
            raise
        return Verification(given, (*differences, CardDifference("claim", given.sentence, f"none: {error}")))
    wanted, there = msgspec.to_builtins(given), msgspec.to_builtins(found)
    for name, value in wanted.items():
        if name not in ABOUT_THE_TOOL:
            differences += _differences(name, value, there[name])
    return Verification(given, tuple(differences), tuple(_about_tools(given, found)))


def _check_votes(card: ClaimCard, human: Path | None) -> None:
    """A card that was made with people's votes is checked with them."""
    if card.audit.human is not None and human is None:
        raise UsageError(
            f"the audit on this card was given votes of people (SHA-256 {card.audit.human[:12]}); name their file: "
            "--human FILE"
        )
    if human is not None:
        file_hash(human)  # says that it cannot be read


def _differences(name: str, card: Any, rows: Any) -> Iterator[CardDifference]:
    if isinstance(card, dict) and isinstance(rows, dict):
        for key in dict.fromkeys([*card, *rows]):
            yield from _differences(f"{name}.{key}", card.get(key), rows.get(key))
    elif not _same(card, rows):
        yield CardDifference(name, card, rows)


def _same(one: Any, other: Any) -> bool:
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    if numbers and (isinstance(one, float) or isinstance(other, float)):
        return math.isclose(one, other, rel_tol=CLOSE, abs_tol=CLOSE)
    return bool(one == other)


def _about_tools(card: ClaimCard, found: ClaimCard) -> Iterator[str]:
    if card.evalkit != found.evalkit:
        yield f"the card was made with evalkit {card.evalkit}; this is {found.evalkit}"
    for name, made in card.packages.items():
        if found.packages.get(name) != made:
            yield f"the card was made with {name} {made}; here it is {found.packages.get(name)}"
