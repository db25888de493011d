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
    except OSError as error:
        if error.errno not in (errno.EMFILE, errno.ENFILE):
            raise
        # Written directly: a console, which is loaded from files, may not be had any more.
        sys.stderr.write(
            f"evalkit: {error.strerror}: this process may not open as many as it needs; raise the limit, as with "
            "`ulimit -n 4096`, and run the same command again, which goes on from what is stored\n"
        )
        return messages.FAILED
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


def _dispatch(arguments: list[str]) -> int:  # noqa: C901 - one branch a verb
    from evalkit.cli.arguments import VERBS, parse_top

    if not arguments or arguments[0] not in VERBS:
        parse_top(arguments)
    verb, *rest = arguments
    # One branch a verb, and no table of names, so that a type checker follows the imports.
    if verb == "run":
        from evalkit.cli.run import main as carry_out
    elif verb == "rejudge":
        from evalkit.cli.rejudge import main as carry_out
    elif verb == "leaderboard":
        from evalkit.cli.leaderboard import main as carry_out
    elif verb == "audit":
        from evalkit.cli.audit import main as carry_out
    elif verb == "view":
        from evalkit.cli.view import main as carry_out
    elif verb == "label":
        from evalkit.cli.label import main as carry_out
    elif verb == "import":
        from evalkit.cli.import_ import main as carry_out
    elif verb == "export":
        from evalkit.cli.export import main as carry_out
    elif verb == "list":
        from evalkit.cli.list_ import main as carry_out
    else:
        from evalkit.cli.doctor import main as carry_out
    return carry_out(rest)
