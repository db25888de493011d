"""Every verb that prints a table prints it for a paper, too."""

from __future__ import annotations

import pytest

from evalkit.cli import grammar
from evalkit.cli.arguments import VERBS

NO_TABLE = {"export", "import", "judge", "list"}
"""Verbs whose formats are those of files that other tools made, or of names alone."""
FORMATTED = [(verb, live) for verb in VERBS for live in (False, True) if not live or verb == "audit"]


@pytest.mark.parametrize(("verb", "live"), FORMATTED)
def test_every_table_has_latex(verb, live):
    option = grammar.grammar(verb, live=live).options.get("--format")
    if option is not None and verb not in NO_TABLE:
        assert "latex" in option.value, option.value


def test_the_verbs_with_tables():
    formatted = {verb for verb in VERBS if "--format" in grammar.grammar(verb).options}
    assert {"leaderboard", "compare", "gate", "plan", "audit", "judges", "rejudge", "cite"} <= formatted
