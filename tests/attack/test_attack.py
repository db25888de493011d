"""The short form of every attack; the long one is ``python -m tests.attack --into docs/attack.md``."""

from __future__ import annotations

import shutil

import pytest

from tests.attack.__main__ import ATTACKS, row_of, table
from tests.attack.kills import VERBS
from tests.attack.outside import BROWSERS

FAST = ("torn lines", "fuzzed replies")


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(
    "name", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in ATTACKS]
)
def test_attack(tmp_path, name):
    if name == "hostile pages" and not any(map(shutil.which, BROWSERS)):
        pytest.skip("no Chromium here")
    counts = ATTACKS[name].attack(tmp_path, ATTACKS[name].short, 2)
    assert counts
    assert all(count >= 0 for count in counts.values())
    if "kills" in counts:
        assert counts["kills"] >= 1, "or there was little to test"
        assert counts["rows"] > 0


def test_every_verb_is_attacked_and_told_of():
    assert {f"kill -9 of {verb}" for verb in (*VERBS, "run", "label")} <= set(ATTACKS)
    rows = {name: row_of(name, {"kills": 3}, 1.0) for name in ATTACKS}
    text = table(rows)
    assert f"{3 * len(ATTACKS)} kills." in text
    assert all(row in text.splitlines() for row in rows.values())
