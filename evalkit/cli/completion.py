"""The verb ``evalkit completion SHELL``: the script that has a shell complete commands; and what it asks for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

SHELLS = ("bash", "zsh", "fish")
ASK = "--candidates"
"""What the scripts call: ``evalkit completion --candidates WORD ...``, the last word being the one to complete."""

HOW = """\
bash   add to ~/.bashrc:   eval "$(evalkit completion bash)"
zsh    add to ~/.zshrc:    eval "$(evalkit completion zsh)"
fish   run once:           evalkit completion fish > ~/.config/fish/completions/evalkit.fish
"""


def main(arguments: Sequence[str]) -> int:
    """Read the command line and carry it out. Returns the exit code."""
    if arguments[:1] == [ASK]:
        return answer(arguments[1:])
    from evalkit.cli.arguments import parse
    from evalkit.core.paths import inside

    parser = argparse.ArgumentParser(
        prog="evalkit completion",
        description="Print the script that has a shell complete evalkit's commands by the Tab key.",
        epilog=HOW,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=SHELLS, help="which shell")
    given = parse(parser, arguments)
    sys.stdout.write((inside("cli/shells") / f"evalkit.{given.shell}").read_text(encoding="utf-8"))
    return 0


def answer(words: Sequence[str]) -> int:
    """Print what the last word may become, a line each: the whole word, a tab, what it is. Returns the exit code.

    A line ``:files`` says that names of files fit, too. Mistakes in what was typed so far are not said here: the
    command itself does.
    """
    from evalkit.cli.candidates import offer

    found = offer(words or [""])
    lines = [f"{word}\t{about}" if about else word for word, about in found.words]
    sys.stdout.write("".join(f"{line}\n" for line in [*lines, *([":files"] if found.files else [])]))
    return 0
