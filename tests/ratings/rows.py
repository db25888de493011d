"""Judgments for tests of ratings."""

from __future__ import annotations

import csv
import json

from evalkit.core.schema import Failure, Judgment, Ref, digest
from evalkit.ratings.comparisons import HUMAN
from tests.shared_data import shared_data

WINNERS = {"model_a": (1.0, 0.0), "model_b": (0.0, 1.0), "tie": (0.5, 0.5), "tie (inconsistent)": (0.5, 0.5)}


def judged(a, b, scores, item="q1", **changes):
    """One judgment of a shown first and b second; scores None is a failure."""
    lengths = changes.pop("lengths", (100, 100))
    judge = changes.pop("judge", "gpt4")
    fingerprint = changes.pop("fingerprint", "j1")
    versions = changes.pop("versions", ("1", "1"))
    fields = {
        "item": item,
        "benchmark": "arena",
        "category": "writing",
        "turn": 1,
        "judge": Ref(judge, fingerprint),
        "protocol": "pairwise",
        "parser": "1",
        "shown": (f"{item}{a}", f"{item}{b}"),
        "models": (Ref(a, versions[0]), Ref(b, versions[1])),
        "lengths": lengths,
        "scores": scores,
        "error": None if scores else Failure("unparsed", "no verdict"),
    } | changes
    return Judgment(key=digest(a, b, judge, json.dumps({k: str(v) for k, v in fields.items()})), **fields)


def single(model, score, item="q1", **changes):
    """One judgment of single grading."""
    return Judgment(
        key=digest(model, item, str(changes)),
        shown=(model,),
        models=(Ref(model, "1"),),
        scores=(score,),
        **{
            "item": item,
            "benchmark": "arena",
            "category": "writing",
            "turn": 1,
            "judge": Ref("gpt4", "j1"),
            "protocol": "single",
            "parser": "1",
        }
        | changes,
    )


def from_wins(wins, **changes):
    """Judgments from a table of wins {(winner, loser): times}, one question each."""
    numbered = (pair for pair, times in wins.items() for _ in range(times))
    return [judged(a, b, (1.0, 0.0), item=f"q{i}", **changes) for i, (a, b) in enumerate(numbered)]


TEXTBOOK = {
    **{("A", "B"): 2, ("A", "D"): 1, ("B", "A"): 3, ("B", "C"): 5},
    **{("C", "B"): 3, ("C", "D"): 1, ("D", "A"): 4, ("D", "C"): 3},
}
"""The worked example of Wikipedia's article on the model."""


def mtbench_votes(file, keep=lambda row: True):
    """The released votes of MT-Bench as judgments."""
    for number, line in enumerate(shared_data("mtbench_votes", file).read_text().splitlines()):
        row = json.loads(line)
        if keep(row):
            person = row["judge"] != "gpt4_pair"
            yield judged(
                row["model_a"],
                row["model_b"],
                WINNERS[row["winner"]],
                item=str(row["question_id"]),
                turn=row["turn"],
                repeat=number,
                benchmark="mtbench",
                judge=row["judge"],
                fingerprint=HUMAN if person else "gpt-4",
            )


JUDGE = "weighted_alpaca_eval_gpt4_turbo"


def alpaca_eval(model):
    """The published annotations of one model as judgments, the baseline shown first."""
    rows = json.loads(shared_data("alpacaeval", JUDGE, model, "annotations.json").read_text())
    for row in rows:
        preference = 1.5 if row["preference"] == 0 else row["preference"]
        yield judged(
            row["generator_1"],
            model,
            None if preference is None else (2 - preference, preference - 1),
            item=digest((row["instruction"],))[:16],
            benchmark="alpaca",
            category=row["dataset"],
            judge=JUDGE,
            lengths=(len(row["output_1"]), len(row["output_2"])),
        )


def alpaca_eval_expected():
    """Published numbers, by model."""
    return json.loads(shared_data("alpacaeval", "expected.json").read_text())


def table(*parts):
    """Rows of a CSV in the shared data."""
    with shared_data(*parts).open(newline="") as lines:
        return list(csv.DictReader(lines))
