"""The console script. Nothing but the verb that was asked for is loaded, and nothing heavy before it is needed."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> None:
    """Carry out a command line, and end the process with its exit code.

    Args:
        argv: the arguments; None takes those of the process.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments and arguments[0] in ("-h", "--help", "--version"):  # before anything of ours is loaded
            from evalkit.cli.arguments import parse_top

            parse_top(arguments)
        if arguments[:2] == ["completion", "--candidates"]:  # while somebody waits for the Tab key
            from evalkit.cli.completion import main as complete

            sys.exit(complete(arguments[1:]))
        sys.exit(_carry_out(arguments, own_process=argv is None))
    except BrokenPipeError:  # of what was written to standard output directly
        sys.exit(0)
    finally:
        _flush_stdout()


def _flush_stdout() -> None:
    """Write what standard output still holds; where its reader went away, as `| head` does, nobody misses it."""
    try:
        if sys.stdout:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _carry_out(arguments: list[str], *, own_process: bool) -> int:
    import warnings

    from evalkit.cli import messages
    from evalkit.core import secrets
    from evalkit.core.protocols import EvalkitError

    if own_process:
        secrets.guard_output()
    try:
        _keep_secrets(arguments)
        with warnings.catch_warnings():
            warnings.showwarning = messages.show_warning  # type: ignore[assignment]
            return _dispatch(arguments)
    except EvalkitError as error:
        return messages.failed(error)
    except (OSError, ImportError) as error:
        if not messages.no_file_left(error):
            raise
        if own_process:  # what was half made cannot be cleared away, and says so at the end
            sys.unraisablehook = lambda _: None
        return messages.too_few_files(os.strerror(errno.EMFILE))
    except KeyboardInterrupt:
        messages.print_error("interrupted; what was answered is stored, and the same command goes on from there")
        return messages.INTERRUPTED


def _keep_secrets(arguments: list[str]) -> None:
    """Keys come from the environment or a .env file, never from the command line."""
    from evalkit.core import secrets
    from evalkit.core.protocols import UsageError

    try:
        secrets.load_env_file()
    except (OSError, ValueError) as error:  # not UTF-8, or a null byte in a value
        raise UsageError(f"cannot read .env: {error}; mend or remove it") from error
    if where := secrets.credential_in_arguments(arguments):
        raise UsageError(secrets.CREDENTIAL.format(where=where))


def _dispatch(arguments: list[str]) -> int:
    from importlib import import_module

    from evalkit.cli.arguments import VERBS, parse_top

    if not arguments or arguments[0] not in VERBS:
        parse_top(arguments)
    verb, *rest = arguments
    module = verb + "_" if verb in ("import", "list") else verb  # which Python keeps for itself
    code: int = import_module(f"evalkit.cli.{module}").main(rest)
    return code
