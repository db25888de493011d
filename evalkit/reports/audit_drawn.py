"""An audit's figures by name: those of its page, for files and notebooks."""

from __future__ import annotations

from evalkit.core.protocols import UsageError
from evalkit.evidence.findings import Audit
from evalkit.reports.audit_agreement import agreement, overall_figure
from evalkit.reports.audit_figures import Figure
from evalkit.reports.audit_metrics import judge_labels, topics
from evalkit.reports.audit_parts import Section, Table, finite
from evalkit.reports.audit_sections import histograms, places, ratings
from evalkit.reports.audit_topics import sections

KINDS = {
    "agreement": "how often each judge agrees with people, gold labels and other judges",
    "ratings": "models as judges rate them, beside people",
    "scores": "how often each score was given, by judges beside people",
    "places": "how often the answer shown first won, and by how much, by judges beside people",
    "position": "what the order of the two answers changes",
    "length": "what the length of an answer changes",
}
"""Kinds of figures that most audits have; every topic of an audit that was measured is one more."""


def figures(kind: str | None, audit: Audit) -> list[Figure]:
    """The figures of one kind; of None, those of the first kind there is.

    Raises:
        UsageError: there is no such kind, or the data do not have it.
    """
    audit = finite(audit)
    there = _drawn(audit)
    known = list(dict.fromkeys([*KINDS, *(topic.name for topic in topics(audit))]))
    if kind is not None and kind not in known:
        raise UsageError(f"there is no figure {kind!r} of an audit; there are: {', '.join(known)}")
    if kind is None:
        kind = next(iter(there), "agreement")
    if kind not in there:
        some = f"; it has: {', '.join(there)}" if there else ""
        raise UsageError(f"this audit has no figure {kind!r}: its data do not show that{some}")
    return there[kind]


def _drawn(audit: Audit) -> dict[str, list[Figure]]:
    """Every figure of the page by kind, and agreement over all categories."""
    labels = judge_labels(audit)
    overall = overall_figure(audit.agreement)
    found: dict[str, list[Figure]] = {"agreement": [] if overall is None else [overall]}
    listed: list[tuple[str, Section | None]] = [
        ("agreement", agreement(audit)),
        ("ratings", ratings(audit)),
        ("scores", histograms(audit)),
        ("places", places(audit)),
        *((section.id, section) for section in sections(audit, labels)),
    ]
    for name, section in listed:
        parts = () if section is None else section.parts
        found.setdefault(name, []).extend(part for part in parts if not isinstance(part, Table))
    return {name: drawn for name, drawn in found.items() if drawn}
