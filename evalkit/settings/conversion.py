"""Plain values of YAML as typed ones, with messages that name the whole key and near names for an unknown one."""

from __future__ import annotations

import dataclasses
import difflib
import math
import typing
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from evalkit.core.protocols import UsageError


def convert(value: Any, kind: Any, where: str) -> Any:
    """A value as the given type; like msgspec, but naming the whole key, and near names for an unknown one."""
    fields = fields_of(kind if value is None else _given(kind))
    if not isinstance(value, Mapping):
        _check_shape(value, kind, where, fields)
    if isinstance(value, Mapping) and fields:
        for key, inner in value.items():
            if key not in fields:
                raise UsageError(f"{where or 'config'}: unknown key {key!r}{near(str(key), fields)}")
            convert(inner, fields[key], f"{where}.{key}".lstrip("."))
    elif typing.get_origin(kind) is tuple and isinstance(value, list | tuple):
        for index, inner in enumerate(value):
            convert(inner, typing.get_args(kind)[0], f"{where}[{index}]")
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise UsageError(f"{where}={value!r}: {str(error)[0].lower()}{str(error)[1:]}") from error


def _check_shape(value: Any, kind: Any, where: str, fields: Iterable[str]) -> None:
    """Say what to write instead, where a value is none of its kind."""
    if fields:
        raise UsageError(f"{where}={value!r}: set one of {', '.join(f'{where}.{name}=' for name in fields)}")
    if isinstance(value, str) and (words := _words(kind)) and value not in words:
        raise UsageError(f"{where}={value!r} is not possible{near(value, words)}")
    if isinstance(value, str) and typing.get_origin(kind) is tuple:
        raise UsageError(f"{where}={value!r}: expected a list; write '{where}=[{value}]'")
    if isinstance(value, float) and not math.isfinite(value):
        raise UsageError(f"{where}={value}: must be a finite number")


def _words(kind: Any) -> tuple[str, ...]:
    """The strings that a Literal, or one that may be left out, allows; empty for anything else."""
    inner = _given(kind)
    return typing.get_args(inner) if typing.get_origin(inner) is Literal else ()


def _given(kind: Any) -> Any:
    """The type that ``kind`` is where it is not None."""
    parts = typing.get_args(kind)
    return next(part for part in parts if part is not type(None)) if len(parts) == 2 and type(None) in parts else kind


def fields_of(kind: Any) -> dict[str, Any]:
    """Types by field name of a Struct or dataclass; empty for anything else."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        return {field.name: field.type for field in msgspec.structs.fields(kind)}
    return typing.get_type_hints(kind) if isinstance(kind, type) and dataclasses.is_dataclass(kind) else {}


def at_least(least: int, value: float | None, where: str) -> None:
    """Refuse a number below the least that is allowed; None is not set."""
    if value is not None and value < least:
        raise UsageError(f"{where}={value:g}: must be at least {least}")


def near(name: str, known: Iterable[str]) -> str:
    """What the user may have meant, and what there is, as the end of a message."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    return (f"; did you mean {close[0]!r}? There" if close else "; there") + f" are: {', '.join(names)}"
