"""A gate's decision -> one line, JSON, JUnit XML, LaTeX, or Markdown for a job's summary."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any
from xml.etree import ElementTree

from evalkit.core.text import plain
from evalkit.decisions.gate import GateDecision, count
from evalkit.reports import leaderboard_tables
from evalkit.reports.grid import Grid, GridCell

SCHEMA = "evalkit.gate/1"


def fields(found: GateDecision) -> dict[str, Any]:
    """The decision as plain data; ``difference`` is NEW - OLD."""
    verdicts, itself = found.verdicts, found.against_itself
    return {
        "schema": SCHEMA,
        "verdict": found.verdict,
        "new": verdicts.a,
        "old": verdicts.b,
        "benchmark": verdicts.benchmark,
        "judge": verdicts.judge,
        "protocol": verdicts.protocol,
        "of": verdicts.kind,
        "difference": found.difference,
        "lower": found.lower,
        "upper": found.upper,
        "margin": found.margin,
        "alpha": found.alpha,
        "n": found.n,
        "more_items": found.more_items,
        "failed_new": found.failed[0],
        "failed_old": found.failed[1],
        "sequential": found.sequential,
        "against_itself": None
        if itself is None
        else {
            "source": itself.source,
            "pass": itself.passed,
            "fail": itself.failed,
            "inconclusive": itself.undecided,
            "draws": itself.draws,
            "n": itself.n,
        },
        "sentence": found.line(),
        "reason": found.reason,
    }


def to_json(found: GateDecision) -> str:
    """The decision as data, schema ``evalkit.gate/1``."""
    return json.dumps(fields(found), indent=2, ensure_ascii=False, allow_nan=False)


def remarks(found: GateDecision) -> list[str]:
    """What belongs beside the one line: A/A rates, failures."""
    said = []
    itself = found.against_itself
    if itself is not None:
        how = (
            f"two verdicts of {found.verdicts.judge} on the same answers of {found.verdicts.b}"
            if itself.source == "repeats"
            else f"{found.verdicts.b} and {found.verdicts.a}"
        )
        said.append(
            f"A/A: of a model against itself ({how}, swapped at random {itself.draws:,} times"
            f"{'' if itself.n == found.n else f', on {count(itself.n)}'}), this gate passes "
            f"{100 * itself.passed:.1f}%, fails {100 * itself.failed:.1f}% and leaves {100 * itself.undecided:.1f}% "
            "undecided"
        )
    if any(found.failed):
        new, old = found.failed
        said.append(
            f"failed and not compared: {new} of {found.verdicts.a}, {old} of {found.verdicts.b}; the gate holds for "
            "the rest"
        )
    if found.sequential:
        said.append("sequential: the interval holds at every look, so the gate may be asked again as judgments arrive")
    return said


def to_markdown(found: GateDecision) -> str:
    """The decision as Markdown, for GITHUB_STEP_SUMMARY."""
    mark = {"pass": "✅", "fail": "❌", "inconclusive": "❔"}[found.verdict]
    cells = _cells(found)
    lines = [f"### {mark} evalkit gate: {found.verdict}", "", _escaped(found.line()), ""]
    lines += ["| " + " | ".join(cells) + " |", "|" + " ---: |" * len(cells)]
    lines += ["| " + " | ".join(cells.values()) + " |", ""]
    lines += [f"- {_escaped(text)}" for text in remarks(found)]
    return "\n".join(lines).rstrip()


def _cells(found: GateDecision) -> dict[str, str]:
    """The decision's numbers by what they are called."""
    data = fields(found)
    shown = ("difference", "lower", "upper", "margin", "n", "more_items")
    return {name: "–" if data[name] is None else f"{data[name]:.4g}" for name in shown}


def to_latex(found: GateDecision) -> str:
    """The decision as a table in the style of the booktabs package; the caption says it in words."""
    cells = {"verdict": found.verdict} | _cells(found)
    row = tuple(map(GridCell, cells.values()))
    title = " ".join([found.line() + ".", *(f"{text}." for text in remarks(found))])
    return leaderboard_tables.to_latex([Grid(title, tuple(name.replace("_", " ") for name in cells), (row,))])


def _escaped(text: str) -> str:
    return re.sub(r"[\\|\[\]`*_#]", r"\\\g<0>", plain(text)).replace("&", "&amp;").replace("<", "&lt;")


def to_junit(found: GateDecision, when: datetime | None = None) -> str:
    """The decision as JUnit XML: a failed gate is a failed test, an undecided one an error.

    Valid by both schemas that readers go by: Jenkins' junit-10.xsd and that of Ant's JUnitReport.

    Args:
        found: the decision.
        when: it was made, in UTC; now unless given.
    """
    verdicts = found.verdicts
    name = xml_text(f"{verdicts.a} is not worse than {verdicts.b} by more than {found.margin:g}")
    group = xml_text(f"evalkit.{verdicts.benchmark}")
    root = ElementTree.Element("testsuites")
    suite = ElementTree.SubElement(
        root,
        "testsuite",
        {
            "name": group,
            "package": "evalkit",
            "id": "0",
            "timestamp": (when or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%S"),
            "hostname": "localhost",
            "tests": "1",
            "failures": str(int(found.verdict == "fail")),
            "errors": str(int(found.verdict == "inconclusive")),
            "skipped": "0",
            "time": "0",
        },
    )
    ElementTree.SubElement(suite, "properties")
    case = ElementTree.SubElement(suite, "testcase", {"classname": group, "name": name, "time": "0"})
    told = xml_text("\n".join([found.line(), *remarks(found)]))
    if found.verdict != "pass":
        tag = "failure" if found.verdict == "fail" else "error"
        problem = ElementTree.SubElement(
            case, tag, {"message": xml_text(found.line()), "type": f"evalkit.gate.{found.verdict}"}
        )
        problem.text = told
    ElementTree.SubElement(suite, "system-out").text = told
    ElementTree.SubElement(suite, "system-err")
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode")


def xml_text(text: str) -> str:
    """Text that XML 1.0 can hold: line by line without control characters."""
    return "\n".join(re.sub("[\ufffe\uffff]", "\ufffd", plain(line)) for line in text.split("\n"))
