"""The short form of every attack; the long one is ``python -m tests.attack --into docs/attack.md``."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import replace

import pytest

from tests.attack.__main__ import ATTACKS, Done, done, portion, table
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
    rows = {name: Done(3, Counter({"kills": 3, "rows": 1200}), 1.0).line(name) for name in ATTACKS}
    text = table(rows)
    assert f"{3 * len(ATTACKS)} kills." in text
    assert all(row in text.splitlines() for row in rows.values())


def test_an_attack_goes_on_where_its_line_ends(monkeypatch):
    before = Done(1000, Counter({"torn lines": 1000, "rows": 3}), 8.0)
    assert done(before.line("torn lines")) == before
    assert done("| torn lines | 2026-11-28 | 300 torn lines | held | 8 |") is None, "a line of an older form"
    seen = []

    def attack(_, amount, seed):
        seen.append((amount, seed))
        return {"torn_lines": amount}

    monkeypatch.setitem(ATTACKS, "torn lines", replace(ATTACKS["torn lines"], attack=attack))
    after = portion("torn lines", 500, before, seed=1)
    assert seen == [(500, 1001)], "each portion is another one"
    assert (after.amount, after.counts) == (1500, {"torn lines": 1500, "rows": 3})
