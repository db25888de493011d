"""Results folders -> the evidence of every set in them, and what its judgments took."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from evalkit.audit.judge_board import JudgeBoard, JudgingCost, judge_board
from evalkit.audit.label_cells import Orders
from evalkit.core.protocols import UsageError
from evalkit.core.schema import Judged
from evalkit.evidence.gather import BenchmarkEvidence, gather
from evalkit.evidence.labels import read_votes
from evalkit.ratings.judgment_columns import rater_kind
from evalkit.storage.results import answer_logs, judgment_files, known_items
from evalkit.storage.store import Rows


class PricedJudgment(Judged, frozen=True, kw_only=True):
    """What was judged, and what it took."""

    latency: float = 0.0
    cost: float | None = None


@dataclass
class _Spent:
    """Sums over the judgments of one judge."""

    judgments: int = 0
    priced: int = 0
    usd: float = 0.0
    timed: int = 0
    seconds: float = 0.0


@dataclass
class _Reader:
    """All judgments of these files, one after another, and what they took by judge."""

    files: Sequence[Path]
    spent: dict[tuple[str, str, str], _Spent] = field(default_factory=dict)

    def __iter__(self) -> Iterator[Judged]:
        for file in self.files:
            for row in Rows(file, PricedJudgment):
                if rater_kind(row.judge) == "judge":
                    total = self.spent.setdefault((row.benchmark, row.judge.name, row.protocol), _Spent())
                    total.judgments += 1
                    if row.cost is not None:
                        total.priced += 1
                        total.usd += row.cost
                    if row.latency > 0:
                        total.timed += 1
                        total.seconds += row.latency
                yield row


def judged_sets(
    paths: Iterable[Path], human: Path | None = None, columns: Mapping[str, str] | None = None
) -> tuple[list[BenchmarkEvidence], dict[tuple[str, str, str], JudgingCost], list[str]]:
    """Read every set below these paths.

    Args:
        paths: results folders or judgments files.
        human: more labels by people: imported results, or a table (labels.py).
        columns: of that table, by field, where the user names them.

    Returns:
        The evidence of each benchmark, the costs by benchmark, judge and protocol, and what a reader must know.

    Raises:
        UsageError: there are no judgments, or a file is malformed.
    """
    from evalkit.evidence.relations import relations
    from evalkit.storage.run_records import run_records

    listed = list(dict.fromkeys(paths))
    notes: list[str] = []
    votes, imported = read_votes(human, columns, notes.append, known_items(listed)) if human is not None else ([], [])
    everything = [*listed, *imported]
    reader = _Reader(judgment_files(everything))
    answers = (row for log in answer_logs(everything) for row in log)
    found = gather(reader, answers, votes=votes, kin=relations(run_records(listed)))
    if not found:
        where = ", ".join(map(str, listed))
        raise UsageError(
            f"no judgments in {where}; `evalkit import FORMAT PATH` brings a set with labels, and `evalkit run "
            "preferences` puts one to judges"
        )
    costs = {key: JudgingCost(**vars(total)) for key, total in reader.spent.items()}
    return found, costs, notes + [note for gathered in found for note in gathered.notes]


def board_of(
    paths: Iterable[Path],
    human: Path | None = None,
    columns: Mapping[str, str] | None = None,
    *,
    category: str | None = None,
    judge: str | None = None,
    orders: Orders = "average",
) -> tuple[JudgeBoard, list[str]]:
    """Read every set, and put its judges beside each other.

    Args:
        paths: results folders or judgments files.
        human: as of `judged_sets`.
        columns: likewise.
        category: only labels of its questions.
        judge: only this one, beside rules and people.
        orders: what verdicts in the two orders come to.

    Returns:
        The board, and what a reader must know.

    Raises:
        UsageError: there is nothing with both labels and verdicts, or a file cannot be read.
    """
    places = list(paths)
    found, costs, notes = judged_sets(places, human, columns)
    board = judge_board(found, costs=costs, category=category, judge=judge, orders=orders)
    if not board.tables:
        raise UsageError(
            f"nothing in {', '.join(map(str, places))} has both labels and verdicts on them; labels are imported with "
            "the sets that have them (`evalkit import rewardmath|judgebench|llmbar|preferences|fastchat|... PATH`), or "
            "given with --human FILE"
        )
    return board, [*notes, *board.notes]
