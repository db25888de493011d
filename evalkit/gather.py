"""Stored rows -> Evidence: one pass, columns only, for each benchmark, judge and protocol."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, groupby, islice
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from evalkit.comparisons import HUMAN
from evalkit.evidence import Evidence, Grades, Kin, Votes
from evalkit.schema import Judged, Judgment, Ref, Response

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Table: TypeAlias = tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]

GOLD = "gold"

NAN = float("nan")
TOGETHER = 8192
"""Judgments turned into columns at once."""

_ITEM, _CATEGORY, _SHOWN = attrgetter("item"), attrgetter("category"), attrgetter("shown")
_NAME, _FINGERPRINT = attrgetter("name"), attrgetter("fingerprint")


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


class Group(NamedTuple):
    """People who belong together, as the part of their names before a number says."""

    name: str
    votes: Votes
    voters: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Gathered:
    """Everything known about one benchmark."""

    benchmark: str
    evidence: tuple[Evidence, ...]
    people: tuple[Group, ...]
    """The largest group first: it is the one that judges are measured by."""
    notes: tuple[str, ...] = ()
    grades: Grades | None = None
    """Scores by people, whoever else judged the answers."""


class Columns:
    """Rows of one judge and protocol while they stream by, about 70 bytes a row."""

    def __init__(self, judge: Ref, protocol: str) -> None:
        self.judge = judge
        self.protocol = protocol
        self.failed: Counter[tuple[str, str, int]] = Counter()
        """By kind of error, category and question."""
        self.inconsistent: set[int] = set()
        self.joint = protocol.endswith("_aggregated")
        self.rows = 0
        """Judgments, votes of the plain format left out."""
        self._parts: list[Table] = []
        self._codes = array("i")
        self._numbers = array("d")
        """Of votes of the plain format, which come one at a time."""

    def enter(self, codes: npt.NDArray[np.int32], numbers: npt.NDArray[np.float64]) -> None:
        """Judgments, in the columns of ``table``."""
        self._parts.append((codes, numbers))
        self.rows += len(codes)

    def vote(self, codes: tuple[int, ...], numbers: tuple[float, ...]) -> None:
        """One vote of the plain format."""
        self._codes.extend(codes)
        self._numbers.extend(numbers)

    def table(self, shows: int) -> Table:
        """All rows.

        Returns:
            [N, 4 + 3 shows] question, category, turn, repeat, then model, version and response of each side; and
            [N, 1 + shows] score or outcome, and the length of each side.
        """
        import numpy as np

        votes = np.array(self._codes, dtype=np.int32), np.array(self._numbers, dtype=np.float64)
        parts = [*self._parts, (votes[0].reshape(-1, 4 + 3 * shows), votes[1].reshape(-1, 1 + shows))]
        return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


class Codes(dict[str, int]):
    """Numbers names in order of appearance."""

    def __missing__(self, name: str) -> int:
        self[name] = code = len(self)
        return code


@dataclass
class Gathering:
    """Everything of one benchmark while rows stream by."""

    benchmark: str
    models: Codes = field(default_factory=Codes)
    questions: Codes = field(default_factory=Codes)
    categories: Codes = field(default_factory=Codes)
    responses: Codes = field(default_factory=Codes)
    versions: Codes = field(default_factory=Codes)
    """Fingerprints of models."""
    latest: dict[int, int] = field(default_factory=dict)
    """Version of each model that was judged last."""
    category_of: dict[int, int] = field(default_factory=dict)
    """By question."""
    columns: dict[tuple[Ref, str, int], Columns] = field(default_factory=dict)
    votes: dict[str, Columns] = field(default_factory=dict)
    """By the name of the person, or ``GOLD``."""
    grades: dict[str, Columns] = field(default_factory=dict)
    """Scores of single answers, by the name of the person."""
    texts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    unanswered: Counter[str] = field(default_factory=Counter)

    def enter(self, rows: Sequence[Judgment | Judged]) -> None:
        """Enter judgments of one judge and protocol that show as many answers, column by column."""
        import numpy as np

        n, shows = len(rows), len(rows[0].shown)
        columns, person = self._columns(rows[0].judge, rows[0].protocol, shows)
        sides = [model for row in rows for model in row.models]

        def numbered(codes: Codes, names: Iterable[str], size: int = n) -> npt.NDArray[np.int32]:
            return np.fromiter(map(codes.__getitem__, names), np.int32, size)

        def flat(values: Iterable[Sequence[float]]) -> npt.NDArray[np.float64]:
            return np.fromiter(chain.from_iterable(values), np.float64, n * shows).reshape(n, shows)

        questions = numbered(self.questions, map(_ITEM, rows))
        categories = numbered(self.categories, map(_CATEGORY, rows))
        models = numbered(self.models, map(_NAME, sides), n * shows)
        versions = numbered(self.versions, map(_FINGERPRINT, sides), n * shows)
        responses = numbered(self.responses, chain.from_iterable(map(_SHOWN, rows)), n * shows)
        codes = np.empty((n, 4 + 3 * shows), dtype=np.int32)
        codes[:, 0], codes[:, 1] = questions, categories
        codes[:, 2], codes[:, 3] = [row.turn for row in rows], [row.repeat for row in rows]
        for at, sided in enumerate((models, versions, responses), start=4):
            codes[:, at::3] = sided.reshape(n, shows)
        for question, category in zip(questions.tolist(), categories.tolist(), strict=True):
            if question not in self.category_of:
                self.category_of[question] = category
        if not person:
            self.latest.update(zip(models.tolist(), versions.tolist(), strict=True))
        none = (NAN,) * shows
        numbers = np.empty((n, 1 + shows))
        numbers[:, 0] = _outcomes(flat([none if row.scores is None else row.scores for row in rows]))
        numbers[:, 1:] = flat([row.lengths if len(row.lengths) == shows else none for row in rows])
        for at, row in enumerate(rows):
            if row.scores is None:
                kind = row.error.kind if row.error else "unparsed"
                columns.failed[kind, row.category, int(questions[at])] += 1
            elif row.label and "inconsistent" in row.label:
                columns.inconsistent.add(columns.rows + at)
                columns.joint = True
        columns.enter(codes, numbers)

    def _columns(self, judge: Ref, protocol: str, shows: int) -> tuple[Columns, bool]:
        """Find, or make, the columns of a judge; and whether it is people, or gold labels."""
        if _person(judge):
            said = self.votes if shows == 2 else self.grades
            return said.setdefault(judge.name, Columns(judge, protocol)), True
        return self.columns.setdefault((judge, protocol, shows), Columns(judge, protocol)), False

    def vote(self, vote: Vote | Grade) -> None:
        """Enter one vote or score of the plain format: it names models, not answers."""
        graded = isinstance(vote, Grade)
        said = self.grades if graded else self.votes
        columns = said.get(vote.annotator)
        if columns is None:
            protocol = "human_single" if graded else "human_pair"
            columns = said[vote.annotator] = Columns(Ref(vote.annotator, HUMAN), protocol)
        question = self.questions[vote.item]
        if question not in self.category_of:
            self.category_of[question] = self.categories[vote.category or "unknown"]
        codes: tuple[int, ...] = (question, self.category_of[question], vote.turn, 0)
        names = (vote.model,) if isinstance(vote, Grade) else (vote.model_a, vote.model_b)
        for name in names:
            codes += (self.models[name], -1, -1)
        said_is = vote.score if isinstance(vote, Grade) else vote.outcome
        columns.vote(codes, (said_is, *(NAN,) * len(names)))


def gather(
    judgments: Iterable[Judgment | Judged],
    answers: Iterable[Response] = (),
    *,
    votes: Iterable[Vote | Grade] = (),
    kin: Mapping[str, Kin] | None = None,
    judge: str | None = None,
) -> list[Gathered]:
    """Evidence of every benchmark, judge and protocol.

    Args:
        judgments: in the order stored; people's and gold ones among them.
        answers: texts of what was judged, and answers that failed.
        votes: of the plain format; they belong to the benchmark that has their items.
        kin: family and training of models, by name; guessed from names otherwise.
        judge: only this one (people and gold labels always).
    """
    from evalkit.gather_columns import finish

    benchmarks: dict[str, Gathering] = {}
    for (benchmark, _, _, _, shows), alike in groupby(judgments, _place):
        while rows := list(islice(alike, TOGETHER)):
            who = rows[0].judge
            if shows in (1, 2) and (judge is None or who.name == judge or _person(who)):
                benchmarks.setdefault(benchmark, Gathering(benchmark)).enter(rows)
    for answer in answers:
        if answer.benchmark not in benchmarks:
            continue
        gathering = benchmarks[answer.benchmark]
        if answer.error is not None:
            gathering.unanswered[answer.error.kind] += 1
        elif answer.id in gathering.responses:
            gathering.texts[answer.id] = answer.turns
    strangers = _enter_votes(votes, benchmarks)
    result = [finish(gathering, kin or {}) for _, gathering in sorted(benchmarks.items())]
    if strangers and result:
        first = result[0]
        note = f"{strangers} votes are on items that no judgment is about; they are not used"
        result[0] = replace(first, notes=(*first.notes, note))
    return result


def _enter_votes(votes: Iterable[Vote | Grade], benchmarks: Mapping[str, Gathering]) -> int:
    strangers = 0
    known = {name: frozenset(gathering.questions) for name, gathering in benchmarks.items()}
    for vote in votes:
        homes = [name for name, questions in known.items() if vote.item in questions]
        for name in homes:
            benchmarks[name].vote(vote)
        strangers += not homes
    return strangers


def groups(people: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Names that differ only in a number at the end belong together."""
    by_stem: dict[str, list[str]] = {}
    for name in people:
        by_stem.setdefault(re.sub(r"[\s_.-]*\d+$", "", name), []).append(name)
    alone = [name for stem, names in by_stem.items() if len(names) == 1 for name in names]
    yield from ((stem, names) for stem, names in by_stem.items() if len(names) > 1)
    if alone:
        yield "", alone


def _place(row: Judgment | Judged) -> tuple[str, str, str, str, int]:
    """Rows of one place go to the same columns; in a file they mostly follow one another."""
    return row.benchmark, row.judge.name, row.judge.fingerprint, row.protocol, len(row.shown)


def _person(judge: Ref) -> bool:
    return judge.fingerprint == HUMAN or judge.name == GOLD


def _outcomes(scores: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """[N] for the first of two answers, as in comparisons.py; single scores [N, 1] as they are; NaN stays."""
    import numpy as np

    if scores.shape[1] == 1:
        return scores[:, 0]
    first, second = scores.T
    shares = (first >= 0) & (first <= 1) & (np.abs(first + second - 1) < 1e-6)
    ordered = np.where(np.isnan(first), np.nan, 0.5 + np.sign(first - second) / 2)
    return np.where(shares, first, ordered)
