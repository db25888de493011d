"""Stored rows -> Evidence: one pass, columns only, for each benchmark, judge and protocol."""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, NamedTuple

from evalkit.auditing.evidence import Evidence, Grades, Kin, Votes
from evalkit.auditing.findings import counted
from evalkit.comparisons import HUMAN
from evalkit.protocols import UsageError
from evalkit.schema import Judged, Judgment, Ref, Response

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

GOLD = "gold"

NAN = float("nan")
PLAIN: Final[dict[tuple[float, ...], float]] = {(1.0, 0.0): 1.0, (0.0, 1.0): 0.0, (0.5, 0.5): 0.5}
"""Outcomes of the usual scores, for speed."""
LARGEST = 1e50
"""Score, up or down: products of sums of squares are still numbers."""
TOGETHER = 8192
"""Rows moved to the arrays at once."""


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
    """Rows of one judge and protocol while they stream by; integers in ``array``, about 80 bytes a row."""

    def __init__(self, judge: Ref, protocol: str) -> None:
        self.judge = judge
        self.protocol = protocol
        self.codes = array("i")
        """For each row: question, category, turn, repeat, then model, version and response of each side."""
        self.numbers = array("d")
        """For each row: score or outcome, and the length of each side."""
        self.failed: Counter[tuple[str, str, int]] = Counter()
        """By kind of error, category and question."""
        self.inconsistent: set[int] = set()
        self.joint = protocol.endswith("_aggregated")
        self.rows = 0
        self.some_codes: list[int] = []
        """The last rows, until they are moved to the arrays: lists grow faster, and take more room."""
        self.some_numbers: list[float] = []

    def enter(self, codes: tuple[int, ...], numbers: tuple[float, ...]) -> None:
        """One row."""
        self.some_codes += codes
        self.some_numbers += numbers
        self.rows += 1
        if self.rows % TOGETHER == 0:
            self._move()

    def _move(self) -> None:
        self.codes.fromlist(self.some_codes)
        self.numbers.fromlist(self.some_numbers)
        self.some_codes, self.some_numbers = [], []

    def table(self, shows: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float64]]:
        """[N, 4 + 3 shows] codes and [N, 1 + shows] numbers."""
        import numpy as np

        self._move()
        codes = np.frombuffer(self.codes, dtype=np.int32) if self.codes else np.zeros(0, np.int32)
        numbers = np.frombuffer(self.numbers, dtype=np.float64) if self.numbers else np.zeros(0)
        return codes.reshape(-1, 4 + 3 * shows), numbers.reshape(-1, 1 + shows)


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
    _place: tuple[str, str, str, int] | None = None
    """Where the last row went: a file holds one judge and protocol, so the next goes there too."""
    _columns: Columns = field(default_factory=lambda: Columns(Ref("", ""), ""))
    _person: bool = False

    def add(self, row: Judgment | Judged) -> None:
        """Enter one judgment."""
        shows = len(row.shown)
        if shows not in (1, 2):
            return
        judge = row.judge
        place = (judge.name, judge.fingerprint, row.protocol, shows)
        if place != self._place:
            self._place = place
            self._go_to(judge, row.protocol, shows)
        columns, person = self._columns, self._person
        question, category = self.questions[row.item], self.categories[row.category]
        if question not in self.category_of:
            self.category_of[question] = category
        one, shown, scores = row.models[0], row.shown, row.scores
        code, version = self.models[one.name], self.versions[one.fingerprint]
        codes: tuple[int, ...] = (question, category, row.turn, row.repeat, code, version, self.responses[shown[0]])
        if not person:
            self.latest[code] = version
        if shows == 2:
            two = row.models[1]
            code, version = self.models[two.name], self.versions[two.fingerprint]
            codes += (code, version, self.responses[shown[1]])
            if not person:
                self.latest[code] = version
        if scores is None:
            kind = row.error.kind if row.error else "unparsed"
            columns.failed[kind, row.category, question] += 1
            outcome = NAN
        else:
            known = PLAIN.get(scores)
            outcome = _outcome(scores) if known is None else known
            if row.label and "inconsistent" in row.label:
                columns.inconsistent.add(columns.rows)
                columns.joint = True
        lengths = row.lengths
        columns.enter(codes, (outcome, *lengths) if len(lengths) == shows else (outcome, *(NAN,) * shows))

    def _go_to(self, judge: Ref, protocol: str, shows: int) -> None:
        """Find, or make, the columns of this judge."""
        self._person = judge.fingerprint == HUMAN or judge.name == GOLD
        if self._person:
            said = self.votes if shows == 2 else self.grades
            self._columns = said.setdefault(judge.name, Columns(judge, protocol))
        else:
            self._columns = self.columns.setdefault((judge, protocol, shows), Columns(judge, protocol))

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
        said_is = _score(vote.score) if isinstance(vote, Grade) else vote.outcome
        columns.enter(codes, (said_is, *(NAN,) * len(names)))


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
    from evalkit.auditing.gather_columns import finish

    benchmarks: dict[str, Gathering] = {}
    for row in judgments:
        if judge is None or row.judge.name == judge or row.judge.fingerprint == HUMAN or row.judge.name == GOLD:
            found = benchmarks.get(row.benchmark)
            (found if found is not None else benchmarks.setdefault(row.benchmark, Gathering(row.benchmark))).add(row)
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
        said = counted(strangers, "vote is", "votes are")
        note = f"{said} on items that no judgment is about; {'it is' if strangers == 1 else 'they are'} not used"
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


def _score(score: float) -> float:
    """A score of a single answer, if it can be calculated with."""
    if not abs(score) <= LARGEST:
        raise UsageError(
            f"a score is {score:g}; an audit takes scores between {-LARGEST:g} and {LARGEST:g}: leave that one out"
        )
    return score


def _outcome(scores: tuple[float, ...]) -> float:
    """For the first of two answers, as in comparisons.py; a single score as it is."""
    if len(scores) == 1:
        return _score(scores[0])
    first, second = scores
    if (first == 1 and second == 0) or (first == 0 and second == 1):
        return first
    if 0 <= first <= 1 and abs(first + second - 1) < 1e-6:
        return first
    return 0.5 if first == second else float(first > second)
