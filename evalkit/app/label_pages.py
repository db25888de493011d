"""The pages of `evalkit label`: one to vote on, one that shows what the votes come to, one for who organises them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs

from evalkit.app.access import ORGANISER, Access
from evalkit.app.server import in_thread, respond
from evalkit.app.vote_scales import criterion_values
from evalkit.app.vote_statistics import Number, agreement_lines, precisions, summary
from evalkit.app.vote_tasks import VoteTask
from evalkit.app.voting import SKIPS, VoteForm, Voting, comment_of, told_of
from evalkit.core.protocols import EvalkitError, UsageError
from evalkit.core.schema import Judgment, digest
from evalkit.ratings.judgment_columns import outcome_of, rater_kind
from evalkit.storage.results import judged_rows

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
    _standing: tuple[int, dict[str, Any]] | None = None
    _busy: threading.Lock = field(default_factory=threading.Lock)
    _verdicts: dict[str, dict[str, float]] | None = None

    def routes(self) -> list[BaseRoute]:
        """Where each page is."""
        from starlette.routing import Route

        return [
            Route("/", in_thread(self.organise)),
            Route("/vote", in_thread(self.vote)),
            Route("/vote", self._posted, methods=["POST"]),
            Route("/standing", in_thread(self.standing)),
        ]

    def organise(self, request: Request) -> Response:
        """Links, progress, agreement: for who started the server. Annotators are sent on to vote."""
        from starlette.responses import RedirectResponse

        if request.state.role != ORGANISER:
            return RedirectResponse("/vote", 303)
        votes = self.voting.votes
        names = list(dict.fromkeys([*self.annotators, *sorted(votes)]))
        people = [summary(name, list(votes.get(name, {}).values())) for name in names]
        return respond(
            "organise.html.j2",
            title="Votes",
            people=people,
            links={name: self.access.link("/vote", name) for name in names},
            left={name: self.voting.left(name) for name in names},
            tasks=len(self.voting.plan.tasks),
            shared=len(self.voting.plan.shared()),
            warnings=[warning for one in people for warning in one.warnings],
            agreement=agreement_lines(votes, self.voting.scale),
            precision=self._precision(),
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
            for judge, verdicts in self._judges().items():
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
        except UsageError as error:
            request.scope["query_string"] = f"task={task.id}".encode()
            return await run_in_threadpool(self.vote, request, str(error), form)
        return RedirectResponse(f"/vote?after={task.id}", 303)

    def standing(self, request: Request) -> Response:
        """What the votes come to so far, beside the judges; for annotators only after a vote of their own."""
        annotator = request.state.role
        if annotator != ORGANISER and not self.voting.votes.get(annotator):
            return respond("message.html.j2", 403, title="Not yet", text="This is shown after your first own vote.")
        with self._busy:
            count = sum(map(len, self.voting.votes.values()))
            if self._standing is None or self._standing[0] != count:
                self._standing = count, self._rated()
        return respond("standing.html.j2", title="What the votes come to", count=count, **self._standing[1])

    def _rated(self) -> dict[str, Any]:
        """Tables of ratings by people beside those by judges, corrected win rates, agreement."""
        from evalkit.ratings import leaderboard
        from evalkit.ratings.beside import side_by_side
        from evalkit.reports import leaderboard_grid

        grids, notes = [], list[str]()
        pairs = self.voting.scale.shows == 2
        try:
            choices = leaderboard.Choices(paths=self.paths, method="elo" if pairs else "score", permutations=200)
            board = leaderboard.rate(choices)
            beside = side_by_side(board.standings)
            grids = [grid for table in beside for grid in leaderboard_grid.beside(table)]
            grids = grids or leaderboard_grid.all_grids(board.standings, [])
            notes += board.notes
            corrected, agreement = _against_judges(self.paths)
        except EvalkitError as error:
            notes.append(str(error))
            corrected, agreement = [], []
        return {
            "grids": grids,
            "notes": notes,
            "corrected": corrected,
            "agreement": [*agreement, *agreement_lines(self.voting.votes, self.voting.scale)],
            "precision": self._precision(),
        }

    def _precision(self) -> list[str]:
        """How well the number asked for is known."""
        if self.voting.scale.shows != 2:
            return []
        judges = self._judges()
        main = max(judges, key=lambda judge: len(judges[judge]), default="")
        found = precisions(
            self.voting.votes, judges.get(main, {}), self.wanted, self.until, len(self.voting.plan.tasks)
        )
        if self.wanted == "agreement" and not main:
            return ["No judge judged these pairs, so there is no agreement to estimate."]
        return [one.sentence for one in found]

    def _judges(self) -> dict[str, dict[str, float]]:
        """What judges say of each task: a grade, or the mean outcome for the model first by name."""
        if self._verdicts is None:
            sums: dict[str, dict[str, list[float]]] = {}
            known = {task.id for task in self.voting.plan.tasks}
            for log in judged_rows(self.paths):
                for row in log:
                    named = digest((row.benchmark, row.item), row.turn, sorted(row.shown))[:20]
                    if rater_kind(row.judge) != "judge" or named not in known or row.scores is None:
                        continue
                    sums.setdefault(row.judge.name, {}).setdefault(named, []).append(_first_score(row))
            self._verdicts = {
                judge: {task: sum(values) / len(values) for task, values in tasks.items()}
                for judge, tasks in sums.items()
            }
        return self._verdicts


def _against_judges(paths: tuple[Path, ...]) -> tuple[list[str], list[str]]:
    """Win rates of judges corrected by people's votes, and how often judges and people agree, in sentences."""
    from evalkit.audit import corrections
    from evalkit.audit.agreement_counts import agreement_rows
    from evalkit.evidence.gather import gather

    corrected, agreement = [], []
    for gathered in gather(row for log in judged_rows(paths) for row in log):
        for evidence in gathered.evidence:
            corrected += [
                f"{evidence.judge}: {one.sentence}"
                for one in corrections.findings(evidence)
                if one.metric == corrections.CORRECTED.name and one.estimate is not None
            ]
        for row in agreement_rows(gathered):
            if row.category is None and row.turn is None and row.setup == "S1" and row.total:
                agreement.append(
                    f"{row.judge} and {row.other}: {row.agree / row.total:.0%} the same verdict (ties counted), "
                    f"on {row.total:g} comparisons"
                )
    return corrected, agreement


def _first_score(row: Any) -> float:
    if len(row.scores) == 1:
        return float(row.scores[0])
    outcome = outcome_of(row.scores)
    names = [model.name for model in row.models]
    return outcome if names == sorted(names) else 1 - outcome


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
