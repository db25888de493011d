"""The documentation site: it builds without a warning, every page has its place, and links lead somewhere."""

from __future__ import annotations

import html.parser
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import evalkit as ek

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


class Links(html.parser.HTMLParser):
    """What a page links to and loads, and the anchors it has."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        if tag in ("img", "script") and given.get("src"):
            self.loaded.append(given["src"])
        if tag == "link" and given.get("href") and given.get("rel") != "canonical":
            self.loaded.append(given["href"])
        if given.get("id"):
            self.anchors.add(given["id"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs")
    pytest.importorskip("material")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def read(path: Path) -> Links:
    links = Links()
    links.feed(path.read_text(encoding="utf-8"))
    return links


@pytest.mark.slow
def test_every_page_is_in_the_navigation(site):
    """Also one that mkdocs.yml does not name yet."""
    start = set(read(site / "index.html").links)
    for page in [*DOCS.glob("*.md"), *DOCS.glob("*.ipynb")]:
        assert {f"{page.stem}.html", "."} & start if page.stem == "index" else f"{page.stem}.html" in start, page


@pytest.mark.slow
def test_links_and_anchors_lead_somewhere_and_nothing_comes_from_elsewhere(site):
    pages = {path: read(path) for path in site.glob("*.html") if path.name != "404.html"}
    assert len(pages) >= len(list(DOCS.glob("*.md")))
    for path, found in pages.items():
        assert [one for one in found.loaded if re.match(r"(https?:)?//", one)] == [], path
        for link in found.links:
            if re.match(r"\w+:", link):
                continue
            where, _, anchor = link.partition("#")
            target = (path.parent / where).resolve() if where else path
            target = target / "index.html" if target.is_dir() else target
            assert target.is_file(), (path.name, link)
            if anchor and target in pages:
                assert anchor in pages[target].anchors or anchor == "__skip", (path.name, link)


def test_links_of_the_readme_lead_somewhere():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#\s]+)\)", text)
    assert len(links) > 20
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


def test_the_readme_is_short_and_leads_to_every_task():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 110
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    listed = set(re.findall(r"[\w-]+\.(?:md|ipynb)", str(config["nav"])))
    assert {f"docs/{name}" for name in listed} - set(re.findall(r"docs/[\w-]+\.(?:md|ipynb)", text)) == set()


def sections(page: Path) -> dict[str, str]:
    """The sections of a page by their headings; blocks of code have none."""
    found, heading, fenced = {}, "", False
    for line in page.read_text(encoding="utf-8").splitlines():
        fenced ^= line.startswith("```")
        if not fenced and re.match("#+ ", line):
            heading = line.lstrip("# ")
        found[heading] = found.get(heading, "") + line + "\n"
    return found


@pytest.mark.parametrize(
    ("question", "page", "heading", "word"),
    [
        ("two served checkpoints by their address", "models", "By id", "#NAME"),
        ("a model of OpenAI's by its id", "models", "By id", "openai/ID"),
        ("several models without brackets", "models", "Models and judges", "separated by commas"),
        ("a judge of one's own from 1 to 5", "judges", "A judge that grades from 1 to 5 in JSON", "scale: 1-5"),
        ("people's labels from CSV and XLSX", "importing", "Columns", "--map FIELD=COLUMN"),
        ("questions from CSV with other names", "questions", "Your questions", "fields.turns="),
        ("people's 8-point scale", "label", "Scales", "1 to 4 the left, 5 to 8 the right"),
        ("a broken contestant", "models", "What providers' messages mean", "full of a chat template's marks"),
        ("win rates against a baseline", "numbers", "How numbers are made", "--method winrate --baseline"),
        ("the exit codes", "results", "Exit codes", "130"),
        ("a bias of one's own", "extending", "Extend it", "_target_"),
        ("which judge", "choose-a-judge", "From files", "by category"),
    ],
)
def test_first_questions_are_answered_within_two_clicks_of_the_readme(question, page, heading, word):
    """README, page, heading."""
    assert f"(docs/{page}.md)" in (ROOT / "README.md").read_text(encoding="utf-8"), question
    assert word in sections(DOCS / f"{page}.md")[heading], question


def executed(folder, changes=()):
    """The notebook's cells after a kernel ran them, these texts replaced before; where it dies, its stack is told.

    A signal to this process, as of a time limit, ends the kernel too: nbclient then says that it died, or stumbles.
    """
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    notebook = nbformat.read(DOCS / "notebook.ipynb", as_version=4)
    for cell in notebook.cells:
        for old, new in changes:
            cell.source = cell.source.replace(old, new)
    fault = folder / "fault.txt"
    watched = f"import faulthandler\nfaulthandler.enable(open({str(fault)!r}, 'w'))\n"
    notebook.cells[1].source = watched + notebook.cells[1].source
    client = nbclient.NotebookClient(notebook, timeout=1200, resources={"metadata": {"path": str(folder)}})
    try:
        return client.execute().cells
    except (nbclient.exceptions.DeadKernelError, AssertionError) as error:
        stack = fault.read_text() if fault.exists() else ""
        raise AssertionError(f"the kernel died; {stack or 'without a fault: it was ended from outside'}") from error


def outputs(cells, kind):
    """What the cells gave, of one MIME type."""
    shown = [output.get("data", {}) for cell in cells for output in cell.get("outputs", [])]
    return ["".join(data[kind]) for data in shown if kind in data]


@pytest.mark.slow
def test_the_notebook_runs_on_stand_ins(tmp_path):
    weaker = 'ek.Model(name="smollm2_terse", backend=Fake(skill=5))'
    changes = [
        ('["smollm2", "smollm2_terse"]', f'["fake", {weaker}]'),
        ('"smollm2"', '"fake"'),
        ("import evalkit as ek", "import evalkit as ek\nfrom evalkit.backends.fake import Fake"),
    ]
    cells = executed(tmp_path, changes)
    assert any("smollm2_terse" in text for text in outputs(cells, "text/html"))
    assert len(outputs(cells, "image/png")) == 2


@pytest.mark.slow
def test_the_notebook_runs_on_the_embedded_model(tmp_path):
    """As readers run it: run, look, compare, audit, plot."""
    pytest.importorskip("xllamacpp")
    cells = executed(tmp_path)
    assert any("position_consistency" in text for text in outputs(cells, "text/html"))
    assert len(outputs(cells, "image/png")) == 2
    judged = ek.load(tmp_path / "notebook-results").judgments()
    assert len(judged) == 8


def test_the_notebook_holds_no_output():
    """It is made by running it, and differs from machine to machine."""
    assert '"outputs": []' in (DOCS / "notebook.ipynb").read_text(encoding="utf-8")
    assert '"data"' not in (DOCS / "notebook.ipynb").read_text(encoding="utf-8")
