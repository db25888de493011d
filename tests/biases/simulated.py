"""Studies whose truth is known: models, questions, people's votes, and a judge with planted faults."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import msgspec
import numpy as np

from evalkit.core.schema import Failure, Judgment, Ref, digest
from evalkit.evidence.gather import gather
from evalkit.ratings.comparisons import HUMAN
from tests.ratings.rows import single


@dataclass(frozen=True, kw_only=True)
class Study:
    """Planted effects are in logits of the judge; the judge is four times as sharp as quality, people 1.5 times."""

    seed: int = 0
    models: int = 6
    questions: int = 60
    length_is_good: float = 0.4
    """What one standard deviation of length adds to quality."""
    sharpness: float = 4.0
    position: float = 0.0
    length: float = 0.0
    own: float = 0.0
    """What the judge adds to answers of model m0, which carries its name."""
    humans: float = 1.5
    votes: int = 2
    ties: float = 0.1

    def gathered(self):
        """Evidence of the simulated judge."""
        return gather(self.rows())[0]

    def evidence(self):
        return self.gathered().evidence[0]

    def rows(self):
        """Judgments by the judge in both orders, and votes."""
        rng = np.random.default_rng(self.seed)
        ability = np.linspace(-0.5, 0.5, self.models)
        judge, names = Ref("m0", "j"), [Ref(f"m{m}", "1") for m in range(self.models)]
        result = []
        for q in range(self.questions):
            length = rng.lognormal(6, 0.5, self.models).astype(int) + 20
            good = ability + 0.5 * rng.normal(size=self.models)
            for a, b in combinations(range(self.models), 2):
                z = (length[a] - length[b]) / (length[a] + length[b]) / 0.34
                gap = good[a] - good[b] + self.length_is_good * z
                said = self.sharpness * gap * 0.5 + self.length * z + self.own * ((a == 0) - (b == 0))
                for order in ((a, b), (b, a)):
                    x = (said if order == (a, b) else -said) + self.position
                    result.append(self._row(rng, x, order, judge, "pairwise", q, length, names))
                for voter in range(self.votes):
                    person = Ref(f"person_{voter}", HUMAN)
                    result.append(
                        self._row(rng, self.humans * gap * 0.5, (a, b), person, "human_pair", q, length, names)
                    )
        return result

    def _row(self, rng, x, order, judge, protocol, q, length, names):
        tie = rng.random() < self.ties
        first = rng.random() < 1 / (1 + np.exp(-x))
        scores = (0.5, 0.5) if tie else (1.0, 0.0) if first else (0.0, 1.0)
        return Judgment(
            key=digest(q, order, judge.name),
            item=f"q{q}",
            benchmark="study",
            category=f"c{q % 3}",
            turn=1,
            judge=judge,
            protocol=protocol,
            parser="1",
            shown=tuple(f"q{q}m{m}" for m in order),
            models=tuple(names[m] for m in order),
            lengths=tuple(int(length[m]) for m in order),
            scores=scores,
            label="",
        )


def scored(model, score, item="q1", repeat=0, **changes):
    """One judgment of single grading of one answer; score None is a failure."""
    return msgspec.structs.replace(
        single(model, 0.0 if score is None else score, item=item, repeat=repeat),
        shown=(f"{item}{model}",),
        scores=None if score is None else (score,),
        error=Failure("unparsed", "no score") if score is None else None,
        **changes,
    )


def only(findings, metric, category=None):
    """The one finding of this name."""
    found = [row for row in findings if row.metric == metric and row.category == category]
    assert len(found) == 1, [row.metric for row in findings]
    return found[0]
