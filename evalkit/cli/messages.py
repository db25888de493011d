"""What the command line says to people, on standard error, and its exit codes."""

from __future__ import annotations

import errno
import os
import sys
from typing import TYPE_CHECKING

from evalkit.core.protocols import EvalkitError, UsageError
from evalkit.core.text import plain

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
    out = console()
    text = "\n".join(plain(line) for line in message.splitlines())
    out.print(f"evalkit: {text}", style="bold red", markup=False, soft_wrap=not out.is_terminal)


def failed(error: EvalkitError) -> int:
    """Print an error to stderr. Returns the exit code."""
    if no_file_left(error) and "ulimit" not in str(error):
        return too_few_files(str(error))
    try:
        print_error(str(error))
    except (OSError, ImportError) as trouble:  # a console is loaded from files
        if not no_file_left(trouble):
            raise
        return too_few_files(str(error))
    return USAGE if isinstance(error, UsageError) else FAILED


def no_file_left(error: BaseException | None) -> bool:
    """Whether an error came from the limit of open files, of this process or of the machine."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
            return True
        if isinstance(error, ImportError) and os.strerror(errno.EMFILE) in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def too_few_files(what: str) -> int:
    """Say what to do about that limit. Written directly: a console, which is loaded from files, may not be had."""
    sys.stderr.write(
        f"evalkit: {plain(what)}: this process may not open as many files as it needs; raise "
        "the limit, as with `ulimit -n 4096`, and run the same command again; what was stored is kept\n"
    )
    return USAGE


def note(message: str) -> None:
    """Print a note to stderr, beside the data."""
    out = console()
    out.print(message, style="dim", markup=False, soft_wrap=not out.is_terminal)


def show_warning(message: Warning | str, category: type[Warning], *_: object) -> None:
    """Show a warning: our own are sentences for the user; those of libraries are not."""
    if category.__module__.startswith("evalkit."):
        console().print(f"evalkit: {message}", style="yellow", markup=False)
