"""Python values -> the ``key=value`` settings of a command line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from evalkit.core.protocols import UsageError
from evalkit.settings.overrides import literal

Member = TypeVar("Member")


def setting(key: str, value: Any) -> list[str]:
    """A setting as a command line has it; a dict is one setting for each of its innermost values.

    Raises:
        UsageError: there is no way to write the value, or the key is none of evalkit's: Hydra's own could call any
            function, and settings may have been read from a file.
    """
    if not re.fullmatch(r"[+~]{0,2}[\w.@/:-]+", key) or "hydra" in re.split(r"[./@:]", key.lstrip("+~")):
        raise UsageError(
            f"{key!r} is no setting of evalkit: give what docs/python.md and `evalkit run BENCHMARK --cfg job` show, "
            "and nothing of Hydra's own"
        )
    if isinstance(value, Mapping):
        return [inner for name, part in value.items() for inner in setting(f"{key}.{name}", part)]
    return [f"{key}={_written(key, value)}"]


def _written(key: str, value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str | Path):
        return _text(str(value))
    if isinstance(value, Sequence | frozenset | set):
        return f"[{','.join(_written(key, part) for part in value)}]"
    raise UsageError(
        f"{key}={value!r}: a setting is a text, a number, True, False, None, a list or a dict, and no "
        f"{type(value).__name__}"
    )


def _text(text: str) -> str:
    """A text that is taken as it stands, whatever it looks like."""
    special = {"null", "true", "false", "nan", "inf"}
    if re.fullmatch(r"[A-Za-z_][\w.-]*", text, re.ASCII) and text.lower() not in special:
        return text
    *before, last = text.split("${")  # no reference to other settings: a backslash before it, and two for each there
    escaped = "".join(part + "\\" * (len(part) - len(part.rstrip("\\")) + 1) + "${" for part in before) + last
    return literal(escaped)


def chosen(group: str, given: Any, kind: type[Member]) -> tuple[list[str], tuple[Member, ...]]:
    """The settings that choose members by name, and the members that are objects already.

    Args:
        group: ``model`` or ``judge``.
        given: names, dicts of settings by name, objects, or a list of these.
        kind: what the objects are.

    Raises:
        UsageError: something is none of these, or there is none.
    """
    listed = [given] if isinstance(given, str | Mapping | kind) else given
    if not isinstance(listed, Sequence) or not listed:
        raise UsageError(f"{group}={given!r}: give a name, a {kind.__name__}, or a list of these")
    names: list[str] = []
    settings: list[str] = []
    objects: list[Member] = []
    for one in listed:
        if isinstance(one, kind):
            objects.append(one)
        elif isinstance(one, str):
            names.append(one)
        elif isinstance(one, Mapping):
            names += one
            settings += _inner(group, one)
        else:
            raise UsageError(f"{group}={one!r}: give a name, a {kind.__name__}, or a list of these")
    return [f"{group}={','.join(names) if names else '[]'}", *settings], tuple(objects)


def _inner(group: str, settings: Mapping[str, Any]) -> Iterator[str]:
    """The settings of members, by the names they go by."""
    for name, inner in settings.items():
        yield from setting(f"{group}.{name}", inner)
