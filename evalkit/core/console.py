"""Where text for people goes: a console whose reader may go away without ending what is under way."""

from __future__ import annotations

import contextlib
import errno
import os
from io import StringIO

from rich.console import Console


class Output(Console):
    """A console that falls silent when nobody reads it any more: ``| head``, ``| tee`` after Ctrl-C, a lost terminal.

    A run goes on and is recorded, because what it asked is being paid for. On standard error, which carries messages
    only, anything else that keeps it from being written (a full disk) silences it too.
    """

    def on_broken_pipe(self) -> None:
        """Write no more. What the stream still holds, and what others write to it, goes nowhere."""
        self.quiet = True
        with contextlib.suppress(OSError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), self.file.fileno())

    def _check_buffer(self) -> None:
        try:
            super()._check_buffer()
        except OSError as error:
            if not self.stderr and error.errno != errno.EIO:  # EIO: the terminal is gone
                raise
            self.on_broken_pipe()


def on_paper(buffer: StringIO, width: int) -> Console:
    """A console that writes text into memory, and nowhere else: in a notebook, Rich would show it instead.

    Args:
        buffer: where the text goes.
        width: in columns.
    """
    return Console(file=buffer, width=width, highlight=False, force_jupyter=False)
