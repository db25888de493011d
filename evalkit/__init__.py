"""evalkit: LLM-as-judge evaluation. How good is this model, and how far can the judge be trusted?

    import evalkit as ek

    results = ek.load("results/mtbench")       # what is stored: judgments(), answers(), leaderboard(), audit()

Names are imported when they are first used; ``import evalkit`` alone loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from evalkit import stats as stats
    from evalkit.api.results import AuditResult as AuditResult
    from evalkit.api.results import Leaderboard as Leaderboard
    from evalkit.api.results import Results as Results
    from evalkit.api.results import load as load
    from evalkit.core.protocols import Backend as Backend
    from evalkit.core.protocols import Completion as Completion
    from evalkit.core.protocols import EvalkitError as EvalkitError
    from evalkit.core.protocols import Judge as Judge
    from evalkit.core.protocols import JudgeProtocol as JudgeProtocol
    from evalkit.core.protocols import Model as Model
    from evalkit.core.protocols import UsageError as UsageError

__all__ = [
    "AuditResult",
    "Backend",
    "Completion",
    "EvalkitError",
    "Judge",
    "JudgeProtocol",
    "Leaderboard",
    "Model",
    "Results",
    "UsageError",
    "__version__",
    "load",
    "stats",
]
_RESULTS = {"AuditResult", "Leaderboard", "Results", "load"}


def __getattr__(name: str) -> Any:
    """Import a name of the Python API when it is first used."""
    from importlib import import_module

    if name == "stats":
        return import_module("evalkit.stats")
    if name in __all__:
        return getattr(import_module("evalkit.api.results" if name in _RESULTS else "evalkit.core.protocols"), name)
    raise AttributeError(f"evalkit has no {name!r}; there are: {', '.join(__all__)}")


def __dir__() -> list[str]:
    """List what the Python API offers."""
    return list(__all__)
