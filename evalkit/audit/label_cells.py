"""Labels of a set in rows, and in columns what each judge said of them: what a board of judges is counted from.

A label is a pair whose better answer is known (gold) or voted on (people), or a grade of one answer. A judge is right
where its verdict is the label's; a tie, or another winner in each order, is a verdict of its own and right only where
the label is a tie. Two orders come to the winner on average, unless asked otherwise. Where a failed showing leaves no
verdict there is no number, and the cell is marked as failed.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from evalkit.evidence.evidence import Evidence, Votes
from evalkit.evidence.gather import BenchmarkEvidence
from evalkit.evidence.gather_pairs import winners
from evalkit.ratings.collation import pair_keys

if TYPE_CHECKING:
    from evalkit.stats.arrays import BoolArray, FloatArray, IntArray

Measure = Literal["pairs", "best of n", "answers"]
"""What a label is about: two answers; the right one among several; one answer."""
Source = Literal["gold", "people"]
"""Whose labels: known to be right, or people's votes."""
Orders = Literal["consistent", "average", "judgebench", "each"]
"""What two orders come to: a winner only where both name it; the winner on average; the same, but where one failed
the other decides; each showing by itself."""
RowKind = Literal["judge", "rule", "people"]

LABELS = 10
"""Different values up to which scores are labels, which are right or not."""
LONGER = "longer answer"
"""What the rule that prefers the longer answer is called."""
RULES = frozenset({"string-match"})
"""Judges that are rules and no models: what imports call the labels of a list of phrases."""


@dataclass(frozen=True, eq=False)
class JudgeColumn:
    """What one judge, or rule, said of the labels [C] of a set."""

    judge: str
    protocol: str
    kind: RowKind
    right: FloatArray
    """[C] 1 the label's verdict, 0 another one; NaN without one."""
    failed: BoolArray
    """[C] asked for, and no verdict came of it."""
    tied: BoolArray
    """[C] the verdict is a tie, or another in each order."""
    evidence: Evidence | None = None
    votes: Votes | None = None
    """Of the set, matched to this judge's pairs; rows as in ``LabelCells.vote``. None where labels are no pairs."""

    def where(self, keep: BoolArray) -> JudgeColumn:
        """The table with some of its labels only."""
        return replace(self, right=self.right[keep], failed=self.failed[keep], tied=self.tied[keep])


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelCells:
    """Labels of one set, one row each."""

    benchmark: str
    measure: Measure
    source: Source
    question: IntArray
    """[C] code of the question: what varies."""
    category: IntArray
    """[C]"""
    vote: IntArray
    """[C] row of the judges' ``votes``; -1 where a label is none of them."""
    longer: FloatArray
    """[V] by row of ``votes``: the sign of the first answer's length less the second's; NaN where unknown."""
    strength: IntArray
    """[V] by row of ``votes``: by how much one answer is preferred, 1 to 4; 0 where nothing says it."""
    columns: tuple[JudgeColumn, ...]
    shown: int = 0
    """Answers of a best-of-n label, the most there are."""
    fewest: int = 0
    """And the fewest."""

    def where(self, keep: BoolArray) -> LabelCells:
        """Some of the labels, and the judges that were asked about any of those."""
        columns = (column.where(keep) for column in self.columns)
        return replace(
            self,
            question=self.question[keep],
            category=self.category[keep],
            vote=self.vote[keep],
            columns=tuple(column for column in columns if _asked(column).any()),
        )


def _asked(column: JudgeColumn) -> BoolArray:
    import numpy as np

    result: BoolArray = np.isfinite(column.right) | column.failed
    return result


def label_cells(gathered: BenchmarkEvidence, orders: Orders = "average") -> Iterator[LabelCells]:
    """Every kind of label of a set that some judge or rule has a verdict on.

    Args:
        gathered: of one benchmark.
        orders: what verdicts in both orders come to.
    """
    people = gathered.people[0].votes if gathered.people else None
    sources: tuple[tuple[Source, Votes | None], ...] = (("gold", gathered.gold), ("people", people))
    for source, votes in sources:
        if votes is not None and len(votes):
            cells = _pairs(gathered, votes, source, orders)
            if cells.columns or source == "people":
                yield cells
            if source == "gold" and (best := _best_of_n(gathered, votes)) is not None:
                yield best
    if (answers := _answers(gathered)) is not None:
        yield answers


def _pairs(gathered: BenchmarkEvidence, votes: Votes, source: Source, orders: Orders) -> LabelCells:
    """A row for each label, or for each label and order shown."""
    import numpy as np

    label = 0.5 + np.sign(votes.outcome - 0.5) / 2
    layers = 2 if orders == "each" else 1
    columns = []
    for evidence in gathered.evidence:
        own = evidence.gold if source == "gold" else evidence.votes
        said = _verdicts(evidence, own, orders)
        if (np.isfinite(said.verdict) | said.failed).any():
            right = np.where(np.isfinite(said.verdict), (said.verdict == label).astype(np.float64), np.nan)
            columns.append(
                JudgeColumn(
                    evidence.judge,
                    evidence.protocol,
                    "rule" if evidence.judge in RULES else "judge",
                    right.reshape(-1),
                    said.failed.reshape(-1),
                    (said.verdict == 0.5).reshape(-1),
                    evidence,
                    own,
                )
            )
    signs = _length_signs(gathered, votes, source)
    longer = 0.5 + signs / 2
    if np.isfinite(longer).any():
        right = np.where(np.isfinite(longer), (longer == label).astype(np.float64), np.nan)
        nothing = np.zeros(len(votes) * layers, dtype=bool)
        tied = np.tile(longer == 0.5, layers)
        columns.append(JudgeColumn(LONGER, "", "rule", np.tile(right, layers), nothing, tied))
    return LabelCells(
        benchmark=gathered.benchmark,
        measure="pairs",
        source=source,
        question=np.tile(votes.question, layers),
        category=np.tile(votes.category, layers),
        vote=np.tile(np.arange(len(votes)), layers),
        longer=signs,
        strength=votes.strength,
        columns=tuple(columns),
    )


@dataclass(frozen=True, eq=False)
class _Said:
    """What one judge said of votes: a row a layer (one, or two orders), a column a vote."""

    verdict: FloatArray
    """[L, V] 1, .5 or 0; NaN without one."""
    failed: BoolArray
    """[L, V]"""


def _verdicts(evidence: Evidence, votes: Votes, orders: Orders) -> _Said:
    import numpy as np

    pairs, pair, has = evidence.pairs, votes.pair, votes.pair >= 0
    if not len(pairs):
        pair = np.zeros(0, dtype=np.int64)

    def of(column: FloatArray) -> FloatArray:
        found = np.full(len(votes), np.nan)
        found[has] = column[pair[has]]
        return found

    layers = 2 if orders == "each" else 1
    if evidence.shows == 1:  # a score does not know of orders
        verdict = of(0.5 + np.sign(pairs.plain - 0.5) / 2)
        return _Said(np.stack([verdict] * layers), np.stack([_unscored(evidence, votes)] * layers))
    if orders == "each":
        sides = [pairs.plain, pairs.swapped]
        asked = [of((pairs.asked & bit > 0).astype(np.float64)) == 1 for bit in (1, 2)]
        verdicts = np.stack([of(0.5 + np.sign(side - 0.5) / 2) for side in sides])
        return _Said(verdicts, np.stack(asked) & np.isnan(verdicts))
    failed = of(pairs.failed.astype(np.float64)) == 1
    verdict = of(pairs.verdict if orders == "consistent" else 0.5 + np.sign(pairs.outcome - 0.5) / 2)
    failed &= np.isnan(verdict) if orders == "judgebench" else True
    return _Said(np.where(failed, np.nan, verdict)[None], failed[None])


def _unscored(evidence: Evidence, votes: Votes) -> BoolArray:
    """[V] both answers of a label were put to a judge that scores answers, and one or both have no score."""
    import numpy as np

    result = np.zeros(len(votes), dtype=bool)
    scores = evidence.scores
    if scores is None or not np.isnan(scores.score).any():
        return result
    asked: set[tuple[int, int, int]] = set()
    columns = (scores.question, scores.turn, scores.model, scores.response)
    for question, turn, model, response in zip(*(column.tolist() for column in columns), strict=True):
        asked.add((question, turn, model))
        asked.add((question, turn, len(evidence.models) + response))
    for row in np.flatnonzero(votes.pair < 0).tolist():
        question, turn, one, other = votes.key[row].tolist()
        result[row] = (question, turn, one) in asked and (question, turn, other) in asked
    return result


def _length_signs(gathered: BenchmarkEvidence, votes: Votes, source: Source) -> FloatArray:
    """[V] the sign of a's length less b's, from the judged pairs or the stored texts; NaN where neither is known."""
    import numpy as np

    result = np.full(len(votes), np.nan)
    for evidence in gathered.evidence:
        own, pairs = (evidence.gold if source == "gold" else evidence.votes), evidence.pairs
        rows = np.flatnonzero((own.pair >= 0) & np.isnan(result))
        result[rows] = np.sign(pairs.length_a[own.pair[rows]] - pairs.length_b[own.pair[rows]])
    names, texts = gathered.responses, gathered.texts
    for row in np.flatnonzero(np.isnan(result) & (votes.response_a >= 0) & (votes.response_b >= 0)).tolist():
        turn = int(votes.turn[row])
        sides = [texts.get(names[int(side[row])], ()) for side in (votes.response_a, votes.response_b)]
        if all(len(turns) >= turn for turns in sides):
            result[row] = np.sign(len(sides[0][turn - 1]) - len(sides[1][turn - 1]))
    return result


Key = tuple[int, int]
"""A question and a turn."""


@dataclass(frozen=True)
class _Contest:
    """One question with answers that are right and others that are not."""

    key: Key
    category: int
    right: tuple[int, ...]
    """Contestants: a model, or the number of models plus an answer."""
    wrong: tuple[int, ...]
    duels: tuple[tuple[int, int], ...]
    """Right and wrong ones that a label compares."""

    @property
    def size(self) -> int:
        """Answers among which the right ones are to be found."""
        return len(self.right) + len(self.wrong)


def contests(votes: Votes) -> list[_Contest]:
    """Questions of which some answers lose to none and beat two others or more; none unless half the questions are so.

    Args:
        votes: gold labels of pairs.
    """
    beaten: dict[Key, list[tuple[int, int]]] = defaultdict(list)
    category: dict[Key, int] = {}
    columns = (votes.key, votes.outcome, votes.category)
    for key, outcome, where in zip(*(column.tolist() for column in columns), strict=True):
        question, turn, one, other = key
        category[question, turn] = where
        if outcome != 0.5:
            beaten[question, turn].append((one, other) if outcome > 0.5 else (other, one))
    found = []
    for place, pairs in beaten.items():
        losers = {worse for _, worse in pairs}
        duels = tuple(dict.fromkeys(pair for pair in pairs if pair[0] not in losers))
        wrong = tuple(dict.fromkeys(worse for _, worse in duels))
        if len(wrong) > 1:
            right = tuple(dict.fromkeys(better for better, _ in duels))
            found.append(_Contest(place, category[place], right, wrong, duels))
    return found if 2 * len(found) >= len(category) else []


def _best_of_n(gathered: BenchmarkEvidence, votes: Votes) -> LabelCells | None:
    """Whether a judge puts every right answer strictly above every wrong one: a row a question and repeat."""
    import numpy as np

    listed = contests(votes)
    if not listed:
        return None
    said = [_duels(evidence) for evidence in gathered.evidence]
    repeats = sorted({repeat for verdicts in said for *_, repeat in verdicts})
    rows = [(contest, repeat) for contest in listed for repeat in repeats]
    columns = []
    for evidence, verdicts in zip(gathered.evidence, said, strict=True):
        found = [_placed(contest, verdicts, repeat) for contest, repeat in rows]
        right, failed, tied = (np.array(part) for part in zip(*found, strict=True)) if found else ((), (), ())
        column = JudgeColumn(
            evidence.judge,
            evidence.protocol,
            "rule" if evidence.judge in RULES else "judge",
            np.asarray(right, dtype=np.float64),
            np.asarray(failed, dtype=bool),
            np.asarray(tied, dtype=bool),
            evidence,
        )
        if _asked(column).any():
            columns.append(column)
    if not columns:
        return None
    asked = np.logical_or.reduce([_asked(column) for column in columns])
    cells = LabelCells(
        benchmark=gathered.benchmark,
        measure="best of n",
        source="gold",
        question=np.array([contest.key[0] for contest, _ in rows], dtype=np.int64),
        category=np.array([contest.category for contest, _ in rows], dtype=np.int64),
        vote=np.full(len(rows), -1, dtype=np.int64),
        longer=np.zeros(0),
        strength=np.zeros(0, dtype=np.int64),
        columns=tuple(columns),
        shown=max(contest.size for contest in listed),
        fewest=min(contest.size for contest in listed),
    )
    return cells.where(asked)


def scores_of_contests(evidence: Evidence) -> dict[str, tuple[list[float], list[float]]]:
    """Of a judge that scores answers, its first scores of the right and of the wrong ones, by question.

    Only questions of which every answer has a score.
    """
    import numpy as np

    scores = evidence.scores
    if scores is None:
        return {}
    given: dict[tuple[int, int, int], float] = {}
    columns = (scores.question, scores.turn, scores.model, scores.response, scores.score)
    first = np.flatnonzero((scores.repeat == 0) & np.isfinite(scores.score))
    for question, turn, model, response, score in zip(*(c[first].tolist() for c in columns), strict=True):
        given[question, turn, model] = given[question, turn, len(evidence.models) + response] = score
    found = {}
    for contest in contests(evidence.gold):
        sides = [[given.get((*contest.key, one)) for one in side] for side in (contest.right, contest.wrong)]
        known = [[score for score in side if score is not None] for side in sides]
        if list(map(len, known)) == list(map(len, sides)):
            found[evidence.questions[contest.key[0]]] = (known[0], known[1])
    return found


_Duels = dict[tuple[int, int, int, int, int], float]
"""Points of the lower of two contestants by question, turn, both contestants and repeat; NaN where a verdict failed."""


def _duels(evidence: Evidence) -> _Duels:
    """Every verdict on two answers, each repeat by itself; of single grading, by the two scores."""
    import numpy as np

    models = len(evidence.models)
    if evidence.scores is None:
        pairs = evidence.pairs
        sides, answers = (pairs.a, pairs.b), (pairs.response_a, pairs.response_b)
        keys, _ = pair_keys(models, pairs.question, pairs.turn, sides, answers)
        rows = zip(keys.tolist(), pairs.repeat.tolist(), pairs.verdict.tolist(), strict=True)
        return {(*key, repeat): verdict for key, repeat, verdict in rows}
    scores = evidence.scores
    given: dict[tuple[int, int, int], dict[int, float]] = defaultdict(dict)
    columns = (scores.question, scores.turn, scores.repeat, scores.model, scores.response, scores.score)
    for question, turn, repeat, model, response, score in zip(*(c.tolist() for c in columns), strict=True):
        for contestant in (model, models + response):
            given[question, turn, repeat][contestant] = score
    result: _Duels = {}
    wanted: dict[tuple[int, int], set[tuple[int, int]]] = defaultdict(set)
    for question, turn, one, other in evidence.gold.key.tolist():
        wanted[question, turn].add((one, other))
    keys_of, gaps = [], []
    for (question, turn, repeat), there in given.items():
        for one, other in wanted[question, turn]:
            if one in there and other in there:
                keys_of.append((question, turn, one, other, repeat))
                gaps.append(there[one] - there[other])
    gap = np.array(gaps, dtype=np.float64)
    has = np.isfinite(gap)
    verdict = np.where(has, winners(np.where(has, gap, 0.0), scores.score[np.isfinite(scores.score)]), np.nan)
    result.update(zip(keys_of, verdict.tolist(), strict=True))
    return result


def _placed(contest: _Contest, verdicts: _Duels, repeat: int) -> tuple[float, bool, bool]:
    """Whether all right answers are above all wrong ones; whether that failed; whether it is a tie at the top."""
    points = []
    for right, wrong in contest.duels:
        one, other = min(right, wrong), max(right, wrong)
        said = verdicts.get((*contest.key, one, other, repeat))
        if said is not None:
            points.append(said if right == one else 1 - said)
    if any(point < 0.5 for point in points):
        return 0.0, False, False
    if len(points) < len(contest.duels):
        return math.nan, False, False
    if any(math.isnan(point) for point in points):
        return math.nan, True, False
    tied = any(point == 0.5 for point in points)
    return float(not tied), False, tied


def _answers(gathered: BenchmarkEvidence) -> LabelCells | None:
    """Labels of single answers: known ones, else people's."""
    import numpy as np

    grades = gathered.grades
    if grades is None:
        return None
    rows = np.flatnonzero(grades.known) if grades.known.any() else np.arange(len(grades))
    values = np.unique(grades.score[rows])
    if values.size > LABELS:
        return None
    columns = []
    for evidence in gathered.evidence:
        if evidence.grades is None or evidence.scores is None:
            continue
        said = evidence.grades.judged[rows]
        used = np.unique(evidence.scores.score[np.isfinite(evidence.scores.score)])
        if not np.isin(used, values).all():  # another scale: no score is right or wrong
            continue
        lost = _lost(evidence, rows)
        if not (np.isfinite(said) | lost).any():
            continue
        right = np.where(np.isfinite(said), (said == grades.score[rows]).astype(np.float64), np.nan)
        kind: RowKind = "rule" if evidence.judge in RULES else "judge"
        nothing = np.zeros(rows.size, dtype=bool)
        columns.append(JudgeColumn(evidence.judge, evidence.protocol, kind, right, lost, nothing, evidence))
    if not columns:
        return None
    return LabelCells(
        benchmark=gathered.benchmark,
        measure="answers",
        source="gold" if grades.known.any() else "people",
        question=grades.question[rows],
        category=grades.category[rows],
        vote=np.full(rows.size, -1, dtype=np.int64),
        longer=np.zeros(0),
        strength=np.zeros(0, dtype=np.int64),
        columns=tuple(columns),
    )


def _lost(evidence: Evidence, rows: IntArray) -> BoolArray:
    """[R] of these grades, those whose answer the judge was asked about without a score coming of it."""
    import numpy as np

    scores, grades = evidence.scores, evidence.grades
    assert scores is not None
    assert grades is not None
    failed = np.isnan(scores.score)
    columns = (scores.question, scores.turn, scores.response)
    asked = set(zip(*(column[failed].tolist() for column in columns), strict=True))
    about = (grades.question[rows], grades.turn[rows], grades.response[rows])
    there = np.array([key in asked for key in zip(*(column.tolist() for column in about), strict=True)], dtype=bool)
    result: BoolArray = there & np.isnan(grades.judged[rows])
    return result


def names_of(columns: Sequence[JudgeColumn]) -> list[str]:
    """A name for each, with the protocol where one judge has several."""
    judges = [column.judge for column in columns]
    return [
        f"{column.judge} ({column.protocol})" if judges.count(column.judge) > 1 else column.judge for column in columns
    ]
