"""What every bias owes: numbers with limits or a reason, never NaN, on whatever there is to look at."""

import json
import math

import pytest

from evalkit.audit.analyse import biases
from evalkit.evidence.evidence import Evidence
from evalkit.evidence.gather import gather
from evalkit.reports.audit_output import _json
from tests.biases.simulated import Study, scored
from tests.ratings.rows import judged


def evidence(rows):
    return gather(rows)[0].evidence[0]


def study(**changes):
    return Study(questions=12, models=4, **changes).rows()


CASES = {
    "study": study,
    "no votes": lambda: [row for row in study() if row.judge.fingerprint != "human"],
    "one order": lambda: [row for row in study(votes=0) if row.models[0].name < row.models[1].name],
    "one pair": lambda: [judged("a", "b", (1.0, 0.0))],
    "one pair, both orders": lambda: [judged("a", "b", (1.0, 0.0)), judged("b", "a", (1.0, 0.0))],
    "only failures": lambda: [judged("a", "b", None, item=f"q{i}") for i in range(5)],
    "all ties": lambda: [judged(*pair, (0.5, 0.5), item=f"q{i}") for i in range(5) for pair in ("ab", "ba")],
    "always first": lambda: [judged(*pair, (1.0, 0.0), item=f"q{i}") for i in range(5) for pair in ("ab", "ba")],
    "a model with itself": lambda: [
        judged("a", "a", (1.0, 0.0), item=f"q{i}", shown=(f"x{i}", f"y{i}")) for i in range(5)
    ],
    "always better": lambda: (
        [judged("a", "b", (1.0, 0.0), item=f"q{i}") for i in range(9)]
        + [judged("b", "a", (0.0, 1.0), item=f"q{i}") for i in range(9)]
    ),
    "no lengths": lambda: [judged("a", "b", (1.0, 0.0), item=f"q{i}", lengths=()) for i in range(4)],
    "soft": lambda: [judged(*pair, (0.7, 0.3), item=f"q{i}") for i in range(6) for pair in ("ab", "bc", "ca")],
    "single": lambda: [scored(model, float(i % 4), item=f"q{i}") for i in range(8) for model in "ab"],
    "single, repeats": lambda: [
        scored("a", float((i + r) % 4), item=f"q{i}", repeat=r) for i in range(8) for r in range(3)
    ],
    "single, constant": lambda: [scored(model, 7.0, item=f"q{i}") for i in range(8) for model in "ab"],
    "single, failed": lambda: [scored("a", None, item=f"q{i}") for i in range(3)],
    "repeats": lambda: [
        judged(*pair, scores, item=f"q{i}", repeat=r)
        for i in range(6)
        for r, scores in enumerate(((1.0, 0.0), (1.0, 0.0), (0.0, 1.0)))
        for pair in ("ab", "ba")
    ],
}


@pytest.mark.parametrize("bias", biases(), ids=lambda bias: type(bias).__name__)
@pytest.mark.parametrize("case", CASES)
def test_findings_are_sound(bias, case):
    given = evidence(CASES[case]())
    assert isinstance(given, Evidence)
    findings = list(bias.findings(given))
    seen = [(row.metric, row.category, row.details.get("model")) for row in findings]
    assert len(seen) == len(set(seen))
    for row in findings:
        assert (row.judge, row.protocol, row.benchmark) == (given.judge, given.protocol, given.benchmark)
        assert row.sentence.endswith((".", ")"))
        assert "nan" not in row.sentence.lower().replace("finance", "")
        if row.estimate is None:
            assert row.not_measurable.startswith("needs ")
            continue
        assert math.isfinite(row.estimate)
        assert row.n > 0
        if row.lower is not None:
            assert row.lower - 1e-9 <= row.estimate <= row.upper + 1e-9
            assert math.isfinite(row.upper - row.lower)
        assert "NaN" not in json.dumps(dict(row.details), default=_json)


@pytest.mark.parametrize("bias", biases(), ids=lambda bias: type(bias).__name__)
@pytest.mark.parametrize("case", CASES)
def test_everything_measured_is_declared(bias, case):
    for row in bias.findings(evidence(CASES[case]())):
        assert row.measure in bias.metrics or row.measure.pattern in bias.metrics


def test_there_are_biases():
    assert {type(bias).__name__ for bias in biases()} >= {
        "Position",
        "Length",
        "Format",
        "SelfPreference",
        "Scale",
        "Hygiene",
    }
