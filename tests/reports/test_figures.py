"""Figures: one drawing for pages and files; labels are text whatever they hold, nothing overlaps, nothing is cut."""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
from importlib import resources
from itertools import combinations
from xml.etree import ElementTree

import pytest

from evalkit.core.protocols import UsageError
from evalkit.reports.audit_figures import SHARES, Bars, Cloud, Forest, Mark
from evalkit.reports.figure_drawing import LABEL, PALETTE, draw, shortened, text_width, wrapped
from evalkit.reports.figure_files import inline_svg, save
from tests.shared_data import shared_data

ODD = (
    "<script>alert(1)</script>",
    '"><svg onload=alert(1)>&amp;',
    "$\\frac{1}{0}$ and $unclosed",
    "$$\\href{javascript:alert(5)}{x}$$ _private",
    "two\nlines\r\nand\ttabs",
    "\x1b[31mred\x1b[0m \x00 \u202egnp.exe\u2066 \ud800",
    "模型-评测-七十亿参数-指令微调版本-第二次",
    "שלום עולם مرحبا بالعالم",
    "llama 🦙🔥 \N{WOMAN}\N{ZERO WIDTH JOINER}\N{ROCKET}",
    "organisation/" + "x" * 400 + "-13b",
    "",
    " ",
)


def forest(rows=ODD, series=("one", "two"), **more):
    marks = [Mark(0.1 * at, 0.1 * at - 0.05, 0.1 * at + 0.05) for at in range(len(rows))]
    return Forest(alt='an <alt> "text"', unit="a unit", rows=tuple(rows), series=dict.fromkeys(series, marks), **more)


def cloud(names=ODD):
    points = [(name, Mark(at * 0.2, at * 0.2 - 0.1, at * 0.2 + 0.1), Mark(at * 0.1)) for at, name in enumerate(names)]
    return Cloud(alt="a", x=f"rating by {ODD[0]}", y=f"rating by {ODD[2]}", points=tuple(points))


def bars(names=ODD[:4]):
    return Bars(alt="a", x=ODD[2], bins=ODD, series={name: [1 / len(ODD)] * len(ODD) for name in names})


FIGURES = {
    "forest": forest(),
    "one series": forest(series=("one",), null=0.0),
    "odd series": forest(series=ODD[:7], span=SHARES),
    "cloud": cloud(),
    "bars": bars(),
}


@pytest.fixture(params=FIGURES)
def figure(request):
    return FIGURES[request.param]


def test_an_inline_figure_is_well_formed_and_inert(figure):
    root = ElementTree.fromstring(inline_svg(figure))
    tags = {element.tag for element in root.iter()}
    assert {"svg", "text", "path", "title"} <= tags <= {"svg", "text", "path", "circle", "title"}
    names = {name for element in root.iter() for name in element.attrib}
    assert not [name for name in names if name.startswith("on") or name in ("id", "href", "style", "fill")]
    text = "".join(root.itertext())
    assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text)
    assert "<script>alert(1)</script>" in text


def test_text_is_text_and_not_mathematics():
    said = "".join(ElementTree.fromstring(inline_svg(forest(rows=(ODD[2],)))).itertext())
    assert ODD[2] in said


def test_colours_follow_the_page():
    page = (resources.files("evalkit.reports") / "page.css").read_text(encoding="utf-8")
    light = dict(re.findall(r"--(\w+): (#\w+)", page.split("@media")[0]))
    dark = dict(re.findall(r"--(\w+): (#\w+)", page.split("@media")[1]))
    for name, colour in PALETTE.items():
        assert colour in (light[name], light[name] + "fff"), name
        assert dark[name] != light[name]
    assert "#" not in re.sub(r"&#\w+;", "", inline_svg(forest(rows=("a", "b"))))


@pytest.mark.parametrize("form", ["svg", *(pytest.param(form, marks=pytest.mark.slow) for form in ("png", "pdf"))])
def test_files_are_written_without_a_warning_and_are_reproducible(figure, form, tmp_path):
    one, two = tmp_path / f"one.{form}", tmp_path / f"two.{form.upper()}"
    save(figure, one)
    save(figure, two)
    data = one.read_bytes()
    assert data == two.read_bytes()
    assert data.startswith({"svg": b"<svg", "png": b"\x89PNG", "pdf": b"%PDF"}[form])
    assert len(data) > 2000
    if form == "svg":
        assert ElementTree.fromstring(data).tag == "{http://www.w3.org/2000/svg}svg"
        assert b"var(" not in data
        assert PALETTE["accent"].encode() in data


def test_other_files_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"'a\.gif': no figure has the format '\.gif'; .*\.svg, \.png, \.pdf"):
        save(forest(), tmp_path / "a.gif")
    with pytest.raises(UsageError, match="cannot write"):
        save(forest(), tmp_path / "missing" / "a.png")


@pytest.mark.parametrize(
    "figure",
    [
        forest(rows=[f"{name}-model" for name in ("a", "bb" * 30, "WWWWWWWW" * 3, "org/a-long-name-of-a-model-70b")]),
        forest(rows=["x" * 90] * 30, series=("a" * 90, "b", "c" * 40, "d"), span=SHARES),
        forest(rows=("r",), series=("s",)),
        cloud([f"model-{at}" for at in range(12)]),
        cloud([f"a-rather-long-name-of-a-model-{at}" for at in range(12)]),
        Cloud(alt="a", x="x" * 200, y="y" * 200, points=tuple((f"same-{at}", Mark(1), Mark(1)) for at in range(6))),
        Bars(alt="a", x="score", bins=tuple(f"{at}.25–{at}.75" for at in range(10)), series={"s": [0.1] * 10}),
        Bars(alt="a", x="x", bins=tuple(map(str, range(1, 22))), series={n * 30: [0.05] * 21 for n in "abc"}),
    ],
)
def test_texts_do_not_overlap_and_are_not_cut(figure):
    """Measured with the font of PNG and PDF, which is wider than the usual ones of browsers."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.text import Text

    drawing = draw(figure)
    FigureCanvasAgg(drawing).draw()
    texts = [one for one in drawing.findobj(Text) if one.get_text().strip() and one.get_visible()]
    assert len(texts) >= 4
    whole = drawing.bbox
    boxes = [(one.get_text(), one.get_window_extent()) for one in texts]
    for text, box in boxes:
        assert box.x0 >= 0 <= box.y0, text
        assert box.x1 <= whole.x1, text
        assert box.y1 <= whole.y1, text
    for (one, a), (other, b) in combinations(boxes, 2):
        apart = a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 + 3.5 or b.y1 <= a.y0 + 3.5  # descents of a line
        assert apart, (one, other)


def test_what_is_not_a_number_is_not_drawn():
    nan, inf = math.nan, math.inf
    marks = [Mark(nan), Mark(inf), Mark(-1e300, -inf, inf), Mark(1, nan, 2), Mark(2, -inf, 3), Mark(3, 2, 4), None]
    rows = tuple(f"r{at}" for at in range(len(marks)))
    svg = inline_svg(Forest(alt="a", unit="u", rows=rows, series={"s": marks}, null=0.0))
    assert len(re.findall("<title>", svg)) == 3
    assert svg.count('stroke-width="2"') == 1
    pairs = tuple((name, mark, Mark(1.0)) for name, mark in zip(rows, marks, strict=True) if mark)
    svg += inline_svg(Cloud(alt="a", x="x", y="y", points=pairs))
    svg += inline_svg(Bars(alt="a", x="x", bins=("1", "2"), series={"s": [nan, 1.0]}))
    svg += inline_svg(Forest(alt="a", unit="u", rows=("r",), series={"s": [None]}))
    svg += inline_svg(Forest(alt="a", unit="u", rows=(), series={}))
    svg += inline_svg(Cloud(alt="a", x="x", y="y", points=()))
    svg += inline_svg(Bars(alt="a", x="x", bins=(), series={}))
    assert not re.search(r"nan|inf|e\+", svg)


def test_marks_and_intervals_stand_where_the_numbers_are():
    marks = [Mark(0.0, 0.0, 0.5), Mark(1.0, 0.5, 1.0), Mark(0.5, -3.0, 7.0)]
    svg = inline_svg(Forest(alt="a", unit="u", rows=("a", "b", "c"), series={"s": marks}, span=SHARES))
    low, high, middle = (float(x) for x in re.findall(r'<circle [^>]*cx="([\d.]+)"', svg))
    assert middle == pytest.approx((low + high) / 2, abs=0.1)
    reach = re.findall(r'd="M([\d.]+) [\d.]+L([\d.]+) [\d.]+" stroke-width="2"', svg)
    expected = [(low, middle), (middle, high), (low, high)]  # what is beyond the axis ends with it
    assert [tuple(map(float, one)) for one in reach] == [pytest.approx(one, abs=0.11) for one in expected]
    ticks = {text: float(x) for x, text in re.findall(r' x="([\d.]+)"[^>]*>(\d+%)<', svg)}
    assert (ticks["0%"], ticks["100%"]) == pytest.approx((low, high), abs=0.1)
    assert "<title>c: 50.0% [-300.0%, 700.0%]</title>" in svg


def test_a_shortened_name_keeps_both_ends():
    names = [f"organisation/some-very-long-model-name-of-these-days-{size}" for size in ("7b", "13b", "70b")]
    short = [shortened(name, LABEL) for name in names]
    assert len(set(short)) == 3
    assert all(text_width(name) <= LABEL for name in short)
    assert shortened("gpt-4", LABEL) == "gpt-4"
    lines = wrapped(names[0])
    assert len(lines) == 2
    assert all(text_width(line) <= LABEL for line in lines)
    assert lines[-1].endswith("-7b")


def test_drawing_leaves_matplotlib_as_it_was():
    """A style of the calling program neither reaches our figures nor is lost."""
    import matplotlib as mpl

    plain = inline_svg(forest())
    with mpl.rc_context({"text.usetex": True, "axes.grid": True, "lines.linewidth": 9, "font.size": 30}):
        before = dict(mpl.rcParams)
        assert inline_svg(forest()) == plain
        assert dict(mpl.rcParams) == before


@pytest.mark.slow
def test_a_home_that_cannot_be_written_is_not_noticed(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    code = (
        "import sys; from pathlib import Path; from evalkit.reports.audit_figures import Bars\n"
        "from evalkit.reports.figure_files import inline_svg, save\n"
        "figure = Bars(alt='a', x='x', bins=('1',), series={'s': [1.0]})\n"
        f"save(figure, Path({str(tmp_path / 'a.png')!r})); "
        "print(len(inline_svg(figure)), 'matplotlib.pyplot' in sys.modules)"
    )
    unset = ("MPLCONFIGDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    environment |= {"HOME": str(blocked), "XDG_CACHE_HOME": str(blocked), "XDG_CONFIG_HOME": str(blocked)}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert (done.returncode, done.stderr) == (0, "")
    size, pyplot = done.stdout.split()
    assert int(size) > 500
    assert pyplot == "False"
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_the_page_of_the_mtbench_votes_is_small(tmp_path, cli):
    assert cli("import", "fastchat", str(shared_data("mtbench_votes")), "--into", "votes").code == 0
    assert cli("audit", "votes", "-o", "report.html").code == 0
    text = (tmp_path / "report.html").read_bytes()
    assert len(text) < 400_000
    assert text.count(b"<svg") >= 7
    assert b"names the same winner" in text
