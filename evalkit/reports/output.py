"""Where the result of a verb goes: the format that a file's name says, and the file itself."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from evalkit.core.protocols import UsageError


def one_thread() -> None:
    """Have NumPy, not imported yet, use one thread for its products, unless the environment says how many.

    The matrices of audits and leaderboards are small: threads do not make them faster, and where other programs keep
    the processor busy they wait for each other longer than all the rest takes.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


FIGURES = {".svg": "figure", ".pdf": "figure", ".png": "figure"}
"""Endings of a file's name that ask for a figure."""


def figure_of(kind: str | None, form: str, kinds: Mapping[str, str]) -> str | None:
    """The kind of figure to draw: the one asked for, or the first; None where no figure is asked for.

    Args:
        kind: as the user named it.
        form: the format of the output.
        kinds: those there are.

    Raises:
        UsageError: there is no such kind, or it would not be written to a file of a figure.
    """
    if kind is not None and kind not in kinds:
        raise UsageError(f"--figure {kind}: there is no such figure here; there are: {', '.join(kinds)}")
    if form == "figure":
        return kind or next(iter(kinds))
    if kind is not None:
        raise UsageError(f"--figure {kind} needs a file to draw to: -o FILE, which ends in {', '.join(FIGURES)}")
    return None


def form_of(given: str | None, output: Path | None, formats: Mapping[str, str]) -> str:
    """The format asked for, or else the one that the file's name says; a name without an ending says ``table``.

    Raises:
        UsageError: the name ends in something that is no format.
    """
    if given is not None:
        return given
    ending = output.suffix.lower() if output is not None else ""
    if not ending:
        return "table"
    if ending not in formats:
        allowed = ", ".join(formats)
        raise UsageError(f"{str(output)!r}: no format is called {ending!r}; end the name in {allowed}, or say --format")
    return formats[ending]


def write(text: str, output: Path | None, note: Callable[[str], None]) -> None:
    """Print the text; or write it to a file and say where it is.

    Raises:
        UsageError: the file cannot be written.
    """
    if output is None:
        sys.stdout.write(text + "\n")
        return
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot write {str(output)!r}: {error.strerror}") from error
    note(f"in {output}")
