"""Which judge? Every judge on every labelled set: how often it is right, on how many labels, and which are told apart.

A set is a benchmark with labels: gold ones, or people's votes and grades. Judges are compared on the labels that both
have a verdict on, questions as clusters, with limits that hold for all pairs of a table at once. Rules (the longer
answer, a list of phrases) are rows like judges, without a rank; what people say of one another's votes is a row apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from evalkit.audit.judge_effects import FEWEST, by_strength, effects, share_of, strong_steps, stronger
from evalkit.audit.label_cells import (
    JudgeColumn,
    LabelCells,
    Measure,
    Orders,
    RowKind,
    Source,
    label_cells,
    names_of,
    scores_of_contests,
)
from evalkit.core.protocols import UsageError
from evalkit.evidence.gather import BenchmarkEvidence
from evalkit.ratings.differences import ModelDifference, ModelDifferences, VerdictCells, differences

if TYPE_CHECKING:
    from evalkit.stats.resample import Interval

_ENDINGS = ("ing", "s")
"""What a word may end in that a category's name does without."""
PEOPLE = "people, among themselves"
"""What their row is called."""


@dataclass(frozen=True)
class JudgingCost:
    """What the judgments of one judge on one set took."""

    judgments: int = 0
    priced: int = 0
    """Those of known price."""
    usd: float = 0.0
    """US dollars of those."""
    timed: int = 0
    """Those of known duration."""
    seconds: float = 0.0

    @property
    def usd_each(self) -> float | None:
        """US dollars a judgment; None where no price is known."""
        return self.usd / self.priced if self.priced else None

    @property
    def seconds_each(self) -> float | None:
        """Seconds a judgment; None where they are not known."""
        return self.seconds / self.timed if self.timed else None


@dataclass(frozen=True, kw_only=True)
class BoardRow:
    """One judge, rule or group of people on the labels of one set."""

    name: str
    """Of the row: the judge, and its protocol where it has several."""
    judge: str
    protocol: str
    kind: RowKind
    right: Interval | None
    """Share of the labels with a verdict on which the verdict is the label's; None where no verdict is there."""
    strict: float | None
    """The same of all labels asked about: a failed one counts as not right. None where none was asked about."""
    labels: int
    """Asked about."""
    decided: int
    """Of those, with a verdict that names a winner, or a grade."""
    tied: int
    """With a tie, or another winner in each order and neither surer than the other."""
    failed: int
    """Without a verdict."""
    ranks: tuple[int, int] | None = None
    """The best and the worst rank among the judges that the data do not rule out; None of a rule."""
    same_in_both: Interval | None = None
    """Share of labelled pairs with a verdict in both orders on which both name the same, or a tie."""
    position: Interval | None = None
    """Share right where the labelled answer was shown first, minus where second."""
    length: Interval | None = None
    """Of gold labels: share right where the labelled answer is the longer, minus where the shorter. Of people's: the
    judge's length slope beyond people's, in logits a standard deviation."""
    family: Interval | None = None
    """Of gold labels: share right where the labelled answer is of the judge's own family and the other is not, minus
    the reverse. Of people's: how much higher than by people it rates its own family, in logits."""
    stronger: Interval | None = None
    """Share right where the label prefers one answer strongly, minus where weakly; None where labels do not say it."""
    strengths: Mapping[str, Interval] = field(default_factory=dict)
    """The share right by how strong a preference is, for steps with labels enough."""
    cost: JudgingCost = JudgingCost()
    categories: Mapping[str, Interval] = field(default_factory=dict)
    """The share right by category, where that has labels enough."""
    ties: float | None = None
    """RewardBench 2's score of questions with several right answers, where the set has their twins with one, too."""
    items: tuple[str, ...] = ()
    """Questions with a label that it has no verdict on."""


@dataclass(frozen=True, kw_only=True)
class BoardTable:
    """One kind of label of one set, and every judge that has something to say of it."""

    benchmark: str
    measure: Measure
    source: Source
    category: str | None
    """What the labels were narrowed to; None: all."""
    labels: int
    questions: int
    shown: int
    """Answers among which the right one was to be found, the most there are; 0 unless the measure is best of n."""
    fewest: int
    """And the fewest."""
    rows: tuple[BoardRow, ...]
    """Judges from the best down, then rules, then people."""
    differences: ModelDifferences | None
    """Judges and rules on the same labels; None with fewer than two."""
    needed: Interval | None
    """Labels at which the first two that are not told apart would be; None where there is no such number."""
    notes: tuple[str, ...] = ()
    strong: tuple[str, ...] = ()
    """Steps of a preference that count as strong in ``stronger``."""

    @property
    def judges(self) -> tuple[BoardRow, ...]:
        """The rows of judges that have a verdict."""
        return tuple(row for row in self.rows if row.kind == "judge" and row.right is not None)

    def difference(self, one: str, other: str) -> ModelDifference | None:
        """The pair of two rows, whichever way round."""
        pairs = self.differences.pairs if self.differences is not None else ()
        return next((pair for pair in pairs if {pair.a, pair.b} == {one, other}), None)

    def apart(self, one: str, other: str) -> bool:
        """Whether the interval of their difference leaves out 0."""
        found = self.difference(one, other)
        return found is not None and found.apart

    @property
    def leaders(self) -> tuple[BoardRow, ...]:
        """The judge to choose first, and those that are not told apart from it."""
        judges = self.judges
        first = next((row for row in judges if row.ranks is None or row.ranks[0] == 1), None)
        if first is None:
            return ()
        return first, *(row for row in judges if row is not first and not self.apart(first.name, row.name))


@dataclass(frozen=True)
class JudgeBoard:
    """Every table, and what a reader must know of what is in none."""

    tables: tuple[BoardTable, ...]
    notes: tuple[str, ...] = ()
    orders: Orders = "average"


Costs = Mapping[tuple[str, str, str], JudgingCost]
"""By benchmark, judge and protocol."""


def judge_board(
    found: Iterable[BenchmarkEvidence],
    *,
    costs: Costs | None = None,
    category: str | None = None,
    judge: str | None = None,
    orders: Orders = "average",
) -> JudgeBoard:
    """The board of evidence that was gathered.

    Args:
        found: a benchmark each.
        costs: of the judgments.
        category: only labels of questions in such categories: a name, or part of one, or several with commas.
        judge: only this one, and rules and people.
        orders: what verdicts in both orders come to.

    Raises:
        UsageError: no category, or judge with a verdict on a label, is called so.
    """
    import numpy as np

    tables: list[BoardTable] = []
    judges: dict[str, None] = {}
    notes: list[str] = []
    known: dict[str, None] = {}
    for gathered in found:
        mine = list(label_cells(gathered, orders))
        for cells in mine:
            known.update(dict.fromkeys(gathered.categories[code] for code in np.unique(cells.category).tolist()))
            judges.update(dict.fromkeys(column.judge for column in cells.columns if column.kind == "judge"))
        notes += _left_out(gathered, mine)
        if category is not None:
            chosen = chosen_categories(gathered.categories, category)
            notes += _taken_for(gathered, category, chosen)
            mine = [cells.where(np.isin(cells.category, chosen)) for cells in mine]
        made = (_table(gathered, cells, costs or {}, category, judge) for cells in mine)
        tables += [table for table in made if table is not None]
    if judge is not None and judge not in judges:
        listed = ", ".join(judges) or "none"
        raise UsageError(f"no judge {judge!r} has a verdict on a label; those that have: {listed}")
    if category is not None and not tables:
        listed = ", ".join(sorted(known)) or "none"
        raise UsageError(f"no label is on a question of a category {category!r}; there are: {listed}")
    return JudgeBoard(tuple(tables), tuple(notes), orders)


def chosen_categories(names: Sequence[str], wanted: str) -> list[int]:
    """Codes of the categories meant: those called so, else those whose name holds the word, or its stem.

    So ``coding`` is also ``livecodebench``, and ``maths`` ``mmlu-pro-math``.
    """
    chosen: list[int] = []
    for word in (part.strip().casefold() for part in wanted.split(",")):
        stem = next((word[: -len(end)] for end in _ENDINGS if word.endswith(end) and len(word) > len(end) + 2), word)
        exact = [code for code, name in enumerate(names) if name.casefold() == word]
        held = [[code for code, name in enumerate(names) if part and part in name.casefold()] for part in (word, stem)]
        chosen += exact or held[0] or held[1]
    return chosen


def _taken_for(gathered: BenchmarkEvidence, wanted: str, chosen: Sequence[int]) -> list[str]:
    """Which categories a word was taken for, where they are not called so."""
    names = [gathered.categories[code] for code in sorted(set(chosen))]
    words = {part.strip().casefold() for part in wanted.split(",")}
    if {name.casefold() for name in names} <= words:
        return []
    return [f"{gathered.benchmark}: category {wanted!r} is taken for {', '.join(names)}"]


def _left_out(gathered: BenchmarkEvidence, cells: Sequence[LabelCells]) -> list[str]:
    """Judges that are in no table, and why."""
    there = {(column.judge, column.protocol) for one in cells for column in one.columns}
    without = [f"{one.judge} ({one.protocol})" for one in gathered.evidence if (one.judge, one.protocol) not in there]
    if not without:
        return []
    labelled = gathered.gold is not None or gathered.people or gathered.grades is not None
    why = "no label is on what it judged, or its scores are no such labels" if labelled else "the set has no labels"
    return [f"{gathered.benchmark}: not on the board: {', '.join(without)}: {why}"]


def _table(
    gathered: BenchmarkEvidence, cells: LabelCells, costs: Costs, category: str | None, only: str | None
) -> BoardTable | None:
    import numpy as np

    columns = [column for column in cells.columns if only is None or column.kind != "judge" or column.judge == only]
    people = _people_row(gathered, cells)
    if not columns and people is None:
        return None
    if only is not None and not any(column.kind == "judge" for column in columns):
        return None
    rows = [_row(gathered, cells, column, name, costs) for column, name in zip(columns, names_of(columns), strict=True)]
    order = sorted(range(len(rows)), key=lambda place: _place(rows[place]))
    rows, columns = [rows[place] for place in order], [columns[place] for place in order]
    compared = differences(_verdict_cells(cells, columns, rows), [row.name for row in rows])
    judges = [row.name for row in rows if row.kind == "judge" and row.right is not None]
    ranks = _ranks(judges, compared)
    told = tuple(_with_rank(row, ranks.get(row.name)) for row in rows)
    table = BoardTable(
        benchmark=cells.benchmark,
        measure=cells.measure,
        source=cells.source,
        category=category,
        labels=int(cells.question.size),
        questions=int(np.unique(cells.question).size),
        shown=cells.shown,
        fewest=cells.fewest,
        rows=told + (() if people is None else (people,)),
        differences=compared,
        needed=None,
        notes=() if compared is None else compared.notes,
        strong=strong_steps(cells) if cells.measure == "pairs" else (),
    )
    return _with_needed(table, cells, dict(zip((row.name for row in rows), columns, strict=True)))


def _place(row: BoardRow) -> tuple[int, float, str]:
    return ("judge", "rule", "people").index(row.kind), -row.right.estimate if row.right else 1.0, row.name


def _with_rank(row: BoardRow, ranks: tuple[int, int] | None) -> BoardRow:
    return replace(row, ranks=ranks)


def _ranks(judges: Sequence[str], compared: ModelDifferences | None) -> dict[str, tuple[int, int]]:
    """Ranks among judges, rules aside, that the simultaneous intervals do not rule out."""
    better, worse = dict.fromkeys(judges, 0), dict.fromkeys(judges, 0)
    for pair in () if compared is None else compared.pairs:
        if pair.apart and pair.interval is not None and pair.a in better and pair.b in better:
            winner, loser = (pair.a, pair.b) if pair.interval.estimate > 0 else (pair.b, pair.a)
            better[loser] += 1
            worse[winner] += 1
    return {name: (1 + better[name], len(judges) - worse[name]) for name in judges}


def _verdict_cells(cells: LabelCells, columns: Sequence[JudgeColumn], rows: Sequence[BoardRow]) -> VerdictCells:
    import numpy as np

    size = cells.question.size
    return VerdictCells(
        models=tuple(row.name for row in rows),
        values=np.stack([column.right for column in columns], axis=1) if columns else np.zeros((size, 0)),
        failed=np.stack([column.failed for column in columns], axis=1) if columns else np.zeros((size, 0), dtype=bool),
        question=cells.question,
        turn=np.zeros(size, dtype=np.int64),
        category=cells.category,
        declared=False,
        limits=(0.0, 1.0),
        pooled=True,
    )


def _row(gathered: BenchmarkEvidence, cells: LabelCells, column: JudgeColumn, name: str, costs: Costs) -> BoardRow:
    import numpy as np

    has = np.isfinite(column.right)
    asked, failed = int((has | column.failed).sum()), int((column.failed & ~has).sum())
    tied = int((column.tied & has).sum())
    lost = np.unique(cells.question[column.failed & ~has]).tolist()
    found = effects(cells, column)
    return BoardRow(
        name=name,
        judge=column.judge,
        protocol=column.protocol,
        kind=column.kind,
        right=share_of(column.right, cells.question),
        strict=float(column.right[has].sum()) / asked if asked else None,
        labels=asked,
        decided=int(has.sum()) - tied,
        tied=tied,
        failed=failed,
        stronger=stronger(cells, column) if cells.measure == "pairs" else None,
        strengths=by_strength(cells, column) if cells.measure == "pairs" else {},
        cost=costs.get((cells.benchmark, column.judge, column.protocol), JudgingCost()),
        categories=_by_category(gathered, cells, column),
        ties=_ties(column) if cells.measure == "best of n" else None,
        items=tuple(gathered.questions[code] for code in lost),
        same_in_both=found.get("same_in_both"),
        position=found.get("position"),
        length=found.get("length"),
        family=found.get("family"),
    )


def _ties(column: JudgeColumn) -> float | None:
    """Figures on the questions that RewardBench 2 numbers as ``ref:N`` and ``tied:N``."""
    from evalkit.stats.errors import NotMeasurable
    from evalkit.stats.tied_answers import ties_score

    found = {} if column.evidence is None else scores_of_contests(column.evidence)
    forms = [
        {name.removeprefix(prefix): sides for name, sides in found.items() if name.startswith(prefix)}
        for prefix in ("ref:", "tied:")
    ]
    try:
        return ties_score(*forms)
    except NotMeasurable:
        return None


def _by_category(gathered: BenchmarkEvidence, cells: LabelCells, column: JudgeColumn) -> dict[str, Interval]:
    import numpy as np

    found = {}
    codes = np.unique(cells.category).tolist()
    for code in codes if len(codes) > 1 else ():
        inside = cells.category == code
        if np.isfinite(column.right[inside]).sum() >= FEWEST:
            share = share_of(column.right[inside], cells.question[inside])
            if share is not None:
                found[gathered.categories[code]] = share
    return dict(sorted(found.items()))


def _people_row(gathered: BenchmarkEvidence, cells: LabelCells) -> BoardRow | None:
    """How often two people say the same of the same: pairs of the main group, or grades of one answer."""
    import numpy as np

    from evalkit.audit.agreement_counts import PairedVerdicts, limits_of, on_judged_pairs, within_group

    categories = np.unique(cells.category)
    if cells.measure == "pairs" and gathered.people and cells.source == "people":
        group = on_judged_pairs(gathered, gathered.people[0]) if gathered.evidence else gathered.people[0]
        votes = group.votes.where(np.isin(group.votes.category, categories))
        if not len(votes):
            return None
        found = within_group(votes, "S1", (np.zeros((0, 4), dtype=np.int64), np.zeros(0)))
    elif cells.measure == "answers" and gathered.grades is not None:
        grades = gathered.grades
        used = np.flatnonzero(~grades.known & np.isin(grades.category, categories))
        answers, first, place = np.unique(grades.answer[used], return_index=True, return_inverse=True)
        values, code = np.unique(grades.score[used], return_inverse=True)
        counts = np.zeros((answers.size, values.size))
        np.add.at(counts, (place, code), 1)
        n = counts.sum(axis=1)
        found = PairedVerdicts(
            agree=(counts * (counts - 1) / 2).sum(axis=1),
            total=n * (n - 1) / 2,
            question=grades.question[used][first],
            category=grades.category[used][first],
            turn=grades.turn[used][first],
        )
    else:
        return None
    found = found.where(found.total > 0)
    if not found.total.size:
        return None
    total = round(float(found.total.sum()))
    return BoardRow(
        name=PEOPLE,
        judge=PEOPLE,
        protocol="",
        kind="people",
        right=limits_of(found),
        strict=None,
        labels=total,
        decided=total,
        tied=0,
        failed=0,
    )


def _with_needed(table: BoardTable, cells: LabelCells, columns: Mapping[str, JudgeColumn]) -> BoardTable:
    """The table, and how many labels would tell its first two apart that are not."""
    import numpy as np

    from evalkit.stats.errors import NotMeasurable
    from evalkit.stats.label_budget import labels_to_tell_apart
    from evalkit.stats.shares import clustered_mean

    if len(table.leaders) < 2:
        return table
    one, other = (columns[row.name].right for row in table.leaders[:2])
    both = np.isfinite(one) & np.isfinite(other)
    if not both.any():
        return table
    found = clustered_mean((one - other)[both], cells.question[both], limits=(-1.0, 1.0))
    try:
        needed, least, most = labels_to_tell_apart(found)
    except NotMeasurable:
        return table
    have = int(both.sum())
    return replace(
        table,
        needed=replace(
            found, estimate=max(math.ceil(needed), have + 1), lower=math.ceil(least), upper=most, standard_error=None
        ),
    )
