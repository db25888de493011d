"""The verb ``evalkit label``: people vote, blind, in the browser; every vote is a judgment in the results."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.cli.arguments import parse
from evalkit.cli.messages import DONE, note
from evalkit.core.protocols import UsageError

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from evalkit.app.access import Access
    from evalkit.app.vote_scales import VoteScale
    from evalkit.app.vote_statistics import PairsKnownWell
    from evalkit.core.schema import Criterion


def main(arguments: Sequence[str]) -> int:
    """Read the command line and carry it out. Returns the exit code.

    Raises:
        UsageError: there is nothing to vote on, or an option makes no sense.
    """
    parser = argparse.ArgumentParser(prog="evalkit label")
    add_options(parser)
    given = parse(parser, arguments)
    from evalkit.app import server

    server.require()
    from evalkit.app.label_pages import LabelPages
    from evalkit.app.vote_tasks import VotePlan, from_table, is_table, tasks_of
    from evalkit.app.voting import Voting, check_annotator
    from evalkit.cli.pages import open_pages
    from evalkit.interop.records import Told

    if given.votes is not None:
        from evalkit.app.vote_files import write_votes

        note(f"{write_votes([given.path], given.votes):,} votes in {given.votes}")
        return DONE
    ballot, criteria = _ballot(given)
    annotators = tuple(dict.fromkeys(check_annotator(name) for name in given.annotator or [_user()]))
    read = Told()
    path = from_table(given.path, given.into, read) if is_table(given.path) else given.path
    for text in read.notes():
        note(text)
    tasks = tasks_of([path], ballot.shows)
    if ballot.name == "rubric":
        tasks = [task.judged_by(criteria) if criteria else task for task in tasks]
        tasks = [task for task in tasks if task.criteria()]
        if not tasks:
            raise UsageError(f"no question in {str(path)!r} has a rubric; give one with --rubric, or another --scale")
    share = _share(given.overlap)
    if not 0 < given.until <= 50:
        raise UsageError(f"--until {given.until:g} is not possible; give percentage points, more than 0 and at most 50")
    plan = VotePlan(tuple(tasks), 1.0 if given.pilot else share)
    voting = Voting(plan, ballot, _known(given, ballot))

    def routes(access: Access) -> list[BaseRoute]:
        pages = LabelPages(voting, (path,), access, annotators, given.for_, given.until, given.pilot)
        pages.figures.verdicts()  # read before the first person waits for them
        return pages.routes()

    def told(access: Access) -> None:
        host = _reached_at(given.host)
        for name in annotators:
            note(f"{name} votes at {access.link('/vote', name, host)}")

    note(f"{len(tasks):,} to vote on in {path}; votes are stored there, under the names of who votes")
    try:
        open_pages(routes, given, secret=_secret(path), told=told, first=("/vote", annotators[0]))
    finally:
        voting.close()
    return DONE


def _known(given: argparse.Namespace, ballot: VoteScale) -> PairsKnownWell | None:
    """What leaves out pairs of models that are known well enough; None where questions come in random order.

    Raises:
        UsageError: the number asked for, or the scale, leaves nothing to choose.
    """
    from evalkit.app.vote_statistics import PairsKnownWell

    if given.choose == "random":
        return None
    if given.for_ == "agreement" or ballot.shows != 2:
        what = "--for agreement" if ballot.shows == 2 else f"--scale {ballot.name}"
        raise UsageError(f"--choose undecided chooses among pairs of models; with {what} there is nothing to choose")
    return PairsKnownWell(given.for_, given.until)


def _ballot(given: argparse.Namespace) -> tuple[VoteScale, tuple[Criterion, ...]]:
    """The scale, and the criteria of a rubric that takes the place of the questions' own.

    Raises:
        UsageError: there is no such scale or rubric, or the two do not go together.
    """
    import msgspec

    from evalkit.app.vote_scales import scale
    from evalkit.core.schema import digest

    if given.rubric is None:
        return scale(given.scale or "abt", given.grades), ()
    if given.scale not in (None, "rubric"):
        raise UsageError(f"--rubric {given.rubric} goes with --scale rubric, not with --scale {given.scale}")
    from evalkit.settings import rubrics

    criteria, formula = rubrics.load(given.rubric)
    for doubt in rubrics.doubts(criteria):
        note(f"rubric {given.rubric}: {doubt}")
    if formula != "mean" and all(one.points <= 0 for one in criteria):
        raise UsageError(f"rubric {given.rubric}: no criterion has positive points, so there is nothing to score")
    ballot = scale("rubric")
    # Other criteria under the same name are another question to people: their votes are kept apart.
    name = f"{ballot.protocol}_{Path(given.rubric).stem}_{digest(msgspec.to_builtins(criteria))[:6]}"
    return replace(ballot, protocol=name, formula="mean" if formula == "mean" else "share"), criteria


def add_options(label: argparse.ArgumentParser) -> None:
    """The options of labelling."""
    from evalkit.app.vote_scales import NAMES
    from evalkit.cli.pages import add_server_options

    add = label.add_argument
    path = "a results folder with answers, or a table with question, answer_a, answer_b (CSV, JSONL, XLSX, ...)"
    add("path", nargs="?", type=Path, default=Path("results"), metavar="QUESTIONS-OR-RESULTS", help=path)
    scales = (
        "A, B or tie; 1 to 8; four margins a side; grades of single answers; a rubric's criteria; how far an answer "
        "refused (default: abt)"
    )
    add("--scale", choices=list(NAMES), help=scales)
    rubric = "criteria to vote by, a file or `evalkit list rubrics`, in place of the questions' own"
    add("--rubric", metavar="NAME|FILE", help=rubric)
    add("--grades", default="1-10", metavar="LOW-HIGH", help="grade: the lowest and the highest (default: 1-10)")
    who = "who votes; may be given several times, each gets a link (default: the user of this machine)"
    add("--annotator", action="append", metavar="NAME", help=who)
    add("--overlap", default="20%", metavar="SHARE", help="what every annotator is asked (default: 20%%)")
    add("--pilot", action="store_true", help="ask everybody everything, to see agreement and times first")
    wanted = (
        "the number that is to be known: win rate of each pair, the judge's agreement, who is better (default: winrate)"
    )
    add("--for", dest="for_", choices=["winrate", "agreement", "ranking"], default="winrate", help=wanted)
    add(
        "--until", type=float, default=5.0, metavar="POINTS", help="how well: plus or minus so many points (default: 5)"
    )
    choose = "which pair of models comes next: any, or those whose number is not known well yet (default: random)"
    add("--choose", choices=["random", "undecided"], default="random", help=choose)
    add(
        "--into",
        type=Path,
        default=Path("results"),
        metavar="DIR",
        help="results folder for a table (default: results)",
    )
    add("--votes", type=Path, metavar="FILE", help="write all votes to a .csv, .xlsx or .jsonl file, and end")
    add_server_options(label)


def _share(text: str) -> float:
    number = text.removesuffix("%")
    try:
        share = float(number) / (100 if text.endswith("%") else 1)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise UsageError(f"--overlap {text!r} is no share; write it like 20% or 0.2")
    return share


def _user() -> str:
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "me"


def _reached_at(host: str) -> str | None:
    """The name by which others reach this machine where it listens everywhere; None: as the host is."""
    if host not in ("0.0.0.0", "::"):
        return None
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent: this only asks which of its addresses would be used
            found: str = probe.getsockname()[0]
        except OSError:
            return None
    return found


def _secret(path: Path) -> bytes:
    """What signs the links of these results: the same next time, so that links stay good."""
    import os
    import secrets

    from evalkit.core.paths import cache_dir
    from evalkit.core.schema import digest

    file = cache_dir() / "label" / digest(str(path.resolve()))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as written:
            written.write(secrets.token_bytes(32))
    except FileExistsError:
        pass
    except OSError:
        return secrets.token_bytes(32)
    kept = file.read_bytes()
    return kept if len(kept) == 32 else secrets.token_bytes(32)
