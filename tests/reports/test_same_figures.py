"""Terminal, JSON and page of one audit, and of one leaderboard, show the same figures to the last digit."""

from __future__ import annotations

import html
import io
import json
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
from rich.console import Console

from evalkit.audit.analyse import audit, audited
from evalkit.core.schema import Response
from evalkit.evidence.gather import gather
from evalkit.ratings.comparisons import HUMAN
from evalkit.ratings.leaderboard import Choices, rate
from evalkit.reports import leaderboard_page, leaderboard_tables
from evalkit.reports.audit_metrics import limits, number
from evalkit.reports.audit_output import present, to_json
from evalkit.reports.leaderboard_grid import all_grids
from tests.biases.simulated import Study
from tests.ratings.rows import judged, single


def told(found, form, width=200):
    """What one form of an audit says, tags and line breaks gone."""
    if form == "json":
        return to_json(found)
    out, console = [], Console(file=io.StringIO(), width=width, highlight=False, color_system=None)
    if form == "table":
        present(found, "table", None, console, out.append)
        return console.file.getvalue()
    from evalkit.reports.audit_page import page

    return html.unescape(re.sub(r"<[^>]+>", " ", page(found)))


def squeezed(text):
    return re.sub(r"\s+", " ", text)


@pytest.fixture(scope="module")
def pairs():
    return audited(gather(Study(seed=3, models=5, questions=24, position=0.8).rows()))


def test_an_audit_of_pairs_has_the_same_figures_everywhere(pairs):
    data = json.loads(told(pairs, "json"))
    table, page = (squeezed(told(pairs, form)) for form in ("table", "page"))
    shown = 0
    for row, finding in zip(data["findings"], pairs.findings, strict=True):
        if finding.estimate is None or finding.category is not None:
            continue
        form = finding.measure.unit.form
        assert row["estimate"] == finding.estimate
        if finding.measure.as_sentence:
            assert squeezed(row["sentence"]) in table
            assert squeezed(row["sentence"]) in page
            continue
        value, ends = number(row["estimate"], form), limits(row["lower"], row["upper"], form)
        assert re.search(rf"{re.escape(value)} +{re.escape(ends)}", table), (row["metric"], value, ends)
        assert re.search(rf"{re.escape(value)} +{re.escape(ends)}", page), (row["metric"], value, ends)
        shown += 1
    assert shown > 15
    for row in data["ratings"]:
        value, low, high = (f"{row[name]:z.0f}" for name in ("elo", "elo_lower", "elo_upper"))
        assert f"{value} ({low}–{high})" in table
        assert re.search(rf"{value} +{low}–{high}", page)
    for row in data["agreement"]:
        if row["category"] is None and row["turn"] is None:
            assert f"{row['agree'] / row['total']:.1%}" in table
            assert f"{row['agree'] / row['total']:.1%}" in page


def test_s2_never_stands_without_the_votes_it_is_of(pairs):
    data = json.loads(told(pairs, "json"))
    table, page = (squeezed(told(pairs, form, width=80)) for form in ("table", "page"))
    rows = [row for row in data["agreement"] if row["setup"] == "S2"]
    assert rows
    every = {
        (row["judge"], row["other"], row["turn"], row["category"]): row["total"]
        for row in data["agreement"]
        if row["setup"] == "S1"
    }
    for row in rows:
        assert row["out_of"] == every[row["judge"], row["other"], row["turn"], row["category"]]
        agree = f"{row['agree']:.0f}" if float(row["agree"]).is_integer() else f"{row['agree']:.1f}"
        assert f"{agree}/{row['total']} of {row['out_of']}" in table
        assert f"of {row['total']:,}, of {row['out_of']:,} votes" in page.replace("\N{NO-BREAK SPACE}", " ")
    for row in data["findings"]:
        if row["metric"].endswith("_s2") and "estimate" in row:
            assert f"{row['n']:,} of {row['details']['out_of']:,}" in table
            assert f"{row['n']:,} of {row['details']['out_of']:,}" in page


def test_a_judge_that_is_seldom_sure_does_not_lead_the_first_figure():
    """One names a winner on a tenth of the pairs, always people's; the other on all, and errs on a fifth."""
    from evalkit.reports.audit_agreement import agreement

    rng = np.random.default_rng(0)
    rows = []
    for q in range(120):
        a_better = rng.random() < 0.5
        people = (1.0, 0.0) if a_better else (0.0, 1.0)
        bold = people if rng.random() < 0.8 else people[::-1]
        shy = people if q % 10 == 0 else (0.5, 0.5)
        about = {"item": f"q{q}", "category": f"c{q % 2}"}
        rows += [judged("a", "b", said, judge=name, **about) for name, said in (("bold", bold), ("shy", shy))]
        rows.append(judged("a", "b", people, judge="person", fingerprint=HUMAN, protocol="human", **about))
    found = audited(gather(rows))
    sure = {row.judge: row for row in found.agreement if row.setup == "S2" and row.category is None}
    assert sure["shy"].agree / sure["shy"].total == 1.0
    assert (sure["shy"].total, sure["shy"].out_of) == (12, 120)
    figure = next(part for part in agreement(found).parts if hasattr(part, "series"))
    first, second = figure.series["bold with people"], figure.series["shy with people"]
    assert all(one.estimate > other.estimate + 0.3 for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize("count", [3, 8])
def test_no_judge_is_dropped_at_80_columns(count):
    rng = np.random.default_rng(1)
    rows = []
    for q in range(12):
        for a, b in (("model-one", "model-two"), ("model-two", "model-three"), ("model-one", "model-three")):
            for judge in range(count):
                said = (1.0, 0.0) if rng.random() < 0.5 else (0.0, 1.0)
                rows.append(judged(a, b, said, item=f"q{q}", judge=f"judge-{judge}-of-some-length"))
    found = audited(gather(rows))
    text = told(found, "table", width=80)
    assert max(map(len, text.splitlines())) <= 80
    ratings = text[text.index("Ratings") :]
    for row in found.ratings:
        assert f"{row.elo:z.0f} ({row.elo_lower:z.0f}–{row.elo_upper:z.0f})" in ratings
    names = re.sub(r"[\s]", "", ratings)
    for judge in range(count):
        assert f"judge-{judge}" in names


@pytest.fixture
def graded(tmp_path: Path) -> Path:
    """Grades of two models on the turns and categories of a benchmark that declares its categories."""
    rng = np.random.default_rng(4)
    names = ["writing", "roleplay", "reasoning", "math", "coding", "extraction", "stem", "humanities"]
    folder = tmp_path / "results" / "mtbench" / "judgments"
    folder.mkdir(parents=True)
    rows = []
    for q in range(40):
        for model, better in (("one", 0.0), ("two", 0.8)):
            for turn in (1, 2):
                score = float(np.clip(np.round(5 + better + q % 4 + rng.normal()), 1, 10))
                if q == 7 and turn == 2:
                    continue
                row = single(model, score, item=f"{q}", benchmark="mtbench", category=names[q % 8], turn=turn)
                rows.append(row)
    (folder / "gpt4.single.jsonl").write_bytes(b"\n".join(msgspec.json.encode(row) for row in rows) + b"\n")
    return tmp_path / "results"


def test_scores_are_the_same_on_a_leaderboard_and_in_an_audit(graded):
    board = rate(Choices(paths=(graded,), method="score"))
    data = json.loads(leaderboard_tables.to_json(board.standings, board.notes))
    console = Console(file=io.StringIO(), width=120, highlight=False)
    listed = all_grids(board.standings, [])
    leaderboard_tables.show(console, listed)
    shown = console.file.getvalue()
    page = html.unescape(re.sub(r"<[^>]+>", " ", leaderboard_page.page(listed, [])))
    of_audit = {row.model: row for row in audit([graded]).ratings}
    assert len(data["rows"]) == 2
    for row in data["rows"]:
        text = f"{row['score']:z.2f}", f"{row['lower']:z.2f}–{row['upper']:z.2f}"
        assert " ".join(text) in squeezed(shown)
        assert " ".join(text) in squeezed(page)
        rated = of_audit[row["model"]]
        assert (rated.rating, rated.lower, rated.upper) == (row["score"], row["lower"], row["upper"])
        assert rated.n == row["n"]


def test_answers_that_are_missing_unevenly_are_named():
    from evalkit.core.schema import Failure, Ref
    from evalkit.reports.audit_verdict import verdict

    rng = np.random.default_rng(2)
    rows, answers = [], []
    for q in range(60):
        lost = q % 4 == 0
        for model in ("a", "b", "c"):
            failed = lost and model == "a"
            answers.append(
                Response(
                    key=f"q{q}{model}", item=f"q{q}", benchmark="arena", category="writing", model=Ref(model, "1"),
                    turns=() if failed else ("text",), error=Failure("transport", "no reply") if failed else None,
                )
            )  # fmt: skip
        for pair in (("a", "b"), ("b", "c"), ("a", "c")):
            if not (lost and "a" in pair):
                rows.append(judged(*pair, (1.0, 0.0) if rng.random() < 0.5 else (0.0, 1.0), item=f"q{q}"))
    found = audited(gather(rows, answers))
    said = verdict(found, found.subjects[0])
    (line,) = [line for line in said.may_not if "compared on the same questions" in line]
    assert "answers that failed are not judged (a 15)" in line
    assert "these models look better than they are" in line
