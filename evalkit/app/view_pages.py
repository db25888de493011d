"""The pages of `evalkit view`: the table, an open case, and two models beside each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalkit.app import filters
from evalkit.app.case_page import CaseReader
from evalkit.app.case_table import case_query, choices, lines
from evalkit.app.compare import ComparedModel, compared
from evalkit.app.filters import PAGE, PLACES, SORTS, CaseFilter
from evalkit.app.results import OpenResults
from evalkit.app.server import in_thread, respond

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute


@dataclass(frozen=True)
class ViewPages:
    """Pages over results.

    Args:
        results: that are open.
        reader: of what a page about a case shows.
    """

    results: OpenResults
    reader: CaseReader

    def routes(self) -> list[BaseRoute]:
        """Where each page is."""
        from starlette.routing import Route

        return [
            Route("/", in_thread(self.table)),
            Route("/case", in_thread(self.case)),
            Route("/compare", in_thread(self.compare)),
            Route("/version", in_thread(self.version)),
        ]

    def table(self, request: Request) -> Response:
        """The table, one page of it."""
        self.results.look()
        wanted = filters.read(request.query_params)
        chosen = self.results.chooser.chosen(wanted)
        begin = (wanted.page_number - 1) * PAGE
        part = chosen[begin : begin + PAGE]
        return respond(
            "table.html.j2",
            **table_context(self.results, wanted),
            **_pages(wanted, begin, len(chosen), so_far=self.results.chooser.searching(wanted) is not None),
            lines=lines(self.results, part, wanted),
        )

    def case(self, request: Request) -> Response:
        """One question, some answers, and all that was said of them."""
        self.results.look()
        wanted = filters.read(request.query_params)
        given = request.query_params
        benchmark, item, models = given.get("of", ""), given.get("item", ""), given.getlist("m")
        found = self.reader.read(benchmark, item, models)
        before, after, place = self._steps(wanted, benchmark, item, tuple(models))
        up = f"/?{wanted.query()}" if wanted.query() else "/"
        return respond(
            "case.html.j2",
            title=f"{item}: {' / '.join(models)}",
            case=found,
            up=up,
            before=before,
            after=after,
            place=place,
        )

    def _steps(
        self, wanted: CaseFilter, benchmark: str, item: str, models: tuple[str, ...]
    ) -> tuple[str | None, str | None, str]:
        """The addresses before and after, and which of how many this is, among what the filter shows."""
        import numpy as np

        results, cases = self.results, self.results.cases
        order, names = results.chooser.pages(wanted), self.results.cases.names
        asked = [at for at, one in enumerate(names.questions) if (one.benchmark, one.item) == (benchmark, item)]
        shown = [at for at, several in enumerate(names.shown) if self._labels(several) == models]
        at = np.flatnonzero(np.isin(cases.item[order], asked) & np.isin(cases.shown[order], shown))
        if not at.size:
            return None, None, ""
        here = int(at[0])

        def address(place: int) -> str | None:
            if not 0 <= place < len(order):
                return None
            case = int(order[place])
            question = names.questions[int(cases.item[case])]
            labels = self._labels(names.shown[int(cases.shown[case])])
            return "/" + case_query(question.benchmark, question.item, labels, wanted)

        return address(here - 1), address(here + 1), f"{here + 1:,} of {len(order):,}"

    def _labels(self, several: tuple[int, ...]) -> tuple[str, ...]:
        return tuple(self.results.model_label(self.results.cases.names.models[one]) for one in several)

    def compare(self, request: Request) -> Response:
        """Two models, or two runs of one."""
        self.results.look()
        choice, given = choices(self.results), request.query_params
        wanted = filters.read(given)
        first = choice.models[0] if choice.models else ""
        last = choice.models[-1] if choice.models else ""
        old = ComparedModel(given.get("old", first), given.get("old_run", ""))
        new = ComparedModel(given.get("new", last), given.get("new_run", ""))
        asked = "old" in given
        found = compared(self.results, old, new, wanted) if asked else []
        title = f"{new.label} against {old.label}" if asked else "Compare two models"
        return respond(
            "compare.html.j2",
            title=title,
            choice=choice,
            runs=_runs(choice.runs),
            old=old,
            new=new,
            found=found,
            asked=asked,
        )

    def version(self, _: Request) -> Response:
        """A number that rises when rows arrive."""
        from starlette.responses import JSONResponse

        self.results.look()
        return JSONResponse({"version": self.results.index.version, "complete": self.results.index.complete})


def table_context(results: OpenResults, wanted: CaseFilter) -> dict[str, Any]:
    """What the table's page says beside its lines."""
    choice = choices(results)
    notes = []
    if not results.index.complete:
        notes.append(f"Still reading: {results.index.progress:.0%} of the files so far. The table fills up by itself.")
    searched = results.chooser.searching(wanted)
    if searched is not None:
        notes.append(f"Still searching: {searched:.0%} of the judges' words so far. The table fills up by itself.")
    return {
        "title": ", ".join(choice.benchmarks[:4]) + (" and more" if len(choice.benchmarks) > 4 else "")
        or "No judgments",
        "wanted": wanted,
        "choice": choice,
        "places": list(PLACES.items())[1:],
        "sorts": [
            (name, said) for name, said in SORTS.items() if name != "worst" and (name != "moved" or wanted.moved)
        ],
        "runs": _runs(choice.runs),
        "verdicts": [
            ("win", "the model wins" if wanted.model else "the first by name wins"),
            ("loss", "the model loses" if wanted.model else "the second by name wins"),
            ("tie", "tie"),
            *((label, f"“{label}”") for label in choice.labels),
        ],
        "failures": [("any", "with a failure"), ("none", "without"), *((kind, kind) for kind in choice.kinds)],
        # No version is that of a search that goes on: the page is asked for again until it ends.
        "version": results.index.version if searched is None else "searching",
        "notes": notes,
    }


def _runs(paths: list[str]) -> list[tuple[str, str]]:
    return [(str(number), f"{number}: {path}") for number, path in enumerate(paths, start=1)]


def _pages(wanted: CaseFilter, begin: int, count: int, *, so_far: bool) -> dict[str, Any]:
    """How many there are, or were found so far, and the addresses of the pages around."""
    number = wanted.page_number
    last = min(begin + PAGE, count)
    said = f"{begin + 1:,} to {last:,} of {count:,} cases" if begin < last else f"{count:,} cases"
    if so_far:
        said += " so far"
    elif wanted.active and not count:
        said = "No case fits: " + ", ".join(f"{name} {value}" for name, value in wanted.active.items())
    before = "/?" + wanted.query(page=str(number - 1) if number > 2 else "") if number > 1 else None
    return {
        "count": said,
        "before": before,
        "after": "/?" + wanted.query(page=str(number + 1)) if last < count else None,
    }
