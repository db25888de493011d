"""A results folder that evalkit wrote before its modules were moved: it opens, rates alike, and is not asked again."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

OLD = Path(__file__).parent / "results_0_1" / "pocket"
TWIN = "fake2:\n  backend: {_target_: evalkit.backends.fake.Fake, model: fake}\n  price: free\n"
PAIRS = ("run", "pocket", "model=[fake,fake2]", "judge=fake", "limit=1", "protocol=pairwise", "--config-dir=conf")


@pytest.fixture
def old(tmp_path: Path) -> Path:
    shutil.copytree(OLD, tmp_path / "results" / "pocket")
    (tmp_path / "conf" / "model").mkdir(parents=True)
    (tmp_path / "conf" / "model" / "fake2.yaml").write_text(TWIN)
    return tmp_path / "results" / "pocket"


@pytest.mark.parametrize(
    ("run", "method", "figures"),
    [("single", "score", ("score", "turn_1", "turn_2", "n", "failed")), ("pairs", "bt", ("rating", "wins", "ties"))],
)
def test_it_rates_as_it_did(old, cli, run, method, figures):
    then = json.loads((old / "runs" / run / "leaderboard.json").read_text())["rows"]
    now = json.loads(cli("leaderboard", "--method", method, "--format", "json").out)["rows"]
    assert [row["model"] for row in now] == [row["model"] for row in then]
    for row, before in zip(now, then, strict=True):
        assert [row[name] for name in figures] == pytest.approx([before[name] for name in figures])
        assert row.get("judge_fingerprint") == before.get("judge_fingerprint")


def test_what_it_holds_is_not_asked_again(old, cli):
    rows = {path: path.read_bytes() for path in old.glob("*/*.jsonl")}
    again = cli(*PAIRS)
    assert again.code == 0
    assert "nothing asked" in again.err
    for path, before in rows.items():
        added = path.read_bytes().removeprefix(before).splitlines()
        assert path.read_bytes().startswith(before)
        reread, known = (
            [json.loads(line) for line in added],
            {json.loads(line)["key"]: json.loads(line) for line in before.splitlines()},
        )
        for row in reread:  # a newer parser read the stored reply again, and says the same
            assert (row["raw"], row["scores"]) == (known[row["key"]]["raw"], known[row["key"]]["scores"])
            assert row["parser"] != known[row["key"]]["parser"]


def test_it_can_be_audited_and_exported(old, cli, tmp_path):
    assert json.loads(cli("audit", "--format", "json").out)["findings"]
    assert cli("export", "fastchat", "-o", str(tmp_path / "out")).code == 0
    assert list((tmp_path / "out").rglob("*.jsonl"))
