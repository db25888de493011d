"""The pages of `evalkit label`: one to vote on, one that shows what the votes come to, one for who organises them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from evalkit.app.access import ORGANISER, Access
from evalkit.app.server import in_thread, respond
from evalkit.app.vote_figures import VoteFigures
from evalkit.app.vote_scales import criterion_values
from evalkit.app.vote_statistics import Number, agreement_lines, summary
from evalkit.app.vote_tasks import VoteTask
from evalkit.app.voting import SKIPS, VoteForm, Voting, comment_of, told_of
from evalkit.core.protocols import UsageError
from evalkit.core.schema import Judgment
from evalkit.storage.store import NotStored, StoreError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute

SIDES: Final = {1: ("Answer",), 2: ("Left", "Right")}


@dataclass
class LabelPages:
    """Pages over votes.

    Args:
        voting: takes them.
        paths: results, for the judges' verdicts and ratings.
        access: makes links and form tokens.
        annotators: who is invited by name.
        wanted: the number asked for.
        until: half of the width that it is to be known to, in points.
        pilot: whether agreement and times are what this is about.
    """

    voting: Voting
    paths: tuple[Path, ...]
    access: Access
    annotators: tuple[str, ...]
    wanted: Number = "winrate"
    until: float = 5.0
    pilot: bool = False
    figures: VoteFigures = field(init=False)

    def __post_init__(self) -> None:
        """Nothing is worked out before somebody looks."""
        self.figures = VoteFigures(self.voting, self.paths, self.wanted, self.until)

    def routes(self) -> list[BaseRoute]:
        """Where each page is."""
        from starlette.routing import Route

        return [
            Route("/", in_thread(self.organise)),
            Route("/vote", in_thread(self.vote)),
            Route("/vote", self._posted, methods=["POST"]),
            Route("/standing", in_thread(self.standing)),
            Route("/version", in_thread(self.version)),
        ]

    def organise(self, request: Request) -> Response:
        """Links, progress, agreement: for who started the server. Annotators are sent on to vote."""
        from starlette.responses import RedirectResponse

        if request.state.role != ORGANISER:
            return RedirectResponse("/vote", 303)
        _, votes = self.voting.snapshot()
        names = list(dict.fromkeys([*self.annotators, *sorted(votes)]))
        people = [summary(name, list(votes.get(name, {}).values()), len(names)) for name in names]
        return respond(
            "organise.html.j2",
            title="Votes",
            people=people,
            links={name: self.access.link("/vote", name) for name in names},
            left={name: self.voting.left(name) for name in names},
            tasks=len(self.voting.plan.tasks),
            shared=len(self.voting.plan.shared),
            warnings=[warning for one in people for warning in one.warnings],
            agreement=agreement_lines(votes, self.voting.scale),
            precision=self.figures.precision(votes),
            pilot=self.pilot,
        )

    def vote(self, request: Request, trouble: str = "", form: VoteForm | None = None) -> Response:
        """What the annotator is asked next, or to look at again."""
        from starlette.responses import RedirectResponse

        annotator = request.state.role
        if annotator == ORGANISER:
            return RedirectResponse("/", 303)
        again = request.query_params.get("task", "")
        task = self.voting.task(again) if again else self.voting.next_task(annotator)
        own = self.voting.votes.get(annotator, {})
        last = request.query_params.get("after", "")
        context = {
            "title": "Vote" if task else "Done",
            "annotator": annotator,
            "done": len(own),
            "left": self.voting.left(annotator),
            "saved": self._saved(own.get(last), last) if last in own else None,
            "trouble": trouble,
            "own": bool(own),
        }
        if task is None:
            return respond("vote.html.j2", task=None, **context)
        known = own.get(task.id)
        return respond(
            "vote.html.j2",
            400 if trouble else 200,
            task=task,
            shown=task.shown(annotator),
            sides=SIDES[len(task.answers)],
            scale=self.voting.scale,
            criteria=[(one, criterion_values(one)) for one in task.criteria()],
            skips=SKIPS,
            csrf=self.access.form_token(annotator),
            known=_known(known, form),
            **context,
        )

    def _saved(self, row: Judgment | None, task: str) -> dict[str, Any] | None:
        """What was just voted, and what the judges say of the same answers: shown only now."""
        if row is None:
            return None
        said = f"skipped: {row.error.message}" if row.error else _words(row)
        judges = []
        if row.error is None:
            for judge, verdicts in self.figures.verdicts().items():
                if task in verdicts:
                    judges.append((judge, _judged_words(row, verdicts[task])))
        return {"task": task, "said": said, "judges": judges}

    async def _posted(self, request: Request) -> Response:
        """A vote arrives: it is stored before anything is answered."""
        from starlette.concurrency import run_in_threadpool
        from starlette.responses import RedirectResponse

        body = (await request.body()).decode("utf-8", "replace")
        given = {
            name: values[-1] for name, values in parse_qs(body, keep_blank_values=True, max_num_fields=500).items()
        }
        annotator = request.state.role
        if annotator == ORGANISER or not self.access.good_form(annotator, given.get("csrf", "")):
            return respond("message.html.j2", 403, title="Not possible", text="This form is not from a page of yours.")
        task = self.voting.task(given.get("task", ""))
        form = _form(given, task)
        try:
            await run_in_threadpool(self.voting.record, annotator, task, form)
            self.figures.latest()  # worked out while the next pair is read
        except (UsageError, NotStored) as error:
            lost = isinstance(error, NotStored | StoreError)
            told = f"This vote is NOT stored; send it again when that is mended: {error}" if lost else str(error)
            request.scope["query_string"] = f"task={task.id}".encode()
            return await run_in_threadpool(self.vote, request, told, form)
        return RedirectResponse(f"/vote?after={task.id}", 303)

    def standing(self, request: Request) -> Response:
        """What the votes come to so far, beside the judges; for annotators only after a vote of their own."""
        annotator = request.state.role
        if annotator != ORGANISER and not self.voting.votes.get(annotator):
            return respond("message.html.j2", 403, title="Not yet", text="This is shown after your first own vote.")
        shown = self.figures.latest()
        more = self.figures.more(shown) if shown else 0
        return respond("standing.html.j2", title="What the votes come to", shown=shown, more=more)

    def version(self, _: Request) -> Response:
        """A number that rises with the newest figures."""
        from starlette.responses import JSONResponse

        shown = self.figures.latest()
        return JSONResponse({"version": shown.stored if shown else -1, "complete": shown is not None})


def _words(row: Judgment) -> str:
    assert row.scores is not None
    if len(row.scores) == 1:
        return row.label or ""
    if row.scores[0] == row.scores[1]:
        return row.label or "tie"
    side = "left" if row.scores[0] > row.scores[1] else "right"
    return f"{side} is better" + (f" ({row.label})" if row.label not in ("A", "B") else "")


def _judged_words(row: Judgment, verdict: float) -> str:
    """A judge's verdict by the sides that the annotator saw."""
    assert row.scores is not None
    if len(row.scores) == 1:
        return f"{verdict:.3g}"
    if abs(verdict - 0.5) < 1e-9:
        return "neither"
    names = [model.name for model in row.models]
    first_is_left = names[0] == min(names)
    return "left is better" if (verdict > 0.5) == first_is_left else "right is better"


def _form(given: Mapping[str, str], task: VoteTask) -> VoteForm:
    said = {"yes": True, "no": False}
    return VoteForm(
        choice=given.get("choice", ""),
        skip=given.get("skip", "") if given.get("action") == "skip" else "",
        comment=given.get("comment", "").strip(),
        acceptable=tuple(said.get(given.get(f"acceptable_{place}", "")) for place in range(len(task.answers)))
        if any(f"acceptable_{place}" in given for place in range(len(task.answers)))
        else (),
        criteria={one.id: given.get(f"criterion_{place}", "") for place, one in enumerate(task.criteria())},
    )


def _known(row: Judgment | None, form: VoteForm | None) -> dict[str, Any]:
    """What is filled in already: of a vote that is looked at again, or of a form that lacked something."""
    if form is not None:
        return {
            "choice": form.choice,
            "comment": form.comment,
            "acceptable": form.acceptable,
            "criteria": form.criteria,
        }
    if row is None:
        return {"choice": "", "comment": "", "acceptable": (), "criteria": {}}
    told = told_of(row)
    given = told.get("acceptable")
    return {
        "choice": str(told.get("choice", "")),
        "comment": comment_of(row),
        "acceptable": tuple(given) if isinstance(given, list) else (),
        "criteria": {one.id: f"{one.value:g}" for one in row.criteria if one.value is not None},
    }
