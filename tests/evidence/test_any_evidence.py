"""Whatever was judged, voted and scored, however little or strange: an audit, and no number made of nothing."""

import json
import math
from itertools import product

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from evalkit.audit.analyse import audited
from evalkit.core.protocols import UsageError
from evalkit.core.schema import Failure, Judgment, Ref, Response
from evalkit.evidence.evidence import Lineage
from evalkit.evidence.gather import Grade, Vote, gather
from evalkit.ratings.comparisons import GOLD, HUMAN
from evalkit.reports.audit_output import to_json
from evalkit.reports.audit_page import page
from tests.biases.simulated import scored

WAYS = ("any", "tie", "slot", "second", "name", "fail", "soft", "mixed", "both")
"""How a rater decides: at random, always a tie, by place or by name, not at all, softly, or both ways at once."""

STUDIES = st.fixed_dictionaries(
    {
        "seed": st.integers(0, 2**20),
        "models": st.integers(1, 5),
        "questions": st.integers(1, 6),
        "categories": st.integers(1, 3),
        "turns": st.integers(1, 2),
        "repeats": st.integers(1, 2),
        "orders": st.integers(1, 2),
        "judges": st.integers(0, 2),
        "pairs": st.sampled_from(WAYS),
        "people": st.sampled_from(("none", *WAYS)),
        "voters": st.integers(1, 3),
        "gold": st.sampled_from(("none", *WAYS)),
        "scores": st.sampled_from(("none", "any", "same", "fail", "mixed", "huge")),
        "grades": st.sampled_from(("none", "any", "same", "huge")),
        "lengths": st.sampled_from(("none", "any", "same", "zero", "some")),
        "texts": st.sampled_from(("none", "any", "same", "empty")),
        "kin": st.booleans(),
        "missing": st.sampled_from((0.0, 0.3, 0.8)),
        "with_itself": st.booleans(),
    }
)
TEXTS = ("", "word", "# A\n\n- one\n- **two**\n", "```py\nx\n```", "| a | b |\n", "\U0001f600 " * 9, "many words " * 30)


def said(rng, way, order):
    """Scores of what is shown first and second, or None."""
    if way == "mixed":
        way = str(rng.choice(["any", "tie", "fail", "soft"]))
    if way == "soft":
        first = float(rng.random())
        return first, 1 - first
    wins = {"any": rng.random() < 0.5, "slot": True, "second": False, "name": order[0] < order[1]}
    if way in wins:
        return (1.0, 0.0) if wins[way] else (0.0, 1.0)
    return None if way == "fail" else (0.5, 0.5)


def lengths_of(rng, how, texts):
    if how == "none" or (how == "some" and rng.random() < 0.5):
        return ()
    return tuple({"same": 50, "zero": 0}.get(how, len(text) + 1) for text in texts)


class Made:
    """One study: judgments, answers, votes and scores of people."""

    def __init__(self, study):
        self.study, self.rng = study, np.random.default_rng(study["seed"])
        self.names = [f"m{place}" for place in range(study["models"])]
        self.rows, self.answers, self.said = [], [], []
        self.texts, self.ids = {}, {}
        for q in range(study["questions"]):
            for name in self.names:
                text = {"empty": "", "same": "alike"}.get(study["texts"], str(self.rng.choice(TEXTS)))
                self.texts[q, name] = text
                if study["texts"] != "none":
                    self.answer(q, name, (text,) * study["turns"])
            self.question(q)

    def answer(self, q, name, turns):
        about = {"item": f"q{q}", "benchmark": "b", "category": self.category(q), "model": Ref(name, "1")}
        made = Response(key=f"{q}{name}", turns=turns, **about)
        self.ids[q, name] = made.id
        self.answers.append(made)

    def category(self, q):
        return f"c{q % self.study['categories']}"

    def skipped(self):
        return self.rng.random() < self.study["missing"]

    def question(self, q):
        study = self.study
        pairs = [(a, b) for a in self.names for b in self.names if a < b or (study["with_itself"] and a == b)]
        turns = range(1, study["turns"] + 1)
        for turn, judge, repeat in product(turns, range(study["judges"]), range(study["repeats"])):
            for pair in pairs:
                for order in (pair, pair[::-1])[: study["orders"]]:
                    self.pair(q, turn, Ref(f"m{judge}", "j"), "pairwise", order, study["pairs"], repeat)
            for name in self.names:
                self.score(q, turn, Ref(f"m{judge}", "j"), name, study["scores"], repeat)
        for turn, pair in product(turns, pairs):
            self.pair(q, turn, Ref(GOLD, GOLD), "gold", pair, study["gold"], 0)
        for turn, voter in product(turns, range(study["voters"])):
            for pair in pairs:
                self.votes(q, turn, f"person_{voter}", pair)
            for name in self.names:
                self.grade(q, turn, f"person_{voter}", name)

    def votes(self, q, turn, voter, pair):
        way = self.study["people"]
        if way == "none" or pair[0] == pair[1]:
            return
        if way == "both":
            self.said += [Vote(f"q{q}", turn, *pair, outcome, voter) for outcome in (1.0, 0.0)]
        elif (scores := said(self.rng, way, pair)) is not None and not self.skipped():
            if self.study["seed"] % 2:
                self.pair(q, turn, Ref(voter, HUMAN), "human_pair", pair, way, 0)
            else:
                self.said.append(Vote(f"q{q}", turn, *pair, scores[0], voter))

    def grade(self, q, turn, voter, name):
        if self.study["grades"] != "none" and not self.skipped():
            self.said.append(Grade(f"q{q}", turn, name, self.number(self.study["grades"]), voter))

    def number(self, how):
        if how == "huge":
            return float(self.rng.choice([1e50, -1e50, 1e12, 0.0, 5.0]))
        return 5.0 if how == "same" else float(self.rng.integers(1, 11))

    def pair(self, q, turn, judge, protocol, order, way, repeat):
        if way == "none" or self.skipped():
            return
        self.add(q, turn, judge, protocol, order, said(self.rng, way, order), repeat)

    def score(self, q, turn, judge, name, how, repeat):
        if how == "none" or self.skipped():
            return
        lost = how == "fail" or (how == "mixed" and self.rng.random() < 0.5)
        self.add(q, turn, judge, "single", (name,), None if lost else (self.number(how),), repeat)

    def add(self, q, turn, judge, protocol, order, scores, repeat):
        row = Judgment(
            key=str(len(self.rows)),
            item=f"q{q}",
            benchmark="b",
            category=self.category(q),
            turn=turn,
            judge=judge,
            protocol=protocol,
            parser="1",
            shown=tuple(self.ids.get((q, name), f"{q}{name}") for name in order),
            models=tuple(Ref(name, "1") for name in order),
            lengths=lengths_of(self.rng, self.study["lengths"], [self.texts[q, name] for name in order]),
            repeat=repeat,
            scores=scores,
            error=None if scores else Failure("unparsed", "no verdict"),
        )
        self.rows.append(row)


def numbers(value):
    if isinstance(value, dict):
        for inner in value.values():
            yield from numbers(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from numbers(inner)
    elif isinstance(value, float):
        yield value


def check(study):
    made = Made(study)
    kin = {name: Lineage("fam", ("fam",)) for name in made.names} if study["kin"] else None
    found = audited(gather(made.rows, made.answers, votes=made.said, kin=kin))
    for row in found.findings:
        held = [row.estimate, row.lower, row.upper, *numbers(msgspec.to_builtins(dict(row.details), enc_hook=plain))]
        assert all(math.isfinite(value) for value in held if value is not None), (row.metric, held)
        assert row.not_measurable is None or row.not_measurable.startswith("needs ")
        if row.lower is not None and row.upper is not None:
            assert row.lower - 1e-9 <= row.upper, row
    for listed in (found.agreement, found.ratings, found.histograms, found.subjects):
        for row in listed:
            values = numbers(msgspec.to_builtins(vars(row), enc_hook=plain))
            assert all(math.isfinite(value) for value in values), row
    json.loads(to_json(found), parse_constant=lambda name: [][name])
    page(found)


def plain(value):
    return value.tolist() if hasattr(value, "tolist") else dict(value)


FULL = {
    "seed": 0, "models": 4, "questions": 4, "categories": 2, "turns": 1, "repeats": 1, "orders": 2, "judges": 1,
    "pairs": "any", "people": "any", "voters": 2, "gold": "none", "scores": "none", "grades": "none", "lengths": "any",
    "texts": "any", "kin": True, "missing": 0.0, "with_itself": False,
}  # fmt: skip


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck), database=None)
@given(STUDIES)
@example(FULL | {"people": "both"})
@example(FULL | {"people": "tie"})
@example(FULL | {"pairs": "tie"})
@example(FULL | {"pairs": "slot", "people": "name"})
@example(FULL | {"pairs": "name", "people": "name", "questions": 1})
@example(FULL | {"pairs": "name", "people": "soft", "questions": 2, "repeats": 2})
def test_every_study_has_an_audit(study):
    check(study)


@pytest.mark.parametrize("by", ["judge", "person"])
def test_a_score_beyond_reckoning_is_refused(by):
    """Its square would be infinite, and so would every figure that it is part of."""
    rows = [scored("m", 1e200 if by == "judge" else 5.0)]
    with pytest.raises(UsageError, match=r"a score is 1e\+200; an audit takes scores between -1e\+50 and 1e\+50"):
        gather(rows, votes=[Grade("q1", 1, "m", 1e200, "ann")])
