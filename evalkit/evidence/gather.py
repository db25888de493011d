"""Stored rows -> evidence of each judge: the columns that ratings use too, extended by votes, scores and texts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from evalkit.core.protocols import UsageError
from evalkit.core.schema import Judged, Judgment, Ref, Response
from evalkit.evidence.evidence import CriterionLabels, Evidence, Grades, Lineage
from evalkit.evidence.findings import counted
from evalkit.evidence.gather_pairs import matched_votes, pairs_by_question, pairs_of_scores
from evalkit.evidence.relations import inferred_lineage
from evalkit.ratings.collation import Group, Scores, Votes, collate, joined, people_of, strengths_of, votes_of
from evalkit.ratings.comparisons import HUMAN, Comparisons, Reading, tables_of_people
from evalkit.ratings.judgment_columns import GOLD, BenchmarkRows, Codes, RowBuffer, rater_kind, read_rows

if TYPE_CHECKING:
    from evalkit.stats.arrays import BoolArray, FloatArray, IntArray

NAN = float("nan")
LARGEST = 1e50
"""Score, up or down: products of sums of squares are still numbers."""


CriterionKey = tuple[str, int, str, str]
"""Item, turn, response id and criterion."""


class Vote(NamedTuple):
    """One vote of the plain format."""

    item: str
    turn: int
    model_a: str
    model_b: str
    outcome: float
    annotator: str
    category: str | None = None


class Grade(NamedTuple):
    """One score of the plain format."""

    item: str
    turn: int
    model: str
    score: float
    annotator: str
    category: str | None = None


@dataclass(frozen=True, eq=False)
class BenchmarkEvidence:
    """Everything known about one benchmark."""

    benchmark: str
    evidence: tuple[Evidence, ...]
    people: tuple[Group, ...]
    """The largest group first: it is the one that judges are measured by."""
    notes: tuple[str, ...] = ()
    grades: Grades | None = None
    """Scores by people, whoever else judged the answers."""
    voted: tuple[Comparisons, ...] = ()
    """What the main group of people says, as for a leaderboard: a table for each protocol."""
    gold: Votes | None = None
    """Labels of pairs that are known to be right, whoever judged those pairs; None without any."""
    questions: tuple[str, ...] = ()
    """What codes of questions, categories, models and answers stand for, also where no judge judged."""
    categories: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    responses: tuple[str, ...] = ()
    texts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Answers by response id, turn by turn."""


@dataclass
class EvidenceBuilder(BenchmarkRows):
    """Everything of one benchmark while rows stream by."""

    texts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Answers by response id, turn by turn."""
    unanswered: Counter[str] = field(default_factory=Counter)
    """Answers that failed, by kind of error."""
    unanswered_by_model: Counter[str] = field(default_factory=Counter)
    criteria: dict[Ref, dict[CriterionKey, tuple[float, str]]] = field(default_factory=dict)
    """Of gradings by rubrics, the first repeat: by judge or person, level and kind of each criterion with a verdict."""

    def _remark(self, number: int, row: Judgment | Judged, buffer: RowBuffer) -> None:
        super()._remark(number, row, buffer)
        if row.criteria and row.repeat == 0:
            said = self.criteria.setdefault(row.judge, {})
            for one in row.criteria:
                if one.level is not None:
                    said[row.item, row.turn, row.shown[0], one.id] = one.level, one.kind

    def add_answer(self, answer: Response) -> None:
        """Keep the text of an answer that was judged, or count it as failed."""
        if answer.error is not None:
            self.unanswered[answer.error.kind] += 1
            self.unanswered_by_model[answer.model.name] += 1
        elif answer.id in self.responses:
            self.texts[answer.id] = answer.turns

    def add_vote(self, vote: Vote | Grade, category: int) -> None:
        """Enter one vote or score of the plain format on an item that was judged: it names models, not answers."""
        graded = isinstance(vote, Grade)
        names = (vote.model,) if isinstance(vote, Grade) else (vote.model_a, vote.model_b)
        said = vote.score if isinstance(vote, Grade) else vote.outcome
        codes: tuple[int, ...] = (self.questions[vote.item], category, vote.turn, 0)
        for name in names:
            codes += (self.models[name], -1, -1)
        buffer = self.people_under("human_single" if graded else "human_pair", len(names))
        buffer.raters.append(self.raters[vote.annotator])
        buffer.append(codes, (said, *(NAN,) * len(names)))

    def categories_of_questions(self) -> dict[int, int]:
        """The category that each question has where it was judged first."""
        found: dict[int, int] = {}
        for buffer in [*self.judges.values(), *self.people.values()]:
            for question, category in buffer.table()[0][::-1, :2].tolist():
                found[question] = category
        return found


def gather(
    judgments: Iterable[Judgment | Judged],
    answers: Iterable[Response] = (),
    *,
    votes: Iterable[Vote | Grade] = (),
    kin: Mapping[str, Lineage] | None = None,
    judge: str | None = None,
    reference: str | None = None,
) -> list[BenchmarkEvidence]:
    """Evidence of every benchmark, judge and protocol.

    Args:
        judgments: in the order stored; people's and gold ones among them.
        answers: texts of what was judged, and answers that failed.
        votes: of the plain format; they belong to the benchmark that has their items.
        kin: family and training of models, by name; inferred from names otherwise.
        judge: only this one (people and gold labels always).
        reference: a judge whose verdicts on criteria of a rubric stand in people's place.

    Raises:
        UsageError: a score is too large to be calculated with.
    """

    def asked_for(row: Judgment | Judged) -> bool:
        return row.judge.name in (judge, reference) or rater_kind(row.judge) != "judge"

    builders = read_rows(judgments, EvidenceBuilder, None if judge is None else asked_for)
    for answer in answers:
        if answer.benchmark in builders:
            builders[answer.benchmark].add_answer(answer)
    unmatched = _enter_votes(votes, builders)
    result = [_finish(builder, kin or {}, reference) for _, builder in sorted(builders.items())]
    if judge is not None:  # the reference was read for comparison only
        mine = ((one, tuple(found for found in one.evidence if found.judge == judge)) for one in result)
        result = [replace(one, evidence=evidence) for one, evidence in mine]
    if unmatched and result:
        first = result[0]
        said = counted(unmatched, "vote is", "votes are")
        note = f"{said} on items that no judgment is about; {'it is' if unmatched == 1 else 'they are'} not used"
        result[0] = replace(first, notes=(*first.notes, note))
    return result


def _enter_votes(votes: Iterable[Vote | Grade], builders: Mapping[str, EvidenceBuilder]) -> int:
    """Enter each vote where its item was judged. Returns how many are on items that were judged nowhere."""
    listed = list(votes)
    if not listed:
        return 0
    known = [(builder, dict(builder.questions), builder.categories_of_questions()) for builder in builders.values()]
    unmatched = 0
    for vote in listed:
        homes = [
            (builder, categories[questions[vote.item]])
            for builder, questions, categories in known
            if vote.item in questions
        ]
        for builder, category in homes:
            builder.add_vote(vote, category)
        unmatched += not homes
    return unmatched


def _finish(builder: EvidenceBuilder, lineages: Mapping[str, Lineage], reference: str | None) -> BenchmarkEvidence:
    """Evidence of the newest configuration of every judge and protocol, and the groups of people."""
    benchmark = builder.benchmark
    newest = {key: buffer for key, buffer in builder.newest().items() if key[0] != GOLD}
    judges = [buffer for (judge, _, _), buffer in builder.judges.items() if judge.name != GOLD]
    older = sum(buffer.rows for buffer in judges) - sum(buffer.rows for buffer in newest.values())
    people = people_of(builder)
    older += people.replaced
    gold = _gold(builder)
    grades = _grades(builder)
    evidence, notes = [], []
    for _, buffer in sorted(newest.items()):
        built, stale, strange = _evidence(builder, buffer, people.groups, gold, lineages)
        if grades is not None and built.scores is not None:
            built = replace(built, grades=_graded(grades, built.scores, built.responses, built.texts))
        if buffer.judge in builder.criteria:
            built = replace(built, criteria=_criteria(builder, buffer.judge, reference))
        evidence.append(built)
        older += stale
        if strange:
            notes.append(
                f"{benchmark}, {built.judge}: {counted(strange, 'vote is', 'votes are')} on "
                "other answers than those it judged and not compared with its verdicts"
            )
    if older:
        notes.append(f"{benchmark}: {older} judgments of earlier configurations (prompt, sampling, model) are left out")
    notes += [f"{benchmark}: {said}" for said in people.sentences()]
    voted = tuple(table for table in tables_of_people(builder, people, Reading()) if table.judge == HUMAN)
    return BenchmarkEvidence(
        benchmark,
        tuple(evidence),
        people.groups,
        tuple(notes),
        grades,
        voted,
        gold=gold if len(gold) else None,
        questions=tuple(builder.questions),
        categories=tuple(builder.categories),
        models=tuple(builder.models),
        responses=tuple(builder.responses),
        texts=builder.texts,
    )


def _criteria(builder: EvidenceBuilder, judge: Ref, reference: str | None) -> CriterionLabels | None:
    """What people, or a reference judge, say of criteria that a judge has a verdict on; None if nothing."""
    import numpy as np

    names, judged = Codes(), builder.criteria[judge]
    others = [
        who for who in builder.criteria if (rater_kind(who) != "judge" if reference is None else who.name == reference)
    ]
    rows = [
        (names[key[3]], builder.questions[key[0]], number, judged[key][0], level)
        for number, who in enumerate(others)
        for key, (level, kind) in builder.criteria[who].items()
        if who != judge and key in judged and judged[key][1] == kind
    ]
    if not rows:
        return None
    codes = np.array([row[:3] for row in rows], dtype=np.int64)
    levels = np.array([row[3:] for row in rows], dtype=np.float64)
    return CriterionLabels(
        names=tuple(names),
        people=tuple(who.name for who in others),
        by_people=reference is None,
        criterion=codes[:, 0],
        question=codes[:, 1],
        person=codes[:, 2],
        judged=levels[:, 0],
        said=levels[:, 1],
    )


def _gold(builder: EvidenceBuilder) -> Votes:
    """The labels that are known to be right."""
    import numpy as np

    buffers = [buffer for (judge, _, shows), buffer in builder.judges.items() if judge.name == GOLD and shows == 2]
    codes, outcome = joined(buffers)
    keep = np.isfinite(outcome)
    nobody = np.zeros(int(keep.sum()), dtype=np.int64)
    votes = votes_of(len(builder.models), codes[keep], outcome[keep], nobody, strengths_of(buffers)[keep])
    return votes.where(_not_again(votes, builder))


def _not_again(votes: Votes, builder: EvidenceBuilder) -> BoolArray:
    """[V] whether a label counts: one on answers that nobody has does not where the same is said of stored ones.

    Scores that come without the answers bring labels of their own, which say again what the set says.
    """
    import numpy as np

    stored = np.array([name in builder.texts for name in builder.responses] + [False], dtype=bool)
    there = stored[votes.response_a] & stored[votes.response_b]
    said = np.column_stack([votes.key, np.sign(votes.outcome - 0.5).astype(np.int64)])
    _, place = np.unique(said, axis=0, return_inverse=True)
    again = np.bincount(place.ravel(), there, minlength=len(votes)) > 0
    result: BoolArray = there | ~again[place.ravel()]
    return result


def _evidence(
    builder: EvidenceBuilder, buffer: RowBuffer, people: Sequence[Group], gold: Votes, lineages: Mapping[str, Lineage]
) -> tuple[Evidence, int, int]:
    """Evidence, how many rows are of replaced models, and how many votes are on other answers."""
    import numpy as np

    stored, numbers = buffer.table()
    models, current = len(builder.models), buffer.current(len(builder.models))
    # Column by column, as they are used.
    rows, numbers = np.array(stored[current], dtype=np.int64, order="F"), np.array(numbers[current], order="F")
    main = people[0].votes if people else votes_of(models, rows[:0, :1].repeat(10, 1), numbers[:0, 0], rows[:0, 0])
    scores = None
    if buffer.shows == 2:
        found = collate(models, rows, numbers, buffer.marked(buffer.inconsistent)[current])
        pairs, keys = found.pairs, found.keys
        compared, comparable = pairs, len(pairs)
    else:
        _check_scores(numbers[:, 0])
        scores = _scores(rows, numbers, buffer)
        pairs, keys = pairs_of_scores(scores, (main, gold), models)
        compared, comparable = pairs_by_question(scores)
    known = np.array([name in builder.texts for name in builder.responses] + [False], dtype=bool)
    votes, strange = matched_votes(main, keys, pairs, known)
    others = {group.name or "others": matched_votes(group.votes, keys, pairs, known)[0] for group in people[1:]}
    failed: Counter[str] = Counter()
    failed_by_category: dict[str, Counter[str]] = {}
    failed_by_question: dict[str, Counter[int]] = {}
    categories = tuple(builder.categories)
    names, lost = list(builder.kinds), np.isnan(buffer.table()[1][:, 0])
    for kind, (question, category), there in zip(
        buffer.failures, stored[lost, :2].tolist(), current[lost].tolist(), strict=True
    ):
        if there:
            failed[names[kind]] += 1
            failed_by_category.setdefault(categories[category], Counter())[names[kind]] += 1
            failed_by_question.setdefault(names[kind], Counter())[question] += 1
    judge = buffer.judge.name
    model_name = re.sub(r"[_-](pair|single)(-v\d.*)?$", "", judge)
    evidence = Evidence(
        benchmark=builder.benchmark,
        judge=judge,
        protocol=buffer.protocol,
        shows=buffer.shows,
        joint=buffer.joint,
        models=tuple(builder.models),
        questions=tuple(builder.questions),
        categories=categories,
        responses=tuple(builder.responses),
        pairs=pairs,
        compared=compared,
        comparable=comparable,
        scores=scores,
        votes=votes,
        gold=matched_votes(gold, keys, pairs, known)[0],
        judgments=len(rows),
        other_votes=others,
        failed=dict(failed),
        failed_by_category=failed_by_category,
        failed_by_question=failed_by_question,
        voters=people[0].voters if people else (),
        people=people[0].name if people else "",
        judgments_by_category=dict(
            zip(categories, np.bincount(rows[:, 1], minlength=len(categories)).tolist(), strict=True)
        ),
        texts=builder.texts,
        unanswered=dict(builder.unanswered),
        unanswered_by_model=dict(builder.unanswered_by_model),
        lineages={name: lineages.get(name) or inferred_lineage(name) for name in builder.models},
        judge_lineage=lineages.get(judge) or lineages.get(model_name) or inferred_lineage(model_name),
        own_models=frozenset(name for name in builder.models if _letters(name) == _letters(model_name)),
    )
    return evidence, int((~current).sum()), strange


def _letters(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _check_scores(scores: FloatArray) -> None:
    import numpy as np

    large = scores[np.abs(scores) > LARGEST]  # a score that is missing is none of them
    if large.size:
        raise UsageError(
            f"a score is {large[0]:g}; an audit takes scores between {-LARGEST:g} and {LARGEST:g}: leave that one out"
        )


def _scores(codes: IntArray, numbers: FloatArray, buffer: RowBuffer) -> Scores:
    """Single grading as it is: codes [N, 7] and numbers [N, 2] of rows of this buffer."""
    question, category, turn, repeat, model, _, response = codes.T
    return Scores(
        model=model,
        response=response,
        question=question,
        category=category,
        turn=turn,
        repeat=repeat,
        score=numbers[:, 0],
        length=numbers[:, 1],
        score_range=buffer.score_range(),
        share=buffer.share,
    )


def _grades(builder: EvidenceBuilder) -> Grades | None:
    """Every score by people, or labels known to be right; None where there is none."""
    import numpy as np

    buffers = [buffer for (_, shows), buffer in builder.people.items() if shows == 1]
    raters = [np.frombuffer(buffer.raters, dtype=np.int32).astype(np.int64) for buffer in buffers]
    gold = [buffer for (judge, _, shows), buffer in builder.judges.items() if judge.name == GOLD and shows == 1]
    raters += [np.full(buffer.rows, len(builder.raters), dtype=np.int64) for buffer in gold]
    tables = [buffer.table() for buffer in (*buffers, *gold)]
    if not tables:
        return None
    grader = np.concatenate(raters)
    score = np.concatenate([numbers[:, 0] for _, numbers in tables])
    _check_scores(score)
    order = np.argsort(grader, kind="stable")
    order = order[np.isfinite(score[order])]
    codes = np.concatenate([codes for codes, _ in tables])[order].astype(np.int64)
    question, category, turn, _, model, _, response = codes.T
    answer = np.unique(np.stack([question, turn, model, response], axis=1), axis=0, return_inverse=True)[1]
    grades = Grades(
        answer=answer.reshape(-1),
        model=model,
        response=response,
        question=question,
        category=category,
        turn=turn,
        grader=grader[order],
        known=grader[order] == len(builder.raters),
        score=score[order],
        judged=np.full(order.size, np.nan),
    )
    return grades if len(grades) else None


def _graded(grades: Grades, scores: Scores, responses: Sequence[str], texts: Mapping[str, tuple[str, ...]]) -> Grades:
    """Grades with the judge's scores: of the very answer, or of the model's where a side names no stored answer."""
    import numpy as np

    order = np.argsort(-scores.repeat, kind="stable")  # the first repeat is written last
    order = order[np.isfinite(scores.score[order])]
    listed = (scores.question, scores.turn, scores.model, scores.response, scores.score)
    exact: dict[tuple[int, int, int], float] = {}
    by_model: dict[tuple[int, int, int], tuple[int, float]] = {}
    for question, turn, model, response, score in zip(*(column[order].tolist() for column in listed), strict=True):
        exact[question, turn, response] = score
        by_model[question, turn, model] = response, score

    def stored(response: int) -> bool:
        return response >= 0 and responses[response] in texts

    judged = np.full(len(grades), np.nan)
    asked = (grades.question, grades.turn, grades.model, grades.response)
    for row, (question, turn, model, response) in enumerate(zip(*(column.tolist() for column in asked), strict=True)):
        other = by_model.get((question, turn, model))
        if (question, turn, response) in exact:
            judged[row] = exact[question, turn, response]
        elif other is not None and not (stored(response) and stored(other[0])):
            judged[row] = other[1]
    return replace(grades, judged=judged)
