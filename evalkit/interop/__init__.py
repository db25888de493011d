"""Other tools' result files: one module a format, each with a frozen dataclass ``Format``; found by name."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from evalkit.interop.records import Plugin
from evalkit.protocols import UsageError


def names() -> list[str]:
    """The formats there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if hasattr(_module(module.name), "Format"))


def exportable() -> list[str]:
    """The formats that results can be written in: those that have ``write``."""
    return [name for name in names() if hasattr(_module(name).Format, "write")]


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{name}")


def load(name: str, benchmark: str | None = None) -> Plugin:
    """The plug-in of a format.

    Args:
        name: of the format.
        benchmark: what to call the benchmark the rows belong to; None leaves it to the format.

    Raises:
        UsageError: there is no such format.
    """
    if name not in names():
        raise UsageError(f"there is no format {name!r}; there are: {', '.join(names())}")
    plugin: Plugin = _module(name).Format(benchmark=benchmark)
    return plugin
