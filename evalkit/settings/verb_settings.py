"""The settings of ``evalkit run`` that follow from the benchmark: its protocol, and what is faithful to its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from evalkit.core.protocols import UsageError
from evalkit.datasets import benchmark
from evalkit.datasets.benchmark import Spec
from evalkit.settings.overrides import quoted


def run_settings(benchmarks: Sequence[str], overrides: Sequence[str]) -> list[str]:
    """Complete the ``key=value`` settings of a run with the benchmark and the protocol that it has.

    Args:
        benchmarks: names; several are a job each.
        overrides: as given.

    Raises:
        UsageError: a benchmark is unknown, they differ in protocol and none is given, or one has no published numbers
            to be faithful to.
    """
    about = [benchmark.spec(name) for name in benchmarks]
    given = dict(override.lstrip("+~").split("=", 1) for override in overrides if "=" in override)
    if "benchmark" in given:
        raise UsageError(f"the benchmark has no key: `evalkit run {given['benchmark']}`")
    settings = list(overrides)
    if given.get("protocol") == "faithful":
        settings = [one for one in settings if one != "protocol=faithful"]
        more = faithful(about[0]).items()
        settings += [f"{key}={value}" for key, value in more if key not in given or key == "protocol"]
    elif "protocol" not in given:
        protocols = {spec.protocol for spec in about}
        if len(protocols) > 1:
            raise UsageError(
                f"these benchmarks differ in protocol ({', '.join(sorted(protocols))}); run them one by one"
            )
        settings.append(f"protocol={'rubric' if 'rubric' in given else protocols.pop()}")
    return [f"benchmark={','.join(map(quoted, benchmarks))}", *settings]


def judge_settings(settings: Sequence[str], given: Mapping[str, str], name: str) -> list[str]:
    """Complete the settings of ``evalkit judge`` with the benchmark, and the protocol that suits it.

    Args:
        settings: ``key=value``, without the benchmark.
        given: the same by key, with the benchmark where one is given.
        name: of the results folder with the answers.

    Raises:
        UsageError: the benchmark has no published numbers to be faithful to.
    """
    known = given.get("benchmark") or name
    shipped = known in benchmark.names()
    if not shipped and not Path(known).is_dir():
        known = "arena" if "questions" in given else name
    passed = [*settings, f"benchmark={quoted(known)}"]
    if given.get("protocol") == "faithful":
        if not shipped:
            raise UsageError(f"protocol=faithful: {name!r} is no published benchmark; choose a protocol by name")
        passed = [one for one in passed if one != "protocol=faithful"]
        published = faithful(benchmark.spec(known)).items()
        return passed + [f"{key}={value}" for key, value in published if key not in given or key == "protocol"]
    if "protocol" not in given:
        usual = benchmark.spec(known).protocol if shipped and known != "arena" else "single"
        fitting = "pairwise" if given.get("baseline") and usual == "single" else usual
        passed.append(f"protocol={'rubric' if 'rubric' in given else fitting}")
    return passed


def faithful(about: Spec) -> Mapping[str, str]:
    """The settings that reproduce a benchmark's published numbers.

    Raises:
        UsageError: it has none.
    """
    if not about.faithful:
        raise UsageError(f"benchmark {about.name!r} is our own: it has no published protocol to be faithful to")
    return about.faithful
