"""Where text goes: into memory, also where Rich would show it in a notebook's cell."""

from __future__ import annotations

import io

import pytest

import evalkit as ek
from evalkit.core.console import on_paper
from evalkit.engine.progress import NotebookWatch, watching
from evalkit.models.client import Clients


@pytest.fixture
def notebook(monkeypatch):
    """A process that Rich takes for a notebook's kernel; what is displayed."""
    display = pytest.importorskip("IPython.display")
    shown = []

    class Handle:
        def update(self, data, raw):
            shown.append(data)

    def record(*values, **_):
        shown.extend(values)
        return Handle()

    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr(display, "display", record)
    return shown


def test_what_is_written_to_memory_is_not_displayed(notebook):
    buffer = io.StringIO()
    on_paper(buffer, 40).print("[b]text[/b]", markup=False)
    assert buffer.getvalue() == "[b]text[/b]\n"
    assert notebook == []


def test_a_run_without_progress_displays_nothing_in_a_notebook(notebook, tmp_path):
    given = {"model": "fake", "judge": "fake", "limit": 1, "results_dir": tmp_path}
    done = ek.run("pocket", **given, progress=False)
    assert "requests in" in done.told
    assert notebook == []


def test_a_notebook_has_one_live_region_which_is_empty_in_the_end(notebook):
    from rich.console import Console

    with watching(Console(file=io.StringIO()), Clients(()), 4, 0) as watch:
        assert isinstance(watch, NotebookWatch)
        watch.answers.done = 3
        watch.answers.failed["<b>"] += 1
        watch._print()
    began, state, ended = notebook[:3]
    assert "0/4" in began["text/html"]
    assert "<progress value='3' max='4'>" in state["text/html"]
    assert "1 &lt;b&gt;" in state["text/html"]
    assert "judgments" not in state["text/html"]
    assert "1 <b>" in state["text/plain"]
    assert ended == {"text/plain": "", "text/html": ""}
