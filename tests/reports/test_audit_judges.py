"""Judges beside each other: one row a judge, only what was measured, and nothing where there is only one."""

from __future__ import annotations

import io

from rich.console import Console

from evalkit.audit.analyse import audited
from evalkit.evidence.gather import gather
from evalkit.ratings.comparisons import HUMAN
from evalkit.reports.audit_judges import beside
from evalkit.reports.audit_metrics import judge_key
from evalkit.reports.audit_tables import show
from evalkit.reports.audit_verdict import verdict
from tests.ratings.rows import judged

WON, LOST = (1.0, 0.0), (0.0, 1.0)


def rows(judges, *, questions=40, people=True):
    """Two models in both orders: ``fair`` keeps its verdict, ``first`` prefers who stands first, ``lean`` often."""
    for number in range(questions):
        item, right = f"q{number}", number % 3 != 0
        for judge in judges:
            for one, other in (("x", "y"), ("y", "x")):
                won = judge == "first" or (judge == "lean" and number % 4 != 0) or right == (one == "x")
                yield judged(one, other, WON if won else LOST, item, judge=judge)
        if people:
            yield judged("x", "y", WON if right else LOST, item, judge="ann", fingerprint=HUMAN, protocol="human_pair")


def audit_of(judges, **changes):
    return audited(gather(rows(judges, **changes)))


def table(audit):
    return beside(audit, {judge_key(one): verdict(audit, one) for one in audit.subjects})


def by_judge(audit):
    grid = table(audit)
    return {row[0].text: dict(zip(grid.headers, row, strict=True)) for row in grid.rows}


def test_each_judge_is_a_row_with_its_own_numbers():
    found = by_judge(audit_of(("fair", "first")))
    assert list(found) == ["fair", "first"]
    assert found["fair"]["same in both orders"].text == "100.0%"
    assert found["first"]["same in both orders"].text == "0.0%"
    assert found["fair"]["with people"].text == "100.0%"
    assert found["first"]["with people"].text != "100.0%"
    assert found["fair"]["judgments"].text == "80"
    assert int(found["first"]["warnings"].text) > 0


def test_a_star_marks_what_no_unbiased_judge_has():
    found = by_judge(audit_of(("fair", "lean")))
    assert found["lean"]["first place, logits"].text.endswith("*")
    assert not found["fair"]["first place, logits"].text.endswith("*")


def test_failures_are_counted_with_their_share():
    lost = [judged("x", "y", None, f"q{n}", judge="fair", repeat=1) for n in range(20)]
    audit = audited(gather([*rows(("fair", "first")), *lost]))
    assert by_judge(audit)["fair"]["failed"].text == "20 (20.0%)"
    assert by_judge(audit)["first"]["failed"].text == "0"


def test_one_judge_has_no_table():
    assert table(audit_of(("fair",))) is None


def test_without_people_there_is_no_column_of_them():
    assert "with people" not in table(audit_of(("fair", "first"), people=False)).headers


def test_it_is_what_the_printed_audit_begins_with_and_names_are_inert():
    for width in (80, 140):
        out = io.StringIO()
        show(Console(file=out, width=width), audit_of(("fair", "\x1b[31mred[/]")))
        text = out.getvalue()
        assert text.startswith("Judges beside each other")
        assert text.index("warnings") < text.index("What you may conclude from")
        assert "\x1b[31m" not in text
        assert max(map(len, text.splitlines()[:12])) <= width


def test_one_judge_alone_begins_with_its_box():
    out = io.StringIO()
    show(Console(file=out, width=100), audit_of(("fair",)))
    assert "Judges beside each other" not in out.getvalue()
