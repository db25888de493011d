"""Scales as people write them (``1-5``, ``yes/no``, named levels, ``A/B/tie``), and what a text says of its scale."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from msgspec import Struct

from evalkit.core.protocols import UsageError, Verdict
from evalkit.judges.replies import AB_TIE, FIVE, Form, RatingScale

MOST_LEVELS = 100
"""Whole numbers of a scale that a schema lists one by one; a longer scale gives its ends."""


class Levels(Struct, frozen=True):
    """Named verdicts on one answer, and what each is worth."""

    scores: Mapping[str, float]
    """By name, in the order shown to the judge."""

    def label(self, stated: str) -> str | None:
        """The name that a text stands for; None if it is none."""
        bare = " ".join(stated.replace("*", " ").split()).casefold().rstrip(".")
        bare = re.sub(r"\A(?:(?:final )?(?:verdict|rating|score|grade) ?[:=] ?)", "", bare)
        return {name.casefold(): name for name in self.scores}.get(bare)

    def attempted(self, stated: str) -> bool:
        """Whether a text looks like a verdict, allowed or not: anything in double brackets does."""
        return bool(stated.strip())

    def verdict(self, label: str) -> Verdict:
        """The verdict of a name."""
        return Verdict((self.scores[label],), label)

    @property
    def allowed(self) -> str:
        """The names, for messages."""
        return ", ".join(self.scores)


class WholeNumbers(RatingScale, frozen=True):
    """Whole numbers from ``lower`` to ``upper``."""

    def label(self, stated: str) -> str | None:
        """The number that a text stands for; None if it is none, outside the scale, or a fraction."""
        label = super().label(stated)
        return label if label is not None and float(label).is_integer() else None

    @property
    def allowed(self) -> str:
        """The scale, for messages."""
        return f"whole numbers from {self.lower:g} to {self.upper:g}"


class ListRanking(Struct, frozen=True):
    """All letters from the best answer to the worst, as ``B > A > C``; scores fall evenly from 1 to 0."""

    letters: str

    def label(self, stated: str) -> str | None:
        """The ranking that a text stands for; None unless it has every letter once."""
        bare = re.sub(r"[\s*]+", "", stated).upper()
        order = re.sub(r"[>,]", "", bare)
        written = ">".join(order), ",".join(order)
        return " > ".join(order) if bare in written and sorted(order) == sorted(self.letters) else None

    def attempted(self, stated: str) -> bool:
        """Whether a text looks like a ranking, allowed or not."""
        return re.fullmatch(r"[\sA-Za-z>=,]+", stated) is not None and ">" in stated

    def verdict(self, label: str) -> Verdict:
        """The verdict of a ranking."""
        places = {letter: place for place, letter in enumerate(label.split(" > "))}
        last = len(self.letters) - 1
        return Verdict(tuple((last - places[letter]) / last for letter in self.letters), label)

    @property
    def allowed(self) -> str:
        """The form, for messages."""
        return f"a ranking of {', '.join(self.letters)}, as {' > '.join(self.letters)}"


class Pick(Struct, frozen=True):
    """The letter of the best answer: its score is 1, that of the others 0."""

    letters: str

    def label(self, stated: str) -> str | None:
        """The letter that a text stands for; None if it is none."""
        bare = re.sub(r"\A(?:answer|response|assistant) ?", "", stated.strip(" *").casefold()).upper()
        return bare if len(bare) == 1 and bare in self.letters else None

    def attempted(self, stated: str) -> bool:
        """Whether a text looks like a letter, allowed or not."""
        return re.fullmatch(r"\s*[A-Za-z]\s*", stated) is not None

    def verdict(self, label: str) -> Verdict:
        """The verdict of a letter."""
        return Verdict(tuple(float(letter == label) for letter in self.letters), label)

    @property
    def allowed(self) -> str:
        """The letters, for messages."""
        return ", ".join(self.letters)


YES_NO = Levels({"yes": 1.0, "no": 0.0})
AB = Form({"A": 1.0, "B": 0.0})
PAIRS: Mapping[str, Form] = {"A/B": AB, "A/B/tie": AB_TIE, "five": FIVE}
"""Verdicts about two answers, by the name that a YAML gives."""

LETTERS = "ABCDEFGHIJ"
"""Names of answers that are shown in a list."""
Scale = WholeNumbers | Levels | Form | ListRanking | Pick

_RANGE = re.compile(r"\A\s*(\d{1,4})\s*(?:-|–|—|to|\.\.)\s*(\d{1,4})\s*\Z")


def read_scale(written: object, *, shows: int, listed: bool = False) -> Scale:
    """The scale that a YAML's ``scale`` means.

    Args:
        written: ``1-5``, ``0-100``, ``yes/no``, a list of names from worst to best, or a mapping of names to values;
            for two answers ``A/B``, ``A/B/tie`` or ``five``.
        shows: how many answers the judge sees.
        listed: they are shown as a list.

    Raises:
        UsageError: it is no such scale.
    """
    if written in ("rank", "pick"):
        if not listed:
            raise UsageError(f"scale={written!r} needs the field {{answers}}, which shows a list of answers")
        return ListRanking(LETTERS[:shows]) if written == "rank" else Pick(LETTERS[:shows])
    if listed:
        raise UsageError(f"scale={written!r}: for a list of answers there are rank and pick")
    if shows == 2:
        if isinstance(written, str) and written in PAIRS:
            return PAIRS[written]
        raise UsageError(f"scale={written!r}: for two answers there are {', '.join(PAIRS)}")
    return _of_one(written)


def _of_one(written: object) -> Scale:
    """The scale of one answer."""
    if isinstance(written, str):
        if found := _RANGE.match(written):
            lower, upper = int(found[1]), int(found[2])
            if lower >= upper:
                raise UsageError(f"scale={written!r}: the first number must be the lower one")
            return WholeNumbers(lower, upper)
        if re.fullmatch(r"yes\s*(?:/|or)\s*no", written.strip(), re.IGNORECASE):
            return YES_NO
    levels = _levels(written)
    if levels is None:
        raise UsageError(
            f"scale={written!r}: write a range as 1-5 or 0-100, yes/no, a list of names from worst to best, or names "
            "with values as {poor: 0, fair: 1, good: 2}"
        )
    return levels


def _levels(written: object) -> Levels | None:
    """Named levels; None where they are not such. YAML reads a bare yes and no as true and false."""
    pairs: Sequence[tuple[Any, Any]] = ()
    if isinstance(written, Mapping):
        pairs = list(written.items())
    elif isinstance(written, Sequence) and not isinstance(written, str):
        pairs = [(name, place) for place, name in enumerate(written, start=1)]
    named = [({True: "yes", False: "no"}.get(name, name) if isinstance(name, bool) else name, at) for name, at in pairs]
    scores: dict[str, float] = {}
    for name, value in named:
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise UsageError(f"scale: {name!r} is worth {value!r}; give a number")
        text = " ".join(str(name).split())
        if not text or len(text) > 40 or set(text) & set("[]\n"):
            raise UsageError(f"scale: {text!r} cannot name a level; use up to 40 characters, without brackets")
        if text.casefold() in map(str.casefold, scores):
            raise UsageError(f"scale: {text!r} is named twice")
        scores[text] = float(value)
    if pairs and len(set(scores.values())) < 2:
        raise UsageError(f"scale: {', '.join(scores)} are all worth the same; nothing could be told by them")
    return Levels(scores) if scores else None


def labels(scale: Scale) -> tuple[str, ...]:
    """Every verdict of a scale."""
    if isinstance(scale, WholeNumbers):
        return tuple(str(number) for number in range(int(scale.lower), int(scale.upper) + 1))
    return tuple(scale.letters) if isinstance(scale, ListRanking | Pick) else tuple(scale.scores)


def schema_of(scale: Scale) -> dict[str, Any]:
    """A JSON schema of a scale's verdicts."""
    if isinstance(scale, WholeNumbers):
        whole = {"type": "integer"}
        if scale.upper - scale.lower <= MOST_LEVELS:
            return {**whole, "enum": list(range(int(scale.lower), int(scale.upper) + 1))}
        return {**whole, "minimum": int(scale.lower), "maximum": int(scale.upper)}
    one = {"type": "string", "enum": list(labels(scale))}
    if isinstance(scale, ListRanking):
        return {"type": "array", "items": one, "minItems": len(scale.letters), "maxItems": len(scale.letters)}
    return one


_WORDS_FOR = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_WORD_FOR = "|".join(_WORDS_FOR) + "|hundred|a hundred|one hundred"
_NUMBER = rf"(\d{{1,4}}|{_WORD_FOR})"
_MEANING = r"(?: ?\([^()\n]{1,60}\)| ?=[^,;.\n]{1,40}| ?[\"“][^\"”\n]{1,40}[\"”])?"
_STATED_RANGE = re.compile(
    rf"(?<![\d.,/-])\b{_NUMBER}{_MEANING} ?(?:-|–|—|to|and|through|up to) ?{_NUMBER}\b(?![-–/]?\d|\.\d|%)",
    re.IGNORECASE,
)
_OUT_OF = re.compile(r"(?:\bout of|(?<![\w/])(?:n|x|\d)\s?/) ?(\d{1,4}|ten|five|hundred)\b(?![/.]\d)", re.IGNORECASE)
_SCALE_WORDS = re.compile(
    r"\b(?:scale|rat(?:e|es|ed|ing|ings)|scor(?:e|es|ed|ing)|grad(?:e|es|ed|ing)|marks?|points?|stars?|judge)\b",
    re.IGNORECASE,
)
_ASKS_YES_NO = re.compile(
    r"\b(?:answer|reply|respond|say|write|decide|verdict)\b[^.!?\n]{0,40}\b[\"'“]?yes[\"'”]? ?(?:/|or) ?[\"'“]?no\b",
    re.IGNORECASE,
)
_SENTENCES = re.compile(r"(?<=[.!?;])\s+|\n[ \t]*\n|\n(?=[ \t]*[-*•\d])")
_ADDS = re.compile(r"\b(?:add|deduct|subtract|take off|for each|per)\b", re.IGNORECASE)
"""Points of a part, not ends of a scale."""
_COUNTED = re.compile(r"\A ?(?!points?\b|stars?\b|marks?\b|scale\b)[a-z]{3,}s\b", re.IGNORECASE)
"""What follows a range that counts something: ``from 1 to 3 turns``."""


def check_agrees(text: str, scale: Scale | RatingScale, where: str) -> None:
    """Refuse a text that tells the judge another scale than the declared one.

    A range counts as a scale where its sentence speaks of rating, or says nothing else than the range.

    Raises:
        UsageError: it does; the message has both.
    """
    declared = f"{scale.lower:g} to {scale.upper:g}" if isinstance(scale, RatingScale) else ", ".join(labels(scale))
    for said in _stated(text):
        lower, upper = said
        if isinstance(scale, RatingScale):
            if upper == scale.upper and lower in (None, scale.lower):
                continue
        elif {value for value in (lower, upper) if value is not None} <= _numbers(scale):
            continue
        stated = f"from {lower:g} to {upper:g}" if lower is not None else f"out of {upper:g}"
        raise UsageError(
            f"{where} says {stated!r}, and its scale is {declared}: the judge would be told two things; change one"
        )
    other = isinstance(scale, RatingScale) or {"yes", "no"} - set(labels(scale))
    if other and (found := _ASKS_YES_NO.search(text)):
        raise UsageError(
            f"{where} says {' '.join(found[0].split())!r}, and its scale is {declared}: the judge would be told two "
            "things; change one"
        )


def _numbers(scale: Scale) -> set[float]:
    """Numbers that a text may name as ends of a scale of names: those that are names, or what they are worth."""
    names = {float(label) for label in labels(scale) if label.isdecimal()}
    return names if names or isinstance(scale, ListRanking | Pick) else set(scale.scores.values())  # type: ignore[union-attr]


def _stated(text: str) -> list[tuple[float | None, float]]:
    """Ends of every scale that a text states; None where it says ``out of 10`` only."""
    found: list[tuple[float | None, float]] = []
    for sentence in _SENTENCES.split(text):
        about = _SCALE_WORDS.search(sentence) is not None and _ADDS.search(sentence) is None
        for match in _STATED_RANGE.finditer(sentence):
            lower, upper = _value(match[1]), _value(match[2])
            before = sentence[: match.start()].rstrip().casefold()
            bare = before.endswith(("from", "between")) and len(sentence.split()) <= 8
            joined = re.search(r"\band\b", match[0], re.IGNORECASE) and not before.endswith("between")
            counts = joined or _COUNTED.match(sentence[match.end() :])
            if lower in (0, 1) and lower < upper and (about or bare) and not counts:
                found.append((lower, upper))
        if about:
            found += [(None, _value(match[1])) for match in _OUT_OF.finditer(sentence)]
    return found


def _value(number: str) -> float:
    word = number.casefold().split()[-1]
    return 100.0 if word == "hundred" else float(_WORDS_FOR.index(word) if word in _WORDS_FOR else word)
