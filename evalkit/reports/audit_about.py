"""What an audit is about, as names and values for its page: where the judgments are, and the run that made them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from evalkit.evidence.findings import Audit
from evalkit.storage.run_records import RunRecord, run_records

About = list[tuple[str, str]]

OWN = ("fingerprint", "protocol", "parser", "prompts", "references", "backend", "model", "sampling", "system_prompt")
"""Fields of a model or judge that are told apart, in this order; the rest of its configuration follows."""
SHORT = 12
"""Characters of a hash that are shown."""
MANY = 20
"""Models of a run that are shown one by one."""


def about(paths: Sequence[Path], human: Path | None, found: Audit) -> About:
    """What an audit is of: the paths as given, how much there is, when it was judged, and the newest run."""
    rows = [("audited", ", ".join(str(path) for path in paths))]
    if human is not None:
        rows.append(("votes of people", str(human)))
    rows.append(("judgments", f"{sum(subject.judgments for subject in found.subjects):,}"))
    if found.dated:
        first, last = (datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%d %H:%M UTC") for when in found.dated)
        rows.append(("judged", first if first == last else f"{first} to {last}"))
    benchmarks = {subject.benchmark for subject in found.subjects}
    records = [record for record in run_records(paths) if record.benchmark in benchmarks]
    return rows + (
        of_run(records[-1], f"newest of {len(records)} runs: " if len(records) > 1 else "") if records else []
    )


def of_run(record: RunRecord, prefix: str = "") -> About:
    """One run: what ran, on what, and what it took."""
    rows = [
        ("run", f"{prefix}{record.benchmark}, begun {record.started}, {record.outcome} after {record.seconds:,.0f} s"),
        ("items", f"{record.items:,}; references: {record.references or 'none'}"),
        *((f"data: {name}", f"SHA-256 {digest}") for name, digest in record.data.items()),
    ]
    for kind, group in (("model", record.models), ("judge", record.judges)):
        listed = list(group.items())
        rows += [(f"{kind} {name}", described(fields)) for name, fields in listed[:MANY]]
        if len(listed) > MANY:
            rows.append((f"{kind}s", f"and {len(listed) - MANY} more: see manifest.json"))
    for name, stage in record.stages.items():
        lost = ", ".join(f"{count:,} {kind}" for kind, count in stage.failed.items())
        stored = f", {stage.stored:,} of them stored before" if stage.stored else ""
        rows.append((name, f"{stage.done:,} of {stage.total:,}{stored}" + (f"; failed: {lost}" if lost else "")))
    rows += [("warning", text) for text in record.warnings]
    rows += _of_tournament(record)
    rows += _spent(record)
    packages = ", ".join(f"{name} {version}" for name, version in record.packages.items())
    rows.append(("versions", f"evalkit {record.evalkit}, Python {record.python}, {packages}"))
    if record.git and isinstance(record.git.get("commit"), str):
        changed = " with changes" if record.git.get("changed") else ""
        rows.append(("git", f"{record.git['commit'][:SHORT]}{changed}"))
    return rows


def described(fields: Mapping[str, Any]) -> str:
    """The configuration of one model or judge, in a line; what is not set is left out."""
    order = [name for name in OWN if name in fields] + [name for name in fields if name not in OWN]
    parts = []
    for name in order:
        value = fields[name]
        if value in (None, {}, [], ""):
            continue
        hashed = name in ("fingerprint", "prompts") and isinstance(value, str)
        parts.append(f"{name.replace('_', ' ')} {_text(value[:SHORT] if hashed else value)}")
    return "; ".join(parts)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name}={_text(inner)}" for name, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_text(inner) for inner in value)
    return str(value)


def _of_tournament(record: RunRecord) -> Iterable[tuple[str, str]]:
    """The rule by which pairs were chosen, what that guarantees, and what it does not."""
    if until := record.tournament.get("until"):
        yield "tournament", f"until={until}: its ranks and win rates are in tournament.json"
        yield "its guarantee", record.tournament.get("guarantee", "")
        yield (
            "other intervals",
            "all other intervals of ratings and win rates here take the pairs as fixed beforehand, which they were not",
        )


def _spent(record: RunRecord) -> Iterable[tuple[str, str]]:
    """Requests, tokens and cost, by model."""
    for name, used in record.traffic.items():
        if not used.asked:
            continue
        cost = "cost unknown" if used.cost is None or used.unpriced else f"${used.cost:,.4g}"
        tokens = f"{used.usage.prompt_tokens:,} prompt and {used.usage.completion_tokens:,} new tokens"
        yield f"asked of {name}", f"{used.asked:,} requests; {tokens}; {cost}"
