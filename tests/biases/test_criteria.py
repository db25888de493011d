"""Verdicts on criteria beside people's, or a reference judge's: planted agreement, lean, and what is missing."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from evalkit.biases.criteria import Criteria
from evalkit.core.schema import CriterionVerdict, Failure, Judgment, Ref
from evalkit.evidence.gather import gather

PERSON = Ref("anna", "human")


def verdict(name: str, value: float | None, kind: str = "yes_no") -> CriterionVerdict:
    failed = Failure("unparsed", "no verdict") if value is None else None
    return CriterionVerdict(id=name, value=value, error=failed, kind=kind)


def row(judge: Ref, item: int, verdicts: list[CriterionVerdict], *, repeat: int = 0, answer: str = "a") -> Judgment:
    return Judgment(
        key=f"{judge.name} {item} {repeat} {answer}",
        parser="rubric-share/1",
        item=str(item),
        benchmark="b",
        category="c",
        turn=1,
        judge=judge,
        protocol="human_rubric" if judge.fingerprint == "human" else "rubric",
        shown=(f"{answer}{item}",),
        models=(Ref("m", "f"),),
        lengths=(10,),
        repeat=repeat,
        scores=(0.5,),
        label="share on 2 of 2 criteria, 2 of 2 points",
        criteria=tuple(verdicts),
    )


def study(lax: float, *, other: Ref = PERSON, questions: int = 60, seed: int = 0) -> list[Judgment]:
    """People's verdicts are met half of the time; the judge's too, but that it finds ``lax`` of the others met."""
    draw = np.random.default_rng(seed)
    rows = []
    for item in range(questions):
        said = draw.random(2) < 0.5
        judged = said | (draw.random(2) < lax)
        rows.append(row(other, item, [verdict(f"c{at}", float(met)) for at, met in enumerate(said)]))
        rows.append(row(Ref("judge", "j"), item, [verdict(f"c{at}", float(met)) for at, met in enumerate(judged)]))
    return rows


def measured(rows: list[Judgment], reference: str | None = None):
    (found,) = gather(rows, judge="judge", reference=reference)
    (evidence,) = found.evidence
    return {(one.metric, one.category): one for one in Criteria().findings(evidence)}


def test_a_lax_judge_is_called_so():
    found = measured(study(0.4))
    lean = found["criteria_lean", None]
    assert lean.lower <= 0.4 * 0.5 <= lean.upper
    assert "judge is laxer than people" in lean.sentence
    assert lean.details["excludes_null"]
    agreement = found["criteria_agreement", None]
    assert agreement.estimate == pytest.approx(1 - lean.estimate)
    assert (agreement.n, agreement.questions) == (120, 60)
    assert {name for _, name in found} == {None, "c0", "c1"}


def test_a_judge_like_people_is_neither_lax_nor_strict():
    found = measured(study(0.0))
    assert found["criteria_agreement", None].estimate == 1
    assert found["criteria_kappa", None].estimate == 1
    assert "neither laxer nor stricter for certain than people" in found["criteria_lean", None].sentence


@pytest.mark.slow
def test_intervals_cover_the_planted_lean():
    rows = [measured(study(0.3, questions=24, seed=at))["criteria_lean", None] for at in range(60)]
    assert sum(not one.lower <= 0.15 <= one.upper for one in rows) <= 9


def test_a_reference_judge_stands_in_peoples_place():
    reference = Ref("strong", "s")
    found = measured([*study(0.4, other=reference), row(PERSON, 0, [verdict("c0", 1.0)])], "strong")
    assert "than strong:" in found["criteria_lean", None].sentence
    assert "what strong says" in found["criteria_agreement", None].sentence
    assert measured(study(0.4, other=reference)) == {}


def test_only_the_same_criterion_of_the_same_answer_is_compared():
    judge = Ref("judge", "j")
    rows = [
        row(PERSON, 0, [verdict("c0", 1.0), verdict("c1", None), verdict("c2", 3.0, "1-5")]),
        row(judge, 0, [verdict("c0", None), verdict("c1", 1.0), verdict("c2", 1.0)]),
        row(PERSON, 1, [verdict("c0", 1.0)], answer="another"),
        row(judge, 1, [verdict("c0", 0.0)]),
        row(PERSON, 2, [verdict("c0", 1.0)]),
        row(judge, 2, [verdict("c0", 1.0)]),
        row(judge, 2, [verdict("c0", 0.0)], repeat=1),
    ]
    found = measured(rows)
    assert found["criteria_agreement", None].n == 1
    assert found["criteria_agreement", None].estimate == 1
    assert found["criteria_kappa", None].not_measurable.startswith("needs verdicts that differ")


def test_the_command_line_takes_a_reference(cli, tmp_path):
    folder = tmp_path / "results" / "b" / "judgments"
    folder.mkdir(parents=True)
    for judge in ("judge", "strong"):
        rows = [one for one in study(0.4, other=Ref("strong", "s")) if one.judge.name == judge]
        (folder / f"{judge}.rubric.jsonl").write_bytes(b"\n".join(map(msgspec.json.encode, rows)) + b"\n")
    code, out, _ = cli("audit", "--judge", "judge", "--reference", "strong")
    assert code == 0
    assert "Agreement on criteria beyond chance" in out
    assert "Measured: strong" not in out
    code, _, err = cli("audit", "--reference", "nobody")
    assert code == 2
    assert "--reference nobody: no such judge; there are: judge, strong" in " ".join(err.split())
