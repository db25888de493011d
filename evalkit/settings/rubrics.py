"""Rubric files: YAML to criteria, and what in them looks like a mistake."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec

from evalkit.core.paths import shipped
from evalkit.core.protocols import UsageError
from evalkit.core.rubric_score import Formula
from evalkit.core.schema import Criterion
from evalkit.settings.members import read

KINDS = {"yes/no": "yes_no", "yes_no": "yes_no", "yes or no": "yes_no", "1-5": "1-5", "1-10": "1-10"}
FIELDS = ("id", "text", "points", "kind", "anchors", "axis", "tags")
ALIKE = 0.8
"""Share of words that two criteria have in common, from which on they may be one."""

_FAULTS = re.compile(
    r"\b(?:fails? to|omits?|misses|missing|ignores?|incorrect(?:ly)?|wrong(?:ly)?|invents?|fabricat\w+|hallucinat\w+|"
    r"harmful|unsafe|dangerous|misleading|overstates?|rude|insults?|contradicts?|does not|doesn't|irrelevant|"
    r"inaccurate|unsupported|verbose|repeats? itself)\b",
    re.IGNORECASE,
)
_NOT = re.compile(
    r"\b(?:no|not|never|without|avoids?|free of|refrains?|nothing|neither|does not|doesn't|nor)\b", re.IGNORECASE
)
_VIRTUES = re.compile(
    r"\b(?:correct(?:ly)?|accurate(?:ly)?|helpful|clear(?:ly)?|appropriate(?:ly)?|recommends?|explains?|advises?|mentions?|"
    r"states that|polite|concise)\b",
    re.IGNORECASE,
)


def names() -> list[str]:
    """The rubrics that ship with evalkit."""
    return sorted(path.stem for path in (shipped("conf") / "rubric").glob("*.yaml"))


def find(named: str) -> Path:
    """The file of a rubric, by name or path.

    Raises:
        UsageError: there is none.
    """
    if named in names():
        return shipped("conf") / "rubric" / f"{named}.yaml"
    path = Path(named).expanduser()
    if path.suffix in (".yaml", ".yml", ".json") or len(path.parts) > 1:
        return path
    close = difflib.get_close_matches(named, names(), n=1)
    hint = f"did you mean {close[0]!r}? " if close else ""
    raise UsageError(f"no rubric {named!r}; {hint}There are {', '.join(names())}; or give a file: rubric=FILE.yaml")


def load(named: str) -> tuple[tuple[Criterion, ...], str | None]:
    """The criteria of a rubric, by name or path, and the formula that it asks for, if any.

    Raises:
        UsageError: the file cannot be read, or something in it is not as it must be; the message says where.
    """
    path = find(named)
    content = read(path)
    where = f"rubric {str(path)!r}" if named not in names() else f"rubric {named!r}"
    if unknown := sorted(set(content) - {"criteria", "formula"}):
        raise UsageError(f"{where}: unknown key {unknown[0]!r}; there are criteria and formula")
    formula = content.get("formula")
    if formula not in (None, *get_args(Formula)):
        raise UsageError(f"{where}: formula={formula!r}; there are {', '.join(get_args(Formula))}")
    return criteria(content.get("criteria"), where), formula


def criteria(listed: object, where: str) -> tuple[Criterion, ...]:
    """Criteria as people write them: texts, or mappings with text, points, kind, anchors, axis, tags, id.

    Raises:
        UsageError: they are none, or one is not as it must be.
    """
    if not isinstance(listed, Sequence) or isinstance(listed, str) or not listed:
        raise UsageError(f"{where} has no criteria; list them: `criteria: [{{text: ..., points: 1}}, ...]`")
    return tuple(_criterion(one, number, where) for number, one in enumerate(listed, start=1))


def _criterion(written: object, number: int, where: str) -> Criterion:
    here = f"{where}, criterion {number}"
    if isinstance(written, str):
        written = {"text": written}
    if not isinstance(written, Mapping):
        raise UsageError(f"{here}: {written!r} is neither a text nor a mapping with `text`")
    fields: dict[str, Any] = {str(name): value for name, value in written.items()}
    _check_keys(fields, here)
    if "weight" in fields:
        fields["points"] = fields.pop("weight")
    if "text" not in fields:
        raise UsageError(f"{here} has no text")
    kind = fields.get("kind", "yes/no")
    if str(kind) not in KINDS:
        raise UsageError(f"{here}: kind={kind!r}; there are yes/no, 1-5 and 1-10")
    fields |= {
        "kind": KINDS[str(kind)],
        "id": str(fields.get("id", number)).casefold()
        if isinstance(fields.get("id"), bool)
        else str(fields.get("id", number)),
        "anchors": _anchors(fields.get("anchors") or {}, here),
        "tags": [str(tag) for tag in fields.get("tags") or ()],
        "axis": str(fields.get("axis") or ""),
    }
    try:
        return msgspec.convert(fields, Criterion)
    except msgspec.ValidationError as error:
        raise UsageError(f"{here}: {str(error)[0].lower()}{str(error)[1:]}") from error


def _check_keys(fields: Mapping[str, Any], where: str) -> None:
    if "weight" in fields and "points" in fields:
        raise UsageError(f"{where} has points and weight; keep one")
    for name in fields:
        if name not in (*FIELDS, "weight"):
            close = difflib.get_close_matches(name, (*FIELDS, "weight"), n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ";"
            raise UsageError(
                f"{where}: unknown key {name!r}{hint} There are {', '.join(FIELDS)}, and weight for points"
            )


def _anchors(written: object, where: str) -> dict[str, str]:
    """What grades mean. YAML reads a bare yes and no as true and false."""
    if not isinstance(written, Mapping):
        raise UsageError(f"{where}: anchors={written!r}; write what each grade means, as {{1: ..., 5: ...}}")
    spelled = {True: "yes", False: "no"}
    return {spelled[name] if isinstance(name, bool) else str(name): str(text) for name, text in written.items()}


def doubts(criteria: Sequence[Criterion]) -> Iterator[str]:
    """What looks like a mistake in a rubric: signs that do not fit their texts, and criteria that say the same."""
    for one in criteria:
        fault = _FAULTS.search(one.text)
        if one.points > 0 and fault and not _spoken_against(one.text, fault):
            yield (
                f"criterion {one.id!r} earns {one.points:g} points and speaks of a fault ({fault[0]!r}): "
                "if it names what an answer must not do, its points are to be below 0"
            )
        if one.points < 0 and not fault and not _NOT.search(one.text) and (virtue := _VIRTUES.search(one.text)):
            yield (
                f"criterion {one.id!r} costs {-one.points:g} points and speaks of a merit ({virtue[0]!r}): "
                "if it names what an answer should do, its points are to be above 0"
            )
    words = [frozenset(re.findall(r"\w+", one.text.casefold())) for one in criteria]
    for later, one in enumerate(criteria):
        for earlier in range(later):
            both, either = len(words[earlier] & words[later]), len(words[earlier] | words[later])
            if either >= 4 and both / either >= ALIKE:
                yield f"criteria {criteria[earlier].id!r} and {one.id!r} say nearly the same, and count twice"


def _spoken_against(text: str, fault: re.Match[str]) -> bool:
    """Whether a text says that the fault is not there: ``contains nothing harmful``."""
    return any(found.span() != fault.span() and found.start() < fault.start() for found in _NOT.finditer(text))
