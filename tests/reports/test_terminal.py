"""Tables on a terminal: whatever the width, a number is whole and no line is too long."""

from __future__ import annotations

import io
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from evalkit.reports import terminal
from evalkit.reports.leaderboard_grid import Grid, GridCell


def shown(grid: Grid, width: int) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, highlight=False)
    for table in terminal.tables(grid, width):
        console.print(table)
    return out.getvalue()


def judges(count: int, protocol: str = "llmbar_vanilla") -> Grid:
    """One table of several judges side by side."""
    cells = [GridCell(f"{1000 + number}", f"99{number}–105{number}") for number in range(count)]
    headers = ("model", *(f"judge{number} ({protocol})" for number in range(count)))
    return Grid("", headers, ((GridCell("gpt4_1106_preview"), *cells), (GridCell("llama-2"), *cells)))


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140, 1000])
def test_numbers_and_names_stay_whole(width):
    text = shown(judges(7), width)
    assert max(map(len, text.splitlines())) <= width
    for number in range(7):
        assert text.count(f"{1000 + number}") == 2
        assert text.count(f"99{number}–105{number}") == 2
    assert "gpt4_1106_preview" in text
    assert {"judge0", "(llmbar_", "vanilla)"} <= set(re.findall(r"[^\s]+", text)) or "judge0 (llmbar_vanilla)" in text


def test_limits_go_below_before_columns_go_to_another_table():
    def tables(width: int) -> tuple[int, bool]:
        lines = shown(judges(7), width).splitlines()
        return sum("model" in line for line in lines), any("1000 990–" in line for line in lines)

    assert tables(400) == (1, True)
    assert tables(110) == (1, False)
    assert tables(80)[0] == 2
    assert tables(40)[0] > 2


def test_few_columns_are_as_they_were():
    first, *_, last = (line.strip() for line in shown(judges(1, "p"), 80).splitlines() if line.strip())
    assert re.split(r" {2,}", first) == ["model", "judge0 (p)"]
    assert re.split(r" {2,}", last) == ["llama-2", "1000 990–1050"]


def test_a_long_name_breaks_between_its_words():
    name = "an-organisation/a-very-long-name-of-some-model-70b-instruct"
    text = shown(Grid("", ("model", "n"), ((GridCell(name), GridCell("12")),)), 60)
    lines = [line.replace("12", "").strip() for line in text.splitlines()[3:-1]]
    assert "".join(lines) == name
    assert all(line.endswith(("-", "/")) for line in lines[:-1])
    assert name in shown(Grid("", ("model", "n"), ((GridCell(name), GridCell("12")),)), 80)


NAMES = st.text(st.characters(exclude_categories=("Cs",)), max_size=70)
NUMBERS = st.floats(-1e5, 1e5).map(lambda value: f"{value:z.2f}")
CELLS = st.builds(GridCell, NUMBERS, st.one_of(st.just(""), st.builds("{}–{}".format, NUMBERS, NUMBERS)))


@settings(max_examples=60, deadline=None)
@given(st.data(), st.integers(60, 160), st.integers(1, 8), st.integers(1, 3), st.integers(1, 2))
def test_anything_fits(data, width, columns, rows, left):
    names = [tuple(map(GridCell, data.draw(st.tuples(*[NAMES] * left)))) for _ in range(rows)]
    cells = [data.draw(st.tuples(*[CELLS] * columns)) for _ in range(rows)]
    headers = data.draw(st.tuples(*[NAMES] * (left + columns)))
    grid = Grid("", headers, tuple((*one, *other) for one, other in zip(names, cells, strict=True)), left=left)
    text = shown(grid, width)
    assert max(map(cell_len, text.splitlines())) <= width
    for cell in (cell for row in cells for cell in row):
        assert cell.text in text
        assert cell.limits in text
