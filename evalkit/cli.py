"""The verbs. Nothing heavy is imported before a verb needs it."""

from __future__ import annotations

import argparse
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evalkit import compose, options, secrets
from evalkit.protocols import EvalkitError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from rich.console import Console

    from evalkit.benchmark import Spec
    from evalkit.schema import Item

DONE, FAILED, USAGE, BUDGET, GATE, INTERRUPTED = 0, 1, 2, 3, 4, 130
"""Exit codes: done; some items failed; bad usage or config; budget reached; a gate failed; interrupted."""


def main(argv: Sequence[str] | None = None) -> None:
    """The console script."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if argv is None:  # a process of our own
        secrets.guard_output()
    try:
        _keep_secrets(arguments)
        with warnings.catch_warnings():
            warnings.showwarning = _warn  # type: ignore[assignment]
            sys.exit(_dispatch(arguments))
    except EvalkitError as error:
        sys.exit(_failed(error))
    except KeyboardInterrupt:
        _complain("interrupted; what was answered is stored, and the same command goes on from there")
        sys.exit(INTERRUPTED)
    except BrokenPipeError:  # of what was written to standard output directly
        sys.exit(DONE)
    finally:
        _hand_over()


def _hand_over() -> None:
    """Write what standard output still holds; where its reader went away, as `| head` does, nobody misses it."""
    try:
        if sys.stdout:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _keep_secrets(arguments: list[str]) -> None:
    """Keys come from the environment or a .env file, never from the command line."""
    try:
        secrets.load_env_file()
    except (OSError, ValueError) as error:  # not UTF-8, or a null byte in a value
        raise UsageError(f"cannot read .env: {error}; mend or remove it") from error
    if where := secrets.credential_in_arguments(arguments):
        raise UsageError(secrets.CREDENTIAL.format(where=where))


def _dispatch(arguments: list[str]) -> int:
    if arguments[:1] == ["run"]:
        return _run(arguments[1:])
    if arguments[:1] == ["audit"] and any(re.match(r"[+~]*[\w.]+=", one) for one in arguments):
        return _experiments(arguments[1:])
    if arguments[:1] == ["rejudge"]:
        return _rejudge(arguments[1:])
    verbs: dict[str, options.Verb] = {
        "leaderboard": _leaderboard,
        "audit": _audit,
        "import": _import,
        "export": _export,
        "list": _list,
        "doctor": _doctor,
    }
    parsed = options.parse(verbs, arguments)
    verb: options.Verb = parsed.verb
    return verb(parsed)


def _run(arguments: list[str]) -> int:
    if not arguments or {"-h", "--help"} & set(arguments):
        sys.stdout.write(options.RUN_HELP)
        return DONE if arguments else USAGE
    if arguments[0].startswith("-") or "=" in arguments[0]:
        raise UsageError(f"`evalkit run` needs a benchmark before {arguments[0]!r}; see `evalkit list benchmarks`")
    from evalkit import benchmark

    about = [benchmark.spec(name) for name in arguments[0].split(",")]
    flags, overrides = compose.split(arguments[1:])
    given = dict(override.lstrip("+~").split("=", 1) for override in overrides if "=" in override)
    if "benchmark" in given:
        raise UsageError(f"the benchmark has no key: `evalkit run {given['benchmark']}`")
    if given.get("protocol") == "faithful":
        overrides = [override for override in overrides if override != "protocol=faithful"]
        overrides += [
            f"{key}={value}" for key, value in _faithful(about[0]).items() if key not in given or key == "protocol"
        ]
    elif "protocol" not in given:
        protocols = {spec.protocol for spec in about}
        if len(protocols) > 1:
            raise UsageError(
                f"these benchmarks differ in protocol ({', '.join(sorted(protocols))}); run them one by one"
            )
        overrides.append(f"protocol={protocols.pop()}")
    named = ",".join(map(compose.quoted, arguments[0].split(",")))
    return _jobs([*flags, f"benchmark={named}", *overrides], _carry_out)


def _faithful(about: Spec) -> Mapping[str, str]:
    """The settings that reproduce a benchmark's published numbers."""
    if not about.faithful:
        raise UsageError(f"benchmark {about.name!r} is our own: it has no published protocol to be faithful to")
    return about.faithful


def _experiments(arguments: list[str]) -> int:
    from evalkit.reports import probe_command

    if {"-h", "--help"} & set(arguments):
        sys.stdout.write(probe_command.help_text())
        return DONE
    asked = probe_command.asked(arguments)
    return _jobs(asked.arguments, lambda composed: asked.run(composed, _console(), _note), probe_command.OURS)


def _rejudge(arguments: list[str]) -> int:
    from evalkit.reports import rejudge_command

    if not arguments or {"-h", "--help"} & set(arguments):
        sys.stdout.write(rejudge_command.HELP)
        return DONE if arguments else USAGE
    asked = rejudge_command.asked(arguments)
    return _jobs(asked.arguments, lambda composed: asked.run(composed, _console(), _note), rejudge_command.OURS)


def _carry_out(composed: dict[str, Any]) -> int:
    from evalkit.config import parse
    from evalkit.run import run

    return run(parse(composed), _console())


def _jobs(arguments: list[str], carry_out: Callable[[dict[str, Any]], int], also: Sequence[str] = ()) -> int:
    """Compose and carry out. One of several jobs that fails does not stop the others."""
    return compose.jobs(arguments, carry_out, failed=_failed, also=also)


def _failed(error: EvalkitError) -> int:
    """Tell the user. Returns the exit code."""
    _complain(str(error))
    return USAGE if isinstance(error, UsageError) else FAILED


def _leaderboard(given: argparse.Namespace) -> int:
    from evalkit.reports.leaderboard_command import run

    run(given, _console(stderr=False), _note)
    return DONE


def _audit(given: argparse.Namespace) -> int:
    from evalkit.reports.audit_command import run

    run(given, _console(stderr=False), _note)
    return DONE


def _import(given: argparse.Namespace) -> int:
    from evalkit.interop.importing import import_results
    from evalkit.interop.records import Told
    from evalkit.vocabulary import parse_map

    told = Told(given.judge, given.baseline, given.model, parse_map(given.map))
    found = import_results(given.format, given.path, given.into, given.benchmark, told)
    for text in told.assumed:
        _note(text)
    for kind, count in found.read.items():
        _note(f"{count:,} {kind}, {found.added.get(kind, 0):,} of them new")
    for kind, count in found.failed.items():
        _note(f"{count:,} {kind}: kept as failures")
    _note("in " + ", ".join(f"{given.into / name}/" for name in found.benchmarks))
    return DONE


def _export(given: argparse.Namespace) -> int:
    from evalkit.interop.exporting import export_results

    items = [item for path in given.paths for item in _questions_of(path)]
    for kind, count in export_results(given.format, given.paths, given.output, items).items():
        _note(f"{count:,} {kind}")
    _note(f"in {given.output}/")
    return DONE


def _questions_of(path: Path) -> Iterator[Item]:
    """Items of our own benchmarks with results here; fetched only where the results have no questions with them."""
    import asyncio

    from evalkit import benchmark
    from evalkit.items import NAME

    for name in benchmark.names():
        folder = path if path.name == name else path / name
        if folder.is_dir() and benchmark.spec(name).has_questions:
            stored = (folder / NAME).exists()
            yield from benchmark.at_hand(name) if stored else asyncio.run(benchmark.load(name)).items


def _list(given: argparse.Namespace) -> int:
    from evalkit.catalogue import catalogue

    catalogue(given.what, _console(stderr=False), given.config_dir)
    return DONE


def _doctor(given: argparse.Namespace) -> int:
    from evalkit.doctor import examine

    return DONE if examine(given.results_dir, _console(stderr=False)) else FAILED


def _console(*, stderr: bool = True) -> Console:
    from evalkit.console import Output

    return Output(stderr=stderr, highlight=False)


def _complain(message: str) -> None:
    from evalkit.report import plain

    console = _console()
    text = "\n".join(plain(line) for line in message.splitlines())
    console.print(f"evalkit: {text}", style="bold red", markup=False, soft_wrap=not console.is_terminal)


def _warn(message: Warning | str, category: type[Warning], *_: object) -> None:
    """Our own warnings are sentences for the user; those of libraries are not."""
    if category.__module__.startswith("evalkit."):
        _console().print(f"evalkit: {message}", style="yellow", markup=False)


def _note(message: str) -> None:
    console = _console()
    console.print(message, style="dim", markup=False, soft_wrap=not console.is_terminal)
