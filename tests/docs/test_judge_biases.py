"""The page of figures runs on the published files that it names, and prints the numbers that it states."""

from __future__ import annotations

import json
import shlex

import pytest

from tests.docs.blocks import ROOT, blocks
from tests.shared_data import shared_data

PAGE = ROOT / "docs" / "judge-biases.md"
FILES = {
    "votes": "mtbench_votes",
    "rewardmath": "rewardmath",
    "judgebench": "judgebench",
    "llmbar": "llmbar",
    "prd": "prd_vicuna80",
    "xstest": "xstest",
    "tulu": "tulu_votes",
}
"""The folders that a reader has, and where they are at hand."""


@pytest.fixture
def published(tmp_path, monkeypatch):
    for name, folder in FILES.items():
        (tmp_path / name).symlink_to(shared_data(folder).resolve())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_every_command_of_the_page_prints_its_figures(published, cli):
    printed = []
    for block in blocks(PAGE):
        for line in block.text.splitlines():
            words = shlex.split(line)
            if "judge=smollm2" in words:  # run with every other page's
                continue
            code, out, err = cli(*words[1:])
            assert code == 0, err
            printed.append(out)
    told = "\n".join(printed)
    for figure in ("68.9%", "54.9%"):  # Same verdict in both orders, by GPT-4 and by Claude
        assert figure in told
    for figure in ("67.1", "68.3", "+1.2 -5.7 to +8.0"):  # longer answers, by strength of people's preference
        assert figure in told
    for figure in ("1282", "1344", "1174", "1219"):  # Elo of gpt-4, with ties and without, by GPT-4 and by experts
        assert figure in told
    for name in ("places", "position", "length", "self", "agreement"):
        assert (published / f"{name}.svg").read_text().lstrip().startswith(("<?xml", "<svg"))
    assert "skywork_llama3" in (published / "judges.html").read_text()
    assert "64.0" in told  # harm of mistralinstruct, by people


@pytest.mark.slow
def test_the_shares_of_places_in_its_text_are_the_audits(published, cli):
    cli("import", "prd", "prd", "--into", "results/prd")
    code, out, _ = cli("audit", "results/prd", "--format", "json")
    assert code == 0
    text = " ".join(PAGE.read_text().split())
    found = {row["judge"]: row for row in json.loads(out)["histograms"] if row["of"] == "places"}
    assert set(found) == {"gpt4", "claude", "human"}
    for judge, words in (
        ("gpt4", "GPT-4 gives the first place {} of its verdicts and the second {},"),
        ("claude", "Claude {} and {},"),
        ("human", "people {} and {}."),
    ):
        shares = [count / sum(found[judge]["counts"]) for count in found[judge]["counts"]]
        assert words.format(f"{shares[-1]:.1%}", f"{shares[0]:.1%}") in text


@pytest.mark.slow
def test_the_figures_in_its_text_are_the_audits(published, cli):
    cli("import", "fastchat", "votes", "--into", "results/votes")
    code, out, _ = cli("audit", "results/votes", "--judge", "gpt4_pair", "--format", "json")
    assert code == 0
    rows = {(row["metric"], (row["details"] or {}).get("model")): row for row in json.loads(out)["findings"]}
    text = " ".join(PAGE.read_text().split())
    slope = rows["length_slope_excess", None]
    assert f"({slope['estimate']:+.2f} logits a standard deviation, 95% {slope['lower']:+.2f} to" in text
    for name in ("length_prefer_longer", "length_human_prefer_longer"):
        assert f"{rows[name, None]['estimate']:.1%}" in text
    kin = rows["self_preference_residual", "gpt-4"]
    assert f"by {kin['estimate']:.2f} logits ({kin['lower']:.2f} to {kin['upper']:.2f})" in text
