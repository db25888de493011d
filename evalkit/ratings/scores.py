"""Stored judgments of single grading -> mean scores of every model, by turn and by category, with intervals.

A score is the mean over questions of the mean over that question's judged turns, so a failed turn neither counts as a
number nor shifts weight to other questions. FastChat pools all rows instead; its own protocol keeps that here.
Questions are what is resampled.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from evalkit.core.schema import Judged, Judgment, Response
from evalkit.datasets import benchmark
from evalkit.ratings.differences import VerdictCells
from evalkit.ratings.judgment_columns import (
    ANONYMOUS_RATERS,
    HUMAN,
    BenchmarkRows,
    RowBuffer,
    groups_of_people,
    read_rows,
)
from evalkit.ratings.standing import (
    AS_A_WHOLE,
    WITHIN,
    Board,
    Standing,
    TableInfo,
    compared,
    declared_categories,
    with_info,
)

if TYPE_CHECKING:
    from evalkit.stats.arrays import BoolArray, FloatArray, IntArray
    from evalkit.stats.resample import Interval

METHOD = "score"
ROWS_POOLED = frozenset({"fastchat_single"})
"""Protocols whose published score averages rows, not questions (FastChat llm_judge/show_result.py)."""
SCALES = {"single": (1.0, 10.0), "fastchat_single": (1.0, 10.0), "wildbench": (1.0, 10.0)}
"""Ends of the scales of protocols whose rows do not say them."""
MANY = 1000
"""Questions beyond which a mean is as good as normal, so that Student's limits need no resampling."""
CELLS = 1 << 23
"""Questions times columns held in memory at a time."""
UNEVEN = "a score is the mean of question means; it can lie outside its turns' where some questions lack a turn"
"""Said under a table where it makes a difference."""


@dataclass
class _Answers:
    """The answers that models give now, and those that failed and so were never judged."""

    given: array[int]
    """For each answer: question, model, version and response, numbered as in the rows; response -1 where not judged."""
    failed: list[tuple[str, str, str, str, str]]
    """Model, fingerprint, category, kind of error and question."""


def scores(
    judgments: Iterable[Judgment | Judged],
    responses: Iterable[Response] = (),
    *,
    every_configuration: bool = False,
    judge: str | None = None,
    by_category: bool = False,
) -> Board:
    """Rate every model by every judge that grades single answers: on whole benchmarks, then on their categories.

    Args:
        judgments: in the order stored; those of single answers count, others are passed over.
        responses: the answers, for those that failed and so were never judged, and those given anew since.
        every_configuration: also those a newer one of the same name has replaced (another prompt, temperature,
            revision, ...). Different configurations are never averaged.
        judge: what people are called where the judgments are those of one person.
        by_category: whether models are compared with each other on every category, too.
    """
    board = Board()
    for table, older in tables(judgments, responses, every_configuration=every_configuration, judge=judge):
        board.standings.extend(table.standings(by_category=by_category))
        if replaced := older + table.replaced:
            board.notes.append(
                f"{table.rows.benchmark}, {table.judge} ({table.buffer.protocol}): {replaced} judgments of earlier "
                "configurations (prompt, sampling, model) are not counted; --all shows them"
            )
    return board


def tables(
    judgments: Iterable[Judgment | Judged],
    responses: Iterable[Response] = (),
    *,
    every_configuration: bool = False,
    judge: str | None = None,
) -> Iterator[tuple[ScoreTable, int]]:
    """The scores of every judge on every benchmark, and how many rows are of the judge's earlier configurations.

    Arguments are those of ``scores``.
    """
    found = read_rows(judgments, partial(BenchmarkRows, taken=frozenset({1})))
    answers = _answers(responses, found)
    for name, rows in sorted(found.items()):
        for label, buffer, ours, older in sorted(_judges(rows, every_configuration), key=lambda table: table[0]):
            who = judge if judge is not None and buffer.judge.fingerprint == HUMAN else label
            yield ScoreTable(rows, buffer, who, ours, answers[name], every_configuration), older


def _answers(responses: Iterable[Response], found: dict[str, BenchmarkRows]) -> dict[str, _Answers]:
    result = {name: _Answers(array("q"), []) for name in found}
    for row in responses:
        if row.benchmark not in result:
            continue
        mine, rows = result[row.benchmark], found[row.benchmark]
        if row.error is not None:
            mine.failed.append((row.model.name, row.model.fingerprint, row.category, row.error.kind, row.item))
        elif row.sample == 0:
            question, model = rows.questions.get(row.item), rows.models.get(row.model.name)
            version = rows.versions.get(row.model.fingerprint)
            if question is not None and model is not None and version is not None:
                mine.given.extend((question, model, version, rows.responses.get(row.id, -1)))
    return result


def _judges(rows: BenchmarkRows, every: bool) -> Iterator[tuple[str, RowBuffer, BoolArray, int]]:
    """Each table's judge, its rows, which of them count, and how many rows are of its earlier configurations."""
    import numpy as np

    newest = rows.newest()
    for (judge, protocol, shows), buffer in rows.judges.items():
        place = (judge.name, protocol, shows)
        twins = [twin for (other, *key), twin in rows.judges.items() if (other.name, *key) == place]
        everything = np.ones(buffer.rows, dtype=bool)
        if every:
            yield f"{judge.name}@{judge.fingerprint[:8]}" if len(twins) > 1 else judge.name, buffer, everything, 0
        elif newest[place] is buffer:
            yield judge.name, buffer, everything, sum(twin.rows for twin in twins) - buffer.rows
    for buffer in rows.people.values():
        rater = np.frombuffer(buffer.raters, dtype=np.int32).astype(np.int64)
        latest = _last_of_each_person(rows, buffer, rater)
        raters = list(rows.raters)
        names = [raters[code] for code in dict.fromkeys(rater.tolist())]
        groups = []
        for stem, members in groups_of_people(names):
            mine: BoolArray = latest & np.isin(rater, [rows.raters[name] for name in members])
            groups.append((int(mine.sum()), stem, mine))
        groups.sort(key=lambda group: -group[0])
        for rank, (_, stem, mine) in enumerate(groups):
            yield f"{HUMAN}: {stem or 'others'}" if rank else HUMAN, buffer, mine, 0


def _last_of_each_person(rows: BenchmarkRows, buffer: RowBuffer, rater: IntArray) -> BoolArray:
    """[N] whether a row is the last of its person on that answer and turn; of people without a name, every one is."""
    import numpy as np

    codes = buffer.table()[0].astype(np.int64)
    nameless = np.isin(rater, [code for name, code in rows.raters.items() if name in ANONYMOUS_RATERS])
    alone = np.where(nameless, np.arange(len(codes)) + 1, 0)
    keys = np.column_stack([rater, codes[:, [0, 2, 4, 5]], alone])[::-1]
    result = np.zeros(len(codes), dtype=bool)
    result[len(codes) - 1 - np.unique(keys, axis=0, return_index=True)[1]] = True
    return result


def scale_of(protocol: str, values: FloatArray, said: tuple[float, float] | None = None) -> tuple[float, float] | None:
    """Ends of the scale of a protocol, where these values lie within: imported rows may have a scale of their own.

    Args:
        protocol: its name.
        values: [N] scores.
        said: what the rows say their ends are, if they do.
    """
    scale = said or SCALES.get(protocol)
    inside = scale is not None and ((values >= scale[0]) & (values <= scale[1])).all()
    return scale if inside else None


def mean_score(
    score: FloatArray,
    question: IntArray,
    turn: IntArray,
    *,
    protocol: str,
    limits: tuple[float, float] | None,
    strata: IntArray | None,
) -> Interval:
    """One model's score, to the last digit what a leaderboard has: repeats are averaged, then turns, then questions.

    Args:
        score: [N] of each judgment, finite.
        question: [N] question, whole numbers from 0.
        turn: [N] turn.
        protocol: how turns and questions are weighted.
        limits: ends of the scale, where it is known.
        strata: [N] category, where the benchmark declares several.
    """
    import numpy as np

    from evalkit.stats.resample import cluster_sums, question_means, stratum_of

    cells, first, place = np.unique(np.column_stack([question, turn]), axis=0, return_index=True, return_inverse=True)
    place = place.reshape(-1)
    value = np.bincount(place, score) / np.bincount(place)
    asked = np.unique(cells[:, 0], return_inverse=True)[1]
    sums, counts = cluster_sums(value, asked)
    found = question_means(
        sums[:, None],
        counts[:, None],
        pooled=protocol in ROWS_POOLED,
        limits=limits,
        unseen=True,
        strata=None if strata is None else stratum_of(strata[first], asked),
        resamples=0 if asked.max() + 1 > MANY else 10_000,
    )[0]
    assert found is not None
    return found


class ScoreTable:
    """The rows of one judge under one protocol, or of one group of people."""

    def __init__(
        self, rows: BenchmarkRows, buffer: RowBuffer, judge: str, ours: BoolArray, answers: _Answers, every: bool
    ) -> None:
        import numpy as np

        self.rows, self.buffer, self.judge = rows, buffer, judge
        self.pooled = buffer.protocol in ROWS_POOLED
        self.categories = list(rows.categories)
        stored, numbers = buffer.table()
        codes = stored.astype(np.int64)
        current = ours if every else ours & buffer.current(len(rows.models))
        self.replaced = int((ours & ~current).sum())
        keep = current & _still_given(codes, answers.given)
        self._number_models(codes, current, answers, every)
        model = self.label[codes[:, 4], codes[:, 5]]
        scored = np.isfinite(numbers[:, 0])
        self.failed = self._failures(codes, model, keep & ~scored, answers, numbers[:, 0])
        lost = np.flatnonzero(keep & ~scored)
        self.lost = np.column_stack([model[lost], codes[lost][:, :3]])
        """[F, 4] model, question, category and turn of judgments that failed."""
        self.unanswered = np.array(
            [
                (self.place[name, version], rows.questions[item])
                for name, version, _, _, item in answers.failed
                if (name, version) in self.place and item in rows.questions
            ],
            dtype=np.int64,
        ).reshape(-1, 2)
        """[F, 2] model and question of answers that failed."""
        used = np.flatnonzero(keep & scored)
        sizes = len(self.models), len(self.categories), len(rows.questions), int(codes[:, 2].max(initial=0)) + 1
        parts = (model[used], *codes[used][:, :3].T[[1, 0, 2]])
        key, place = np.unique(np.ravel_multi_index(parts, sizes) if used.size else parts[0], return_inverse=True)
        self.repeats = np.bincount(place, minlength=key.size)
        # Repeats are averaged first, then turns, then questions.
        self.value = np.bincount(place, numbers[used, 0], key.size) / np.maximum(self.repeats, 1)
        self.model, self.category, self.question, self.turn = (
            np.unravel_index(key, sizes) if used.size else (np.zeros(0, np.int64),) * 4
        )
        self.declared = declared_categories(rows.benchmark)

    def scale(self, category: str | None = None) -> tuple[float, float] | None:
        """Ends of the scale of all scores, or of those of a category: criteria of a rubric have scales of their own."""
        mine = self.category == self.rows.categories.get(category, -1) if category is not None else slice(None)
        return scale_of(self.buffer.protocol, self.value[mine], self.buffer.score_range(category))

    def _number_models(self, codes: IntArray, current: BoolArray, answers: _Answers, every: bool) -> None:
        """Number the models of the table: those judged in the configuration that counts, and those of no answer."""
        import numpy as np

        names, versions = list(self.rows.models), list(self.rows.versions)
        met = np.unique(codes[current, 4] * len(versions) + codes[current, 5])
        pairs = np.column_stack(np.divmod(met, max(len(versions), 1))).tolist()
        alike = Counter(model for model, _ in pairs)
        self.models = [
            f"{names[model]}@{versions[version][:8]}" if every and alike[model] > 1 else names[model]
            for model, version in pairs
        ]
        self.fingerprints = [versions[version] for _, version in pairs]
        self.label = np.full((max(len(names), 1), max(len(versions), 1)), -1, dtype=np.int64)
        self.place: dict[tuple[str, str], int] = {}
        for place, (model, version) in enumerate(pairs):
            self.label[model, version] = place
            self.place[names[model], versions[version]] = place
        judged = {name for name, _ in self.place}
        if self.judge == HUMAN or self.judge.startswith(f"{HUMAN}: "):
            return  # people may have been asked about some models only
        silent = {name: version for name, version, *_ in answers.failed if name not in judged}
        for name, fingerprint in silent.items():
            self.place[name, fingerprint] = len(self.models)
            self.models.append(name)
            self.fingerprints.append(fingerprint)

    def _failures(
        self, codes: IntArray, model: IntArray, lost: BoolArray, answers: _Answers, score: FloatArray
    ) -> Counter[tuple[int, str, str]]:
        """How many judgments and answers failed, by model, category and kind."""
        import numpy as np

        result: Counter[tuple[int, str, str]] = Counter()
        rows = np.flatnonzero(lost)
        kinds = list(self.rows.kinds)
        place_of = np.searchsorted(np.flatnonzero(np.isnan(score)), rows)
        order = np.frombuffer(self.buffer.failures, dtype=np.int32)[place_of] if rows.size else rows
        for place, category, kind in zip(model[rows].tolist(), codes[rows, 1].tolist(), order.tolist(), strict=True):
            result[place, self.categories[category], kinds[kind]] += 1
        for name, version, where, error, _ in answers.failed:
            if (name, version) in self.place:
                result[self.place[name, version], where, f"answer {error}"] += 1
        return result

    def cells(self, category: str | None = None) -> VerdictCells:
        """Scores and failures of every model on every turn of every question, or on those of one category."""
        import numpy as np

        model, question, turn, value, stratum = self.model, self.question, self.turn, self.value, self.category
        lost = self.lost
        if category is not None:
            code = self.rows.categories.get(category, -1)
            mine = stratum == code
            model, question, turn, value, stratum = (part[mine] for part in (model, question, turn, value, stratum))
            lost = lost[lost[:, 2] == code]
        turns = int(turn.max(initial=0)) + 1
        place, first, cell = np.unique(question * turns + turn, return_index=True, return_inverse=True)
        values = np.full((place.size, len(self.models)), np.nan)
        values[cell, model] = value
        failed = np.zeros(values.shape, dtype=bool)
        asked = lost[:, 1] * turns + lost[:, 3]
        at = np.minimum(np.searchsorted(place, asked), max(place.size - 1, 0))
        known = place[at] == asked if place.size else np.zeros(0, dtype=bool)
        failed[at[known], lost[known, 0]] = True
        for who, where in self.unanswered.tolist():
            failed[place // turns == where, who] = True
        return VerdictCells(
            tuple(self.models),
            values,
            failed & np.isnan(values),
            (place // turns).astype(np.int64),
            (place % turns).astype(np.int64),
            stratum[first],
            category is None and self.declared,
            self.scale(category),
            self.pooled,
        )

    def standings(self, *, by_category: bool = False) -> list[Standing]:
        """Every model on the whole benchmark, then on each category, the best first."""
        import numpy as np

        result = compared(self._part(None, np.ones(self.value.size, dtype=bool)), self.cells())
        found = {self.categories[code] for code in np.unique(self.category).tolist()}
        for name in benchmark.in_order(self.rows.benchmark, found | {category for _, category, _ in self.failed}):
            part = self._part(name, self.category == self.rows.categories.get(name, -1))
            result += compared(part, self.cells(name)) if by_category else part
        return result

    def _part(self, category: str | None, mine: BoolArray) -> list[Standing]:
        import numpy as np

        model, turn, question = self.model[mine], self.turn[mine], self.question[mine]
        turns = int(turn.max(initial=0))
        strata = self.category[mine] if category is None and self.declared else None
        # Column 0 of each model is its score, column t that of turn t.
        width = turns + 1
        column = np.concatenate([model * width, model * width + turn])
        every = None if strata is None else np.concatenate([strata, strata])
        values = np.concatenate([self.value[mine]] * 2)
        scale = self.scale(category)
        means = self._means(column, np.concatenate([question] * 2), values, len(self.models) * width, every, scale)
        n = np.bincount(model, self.repeats[mine], len(self.models)).astype(int).tolist()
        pair, per_question = np.unique(model * (len(self.rows.questions) + 1) + question, return_counts=True)
        owner = pair // (len(self.rows.questions) + 1)
        questions = np.bincount(owner, minlength=len(self.models)).tolist()
        failed: list[Counter[str]] = [Counter() for _ in self.models]
        for (place, where, kind), count in self.failed.items():
            if category in (None, where):
                failed[place][kind] += count
        starts = np.flatnonzero(np.diff(owner, prepend=-1))
        uneven = starts.size > 0 and bool(
            (np.minimum.reduceat(per_question, starts) != np.maximum.reduceat(per_question, starts)).any()
        )
        limited = any(mean is not None and mean.lower is not None for mean in means)
        notes = [f"intervals: {WITHIN if strata is not None else AS_A_WHOLE}"] if limited else []
        if uneven and not self.pooled:
            notes.append(UNEVEN)
        if self.buffer.share:
            means = [None if mean is None else clipped(mean) for mean in means]
        if self.buffer.criteria and category is None:
            notes.append(rests_on(self.buffer))
        standings = [
            Standing(
                self.rows.benchmark,
                self.judge,
                self.buffer.protocol,
                category,
                name,
                METHOD,
                n[place],
                dict(sorted(failed[place].items())),
                estimates={
                    "score" if turn_ == 0 else f"turn_{turn_}": means[place * width + turn_] for turn_ in range(width)
                },
                columns={
                    "questions": questions[place],
                    "model_fingerprint": self.fingerprints[place],
                    "judge_fingerprint": self.buffer.judge.fingerprint,
                },
            )
            for place, name in enumerate(self.models)
            if category is None or n[place] or failed[place]
        ]
        return with_info(standings, TableInfo(notes=tuple(notes), scale=(0.0, 1.0) if self.buffer.share else scale))

    def _means(
        self,
        column: IntArray,
        question: IntArray,
        value: FloatArray,
        columns: int,
        strata: IntArray | None,
        scale: tuple[float, float] | None,
    ) -> list[Interval | None]:
        """Mean of each column, from its cells [C]; columns with the same number of questions share their draws."""
        import numpy as np

        from evalkit.stats.resample import question_means

        result: list[Interval | None] = [None] * columns
        step = max(1, CELLS // max(len(self.rows.questions), 1))
        order = np.argsort(column, kind="stable")
        ends = np.searchsorted(column[order], np.arange(0, columns + step, step))
        for start, first, last in zip(range(0, columns, step), ends, ends[1:], strict=False):
            cells = order[first:last]
            size = min(step, columns - start)
            asked, row = np.unique(question[cells], return_inverse=True)
            stratum = None
            if strata is not None:
                stratum = np.zeros(asked.size, dtype=np.int64)
                stratum[row] = strata[cells]
            key = row * size + column[cells] - start
            sums = np.bincount(key, value[cells], asked.size * size).reshape(asked.size, size).astype(np.float64)
            counts = np.bincount(key, minlength=asked.size * size).reshape(asked.size, size).astype(np.float64)
            many = (counts > 0).sum(axis=0) > MANY
            for chosen, resamples in ((np.flatnonzero(~many), 10_000), (np.flatnonzero(many), 0)):
                if chosen.size:
                    means = question_means(
                        sums[:, chosen], counts[:, chosen], pooled=self.pooled, limits=scale, unseen=True,
                        strata=stratum, resamples=resamples,
                    )  # fmt: skip
                    for place, mean in zip((start + chosen).tolist(), means, strict=True):
                        result[place] = mean
        return result


def clipped(mean: Interval) -> Interval:
    """A mean of shares of points within 0 and 1, as HealthBench reports it; without an interval that would vanish."""
    estimate = min(1.0, max(0.0, mean.estimate))
    if mean.lower is None or mean.upper is None:
        return replace(mean, estimate=estimate)
    lower, upper = min(1.0, max(0.0, mean.lower)), min(1.0, max(0.0, mean.upper))
    if lower < upper:
        return replace(mean, estimate=estimate, lower=lower, upper=upper)
    return replace(mean, estimate=estimate, lower=None, upper=None, reason="the whole interval is clipped away")


def rests_on(buffer: RowBuffer) -> str:
    """What the scores of a rubric rest on."""
    failed = buffer.criteria_failed
    score = "points met over positive points, the mean clipped to 0 and 1" if buffer.share else "mean of the criteria"
    lacking = ", ".join(f"{count:,} {kind}" for kind, count in sorted(failed.items()))
    judged = buffer.criteria - failed.total()
    return f"score: {score}; it rests on {judged:,} of {buffer.criteria:,} verdicts{f' ({lacking})' if lacking else ''}"


def _still_given(codes: IntArray, given: array[int]) -> BoolArray:
    """[N] whether a row is of the answer that its model gives now; of answers that are not stored, every row is."""
    import numpy as np

    if not given or not len(codes):
        return np.ones(len(codes), dtype=bool)
    answers = np.frombuffer(given, dtype=np.int64).reshape(-1, 4)
    sides = (codes[:, [0, 4, 5]], answers[:, :3])
    sizes = np.maximum(sides[0].max(axis=0), sides[1].max(axis=0)) + 1
    shown, known = (np.ravel_multi_index(tuple(side.T), tuple(sizes.tolist())) for side in sides)
    keys, last = np.unique(known[::-1], return_index=True)  # of several answers the last counts
    response = answers[::-1][last, 3]
    place = np.minimum(np.searchsorted(keys, shown), keys.size - 1)
    result: BoolArray = (keys[place] != shown) | (response[place] == codes[:, 6])
    return result
