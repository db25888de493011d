"""Other tools' result files: one module a format, each with a class that derives from ``ImportFormat``."""

from __future__ import annotations

import difflib
import importlib
import pkgutil

from evalkit.core.protocols import UsageError
from evalkit.interop.records import ExportFormat, ImportFormat, Told


def formats() -> dict[str, type[ImportFormat]]:
    """The formats there are, by the name of their module."""
    found = ((module.name, _format_in(f"{__name__}.{module.name}")) for module in pkgutil.iter_modules(__path__))
    return {name: kind for name, kind in sorted(found) if kind is not None}


def names() -> list[str]:
    """The names of all formats."""
    return list(formats())


def exportable() -> list[str]:
    """The names of the formats that results can be written in."""
    return [name for name, kind in formats().items() if issubclass(kind, ExportFormat)]


def _format_in(module: str) -> type[ImportFormat] | None:
    own = [
        value
        for value in vars(importlib.import_module(module)).values()
        if isinstance(value, type) and issubclass(value, ImportFormat) and value.__module__ == module
    ]
    # records.py holds the two base classes themselves
    return next((kind for kind in own if "read" not in kind.__abstractmethods__), None)


def load(name: str, benchmark: str | None = None, told: Told | None = None) -> ImportFormat:
    """The plug-in of a format.

    Args:
        name: of the format.
        benchmark: what to call the benchmark the rows belong to; None leaves it to the format.
        told: what the user says of files that do not say it; a format uses what it has a question for.

    Raises:
        UsageError: there is no such format, or it has no use for something the user says.
    """
    known = formats()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}? There are" if near else "there are"
        raise UsageError(f"there is no format {name!r}; {hint}: {', '.join(known)}")
    for option in ("judge", "baseline", "model", "columns"):
        if told is not None and getattr(told, option) and option not in known[name].asks:
            flag = "map" if option == "columns" else option
            raise UsageError(f"--{flag} has no meaning for {name}: its files say it themselves")
    return known[name](benchmark=benchmark, told=told or Told())
