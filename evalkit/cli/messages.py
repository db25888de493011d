"""What the command line says to people, on standard error, and its exit codes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evalkit.core.protocols import EvalkitError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

DONE, FAILED, USAGE, BUDGET, GATE, UNDECIDED, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130
"""Exit codes: done; some items failed; bad usage or config; budget; a gate failed, is undecided; interrupted."""


def console(*, stderr: bool = True) -> Console:
    """A console for people, or for data that was asked for."""
    from evalkit.core.console import Output

    return Output(stderr=stderr, highlight=False)


def print_error(message: str) -> None:
    """Print an error to stderr."""
    from evalkit.core.text import plain

    out = console()
    text = "\n".join(plain(line) for line in message.splitlines())
    out.print(f"evalkit: {text}", style="bold red", markup=False, soft_wrap=not out.is_terminal)


def failed(error: EvalkitError) -> int:
    """Print an error to stderr. Returns the exit code."""
    print_error(str(error))
    return USAGE if isinstance(error, UsageError) else FAILED


def note(message: str) -> None:
    """Print a note to stderr, beside the data."""
    out = console()
    out.print(message, style="dim", markup=False, soft_wrap=not out.is_terminal)


def show_warning(message: Warning | str, category: type[Warning], *_: object) -> None:
    """Show a warning: our own are sentences for the user; those of libraries are not."""
    if category.__module__.startswith("evalkit."):
        console().print(f"evalkit: {message}", style="yellow", markup=False)
