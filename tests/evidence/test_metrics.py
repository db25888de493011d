"""Metrics are declared once, beside what measures them, and everything else is told by the declaration."""

import io
import json
import re
import sys
from pathlib import Path

import pytest
from rich.console import Console

from evalkit.audit.analyse import GROUP, audited, biases
from evalkit.cli.metric_docs import markdown, metrics
from evalkit.core.protocols import UsageError
from evalkit.evidence.findings import Audit, Finding, Subject
from evalkit.evidence.gather import gather
from evalkit.evidence.metrics import LOGITS, POSITION, Metric, Topic, Unit, share, topics_of
from evalkit.reports.audit_metrics import judge_labels
from evalkit.reports.audit_output import to_json
from evalkit.reports.audit_page import page
from evalkit.reports.audit_tables import show
from evalkit.reports.audit_topics import sections
from evalkit.reports.audit_verdict import verdict
from tests.biases.simulated import Study

ROOT = Path(__file__).parents[2]
EVERY = metrics()
PLUGIN = '''"""A bias of another package, in one file."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from evalkit.evidence.metrics import Metric, Topic, share
from evalkit.stats.shares import clustered_share

NAMES = Topic("names", "Names of models", "Is a model preferred for what it is called?")
RULE = Metric(
    name="rank_of_{letter}",
    label="Pairs won by the letter {letter}",
    unit=share("pairs"),
    topic=NAMES,
    question="How often does the model whose name comes first win?",
    unbiased=0.02,
    risk="That a model of another name is as good.",
    needs="pairs",
)


@dataclass(frozen=True)
class Elongation:
    metrics: ClassVar[tuple[Metric, ...]] = tuple(RULE.of(letter=letter) for letter in "ab")

    def findings(self, evidence):
        pairs = evidence.pairs
        keep = np.isfinite(pairs.outcome)
        won = clustered_share((pairs.outcome[keep] >= 0.5).astype(float), pairs.question[keep])
        yield evidence.finding(self.metrics[0], won, "The first name wins often.")
        yield evidence.lacking(self.metrics[1], "models with other names")
'''


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Make a module importable, and a class of it an entry point, as an installed package would."""

    def installed(text, value, name="throwaway_bias"):
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        about = tmp_path / f"{name}-1.0.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
        (about / "entry_points.txt").write_text(f"[{GROUP}]\nmine = {value}\n", encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, name, raising=False)

    return installed


def terminal(found):
    out = io.StringIO()
    show(Console(file=out, width=100), found)
    return out.getvalue()


def test_a_bias_in_one_file_reaches_table_page_and_verdict(install):
    install(PLUGIN, "throwaway_bias:Elongation")
    found = audited(gather(Study(questions=30, models=4, votes=0).rows()))
    (measured,) = [row for row in found.findings if row.metric == "rank_of_a"]
    assert measured.lower > 0.02
    said = verdict(found, found.subjects[0])
    (line,) = [line for line in said.may_not if line.startswith("That a model of another name is as good.")]
    assert f"Pairs won by the letter a: {measured.estimate:.1%} (95% " in line
    text = terminal(found)
    assert "Names of models" in text
    assert "Pairs won by the letter a" in text
    assert "Pairs won by the letter b – needs models with other names" in " ".join(text.split())
    html = page(found)
    assert '<section id="names">' in html
    for expected in ("Is a model preferred for what it is called?", "Pairs won by the letter a", "as good."):
        assert expected in html
    (section,) = [one for one in sections(found, judge_labels(found)) if one.id == "names"]
    assert section.parts[0].rows[0][0].text == "Pairs won by the letter a"
    (row,) = [row for row in json.loads(to_json(found))["findings"] if row["metric"] == "rank_of_a"]
    assert (row["label"], row["unit"], row["unbiased"]) == ("Pairs won by the letter a", "share of pairs", 0.02)
    assert "`rank_of_{letter}`: `rank_of_a`, `rank_of_b`" in markdown(metrics())


@pytest.mark.parametrize(
    ("text", "value", "told"),
    [
        ("", "throwaway_bias:Missing", "cannot be imported"),
        ("import no_such_package", "throwaway_bias:Missing", "no_such_package"),
        (
            "class Bare:\n    def findings(self, evidence): ...",
            "throwaway_bias:Bare",
            "no metrics",
        ),
    ],
)
def test_a_bias_that_cannot_be_used_is_named(install, text, value, told):
    install(text, value)
    with pytest.raises(UsageError, match=told):
        biases()


def test_names_are_unique():
    names = [metric.name for metric in EVERY]
    assert len(names) == len(set(names))
    assert len({metric.label for metric in EVERY}) == len(names)
    titles = {metric.topic.name: metric.topic for metric in EVERY}
    assert all(metric.topic == titles[metric.topic.name] for metric in EVERY)


@pytest.mark.parametrize("metric", EVERY, ids=lambda metric: metric.name)
def test_a_metric_says_what_a_reader_needs(metric):
    assert re.fullmatch(r"[A-Z].*[^.?]", metric.label)
    assert metric.unit.name
    assert metric.topic.title
    assert metric.needs
    assert re.fullmatch(r"[A-Z][^?]{20,}\?", metric.question)
    assert "{" not in f"{metric.name}{metric.label}{metric.question}{metric.risk}{metric.safe}{metric.needs}"
    if metric.unbiased is None:
        assert not metric.risk
    else:
        assert re.fullmatch(r"That .{15,}\.|That .{15,}; .{5,}\.", metric.risk)
        assert not metric.safe or metric.safe.endswith(":")
    known = {one.name for one in EVERY}
    assert set(metric.stands_in_for) <= known - {metric.name}


def test_what_is_drawn_on_one_axis_is_one_quantity():
    axes = {}
    for metric in EVERY:
        if metric.axis:
            axes.setdefault((metric.topic.name, metric.axis), set()).add(metric.unit.form)
    assert axes
    assert all(len(forms) == 1 for forms in axes.values())


def test_the_page_of_metrics_is_up_to_date():
    """`.venv/bin/python -m evalkit.cli.metric_docs > docs/metrics.md` writes it."""
    assert (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8") == markdown(EVERY)


def test_every_row_of_the_page_has_all_its_cells():
    lines = [line for line in markdown(EVERY).splitlines() if line.startswith("| `")]
    assert len(lines) > 50
    for line in lines:
        cells = [cell.strip() for cell in line.replace("\\|", "").strip("|").split("|")]
        assert len(cells) == 7
        assert all(cells), line
        assert "{" not in cells[-1], "the source of a family is that of its members"


def test_an_unbiased_value_comes_with_what_is_at_risk():
    about = {"label": "L", "unit": LOGITS, "topic": POSITION, "question": "Is it so?"}
    with pytest.raises(ValueError, match="give `risk` too"):
        Metric(name="a_slope", unbiased=0.0, **about)
    with pytest.raises(ValueError, match="lower-case"):
        Metric(name="A slope", **about)


def test_members_of_a_family_are_filled_in():
    family = Metric(
        name="rule_{rule}",
        label="Rule {title}",
        unit=LOGITS,
        topic=POSITION,
        question="Does {title} matter to it?",
        stands_in_for=("rule_{rule}_sure",),
    )
    one = family.of(rule="brevity", title="Brevity")
    assert (one.name, one.label, one.question) == ("rule_brevity", "Rule Brevity", "Does Brevity matter to it?")
    assert (one.stands_in_for, one.pattern) == (("rule_brevity_sure",), family)
    with pytest.raises(KeyError, match="title"):
        family.of(rule="brevity")


def test_topics_of_others_follow_ours():
    mine = Topic("aaa", "Mine")
    of = {"label": "L", "unit": LOGITS, "question": "Is it so?"}
    both = (Metric(name="x", topic=mine, **of), Metric(name="y", topic=POSITION, **of))
    assert topics_of(both) == [POSITION, mine]


SUBJECT = Subject(
    benchmark="b", judge="j", protocol="p", shows=2, judgments=100, failed={}, models=("m",), questions=50, votes=100
)


def finding(metric, estimate=None, reach=0.0, **other):
    limits = {} if estimate is None else {"lower": estimate - reach, "upper": estimate + reach}
    return Finding(benchmark="b", judge="j", protocol="p", measure=metric, estimate=estimate, n=9, **limits, **other)


def declared(name, unit, **other):
    about = {"topic": Topic("mood", "Mood"), "question": "Is it moody?", "unbiased": 0.0, "risk": "That it is calm."}
    return Metric(name=name, label=name.capitalize(), unit=unit, **about | other)


def test_nobody_is_cleared_in_a_unit_of_which_nobody_knows_what_is_small():
    for small, place in ((None, "unknown"), (0.5, "may")):
        row = finding(declared("mood", Unit("smiles", "signed", "smiles", small)), 0.0, 0.1)
        said = verdict(Audit(findings=(row,)), SUBJECT)
        (line,) = getattr(said, place)
        assert line.startswith("Mood:")
        assert "An effect below 0.14 smiles could have been missed" in line
        assert not said.may_not


def test_a_metric_that_stands_in_is_not_concluded_from_beside_the_better_one():
    better = declared("better", LOGITS)
    worse = declared("worse", share("pairs"), unbiased=0.5, stands_in_for=("better",))
    rows = (finding(worse, 0.9, 0.1), finding(better, 0.0, 0.1))
    assert not verdict(Audit(findings=rows), SUBJECT).may_not
    unmeasured = finding(better, not_measurable="needs luck")
    (line,) = verdict(Audit(findings=(rows[0], unmeasured)), SUBJECT).may_not
    assert line == "That it is calm. Worse: 90.0% (95% 80.0%–100.0%)."


def test_what_the_verdict_says_of_an_effect_has_its_unit():
    found = audited(gather(Study(questions=60, models=4, position=1.5, votes=0).rows()))
    (line,) = [line for line in verdict(found, found.subjects[0]).may_not if "given in one order" in line]
    assert re.search(r"Advantage of the first place, over all pairs: \+\d\.\d\d logits \(95% ", line)


def test_people_among_themselves_are_in_the_terminal():
    text = terminal(audited(gather(Study(questions=30, models=4, votes=3).rows())))
    assert "Measured: people" in text
    assert "Krippendorff's alpha among people (0 by chance)" in text


def test_limits_are_null_where_there_are_none():
    rows = (finding(declared("mood", LOGITS), not_measurable="needs luck"), finding(declared("gloom", LOGITS), 1.0))
    audit = Audit(findings=(rows[0], Finding(**vars(rows[1]) | {"lower": None, "upper": None})))
    for row in json.loads(to_json(audit))["findings"]:
        assert row["lower"] is None
        assert row["upper"] is None
        assert ("estimate" in row) != ("not_measurable" in row)
