"""What is certified: each metric as a function of a random generator, a setting, and a number of questions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial

import numpy as np

from evalkit.stats.agreement import agreement, cohen_kappa, fleiss_kappa, krippendorff_alpha
from evalkit.stats.battles import compress
from evalkit.stats.bradley_terry import bradley_terry
from evalkit.stats.elo import elo_intervals
from evalkit.stats.errors import StatisticsError
from evalkit.stats.heterogeneity import heterogeneity
from evalkit.stats.label_budget import Labelled, labels_needed, labels_to_tell_apart
from evalkit.stats.length_control import fit, resampled
from evalkit.stats.resample import paired_difference, question_bootstrap, question_means
from evalkit.stats.shares import clustered_mean, clustered_share
from evalkit.stats.win_rate import win_rate
from tests.certification.audits import FAIR, box, contradicts_itself, warnings_of
from tests.certification.studies import Planted, battles_by_category, scores, study, wins

SCALE = (1.0, 10.0)
RESAMPLES = 1000
MANY = 6_000  # questions behind a truth that is estimated


@dataclass(frozen=True)
class Metric:
    """One row of the table.

    Attributes:
        name: Quantity.
        setting: What was planted.
        measure: Its interval in one data set of so many questions; None or no limits where it gives a reason.
        truth: Of that many questions; None: the mean of the estimates (a quantity that depends on n).
        questions: Numbers of questions that it is measured on.
    """

    name: str
    setting: str
    measure: Callable[[np.random.Generator, int], object]
    truth: Callable[[], float] | None
    questions: tuple[int, ...] = (8, 20, 80)
    held_out: bool = False
    """Not looked at while limits were chosen."""
    hidden: Callable[[float], Metric] | None = None
    """The same with this share of the questions at the other end of the scale, whatever else is planted."""


def _lost(rng, values, share, end=0.0):
    """Values of questions [Q, ...] of which this share is at the end of the scale."""
    if not share:
        return values
    return np.where(rng.random((len(values),) + (1,) * (values.ndim - 1)) < share, end, values)


def _score(setting, turn=None, repeats=1, missing=0.0, lost=0.0):
    def measure(rng, questions):
        x = scores(rng, setting, questions)
        x = _lost(rng, x, lost, _far_end(setting))
        x = x if turn is None else x[:, [turn]]
        x = np.repeat(x, repeats, axis=1)
        there = (rng.random(x.shape) >= missing).astype(float)
        sums, counts = (x * there).sum(axis=1), there.sum(axis=1)
        return question_means(sums[:, None], counts[:, None], limits=SCALE, unseen=True, resamples=RESAMPLES)[0]

    return measure


OFFSETS = np.array([-2.2, -1.5, -0.8, 0.0, 0.4, 0.9, 1.4, 1.8])


def _stratified(lost=0.0):
    def measure(rng, questions):
        size = {8: 2, 20: 4}.get(questions, 8)
        stratum = np.arange(questions) % size
        mean = 6.5 + OFFSETS[np.linspace(0, 7, size).astype(int)][stratum]
        x = _lost(rng, np.clip(mean + 0.8 * rng.normal(size=questions), 1, 10), lost, 1.0)
        return question_bootstrap(x, np.ones(questions), limits=SCALE, unseen=True, strata=stratum)

    return measure


@cache
def _score_truth(setting):
    return float(scores(np.random.default_rng(1), setting, 400_000).mean())


def _far_end(setting):
    """The end of the scale that scores are farther from."""
    return SCALE[1] if 2 * _score_truth(setting) < sum(SCALE) else SCALE[0]


def _win_rate(rate, rows, copies=1, lost=0.0):
    def measure(rng, questions):
        x = np.repeat(_lost(rng, wins(rng, rate, questions, rows), lost), copies, axis=1)
        found = win_rate(x.ravel(), clusters=np.repeat(np.arange(questions), x.shape[1]), resamples=RESAMPLES)
        return found.interval.affine(0.01)

    return measure


def _share(rate, rows, lost=0.0):
    def measure(rng, questions):
        x = _lost(rng, wins(rng, rate, questions, rows), lost)
        return clustered_share(x.ravel(), np.repeat(np.arange(questions), rows), resamples=RESAMPLES)

    return measure


def _two(rng, rate, questions, rows=2, alike=0.5, lost=0.0):
    """Two models, one battle a question and turn, of turns that resemble each other."""
    x = _lost(rng, wins(rng, rate, questions, rows, alike), lost)
    n = x.size
    return np.zeros(n, dtype=int), np.ones(n, dtype=int), x.ravel(), np.repeat(np.arange(questions), rows)


def _bt_two(rate, rows=2, alike=0.5, lost=0.0):
    def measure(rng, questions):
        a, b, y, question = _two(rng, rate, questions, rows, alike, lost)
        return bradley_terry(compress(a, b, y, models=2, clusters=question)).difference(0, 1)

    return measure


def _elo_two(rate, lost=0.0):
    def measure(rng, questions):
        a, b, y, question = _two(rng, rate, questions, lost=lost)
        return elo_intervals(a, b, y, models=2, clusters=question, replicates=300).intervals[0]

    return measure


SIX = Planted(abilities=(0.8, 0.4, 0.1, -0.1, -0.4, -0.8), question_effect=0.6, sharpness=1.5)


def _bt_six(rng, questions):
    s = study(rng, SIX, questions)
    return bradley_terry(compress(s.a, s.b, s.outcome, models=6, clusters=s.question)).interval(0)


STRONG = Planted(abilities=(2.5, 0.2, -0.2, -2.5), question_effect=0.6, sharpness=1.5, ties=0.0)


def _bt_strong(place):
    def measure(rng, questions):
        s = study(rng, STRONG, questions)
        return bradley_terry(compress(s.a, s.b, s.outcome, models=4, clusters=s.question)).interval(place)

    return measure


def _elo_six(lost=0.0):
    def measure(rng, questions):
        s = study(rng, SIX, questions)
        keep = s.a < s.b
        gone = _lost(rng, np.zeros(questions), lost, 1.0)[s.question] == 1
        outcome = np.where(gone & (s.a == 0), 0.0, s.outcome)
        found = elo_intervals(
            s.a[keep], s.b[keep], outcome[keep], models=6, clusters=s.question[keep], replicates=100
        ).intervals
        return found[0]

    return measure


def _bt_fixed(rng, questions):
    a, b, won, question, category = battles_by_category(rng, questions)
    return bradley_terry(compress(a, b, won, models=3, clusters=question, strata=category)).interval(0)


def _elo_fixed(lost=0.0):
    def measure(rng, questions):
        a, b, won, question, category = battles_by_category(rng, questions)
        gone = _lost(rng, np.zeros(questions), lost, 1.0)[question] == 1
        shape = {"models": 3, "clusters": question, "strata": category, "replicates": 200}
        return elo_intervals(a, b, np.where(gone & (a == 0), 0.0, won), **shape).intervals[0]

    return measure


def _lc(constant, point=False, soft=True, lost=0.0):
    def measure(rng, questions):
        length = rng.normal(size=questions)
        p = 1 / (1 + np.exp(-(constant + 0.8 * np.tanh(length))))
        won = rng.random(questions) < p
        tied = np.where(rng.random(questions) < 0.1, 0.5, won)
        preference = np.clip(won * 0.9 + 0.1 * rng.random(questions), 0, 1) if soft else tied
        preference = _lost(rng, preference, lost)
        if point:
            return fit(preference, length).win_rate
        return resampled(preference, length, np.arange(questions), resamples=100).interval

    return measure


def _raters(sharp, count=2, pairs=3, alike=1.2, ties=0.3):
    """Labels of raters of this sharpness, of pairs on each question that share its clearness."""

    def labels(rng, questions):
        gap = alike * rng.normal(size=(questions, 1)) + 0.8 * rng.normal(size=(questions, pairs))
        said = sharp * gap.ravel()[:, None] + rng.logistic(size=(gap.size, count))
        question = np.repeat(np.arange(questions), pairs)
        return np.where(np.abs(said) < ties, "tie", np.where(said > 0, "A", "B")), question

    return labels


def _agreement(sharp, kind, lost=0.0, **shape):
    draw = _raters(sharp, 3 if kind in ("alpha", "fleiss") else 2, **shape)

    def measure(rng, questions):
        given, question = draw(rng, questions)
        apart = _lost(rng, np.zeros(questions), lost, 1.0)[question] == 1
        given = np.where(apart[:, None], np.array(["A", "B", "tie"])[: given.shape[1]], given)
        resamples = RESAMPLES if questions < MANY else 2
        if kind == "agreement":
            return agreement(*given.T.tolist(), clusters=question, resamples=resamples).clustered
        if kind == "kappa":
            return cohen_kappa(*given.T.tolist(), clusters=question, resamples=resamples)
        if kind == "alpha":
            return krippendorff_alpha(given.tolist(), clusters=question, resamples=resamples)
        counts = np.stack([(given == label).sum(axis=1) for label in ("A", "B", "tie")], axis=1).astype(float)
        return fleiss_kappa(counts, clusters=question, resamples=resamples)

    return measure


def _large(measure):
    @cache
    def truth():
        return float(measure(np.random.default_rng(1), MANY).estimate)

    return truth


def _paired(drop):
    def measure(rng, questions):
        hard = 1.8 * rng.normal(size=questions)
        one, two = (np.clip(6.0 + hard + move + 0.6 * rng.normal(size=questions), 1, 10) for move in (0.0, -drop))
        ones = np.ones(questions)
        return paired_difference(two, ones, one, ones, limits=SCALE, resamples=RESAMPLES)

    return measure


def _differ(spread):
    def measure(rng, questions):
        groups = np.arange(questions) % max(2, min(8, questions // 4))
        base = np.clip(
            0.7 + spread * np.linspace(-1, 1, groups.max() + 1)[groups] + 0.18 * rng.normal(size=questions), 0.02, 0.98
        )
        question = np.repeat(np.arange(questions), 18)
        values = (rng.random(question.size) < base[question]).astype(float)
        return heterogeneity(values, np.ones(values.size), groups[question], question).p_value < 0.05

    return measure


def _labelled(rng, questions, right, alike, share):
    """Two pairs of each of three models on every question, people's votes on this share of the questions."""
    there = rng.random(questions) < share
    result = []
    for model in range(3):
        logit = np.repeat(alike * rng.normal(size=questions) + (model - 1) * 0.5, 2)
        people = (rng.random(logit.size) < 1 / (1 + np.exp(-logit))).astype(float)
        judge = np.where(rng.random(logit.size) < right, people, rng.random(logit.size) < 0.5).astype(float)
        question = np.repeat(np.arange(questions), 2)
        keep = there[question]
        result.append(Labelled(people[keep], judge[keep], question[keep], int((~keep).sum())))
    return result


JUDGED = 2000
"""Pairs that a judge judged of each model, in a study of a label budget; many, so that it saves votes."""


def _needed(right, alike, share=0.5):
    def measure(rng, questions):
        drawn = _labelled(rng, questions, right, alike, share if questions < MANY else 1.0)
        return labels_needed([replace(one, unlabelled=JUDGED - one.label.size) for one in drawn], 0.05)

    return measure


def _told_apart(ahead):
    """How many votes tell two judges apart, of whom one is this many logits sharper; votes of one question alike."""

    def difference(rng, questions):
        hard = 0.8 * rng.normal(size=(questions, 1))
        luck = rng.random((questions, 6))
        other = np.where(rng.random(luck.shape) < 0.6, luck, rng.random(luck.shape))
        one = luck < 1 / (1 + np.exp(-(1 + hard)))
        two = other < 1 / (1 + np.exp(-(1 + ahead + hard)))
        values = (two.astype(float) - one).ravel()
        return clustered_mean(values, np.repeat(np.arange(questions), 6), limits=(-1.0, 1.0), resamples=RESAMPLES)

    def measure(rng, questions):
        needed, least, most = labels_to_tell_apart(difference(rng, questions))
        return Ends(needed, least, np.inf if most is None else most)

    return measure


@dataclass(frozen=True)
class Ends:
    """An estimate with limits of which one may be open."""

    estimate: float
    lower: float
    upper: float


KINDS = {"agreement": "agreement", "kappa": "kappa", "alpha": "Krippendorff's alpha", "fleiss": "Fleiss' kappa"}
SEEN = (
    *("mid-scale", "whole numbers", "skewed", "ceiling", "high", "two humps", "lone ones", "refusals"),
    *("one in twelve fails", "long tail", "low", "heavy tails", "one question of many"),
)
UNSEEN = (
    *("seven to nine", "one in thirty fails", "either end"),
    *("one question in fifty", "one answer in twenty", "one question in seven"),
)


def certified() -> list[Metric]:
    """Every metric and setting."""
    return [*_scores(), *_rates(), *_ratings(), *_length_controlled(), *_agreements(), *_plans()]


def _with_hidden(name, setting, measure, truth, **more) -> Metric:
    """A row and what it is with a share of lost questions, from measure and truth as functions of that share."""

    def hidden(share):
        return Metric(name, f"{setting}, hidden", measure(share), truth(share))

    return Metric(name, setting, measure(0.0), truth(0.0), hidden=hidden, **more)


def _no_truth(_):
    return None


def _scored(name, setting, *, questions=(8, 20, 80), held_out=False, **how) -> Metric:
    def truth(lost):
        return lambda: (1 - lost) * _score_truth(setting) + lost * _far_end(setting)

    def measure(lost):
        return _score(setting, lost=lost, **how)

    return _with_hidden(name, setting, measure, truth, questions=questions, held_out=held_out)


def _scores() -> Iterator[Metric]:
    for setting in (*SEEN, *UNSEEN):
        new = setting in UNSEEN
        yield _scored("score", setting, held_out=new)
        yield _scored("score of a turn", setting, held_out=new, turn=0)
    for setting in ("mid-scale", "high", "ceiling", "long tail"):
        yield _scored("score by category (3, 5 and 10 questions)", setting, questions=(3, 5, 10))
    for setting in ("mid-scale", "ceiling"):
        yield _scored("score, three copies", setting, repeats=3)
        yield _scored("score, 20% missing", setting, missing=0.2)
    yield _with_hidden("score, fixed categories", "means 4.3 to 8.3", _stratified, _no_truth)
    for drop in (0.0, 0.3):
        yield Metric("paired difference", f"drop {drop:g}", _paired(drop), None)


def _rates() -> Iterator[Metric]:
    for rate in (0.5, 0.8, 0.95, 0.997):

        def share(lost, rate=rate):
            return partial(float, (1 - lost) * rate)

        def logit(lost, rate=rate):
            return partial(float, np.log((1 - lost) * rate / (1 - (1 - lost) * rate)))

        def row(name, words, draw, truth, *shape, rate=rate, **more):
            return _with_hidden(
                name, f"{rate:.1%}, {words}", lambda lost: draw(rate, *shape, lost=lost), truth, **more
            )  # fmt: skip

        yield row("win rate", "one row", _win_rate, share, 1)
        yield row("win rate", "two turns, four copies", _win_rate, share, 2, 4)
        yield row("share", "ten rows", _share, share, 10)
        yield row("Bradley-Terry difference", "two models", _bt_two, logit)
        yield row("Bradley-Terry difference", "one row", _bt_two, logit, 1, 0.0, held_out=True)
        yield row("Bradley-Terry difference", "six rows", _bt_two, logit, 6, 0.3, held_out=True)
        yield row("Elo", "two models", _elo_two, _no_truth)


def _ratings() -> Iterator[Metric]:
    yield Metric("Bradley-Terry rating", "best of six models", _bt_six, _large(_bt_six))
    yield _with_hidden("Elo", "best of six models", _elo_six, _no_truth)
    yield Metric("Bradley-Terry rating", "best of three, fixed categories", _bt_fixed, _large(_bt_fixed))
    yield _with_hidden("Elo", "best of three, fixed categories", _elo_fixed, _no_truth)
    for place, word in ((0, "best"), (1, "second")):
        measure, setting = _bt_strong(place), f"{word} of four, one far ahead"
        yield Metric("Bradley-Terry rating", setting, measure, _large(measure), held_out=True)


def _length_controlled() -> Iterator[Metric]:
    name = "length-controlled win rate"
    for constant, soft in ((0.0, True), (2.2, True), (3.2, True), (1.2, False), (-1.5, False), (2.5, False)):

        def measure(lost, constant=constant, soft=soft):
            return _lc(constant, soft=soft, lost=lost)

        def truth(lost, constant=constant, soft=soft):
            return _lc_truth(constant, soft, lost)

        setting = f"logit {constant:g}" if soft else f"logit {constant:g}, wins, losses and ties"
        yield _with_hidden(name, setting, measure, truth, held_out=not soft)


def _lc_truth(constant, soft, lost):
    @cache
    def truth():
        return float(_lc(constant, point=True, soft=soft, lost=lost)(np.random.default_rng(1), 50_000))

    return truth


def _agreements() -> Iterator[Metric]:
    many = {"pairs": 10, "alike": 0.5, "ties": 1.0}
    for sharp, words, shape in (
        (0.7, "blunt raters", {}),
        (2.5, "sharp raters", {}),
        (12.0, "nearly perfect raters", {}),
        (4.0, "many ties, ten pairs a question", many),
    ):
        for kind, name in KINDS.items():

            def measure(lost, sharp=sharp, kind=kind, shape=shape):
                return _agreement(sharp, kind, lost, **shape)

            yield _with_hidden(
                name, words, measure, lambda lost, measure=measure: _large(measure(lost)), held_out=bool(shape)
            )


def _plans() -> Iterator[Metric]:
    for right, alike in ((0.3, 0.3), (0.8, 0.3), (0.8, 1.5)):
        measure = _needed(right, alike)
        setting = f"judge knows {right:.0%}, questions {'much ' if alike > 1 else ''}alike"
        yield Metric("pairs to vote on", setting, measure, _large(measure))
    for ahead in (0.1, 0.3, 0.8):
        measure = _told_apart(ahead)
        yield Metric("votes to tell judges apart", f"{ahead:g} logits apart", measure, _large(measure))


def warnings() -> list[Metric]:
    """Statements that are true or false: how often each is made."""
    return [
        Metric("categories differ", "alike", _differ(0.0), None),
        Metric("categories differ", "70% +- 15", _differ(0.15), None),
        Metric("paired difference is not 0", "equal models", lambda r, q: _apart(_paired(0.0)(r, q)), None),
        Metric(
            "paired difference is not 0", "drop .3 (SD of pairs .85)", lambda r, q: _apart(_paired(0.3)(r, q)), None
        ),
    ]


ANY, ORDER, LENGTH, KIN = "any warning", "a warning about order", "a warning about length", "a warning about its kin"
SAME = "contradicts itself"
MARKS = {ANY: "", ORDER: "order", LENGTH: "another length", KIN: "own kin"}
"""What marks a warning as one of this kind."""


@dataclass(frozen=True)
class Audits:
    """Audits of one kind of study, and the statements that their boxes are searched for."""

    setting: str
    planted: Planted
    questions: tuple[int, ...]
    statements: tuple[str, ...]

    def made(self, rng: np.random.Generator, questions: int) -> dict[str, bool]:
        """Which of the statements one audit makes."""
        found = box(rng, self.planted, questions)[1]
        given = warnings_of(found)
        made = {name: any(MARKS[name] in line for line in given) for name in self.statements}
        return made | {SAME: contradicts_itself(found)}


def audits() -> list[Audits]:
    """What is planted in judges that are audited as a whole."""
    six = replace(FAIR, abilities=(0.8, 0.4, 0.1, -0.1, -0.4, -0.8), ties=0.15)
    two = replace(FAIR, abilities=(0.3, -0.3), question_effect=1.2)
    one = replace(FAIR, position_by_category=(1.5,) + (0.0,) * 7)
    both = replace(FAIR, position_by_category=(2.0,) * 4 + (-2.0,) * 4)
    return [
        Audits("no bias; 4 models, 3 people", FAIR, (8, 20, 84), (ANY,)),
        Audits("no bias; 6 models, ties", six, (8, 20), (ANY,)),
        Audits("no bias; 2 models, questions much alike", two, (20, 84), (ANY,)),
        Audits("+1.5 logits for the first in one of eight categories", one, (84,), (ORDER, ANY)),
        Audits("+2 logits in four categories, -2 in four", both, (84,), (ORDER, ANY)),
        Audits("+0.7 logits for the first", replace(FAIR, position=0.7), (40,), (ORDER,)),
        Audits("+1 logit/SD for the longer", replace(FAIR, length=1.0), (84,), (LENGTH,)),
        Audits("+2 logits for its own answers; 6 models", replace(six, own=2.0), (40,), (KIN,)),
    ]


def _apart(found) -> bool:
    return found.lower is not None and not found.lower <= 0 <= found.upper


UNMEASURED = (StatisticsError,)
