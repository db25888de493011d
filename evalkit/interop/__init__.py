"""Other tools' result files: one module a format, each with a frozen dataclass ``Format``; found by name."""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType

from evalkit.core.protocols import UsageError
from evalkit.interop.records import Plugin, Told


def names() -> list[str]:
    """The formats there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if hasattr(_module(module.name), "Format"))


def exportable() -> list[str]:
    """The formats that results can be written in: those that have ``write``."""
    return [name for name in names() if hasattr(_module(name).Format, "write")]


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{__name__}.{name}")


def load(name: str, benchmark: str | None = None, told: Told | None = None) -> Plugin:
    """The plug-in of a format.

    Args:
        name: of the format.
        benchmark: what to call the benchmark the rows belong to; None leaves it to the format.
        told: what the user says of files that do not say it; a format uses what it has a question for.

    Raises:
        UsageError: there is no such format, or it has no use for something the user says.
    """
    if name not in names():
        raise UsageError(f"there is no format {name!r}; there are: {', '.join(names())}")
    made = _module(name).Format
    uses = getattr(made, "USES", ())
    for option in ("judge", "baseline", "model", "columns"):
        if told is not None and getattr(told, option) and option not in uses:
            flag = "map" if option == "columns" else option
            raise UsageError(f"--{flag} has no meaning for {name}: its files say it themselves")
    plugin: Plugin = made(benchmark=benchmark, **({"told": told} if told is not None and uses else {}))
    return plugin
