"""evalkit: LLM-as-judge evaluation. How good is this model, and how far can the judge be trusted?

    import evalkit as ek

    run = ek.run("pocket", model="smollm2", judge="smollm2", limit=1)      # as `evalkit run` does
    run.scores(), run.judgments(), run.answers()                           # DataFrames
    ek.load("results/mtbench").audit().conclusions                         # whatever is stored

What there is:

    run, arun, judge                    ask models and judges, or judge answers that are there; each gives a Run
    load                                stored results, a Results: tables, leaderboard, compare, audit, judges, plot,
                                        cite, claim
    verify                              compute a claim card's number from the rows again
    Model, Judge, Rubric, Criterion     members of a run as objects, in place of names
    Backend, JudgeProtocol, Bias        what a class of your own derives from, or has the methods of
    EvalkitError, UsageError            what is raised: something went wrong, or was called wrongly
    stats                               statistics alone: arrays in, frozen results out

Names are imported when they are first used; ``import evalkit`` alone loads nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from evalkit import stats as stats
    from evalkit.api.ranked_judges import RankedJudges as RankedJudges
    from evalkit.api.results import AuditResult as AuditResult
    from evalkit.api.results import ComparedModels as ComparedModels
    from evalkit.api.results import Leaderboard as Leaderboard
    from evalkit.api.results import Results as Results
    from evalkit.api.results import load as load
    from evalkit.api.results import verify as verify
    from evalkit.api.runs import Run as Run
    from evalkit.api.runs import arun as arun
    from evalkit.api.runs import judge as judge
    from evalkit.api.runs import run as run
    from evalkit.core.protocols import Backend as Backend
    from evalkit.core.protocols import Bias as Bias
    from evalkit.core.protocols import Completion as Completion
    from evalkit.core.protocols import EvalkitError as EvalkitError
    from evalkit.core.protocols import Judge as Judge
    from evalkit.core.protocols import JudgeProtocol as JudgeProtocol
    from evalkit.core.protocols import Model as Model
    from evalkit.core.protocols import UsageError as UsageError
    from evalkit.core.schema import Criterion as Criterion
    from evalkit.judges.rubric import Rubric as Rubric

__all__ = [
    "AuditResult",
    "Backend",
    "Bias",
    "ComparedModels",
    "Completion",
    "Criterion",
    "EvalkitError",
    "Judge",
    "JudgeProtocol",
    "Leaderboard",
    "Model",
    "RankedJudges",
    "Results",
    "Rubric",
    "Run",
    "UsageError",
    "__version__",
    "arun",
    "judge",
    "load",
    "run",
    "stats",
    "verify",
]
_HOMES = {
    "evalkit.api.ranked_judges": ("RankedJudges",),
    "evalkit.api.results": ("AuditResult", "ComparedModels", "Leaderboard", "Results", "load", "verify"),
    "evalkit.api.runs": ("Run", "arun", "judge", "run"),
    "evalkit.core.schema": ("Criterion",),
    "evalkit.judges.rubric": ("Rubric",),
}


def __getattr__(name: str) -> Any:
    """Import a name of the Python API when it is first used."""
    from importlib import import_module

    if name == "stats":
        return import_module("evalkit.stats")
    if name in __all__:
        homes = (module for module, names in _HOMES.items() if name in names)
        return getattr(import_module(next(homes, "evalkit.core.protocols")), name)
    raise AttributeError(f"evalkit has no {name!r}; there are: {', '.join(__all__)}")


def __dir__() -> list[str]:
    """List what the Python API offers."""
    return list(__all__)
