"""Reads the JSON object that a judge's reply is or ends with."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import chain
from typing import Any

from msgspec import Struct

from evalkit.core.protocols import Completion, Verdict
from evalkit.core.schema import Failure
from evalkit.judges.replies import (
    VerdictLabels,
    contradiction,
    excerpt,
    lines_of,
    no_verdict,
    running,
    spoken,
    without_code,
)

_OBJECT = re.compile(r"^[ \t]{0,8}\{", re.MULTILINE)

Pairs = tuple[tuple[str, Any], ...]
"""A JSON object as names with values, in the order written."""


def json_field(completion: Completion, labels: VerdictLabels, name: str) -> Verdict | Failure:
    """The verdict in a field of the JSON object that a reply is, or ends with, fenced or not.

    Two fields of that name, or a value that is no label, are a failure.
    """
    found = _object(completion)
    if isinstance(found, Failure):
        return found
    values = [value for key, value in found.pairs if key == name]
    if len(values) != 1:
        return Failure("unparsed", f"no JSON object with one field {name!r} in the reply: {excerpt(completion.text)!r}")
    if (label := labels.label(json_word(values[0]))) is None:
        return Failure("unparsed", f"{name!r} is {excerpt(repr(values[0]))}, which is none of {labels.allowed}")
    parts = (lines_of(without_code(text)[0], labels) for text in (found.before, found.after))
    before, after = ([*chain(*running(part))] for part in parts)
    return contradiction(before, after, label, labels) or labels.verdict(label)


def json_word(value: object) -> str:
    """A JSON value as the text that a label is read from, a list of names as ``A > B``; empty for what is none."""
    if isinstance(value, list) and value and all(isinstance(name, str) for name in value):
        return " > ".join(value)
    return str(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else ""


def json_pairs(completion: Completion) -> Pairs | Failure:
    """The JSON object that a reply is, or ends with, fenced or not; names that occur twice are kept, to be noticed.

    Returns:
        Its names with values, objects inside it alike; or why there is none.
    """
    found = _object(completion)
    return found if isinstance(found, Failure) else found.pairs


class _Object(Struct, frozen=True):
    """A JSON object in a reply, and the text before it and after it."""

    pairs: Pairs
    before: str
    after: str


def _object(completion: Completion) -> _Object | Failure:
    """The JSON object that a reply is, or ends with; a failure where another one in it says something else."""
    if failure := no_verdict(completion):
        return failure
    text = spoken(completion.text)
    if isinstance(text, Failure):
        return text
    _, blocks, _ = without_code(text)
    begin = text.rfind("\n{") + 1
    candidates = [(text.strip(), "", "")]
    for block in (block for block in blocks[-1:] if block.strip()):
        before, _, after = text.rpartition(block)
        candidates.append((block.strip(), before.rpartition("```")[0], after.partition("```")[2]))
    candidates.append((text[begin:].strip(), text[:begin], ""))
    for written, before, after in candidates:
        try:
            pairs: Any = json.loads(written, object_pairs_hook=tuple, strict=False)
        except (ValueError, RecursionError):
            continue
        if not _is_object(pairs):
            break
        if any(_says_otherwise(other, pairs) for rest in (before, after) for other in _objects(rest)):
            return Failure("unparsed", f"two different JSON objects in the reply: {excerpt(completion.text)!r}")
        return _Object(pairs, before, after)
    return Failure("unparsed", f"no JSON object in the reply: {excerpt(completion.text)!r}")


def _objects(text: str) -> Iterator[Pairs]:
    """JSON objects that begin a line, of the first and the last twenty lines that could."""
    decoder = json.JSONDecoder(object_pairs_hook=tuple, strict=False)
    begins = [match.end() - 1 for match in _OBJECT.finditer(text)]
    for begin in begins[:20] + begins[20:][-20:]:
        try:
            pairs, _ = decoder.raw_decode(text, begin)
        except (ValueError, RecursionError):
            continue
        if _is_object(pairs):
            yield pairs


def _says_otherwise(one: Pairs, other: Pairs) -> bool:
    """Whether two objects give the same name different values, reasons aside."""
    mine, theirs = _values(one), _values(other)
    return any(mine[name] != theirs[name] for name in mine.keys() & theirs.keys())


def _values(pairs: Pairs) -> dict[str, str]:
    """Values by name as text, without reasons."""
    return {
        name: str(_values(value)) if isinstance(value, tuple) and _is_object(value) else str(value)
        for name, value in pairs
        if name != "reason"
    }


def _is_object(pairs: object) -> bool:
    return isinstance(pairs, tuple) and all(isinstance(pair, tuple) and len(pair) == 2 for pair in pairs)
