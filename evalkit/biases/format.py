"""Format bias: headers, lists, bold, code, tables, emoji and vocabulary, beyond what people make of them.

All features of both answers enter one fit with length and the models' abilities, as normalised differences in units
of their spread. As with length, an effect is a bias only in so far as it exceeds people's at the judge's own
sharpness. Features as in Chatbot Arena's style control (2024-08-28), and four more.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, NamedTuple

from evalkit.evidence.compared import made_of_scores, no_votes_on, nothing_compared
from evalkit.evidence.evidence import Evidence, Pairs, signed
from evalkit.evidence.findings import Finding
from evalkit.evidence.metrics import FORMAT, LOGITS_PER_SD, Metric

if TYPE_CHECKING:
    from evalkit.stats.arrays import FloatArray, IntArray
    from evalkit.stats.errors import StatisticsError
    from evalkit.stats.resample import Interval

FEATURES = ("headers", "lists", "bold", "code", "tables", "emoji", "vocabulary")
MEANS = {
    "headers": "headers",
    "lists": "list items",
    "bold": "bold spans",
    "code": "code blocks",
    "tables": "table rows",
    "emoji": "emoji",
    "vocabulary": "different words in relation to length",
}
EFFECT = Metric(
    name="format_{feature}_effect",
    label="{title}, effect",
    unit=LOGITS_PER_SD,
    topic=FORMAT,
    question="At equal ability and length, how much do more {means} move the judge?",
    needs="the texts of the answers",
    source="Chatbot Arena's style control, 2024-08-28",
    axis="logits per SD",
)
EXCESS = Metric(
    name="format_{feature}_excess",
    label="{title}, in excess of people",
    unit=LOGITS_PER_SD,
    topic=FORMAT,
    question="At equal ability and length, do more {means} win more from the judge than they do from people?",
    unbiased=0.0,
    risk="That a model that formats differently is better, unless format is controlled for.",
    safe="Format matters little to it:",
    needs="votes of people on the pairs judged, and the texts of the answers",
    source="Chatbot Arena's style control, 2024-08-28; Holm's adjustment over the features",
    axis="logits per SD",
)


def of(family: Metric, feature: str) -> Metric:
    """The metric of one feature."""
    return family.of(feature=feature, title=feature.capitalize(), means=MEANS[feature])


FENCED = re.compile(r"```")
TABLE = re.compile(r"^[^\S\n]*+\|.*\|[^\S\n]*$", re.MULTILINE)
EMOJI = re.compile("[\U0001f300-\U0001faff\u2600-\u27bf]")
WORD = re.compile(r"\w+")
RARE = 0.02
"""A feature in which fewer pairs differ is left out: its effect could not be told from that of a few answers."""
TEXTS = "needs the texts of the answers"


@dataclass(frozen=True)
class Format:
    """One effect a feature: the judge's own, and in excess of people's."""

    metrics: ClassVar[tuple[Metric, ...]] = tuple(of(family, name) for family in (EFFECT, EXCESS) for name in FEATURES)

    def findings(self, evidence: Evidence) -> Iterator[Finding]:
        """Every feature, measured or lacking."""
        import numpy as np

        pairs, votes = evidence.pairs, evidence.votes
        known = _features_of(evidence)
        rows, x, kept = _told_apart(evidence.compared, known)
        if not rows.size:
            for name in FEATURES:
                yield evidence.lacking(of(EXCESS, name), nothing_compared(evidence) or TEXTS)
            return
        yield from _effects(evidence, rows, x, kept)
        if pairs is not evidence.compared:  # of single grading, those that people voted on
            rows, x, apart = _told_apart(pairs, known)
            kept = apart if rows.size else kept
        place = np.full(len(pairs) + 1, -1, dtype=np.int64)
        place[rows] = np.arange(rows.size)
        voted = np.flatnonzero(place[votes.pair] >= 0) if len(votes) else np.zeros(0, dtype=np.int64)
        yield from _excesses(evidence, voted, x[place[votes.pair[voted]]], kept)


class _Known(NamedTuple):
    """What is known of the judged answers, each text looked at once."""

    codes: IntArray
    """[K] ascending, of an answer and a turn."""
    turns: int
    features: FloatArray
    """[K, 1 + F]"""

    def of(self, response: IntArray, turn: IntArray) -> FloatArray:
        """[N, 1 + F] of these answers; NaN where the text is not stored."""
        import numpy as np

        result = np.full((response.size, 1 + len(FEATURES)), np.nan)
        if self.codes.size:
            wanted = response * self.turns + turn
            place = np.minimum(np.searchsorted(self.codes, wanted), self.codes.size - 1)
            has = self.codes[place] == wanted
            result[has] = self.features[place[has]]
        return result


def _features_of(evidence: Evidence) -> _Known:
    import numpy as np

    each = (evidence.compared,) if evidence.compared is evidence.pairs else (evidence.compared, evidence.pairs)
    turns = max(int(pairs.turn.max(initial=0)) for pairs in each) + 1
    listed = [side * turns + pairs.turn for pairs in each for side in (pairs.response_a, pairs.response_b)]
    asked = np.unique(np.concatenate(listed)).tolist() if evidence.texts else []
    texts = {code: text for code in asked if (text := evidence.text(*divmod(code, turns))) is not None}
    table = np.array([features(text) for text in texts.values()]).reshape(-1, 1 + len(FEATURES))
    return _Known(np.array(list(texts), dtype=np.int64), turns, table)


def _told_apart(pairs: Pairs, known: _Known) -> tuple[IntArray, FloatArray, list[str]]:
    """Rows of pairs of two models whose texts are stored, and what ``_differences`` makes of them."""
    import numpy as np

    of_a, of_b = known.of(pairs.response_a, pairs.turn), known.of(pairs.response_b, pairs.turn)
    stored = np.isfinite(of_a[:, 0]) & np.isfinite(of_b[:, 0])
    rows = np.flatnonzero(np.isfinite(pairs.outcome) & (pairs.a != pairs.b) & stored)
    return (rows, *_differences(of_a[rows], of_b[rows]))


def _differences(a: FloatArray, b: FloatArray) -> tuple[FloatArray, list[str]]:
    """[N, 1 + F] differences, length first, in units of their spread about 0; and the names of the F features."""
    import numpy as np

    if not len(a):
        return np.zeros((0, 1)), []
    total = a + b
    apart = np.divide(a - b, total, out=np.zeros_like(total), where=total > 0)
    spread = np.sqrt((apart**2).mean(axis=0))
    kept = [0] + [column for column in range(1, apart.shape[1]) if (apart[:, column] != 0).mean() >= RARE]
    spread = np.where(spread > 0, spread, 1.0)
    return (apart / spread)[:, kept], [FEATURES[column - 1] for column in kept[1:]]


def features(text: str) -> tuple[float, ...]:
    """Length, then ``FEATURES``. Vocabulary is Guiraud's index, distinct words over the square root of words."""
    from evalkit.stats.style_control import count_markdown

    marks = count_markdown(text)
    words = WORD.findall(text.lower())
    return (
        float(len(text)),
        float(marks.header),
        float(marks.list),
        float(marks.bold),
        float(len(FENCED.findall(text)) // 2),
        float(len(TABLE.findall(text))),
        float(len(EMOJI.findall(text))),
        len(set(words)) / len(words) ** 0.5 if words else 0.0,
    )


def _effects(evidence: Evidence, rows: IntArray, x: FloatArray, kept: list[str]) -> Iterator[Finding]:
    from evalkit.evidence.joint_ratings import fit
    from evalkit.stats.errors import StatisticsError

    pairs = evidence.compared
    try:
        fitted = fit(pairs.a[rows], pairs.b[rows], pairs.outcome[rows], x, pairs.question[rows], penalise=False)
    except StatisticsError as error:
        for name in kept:
            yield evidence.lacking(of(EFFECT, name), _reason(error))
        return
    for column, name in enumerate(kept, start=1):
        interval = fitted.ratings.coefficient(column)
        yield evidence.finding(
            of(EFFECT, name),
            interval,
            f"At equal ability and length, one standard deviation more {MEANS[name]} moves {evidence.judge} by "
            f"{signed(interval)} logits. Descriptive: it may be what people want.{made_of_scores(evidence)}",
        )


def _reason(error: StatisticsError) -> str:
    from evalkit.stats.errors import NotMeasurable

    return error.reason if isinstance(error, NotMeasurable) else f"needs features that the data tell apart ({error})"


def _excesses(evidence: Evidence, voted: IntArray, x: FloatArray, kept: list[str]) -> Iterator[Finding]:
    from evalkit.evidence.joint_ratings import fit_twice, ranked_alike, rows
    from evalkit.stats.errors import StatisticsError
    from evalkit.stats.flips import holm

    pairs, votes = evidence.pairs, evidence.votes
    for name in FEATURES:
        if name not in kept:
            yield evidence.lacking(of(EXCESS, name), f"needs pairs that differ in {MEANS[name]}")
    if not voted.size:
        for name in kept:
            yield evidence.lacking(of(EXCESS, name), no_votes_on(evidence))
        return
    a, b, question = votes.a[voted], votes.b[voted], votes.question[voted]
    try:
        both = fit_twice(
            rows(a, b, pairs.outcome[votes.pair[voted]], question, x),
            rows(a, b, votes.outcome[voted], question, x),
            penalise=False,
        ).both
        ranked_alike(both.sharpness())
        intervals = [both.excess(column) for column in range(1, len(kept) + 1)]
    except StatisticsError as error:
        for name in kept:
            yield evidence.lacking(of(EXCESS, name), _reason(error))
        return
    held = holm([_p(interval) for interval in intervals])
    for column, (name, interval, p) in enumerate(zip(kept, intervals, held, strict=True), start=1):
        people = both.coefficient(column, second=True)
        finding = evidence.finding(
            of(EXCESS, name),
            interval,
            f"At equal ability and length, the effect of one standard deviation more {MEANS[name]} exceeds people's by "
            f"{signed(interval)} logits (p = {p:.2g}, adjusted for {len(kept)} features): "
            + ("a bias." if p < 0.05 else "no bias shows."),
            p_holm=p,
            judge_effect=both.coefficient(column).estimate,
            human_effect=people.estimate,
        )
        yield replace(finding, details={**finding.details, "excludes_null": p < 0.05})


def _p(interval: Interval) -> float:
    from scipy.special import stdtr

    if not interval.standard_error:
        return 1.0
    return 2 * float(stdtr(interval.clusters - 1, -abs(interval.estimate) / interval.standard_error))
