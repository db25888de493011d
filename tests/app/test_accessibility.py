"""axe-core finds nothing to complain of on any page, in Chromium, wide and narrow, light and dark.

It is no part of the project: ``EVALKIT_AXE`` names its file, axe.min.js; else npm gets this one version of it.
"""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest

from evalkit.app.case_page import CaseReader
from evalkit.app.export import export
from evalkit.app.label_pages import LabelPages
from evalkit.app.prompts import PromptRebuilder
from evalkit.app.results import OpenResults
from evalkit.app.view_pages import ViewPages
from evalkit.app.vote_scales import NAMES, scale
from evalkit.app.vote_tasks import VotePlan, tasks_of
from evalkit.app.voting import VoteForm, Voting
from evalkit.core.schema import Criterion
from tests.app.browser import chromium, served
from tests.app.planted import results

AXE = "axe-core@4.14.1", "e6b0ce02b84d892e2e33e403485e7f3d6c29e2be6df65daf44d89ba564139745"
"""What npm is asked for, and the SHA-256 of its archive."""
SCREENS = [(width, scheme) for width in (1280, 400) for scheme in ("light", "dark")]
WIDE = "An answer\n\n```\n" + "code " * 90 + "\n```\n\n" + "| cell" * 30 + "|\n" + "|-" * 30 + "|\n\n# And"
"""Code and a table that are wider than any page."""
RUBRIC = (Criterion(id="right", text="Is it right?", points=3), Criterion(id="clear", text="How clear?", kind="1-5"))


@pytest.fixture(scope="module")
def axe(tmp_path_factory) -> str:
    """The script."""
    if given := os.environ.get("EVALKIT_AXE"):
        return Path(given).read_text()
    if shutil.which("npm") is None:
        pytest.skip("needs axe-core: neither EVALKIT_AXE nor npm is there")
    folder, (name, known) = tmp_path_factory.mktemp("axe"), AXE
    command = ["npm", "pack", name, "--silent", "--pack-destination", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=folder)
    archives = list(folder.glob("*.tgz"))
    if done.returncode or not archives:
        pytest.skip(f"npm did not get {name}: {done.stderr[-200:]}")
    content = archives[0].read_bytes()
    assert hashlib.sha256(content).hexdigest() == known
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        script = archive.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode()


def check(page, axe: str, name: str) -> None:
    """The page that is open, as it is, on each screen."""
    page.evaluate(axe)
    for width, scheme in SCREENS:
        page.set_viewport_size({"width": width, "height": 800})
        page.emulate_media(color_scheme=scheme)
        found = page.evaluate("axe.run({preload: false})")["violations"]
        assert [(one["id"], one["nodes"][0]["html"]) for one in found] == [], (name, width, scheme)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (name, width, scheme)


@pytest.mark.slow
def test_pages_of_view(axe, tmp_path):
    old, new = results(tmp_path / "old", text=WIDE), results(tmp_path / "new", text=WIDE)
    opened = OpenResults((old, new))
    export(opened, CaseReader(opened, None), tmp_path / "out")
    routes = ViewPages(opened, CaseReader(opened, PromptRebuilder(opened.paths))).routes()
    case = "case?of=pocket&item=q1&m=one&m=two"
    addresses = [
        "",
        "?judge=judge&moved=1",
        "?q=nothing+like+it",
        case,
        "compare",
        "compare?old=one&new=two",
        "?page=x",
    ]
    with (
        served(routes) as access,
        chromium(viewport={"width": 400, "height": 800}, bypass_csp=True) as page,
    ):
        page.goto(access.link())
        for address in [*addresses, "nothing", "?sort=nonsense"]:
            page.goto(f"http://127.0.0.1:{access.port}/{address}")
            check(page, axe, address)
        page.goto(f"http://127.0.0.1:{access.port}/{case}")
        page.keyboard.press("d")
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        check(page, axe, "everything open")
        for file in [tmp_path / "out" / "index.html", next((tmp_path / "out" / "case").glob("*.html"))]:
            page.goto(file.as_uri())
            check(page, axe, file.name)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_pages_of_label(axe, tmp_path, name):
    folder, ballot = results(tmp_path / "results", questions=6, text=WIDE), scale(name)
    tasks = [task.judged_by(RUBRIC) for task in tasks_of([folder], ballot.shows)]
    voting = Voting(VotePlan(tuple(tasks), 1.0), ballot)
    given = VoteForm(ballot.buttons[0].label if ballot.buttons else "", criteria={"right": "1", "clear": "2"})
    for task in tasks[:-2]:
        for annotator in ("zoe", "max"):
            voting.record(annotator, task, given)
    with (
        served(lambda access: LabelPages(voting, (folder,), access, ("zoe", "max"), pilot=True).routes()) as access,
        chromium(viewport={"width": 400, "height": 800}, bypass_csp=True) as page,
    ):
        page.goto(access.link("/vote", "zoe"))
        check(page, axe, "vote")
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        check(page, axe, "vote, everything open")
        if name == "rubric":
            page.keyboard.press("Tab")
            page.click("text=Save")
            page.wait_for_selector("[role=alert]")
            check(page, axe, "something lacks")
        page.goto(f"http://127.0.0.1:{access.port}/vote?after={tasks[0].id}")
        check(page, axe, "after a vote")
        page.goto(f"http://127.0.0.1:{access.port}/vote?task={tasks[0].id}")
        check(page, axe, "a vote again")
        page.goto(f"http://127.0.0.1:{access.port}/standing")
        check(page, axe, "what the votes come to, or will")
        page.wait_for_selector("main table")
        check(page, axe, "what the votes come to")
        for task in tasks:
            voting.record("zoe", task, given)
        page.goto(f"http://127.0.0.1:{access.port}/vote")
        check(page, axe, "nothing left")
        page.goto(access.link("/standing", "nobody yet"))
        check(page, axe, "not yet")
        page.goto(access.link())
        assert page.inner_text("h1") == "Votes pilot"
        check(page, axe, "organiser")


@pytest.mark.slow
def test_pages_that_are_files(axe, cli, tmp_path):
    results(tmp_path / "results", questions=12)
    pages = {name: tmp_path / f"{name}.html" for name in ("audit", "leaderboard", "judges")}
    for name, file in pages.items():
        assert cli(name, "results", "-o", str(file)).code == 0
    assert cli("run", "pocket", "model=fake", "judge=fake", "limit=1", "results_dir=other").code == 0
    (pages["run"],) = (tmp_path / "other").glob("**/report.html")
    with chromium(viewport={"width": 400, "height": 800}, bypass_csp=True) as page:
        for name, file in pages.items():
            page.goto(file.as_uri())
            page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
            check(page, axe, name)
