"""Whole audits of studies whose truth is known: what the box says, and what stands in the tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from evalkit.audit.analyse import audited
from evalkit.core.schema import Judgment, Ref
from evalkit.evidence.findings import Audit
from evalkit.evidence.gather import gather
from evalkit.ratings.comparisons import HUMAN
from evalkit.reports.audit_verdict import verdict
from evalkit.reports.audit_verdict_people import VerdictBox
from tests.certification.studies import Planted, Study, study

FOUR = Planted(abilities=(0.6, 0.2, -0.2, -0.6), question_effect=0.6, sharpness=3.0, ties=0.0, categories=8)
"""Four models, so that 84 questions have 504 pairs, of eight categories."""
FAIR = replace(FOUR, annotators=(1.0, 1.0, 1.0))
"""A judge without a bias, sharper than the three people, so that it agrees with them as often as they do."""
HONEST = ("Much from a single pair.",)
"""What may be said of a judge without a bias: that it is noisy."""


def judgments(drawn: Study, models: int) -> Iterator[Judgment]:
    """The rows of a study: the judge's in both orders, people's in one."""
    names = [Ref(f"m{number}", "1") for number in range(models)]
    judge = Ref("m0", "j")
    people = [Ref(f"person_{number}", HUMAN) for number in range(drawn.votes.shape[1])]
    columns = (drawn.question, drawn.a, drawn.b, drawn.outcome, drawn.length)
    for row, (q, a, b, outcome, longer) in enumerate(zip(*(column.tolist() for column in columns), strict=True)):
        lengths = (1000 + round(300 * longer / 2), 1000 - round(300 * longer / 2))
        about = {
            "item": f"q{q}", "benchmark": "study", "category": f"c{drawn.category[q]}", "turn": 1, "parser": "1",
            "shown": (f"q{q}m{a}", f"q{q}m{b}"), "models": (names[a], names[b]), "lengths": lengths, "label": "",
        }  # fmt: skip
        yield Judgment(key=f"j{row}", judge=judge, protocol="pairwise", scores=(outcome, 1 - outcome), **about)
        if a < b:
            for number, person in enumerate(people):
                vote = float(drawn.votes[row, number])
                yield Judgment(
                    key=f"v{row} {number}", judge=person, protocol="human_pair", scores=(vote, 1 - vote), **about
                )


def box(rng: np.random.Generator, planted: Planted, questions: int) -> tuple[Audit, VerdictBox]:
    """The audit of one study, and what it concludes."""
    found = audited(gather(judgments(study(rng, planted, questions), len(planted.abilities))))
    return found, verdict(found, found.subjects[0])


def warnings_of(said: VerdictBox) -> list[str]:
    """Everything below "You may not" that would be false of a judge without a bias."""
    return [line for line in said.may_not if not line.startswith(HONEST)]


def contradicts_itself(said: VerdictBox) -> bool:
    """Whether one thing is both allowed and refused."""
    pairs = (
        ("annotator's place", "annotator's place"),
        ("order in which answers are shown matters little", "That a verdict given in one order"),
        ("order in which answers are shown matters little", "alike in every category"),
        ("order in which answers are shown matters little", "neither place on average"),
        ("votes like one more person", "could take a person's place"),
        ("ranks these models much as people do", "people would rank the models"),
        ("mostly hold in both orders", "Much from a single pair"),
    )
    refused = [*said.may_not, *said.unknown]
    return any(any(yes in line for line in said.may) and any(no in line for line in refused) for yes, no in pairs)
