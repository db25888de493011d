"""axe-core finds nothing to complain of. It is not part of the project: EVALKIT_AXE names its file, axe.min.js."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from evalkit.app.case_page import CaseReader
from evalkit.app.export import export
from evalkit.app.label_pages import LabelPages
from evalkit.app.results import OpenResults
from evalkit.app.server import asset
from evalkit.app.vote_scales import ABT, scale
from evalkit.app.vote_tasks import VotePlan, tasks_of
from evalkit.app.voting import VoteForm, Voting
from tests.app.browser import chromium, client
from tests.app.planted import results

AXE = os.environ.get("EVALKIT_AXE", "")


def written(pages: dict[str, str], out: Path) -> list[Path]:
    """Pages of the server as files that a browser opens, with their styles in place."""
    made = []
    for name, text in pages.items():
        for style in ("page.css", "app.css"):
            (out / style).write_text(asset(style))
        (out / f"{name}.html").write_text(text.replace("/static/", ""))
        made.append(out / f"{name}.html")
    return made


@pytest.mark.slow
@pytest.mark.skipif(not AXE, reason="needs axe-core; EVALKIT_AXE=.../axe.min.js")
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (400, "light"), (400, "dark")])
def test_no_violations(tmp_path, width, scheme):
    folder = results(tmp_path / "results")
    opened = OpenResults((folder,))
    export(opened, CaseReader(opened, None), tmp_path / "out")
    files = [tmp_path / "out" / "index.html", next((tmp_path / "out" / "case").glob("*.html"))]
    for name, ballot in (("abt", ABT), ("grade", scale("grade"))):
        voting = Voting(VotePlan(tuple(tasks_of([folder], ballot.shows)), 1.0), ballot)
        calls = client(lambda access: LabelPages(voting, (folder,), access, ("zoe",)).routes(), role="zoe")  # noqa: B023
        voting.record("zoe", voting.next_task("zoe"), VoteForm(ballot.buttons[0].label))
        pages = {f"{name}-vote": calls.get("/vote").text, f"{name}-standing": calls.get("/standing").text}
        calls.role = ""
        files += written(pages | {f"{name}-organise": calls.get("/").text}, tmp_path)
    with chromium(viewport={"width": width, "height": 800}, color_scheme=scheme, bypass_csp=True) as page:
        for file in files:
            page.goto(file.as_uri())
            page.evaluate(Path(AXE).read_text())
            found = page.evaluate("axe.run()")["violations"]
            assert [(one["id"], one["nodes"][0]["html"]) for one in found] == [], file.name
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), file.name
