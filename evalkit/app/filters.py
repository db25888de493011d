"""Which cases a table shows, and in which order, as its address says: every filter is a parameter of the URL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from evalkit.app.texts import Texts
from evalkit.app.word_search import WordSearch
from evalkit.core.protocols import UsageError

if TYPE_CHECKING:
    from evalkit.app.cases import Cases
    from evalkit.stats.arrays import BoolArray, FloatArray, IntArray

SORTS: Final = {
    "worst": "worst first",
    "best": "best first",
    "difference": "biggest difference between two models",
    "disagreement": "biggest disagreement with the others",
    "moved": "moved most since the other run",
    "longest": "longest answer first",
    "newest": "newest first",
    "stored": "as stored",
}
PLACES: Final = {"question": "questions", "answer": "answers", "judge": "judges' words"}
"""Where a text is looked for."""
VERDICTS: Final = ("win", "loss", "tie")
SLICE: Final = 0.15
"""Seconds of one search in the judges' words before a page is shown with what was found so far."""
PAGE = 100
"""Lines of a page of the table."""


@dataclass(frozen=True, kw_only=True)
class CaseFilter:
    """What to show. An empty text stands for no restriction."""

    benchmark: str = ""
    category: str = ""
    model: str = ""
    other: str = ""
    judge: str = ""
    run: str = ""
    """Number of the path among those that were opened, from 1."""
    verdict: str = ""
    """win, loss or tie: of ``model``, else of the pair's first; or a label as the judge gave it."""
    failure: str = ""
    """A kind of error, ``any``, or ``none``."""
    low: str = ""
    high: str = ""
    """Limits of the score, or of the outcome of a pair."""
    q: str = ""
    place: str = ""
    people: str = ""
    """``disagree``: a judge and people say different things; ``judged``: people said anything."""
    orders: str = ""
    """``disagree``: the two orders came to different verdicts."""
    moved: str = ""
    """Number of another run: what the same judge said there of the same models' answers is different."""
    sort: str = ""
    page: str = ""

    def query(self, **changed: str) -> str:
        """The parameters of the URL that shows this, changed in some."""
        now = replace(self, **changed)
        given = {one.name: getattr(now, one.name) for one in fields(now)}
        return urlencode({name: value for name, value in given.items() if value})

    @property
    def active(self) -> dict[str, str]:
        """The restrictions that are set, by name."""
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        return {name: value for name, value in given.items() if value and name not in ("sort", "page", "place")}

    @property
    def page_number(self) -> int:
        """Number of the page that is shown, from 1."""
        return int(self.page) if self.page.isdecimal() and len(self.page) < 9 and int(self.page) else 1


def read(parameters: Mapping[str, str]) -> CaseFilter:
    """The filter that a URL asks for; other parameters are passed over.

    Raises:
        UsageError: a value is not possible.
    """
    known = {one.name for one in fields(CaseFilter)}
    found = CaseFilter(**{name: value[:500] for name, value in parameters.items() if name in known})
    allowed = {
        "sort": tuple(SORTS),
        "place": tuple(PLACES),
        "people": ("disagree", "judged"),
        "orders": ("disagree",),
    }
    for name, words in allowed.items():
        if (value := getattr(found, name)) and value not in words:
            raise UsageError(f"{name}={value!r} is not possible; there are: {', '.join(words)}")
    for name in ("low", "high"):
        if getattr(found, name):
            _number(name, getattr(found, name))
    return found


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not abs(value) < float("inf"):
        raise UsageError(f"{name}={text!r} is not a number")
    return value


@dataclass(frozen=True)
class Chooser:
    """Finds the cases that filters ask for.

    Args:
        cases: made of the rows of an index.
        texts: of questions and answers, to look for words in.
    """

    cases: Cases
    texts: Texts
    patience: float = SLICE
    """Seconds of searching in files before what was found so far is shown."""
    _found: dict[Any, IntArray] = field(default_factory=dict)
    _searches: dict[str, WordSearch] = field(default_factory=dict)

    def chosen(self, wanted: CaseFilter) -> IntArray:
        """Positions of the cases, in the order asked for.

        Raises:
            UsageError: a filter names what there is not.
        """
        key = replace(wanted, page="")
        if key not in self._found:
            if len(self._found) > 64:
                self._found.clear()
            chosen = self._choose(wanted)
            if self.searching(wanted) is not None:
                return chosen
            self._found[key] = chosen
        return self._found[key]

    def pages(self, wanted: CaseFilter) -> IntArray:
        """One case of each question and set of answers, in the order asked for: what is opened one after another."""
        import numpy as np

        chosen = self.chosen(wanted)
        place = self.cases.item[chosen] * max(1, len(self.cases.names.shown)) + self.cases.shown[chosen]
        found: IntArray = chosen[np.sort(np.unique(place, return_index=True)[1])]
        return found

    def _choose(self, wanted: CaseFilter) -> IntArray:
        import numpy as np

        keep = np.ones(len(self.cases), dtype=bool)
        for part in self._parts(wanted):
            keep &= part
        places = np.flatnonzero(keep)
        values = self._order(wanted)[places]
        known = np.isfinite(values)
        order = np.argsort(values[known], kind="stable")
        found: IntArray = np.concatenate([places[known][order], places[~known]])  # no verdict comes last
        return found

    def _parts(self, wanted: CaseFilter) -> Iterable[BoolArray]:
        """One condition after another."""
        cases = self.cases
        yield from self._about(wanted)
        if wanted.low:
            yield self.of_model(wanted) >= _number("low", wanted.low)
        if wanted.high:
            yield self.of_model(wanted) <= _number("high", wanted.high)
        if wanted.verdict:
            yield self._verdict(wanted)
        if wanted.failure:
            yield self._failure(wanted.failure)
        if wanted.people:
            yield cases.people_disagree if wanted.people == "disagree" else self._voted()
        if wanted.orders:
            yield cases.orders_disagree
        if wanted.moved:
            yield self.shift(wanted.moved) > 0
        if wanted.q:
            yield self._with_text(wanted.q, wanted.place or "question")

    def _about(self, wanted: CaseFilter) -> Iterable[BoolArray]:
        """Conditions on what was judged, and by whom."""
        cases, names = self.cases, self.cases.names
        if wanted.benchmark:
            yield cases.by_question(question.benchmark == wanted.benchmark for question in names.questions)
        if wanted.category:
            yield cases.by_question(question.category == wanted.category for question in names.questions)
        for name in filter(None, (wanted.model, wanted.other)):
            yield self._of_model(name)
        if wanted.judge:
            yield cases.by_judge(wanted.judge in (judge.name, judge_label(judge)) for judge in names.judges)
        if wanted.run:
            yield cases.by_judge(judge.root == self.run(wanted.run) for judge in names.judges)

    def _voted(self) -> BoolArray:
        import numpy as np

        found: BoolArray = np.isfinite(self.cases.people)
        return found

    def _of_model(self, name: str) -> BoolArray:
        models = self.cases.names.models
        found: BoolArray = self.cases.by_shown(
            any(name in (models[one].name, model_label(models[one])) for one in several)
            for several in self.cases.names.shown
        )
        return found

    def of_model(self, wanted: CaseFilter) -> FloatArray:
        """The value as it is for the chosen model; without one, for the pair's first."""
        import numpy as np

        if not wanted.model:
            return self.cases.value
        models = self.cases.names.models
        second = self.cases.by_shown(
            len(several) == 2 and wanted.model in (models[several[1]].name, model_label(models[several[1]]))
            for several in self.cases.names.shown
        )
        found: FloatArray = np.where(second & self.cases.pair, 1 - self.cases.value, self.cases.value)
        return found

    def run(self, number: str) -> int:
        """Position of a path among those opened.

        Raises:
            UsageError: there is none of that number.
        """
        count = len(self.cases.names.roots)
        if not number.isdecimal() or not 1 <= int(number[:9]) <= count:
            raise UsageError(f"there is no run {number!r}; runs are numbered from 1 to {count}")
        return int(number) - 1

    def shift(self, run: str) -> FloatArray:
        """How far each case's value is from that of the same case in another run; NaN where it has none there."""
        import numpy as np

        found: FloatArray = np.nan_to_num(np.abs(self.cases.value - self.cases.elsewhere(self.run(run))), nan=0.0)
        return found

    def _verdict(self, wanted: CaseFilter) -> BoolArray:
        import numpy as np

        if wanted.verdict in VERDICTS:
            value = self.of_model(wanted) - 0.5
            says = {"win": value > 1e-9, "loss": value < -1e-9, "tie": np.abs(value) <= 1e-9}
            found: BoolArray = self.cases.pair & says[wanted.verdict]
            return found
        labels = self.cases.names.labels
        code = labels.index(wanted.verdict) if wanted.verdict in labels else -2
        return self.cases.any_row(self.cases.labels == code)

    def _failure(self, kind: str) -> BoolArray:
        kinds = self.cases.names.kinds
        if kind in ("any", "none"):
            found: BoolArray = (self.cases.failed > 0) == (kind == "any")
            return found
        return self.cases.any_row(self.cases.kinds == (kinds.index(kind) if kind in kinds else -2))

    def _with_text(self, wanted: str, place: str) -> BoolArray:
        """Cases whose question, answers or judgments hold a text."""
        cases, names = self.cases, self.cases.names
        if place == "judge":
            return self._said(wanted)
        key = (place, wanted.casefold())
        if key not in cases.cached:
            if place == "question":
                asked = self.texts.questions_with(wanted)
                cases.cached[key] = cases.by_question(
                    (question.benchmark, question.item) in asked or wanted.casefold() in question.item.casefold()
                    for question in names.questions
                )
            else:
                cases.cached[key] = self._answered(wanted)
        found: BoolArray = cases.cached[key]
        return found

    def _answered(self, wanted: str) -> BoolArray:
        import numpy as np

        cases, names = self.cases, self.cases.names
        hits = self.texts.with_text(wanted)
        questions: dict[tuple[str, str], list[int]] = {}
        for number, question in enumerate(names.questions):
            questions.setdefault((question.benchmark, question.item), []).append(number)
        shown: dict[str, list[int]] = {}
        for number, several in enumerate(names.shown):
            for one in several:
                shown.setdefault(names.models[one].name, []).append(number)
        width = max(1, len(names.shown))
        codes = [
            question * width + several
            for benchmark, item, model in hits
            for question in questions.get((benchmark, item), ())
            for several in shown.get(model, ())
        ]
        found: BoolArray = np.isin(cases.item * width + cases.shown, np.array(sorted(codes), dtype=np.int64))
        return found

    def searching(self, wanted: CaseFilter) -> float | None:
        """Part of the judges' words that were looked through so far; None where no search is under way."""
        search = self._searches.get(wanted.q.casefold()) if wanted.place == "judge" else None
        return None if search is None or search.complete else search.progress

    def _said(self, wanted: str) -> BoolArray:
        """Cases with a judgment whose words hold a text, as far as the files were looked through."""
        cases = self.cases
        search = self._searches.setdefault(
            wanted.casefold(),
            WordSearch(wanted, cases.names.files, cases.columns["source"], cases.columns["offset"]),
        )
        search.go_on(self.patience)
        return cases.any_row(search.hits[cases.rows])

    def _order(self, wanted: CaseFilter) -> FloatArray:
        """What the cases are ordered by, the lowest first."""
        import numpy as np

        cases = self.cases
        sort = wanted.sort or "worst"
        if sort in ("worst", "best"):
            value = self._standing_of(wanted)
            return value if sort == "worst" else -value
        if sort == "moved":
            return -self.shift(wanted.moved) if wanted.moved else np.zeros(len(cases))
        if sort == "stored":
            return cases.rows[cases.starts[:-1]].astype(np.float64)
        columns = {
            "difference": cases.spread,
            "disagreement": cases.apart,
            "longest": cases.length.astype(np.float64),
            "newest": cases.newest,
        }
        return -columns[sort]

    def _standing_of(self, wanted: CaseFilter) -> FloatArray:
        """Share of the scale: of the chosen model; of a pair without one, how badly its loser does."""
        import numpy as np

        cases = self.cases
        if wanted.model:
            found: FloatArray = np.where(cases.pair, self.of_model(wanted), cases.standing)
        else:
            found = np.where(cases.pair, np.minimum(cases.value, 1 - cases.value), cases.standing)
        return found


def judge_label(judge: Any) -> str:
    """Who judged, by which protocol."""
    return f"{judge.name} ({judge.protocol})"


def model_label(model: Any) -> str:
    """A model with the beginning of its fingerprint, for several configurations of one name."""
    return f"{model.name}@{model.fingerprint[:8]}"
