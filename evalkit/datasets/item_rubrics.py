"""The rubric that a question brings -> criteria, by the names that published sets use."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Criterion

TEXT = ("text", "criterion", "criteria_description", "criteria", "description", "question")
POINTS = ("points", "weight")
NAME = ("id", "name", "title")
_GRADES = re.compile(r"(\d{1,2})(?:\s*[-–]\s*(\d{1,2}))?")
_SCORE = re.compile(r"score(\d{1,2})_description")


def read_rubric(value: object, where: str) -> tuple[Criterion, ...]:
    """Criteria of one question.

    Args:
        value: a list of criteria, or one: a text, or a mapping with a text, and points, name, tags (``axis:...`` among
            them), kind, and what grades mean (``"1-2"``, ``score1_description``).
        where: it stands, for messages.

    Raises:
        UsageError: it is no rubric.
    """
    listed = [value] if isinstance(value, Mapping | str) else value
    if not isinstance(listed, Sequence) or not listed:
        raise UsageError(f"{where}: expected a list of criteria")
    criteria = []
    taken: set[str] = set()
    for number, one in enumerate(listed, start=1):
        criterion = _criterion(one, number, f"{where}, criterion {number}")
        if criterion.id in taken:
            criterion = msgspec.structs.replace(criterion, id=f"{criterion.id} ({number})")
        taken.add(criterion.id)
        criteria.append(criterion)
    return tuple(criteria)


def _criterion(one: object, number: int, where: str) -> Criterion:
    fields: Mapping[str, Any] = {"text": one} if isinstance(one, str) else one if isinstance(one, Mapping) else {}
    text = _first(fields, TEXT)
    if not isinstance(text, str) or not text.strip():
        raise UsageError(f"{where}: has no text; name it {', '.join(TEXT[:-1])} or {TEXT[-1]}")
    name = next((str(fields[key]) for key in NAME if fields.get(key) not in (None, "")), str(number))
    tags = [str(tag) for tag in fields.get("tags") or ()]
    axis = str(fields.get("axis") or next((tag[5:] for tag in tags if tag.startswith("axis:")), ""))
    anchors = dict(fields.get("anchors") or {})
    for key, meaning in fields.items():
        if (grade := _grade(key)) is not None:
            anchors[grade] = meaning
    highest = max((int(end) for key in anchors for end in str(key).split("-") if end.isdecimal()), default=0)
    kind = fields.get("kind") or ("yes_no" if not highest else "1-5" if highest <= 5 else "1-10")
    points = _first(fields, POINTS)
    content = {
        "id": name,
        "text": text,
        "points": 1.0 if points is None else points,
        "kind": "yes_no" if kind == "yes/no" else kind,
        "anchors": {str(key): str(meaning) for key, meaning in anchors.items()},
        "axis": axis,
        "tags": [tag for tag in tags if not tag.startswith("axis:")],
    }
    try:
        return msgspec.convert(content, Criterion)
    except msgspec.ValidationError as error:
        raise UsageError(f"{where}: {str(error)[0].lower()}{str(error)[1:]}") from error


def _first(fields: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next((fields[name] for name in names if fields.get(name) is not None), None)


def _grade(key: str) -> str | None:
    """The grade or grades that a key says the meaning of."""
    if match := _SCORE.fullmatch(key):
        return match[1]
    if match := _GRADES.fullmatch(key):
        return match[1] if match[2] is None else f"{match[1]}-{match[2]}"
    return None
