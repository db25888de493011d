"""A run's page begins with what the run asked for: its own tables, what is odd, and answers worth reading."""

from __future__ import annotations

import re

import pytest

OTHER = "other:\n  price: free\n  backend: {_target_: evalkit.backends.fake.Fake, model: other, skill: 3}\n"


@pytest.fixture
def page(cli, tmp_path):
    """Of a run with the settings given: the part before the audit, and the audit."""
    (tmp_path / "own" / "model").mkdir(parents=True)
    (tmp_path / "own" / "model" / "other.yaml").write_text(OTHER)

    def made(*settings):
        base = ("run", "pocket", "judge=fake", "limit=1", "--config-dir", "own", *settings)
        assert (
            cli(*base, *(() if any(one.startswith("model=") for one in settings) else ("model=fake,other",))).code == 0
        )
        (path,) = tmp_path.glob("results/pocket/runs/*/report.html")
        before, audit = path.read_text().split('<details class="audit">')
        return before, audit

    return made


def test_scores_with_turns_and_categories_come_first(page):
    before, audit = page()
    for words in (
        "<h2>Scores</h2>",
        "turn 1",
        "turn 2",
        "by category",
        "humanities",
        "Among the best",
        "Among the worst",
    ):
        assert words in before
    assert "What you may and may not conclude" not in before
    assert "What you may and may not conclude from fake" in audit
    assert "Not known from these data: " in audit


def test_the_examples_are_the_extremes_and_show_what_the_judge_wrote(page):
    before, _ = page()
    best = [float(score) for score in re.findall(r"Among the best: ([\d.]+)", before)]
    worst = [float(score) for score in re.findall(r"Among the worst: ([\d.]+)", before)]
    assert len(best) == len(worst) == 2
    assert min(best) > max(worst)
    assert before.count('<details class="folded" open><summary>What the judge wrote') == 4
    assert len(set(re.findall(r"question (\w+), turn", before))) == 4, "no question twice"
    assert before.count("<h4>Question</h4>") == 4


def test_a_run_against_a_baseline_shows_win_rates(page):
    before, audit = page("protocol=pairwise", "baseline=other")
    assert "win rate" in before
    assert "Bradley-Terry" not in before
    assert "fake won, whichever was shown first" in before
    assert "<h2>Clear wins</h2>" in before
    assert '<section id="ratings">' not in audit


def test_a_tournament_shows_ratings(page):
    before, _ = page("protocol=pairwise")
    assert "<h2>Ratings</h2>" in before
    assert "Bradley-Terry" in before


def test_what_is_odd_about_answers_stands_under_the_table(page):
    before, _ = page("model=fake", f"model.fake.backend.script=[{','.join(['empty'] * 16)}]")
    assert "fake: 8 of 8 answers are empty in a turn or more" in before


def test_where_all_scores_are_alike_none_is_among_the_worst(page):
    before, _ = page("model=fake", "judge.fake.backend.noise=0", "model.fake.backend.spread=0")
    scores = set(re.findall(r"Among the (?:best|worst): ([\d.]+)", before))
    assert ("Among the worst" in before) == (len(scores) > 1)


def test_nobodys_text_is_markup(page, tmp_path):
    reply = "model.fake.backend.replies=['<script>alert(1)</script> and more of it']"
    before, _ = page("model=fake", reply)
    assert "<script>" not in before
