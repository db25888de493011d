"""Results that an audit cannot take at face value: a clear sentence each time, and never a number made of nothing."""

import io
import json

import msgspec
import numpy as np
import pytest
from rich.console import Console

from evalkit.audit.analyse import audit, audited
from evalkit.cli import main
from evalkit.core.protocols import UsageError
from evalkit.core.schema import Failure, Ref, Response
from evalkit.evidence.gather import Vote, gather
from evalkit.ratings.comparisons import HUMAN
from evalkit.reports.audit_output import to_json
from evalkit.reports.audit_page import page
from evalkit.reports.audit_tables import show
from evalkit.storage.store import Store
from tests.biases.simulated import Study, only, scored
from tests.ratings.rows import judged

STUDY = Study(questions=12, models=4)


def presented(found):
    """The audit in all its forms; none may raise, and none may hold NaN."""
    buffer = io.StringIO()
    show(Console(file=buffer, width=100, highlight=False), found)
    data = to_json(found)
    assert "NaN" not in data
    html = page(found)
    assert "nan" not in buffer.getvalue().lower().split()
    return buffer.getvalue(), json.loads(data), html


def rows_of(study=STUDY, people=True, **changes):
    return [msgspec.structs.replace(row, **changes) for row in study.rows() if people or row.judge.fingerprint != HUMAN]


def lacks(found, metric):
    return only(found.findings, metric).not_measurable


def test_one_order_only():
    seen = set()
    rows = []
    for row in rows_of():
        pair = (row.judge.name, row.item, frozenset(row.shown))
        if row.judge.fingerprint == HUMAN or pair not in seen:
            seen.add(pair)
            rows.append(row)
    found = audited(gather(rows))
    for metric in ("position_consistency", "position_first", "position_last", "position_fairness"):
        assert lacks(found, metric) == "needs verdicts in both orders of the same pair"
    assert only(found.findings, "agreement_kappa_s1").estimate is not None
    text, _, _ = presented(found)
    assert "needs verdicts in both orders" in " ".join(text.split())


def test_one_category():
    found = audited(gather(rows_of(category="all")))
    assert not [row for row in found.findings if row.category not in (None, "all")]
    assert not [row for row in found.findings if "heterogeneity" in row.metric]
    presented(found)


def test_one_question():
    found = audited(gather(rows_of(Study(questions=1, models=3))))
    assert all(row.lower is None or row.lower <= row.estimate for row in found.findings if row.estimate is not None)
    presented(found)


def test_one_judge_and_one_model():
    found = audited(gather([scored("m", float(q % 3), item=f"q{q}") for q in range(6)]))
    assert lacks(found, "scale_ties") == "needs several models on the same question"
    presented(found)


def test_no_people():
    found = audited(gather(rows_of(people=False)))
    for metric in ("length_slope_excess", "agreement_kappa_s1", "alt_test_winning_rate", "win_rate_corrected"):
        assert "people" in lacks(found, metric)
    assert "385 independent pairs" in lacks(found, "labels_needed")
    assert found.agreement == ()
    text, _, _ = presented(found)
    assert "Not measurable" in text


def test_people_on_other_items():
    strange = [Vote("another", 1, "m0", "m1", 1.0, "ann")] * 7
    found = audited(gather(rows_of(people=False), votes=strange))
    assert "7 votes are on items that no judgment is about; they are not used" in found.notes
    presented(found)


def test_people_on_other_pairs_of_the_same_items():
    rows = [row for row in rows_of(people=False) if "m3" not in {model.name for model in row.models}]
    votes = [Vote(f"q{q}", 1, "m0", "m3", 1.0, "ann") for q in range(12)]
    found = audited(gather(rows, votes=votes))
    assert any("people voted on none of its pairs" in note for note in found.notes)
    presented(found)


def test_contradictory_votes():
    """Two people, the same pair, both winners: people disagree throughout, and the judge is right by half."""
    said = {"ann": 1.0, "bob": 0.0}
    votes = [Vote(f"q{q}", 1, "m0", "m1", outcome, name) for q in range(12) for name, outcome in said.items()]
    found = audited(gather(rows_of(people=False), votes=votes))
    (people,) = [row for row in found.agreement if row.judge == row.other == "human" and row.setup == "S1"][:1]
    assert (people.agree, people.total) == (0, 12)
    assert only(found.findings, "agreement_human_fleiss").estimate == pytest.approx(-1)
    judge = next(row for row in found.agreement if (row.judge, row.other, row.setup) == ("m0", "human", "S2"))
    assert judge.agree == judge.total / 2
    presented(found)


@pytest.mark.slow
def test_two_benchmarks_mixed(tmp_path):
    for name in ("one", "two"):
        store = Store(tmp_path, name)
        for row in rows_of(benchmark=name):
            new = msgspec.structs.replace(row, key=f"{name}{row.key}{row.shown}")
            store.judgments(row.judge.name, row.protocol).append(new)
        store.close()
    found = audit([tmp_path])
    assert {subject.benchmark for subject in found.subjects} == {"one", "two"}
    assert "benchmarks are audited apart: one, two" in found.notes
    text, data, html = presented(found)
    assert "m0 (one)" in text
    assert {row["benchmark"] for row in data["agreement"]} == {"one", "two"}
    assert "m0 (two)" in html


def test_failed_rows_only():
    lost = Failure("unparsed", "no verdict")
    rows = [
        msgspec.structs.replace(row, scores=None, error=lost) if row.judge.fingerprint != HUMAN else row
        for row in STUDY.rows()
    ]
    found = audited(gather(rows))
    failed = only(found.findings, "hygiene_failed")
    assert failed.estimate == 1
    unparsed = only(found.findings, "hygiene_unparsed")
    assert (unparsed.estimate, unparsed.questions) == (1, 12)
    measured = {row.metric for row in found.findings if row.estimate is not None and row.judge == "m0"}
    assert measured == {"hygiene_failed", "hygiene_unparsed"}
    text, _, _ = presented(found)
    assert "144 of 144 judgments" in " ".join(text.split())


def test_failed_scores_only():
    found = audited(gather([scored("m", None, item=f"q{q}") for q in range(5)]))
    assert lacks(found, "scale_entropy") == "needs scores of single answers"
    presented(found)


def test_nothing_but_people(tmp_path):
    store = Store(tmp_path, "study")
    for row in STUDY.rows():
        if row.judge.fingerprint == HUMAN:
            store.judgments(row.judge.name, row.protocol).append(row)
    store.close()
    with pytest.raises(UsageError, match="only people or gold labels judged there"):
        audit([tmp_path])


PAYLOADS = (
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    '<svg onload="alert(3)"><style>*{display:none}</style></svg>',
    "\\[\\unicode{<img src=x onerror=alert(4)>}\\] $$\\href{javascript:alert(5)}{x}$$",
    "\x1b]0;owned\x07\x1b[2J\x9b31m",
    "{{ 7 * 7 }}{% include '/etc/passwd' %}",
    "\u202egnp.exe\u2066",
    "\ud800",
)


def hostile(payload):
    """Payloads in the names of models, judges, people and categories, in answers, labels, errors and raw replies."""
    rows, answers = [], []
    for q in range(6):
        first, second = (
            Response(
                key=f"{q}{side}", item=f"{payload}{q}", benchmark=f"b{payload}", category=f"c{payload}",
                model=Ref(f"{side}{payload}", "1"), turns=(f"{payload} {side} {q}\n{payload}",),
            )
            for side in "xy"
        )  # fmt: skip
        answers += [first, second]
        for one, other, scores in ((first, second, (1.0, 0.0)), (second, first, (1.0, 0.0))):
            about = {"item": one.item, "benchmark": one.benchmark, "category": one.category}
            row = judged(
                one.model.name, other.model.name, scores, judge=f"judge{payload}", fingerprint="1", protocol="pair"
            )
            told = {"shown": (one.id, other.id), "models": (one.model, other.model), "raw": payload, "label": payload}
            rows.append(msgspec.structs.replace(row, key=f"{q}{one.id}", **about, **told))
            vote = msgspec.structs.replace(
                row, judge=Ref(f"ann{payload}", HUMAN), protocol="human_pair", scores=scores[::-1], **about, **told
            )
            rows.append(vote)
        lost = {"scores": None, "error": Failure("unparsed", payload)}
        rows.append(msgspec.structs.replace(rows[-2], key=f"lost{q}", repeat=1, **lost))
    return rows, answers


@pytest.mark.parametrize("payload", PAYLOADS, ids=range(len(PAYLOADS)))
def test_payloads_stay_inert(payload):
    rows, answers = hostile(payload)
    found = audited(gather(rows, answers))
    assert {example.kind for example in found.examples} >= {"inconsistent"}
    text, _, html = presented(found)
    for dangerous in ("\x1b", "\x07", "\x9b", "\u202e", "\u2066", "\ud800"):
        assert dangerous not in text
        assert dangerous not in html
    assert "<script" not in html
    assert "<svg onload" not in html
    assert "<img" not in html
    assert ">49<" not in html


def test_a_payload_from_the_store_reaches_no_terminal(tmp_path, capsys):
    rows, answers = hostile(PAYLOADS[4])
    store = Store(tmp_path, "b")
    for row in rows:
        store.judgments(row.judge.name, row.protocol).append(row)
    for answer in answers:
        store.responses(answer.model.name).append(answer)
    store.close()
    with pytest.raises(SystemExit) as ended:
        main(["audit", str(tmp_path), "-o", str(tmp_path / "report.html")])
    assert ended.value.code == 0
    with pytest.raises(SystemExit):
        main(["audit", str(tmp_path)])
    printed = capsys.readouterr()
    assert "\x1b]0;" not in printed.out + printed.err
    html = (tmp_path / "report.html").read_text()
    assert "\x1b" not in html
    assert "What the judge wrote" in html


def test_scores_that_are_not_on_one_scale():
    rng = np.random.default_rng(0)
    rows = [scored("m", float(score), item=f"q{q}") for q, score in enumerate([*rng.integers(1, 10, 8), 1e9, -1e9])]
    presented(audited(gather(rows)))
