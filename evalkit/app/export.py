"""The viewer as a folder of files, which opens from disk and from any web host: no server, no request elsewhere."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from evalkit.app.case_page import CaseReader
from evalkit.app.case_table import CaseLine, line
from evalkit.app.filters import CaseFilter
from evalkit.app.results import OpenResults
from evalkit.app.server import asset, page
from evalkit.app.view_pages import table_context
from evalkit.core.files import replace_file
from evalkit.core.protocols import UsageError
from evalkit.core.schema import digest

MOST: Final = 200_000
"""Lines a browser can still filter."""
FIELDS: Final = (
    *("href", "benchmark", "run", "item", "asked", "question", "category", "turn", "models", "model_names", "judge"),
    *("judge_name", "verdict", "tone", "people", "voted", "marks", "labels", "kinds", "length", "value", "standing"),
    *("spread", "apart", "newest"),
)
FILES: Final = ("page.css", "app.css", "app.js", "table.js")


@dataclass(frozen=True)
class Exported:
    """What an export wrote."""

    cases: int
    pages: int


def export(
    results: OpenResults, reader: CaseReader, out: Path, told: Callable[[int, int], None] | None = None
) -> Exported:
    """Write the folder; files of an earlier export in it are replaced.

    Args:
        results: that are open.
        reader: of the pages about cases.
        out: the folder.
        told: called with pages written and pages in all.

    Raises:
        UsageError: there is nothing to write, too much, or the folder cannot be written.
    """
    results.look(whole=True)
    cases = results.cases
    if not len(cases):
        raise UsageError("there are no judgments to export")
    if len(cases) > MOST:
        raise UsageError(
            f"{len(cases):,} cases are more than a folder of pages can hold ({MOST:,}); export one benchmark's folder, "
            "or look at them with `evalkit view`"
        )
    try:
        for folder in (out / "case", out / "static"):
            folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            replace_file(out / "static" / name, asset(name))
        order = results.chooser.pages(CaseFilter()).tolist()
        names = {_place(results, case): _file(results, case) for case in order}
        for at, case in enumerate(order):
            near = [names[_place(results, order[one])] if 0 <= one < len(order) else None for one in (at - 1, at + 1)]
            replace_file(out / "case" / names[_place(results, case)], _page(reader, case, near, at, len(order)))
            if told is not None:
                told(at + 1, len(order))
        listed = [_line(results, case, names) for case in results.chooser.chosen(CaseFilter(sort="stored")).tolist()]
        replace_file(out / "cases.js", _script("caseFields", FIELDS) + _script("caseLines", listed))
        context = table_context(results, CaseFilter())
        index = page("table.html.j2", **context, lines=[], count="", before=None, after=None, root="", exported=True)
        replace_file(out / "index.html", index)
    except OSError as error:
        raise UsageError(
            f"cannot write {str(out)!r}: {error.strerror}; choose another folder with --export DIR"
        ) from error
    return Exported(len(cases), len(order))


def _place(results: OpenResults, case: int) -> tuple[int, int]:
    """What has a page of its own."""
    return int(results.cases.item[case]), int(results.cases.shown[case])


def _file(results: OpenResults, case: int) -> str:
    names = results.cases.names
    question, models = names.questions[int(results.cases.item[case])], names.shown[int(results.cases.shown[case])]
    return digest(question[:2], [names.models[one] for one in models])[:20] + ".html"


def _page(reader: CaseReader, case: int, near: list[str | None], at: int, count: int) -> str:
    results = reader.results
    names = results.cases.names
    question = names.questions[int(results.cases.item[case])]
    models = [results.model_label(names.models[one]) for one in names.shown[int(results.cases.shown[case])]]
    return page(
        "case.html.j2",
        title=f"{question.item}: {' / '.join(models)}",
        case=reader.read(question.benchmark, question.item, models),
        up="../index.html",
        before=near[0],
        after=near[1],
        place=f"{at + 1:,} of {count:,}",
        root="../",
        exported=True,
    )


def _line(results: OpenResults, case: int, files: dict[tuple[int, int], str]) -> list[Any]:
    """One line for the table's script."""
    cases, names = results.cases, results.cases.names
    shown: CaseLine = line(results, case, CaseFilter())
    begin, end = int(cases.starts[case]), int(cases.starts[case + 1])
    question = results.texts.question(shown.benchmark, shown.item)
    judge = names.judges[int(cases.judge[case])]
    values = {
        "href": f"case/{files[_place(results, case)]}",
        "benchmark": shown.benchmark,
        "run": judge.root + 1,
        "item": shown.item,
        "asked": shown.asked,
        "question": " ".join(question.turns)[:2000] if question else "",
        "category": shown.category,
        "turn": shown.turn,
        "models": shown.models,
        "model_names": [names.models[one].name for one in names.shown[int(cases.shown[case])]],
        "judge": shown.judge,
        "judge_name": judge.name,
        "verdict": shown.verdict,
        "tone": shown.tone,
        "people": shown.people,
        "voted": math.isfinite(cases.people[case]),
        "marks": shown.marks,
        "labels": sorted({names.labels[one] for one in cases.labels[begin:end].tolist() if one >= 0}),
        "kinds": sorted({names.kinds[one] for one in cases.kinds[begin:end].tolist() if one >= 0}),
        "length": shown.length,
        "value": _number(cases.value[case]),
        "standing": _number(cases.standing[case]),
        "spread": _number(cases.spread[case]),
        "apart": _number(cases.apart[case]),
        "newest": _number(cases.newest[case]),
    }
    return [_shown(values[name]) for name in FIELDS]


def _shown(value: Any) -> Any:
    """A value with the controls in its texts visible."""
    from evalkit.app.answer_html import visible

    if isinstance(value, str):
        return visible(value)
    return [_shown(one) for one in value] if isinstance(value, list | tuple) else value


def _number(value: Any) -> float | None:
    return round(float(value), 6) if math.isfinite(value) else None


def _script(name: str, value: Any) -> str:
    """A constant, as a script that no text in it can end."""
    text = json.dumps(value, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return f"const {name} = {text};\n"
