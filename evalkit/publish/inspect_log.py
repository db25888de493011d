"""Graded answers as logs of inspect_ai (version 2 of its format): one JSON a benchmark and model, a scorer a judge."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import isnan
from typing import Any

from evalkit import __version__
from evalkit.core.schema import Item, Judgment, Response, digest

VERSION = 2
UNSCORED = float("nan")
"""Inspect's value of a sample that a scorer gave nothing: its metrics leave it out."""
REASONS = {"unparsed": "invalid_response_format", "refused": "refusal"}
"""What Inspect calls kinds of failure of a judge; the others are failures of the grader."""


@dataclass
class _JudgedAnswer:
    """One answer, and what judges gave it."""

    response: Response
    scores: dict[str, list[Judgment]] = field(default_factory=dict)


class InspectLogs:
    """Gathers answers and their grades; `logs` gives the files. Pairs have no place in such a log and are counted."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = {(item.benchmark, item.id): item for item in items}
        self._samples: dict[str, _JudgedAnswer] = {}
        self.counts: Counter[str] = Counter()

    def answer(self, row: Response) -> None:
        """Take in an answer."""
        self._samples[row.id] = _JudgedAnswer(row)
        self.counts["answers"] += 1

    def judgment(self, row: Judgment) -> None:
        """Take in a judgment of an answer that is there."""
        if len(row.shown) != 1:
            self.counts["left out: judgments of several answers"] += 1
        elif row.shown[0] not in self._samples:
            self.counts["left out: judgments of answers that are not stored"] += 1
        else:
            name = f"{row.judge.name}.{row.protocol}"
            self._samples[row.shown[0]].scores.setdefault(name, []).append(row)
            self.counts["judgments"] += 1

    def logs(self) -> dict[tuple[str, str], dict[str, Any]]:
        """The logs, by benchmark and model."""
        groups: dict[tuple[str, str, str], list[_JudgedAnswer]] = {}
        for sample in self._samples.values():
            row = sample.response
            groups.setdefault((row.benchmark, row.model.name, row.model.fingerprint), []).append(sample)
        newest: dict[tuple[str, str], list[_JudgedAnswer]] = {}
        for (benchmark, model, _), samples in groups.items():  # in the order stored: the last configuration counts
            newest[benchmark, model] = samples
        return {place: self._log(*place, samples) for place, samples in newest.items()}

    def _log(self, benchmark: str, model: str, samples: Sequence[_JudgedAnswer]) -> dict[str, Any]:
        created = min((one.response.created for one in samples), default=0.0)
        ids = [one.response.item for one in samples]
        identity = digest(benchmark, samples[0].response.model, ids)
        written = [self._sample(one) for one in samples]
        failed = sum("error" in one for one in written)
        return {
            "version": VERSION,
            "status": "success",
            "eval": {
                "eval_id": identity[:22],
                "run_id": identity[:22],
                "created": datetime.fromtimestamp(created, UTC).isoformat(timespec="seconds"),
                "task": benchmark,
                "task_id": identity[:22],
                "task_version": 0,
                "dataset": {"name": benchmark, "samples": len(set(ids)), "sample_ids": list(dict.fromkeys(ids))},
                "model": model,
                "model_args": {"fingerprint": samples[0].response.model.fingerprint},
                "config": {},
                "packages": {"evalkit": __version__},
                "metadata": {"made by": f"evalkit {__version__}"},
            },
            "results": {
                "total_samples": len(samples),
                "completed_samples": len(samples) - failed,
                "scores": _results(samples),
            },
            "stats": {"started_at": "", "completed_at": "", "model_usage": {}},
            "samples": written,
        }

    def _sample(self, sample: _JudgedAnswer) -> dict[str, Any]:
        row = sample.response
        item = self._items.get((row.benchmark, row.item))
        asked = item.turns if item is not None else ()
        messages: list[dict[str, Any]] = []
        if item is not None:
            messages += [{"role": "system", "content": item.system}] if item.system else []
            messages += [
                {"role": one.role, "content": one.content} for one in item.messages if one.role in ("user", "assistant")
            ]
        last = max(len(row.turns), 1)
        for turn in range(last):
            text = asked[turn] if turn < len(asked) else f"(question {row.item} is not stored)"
            messages.append({"role": "user", "content": text})
            if turn < last - 1:
                messages.append({"role": "assistant", "content": row.turns[turn]})
        answer = row.turns[-1] if row.turns else ""
        reference = item.reference[last - 1] if item is not None and last <= len(item.reference) else None
        finish = row.finish[-1] if row.finish else "stop"
        reply = {"role": "assistant", "content": answer, "source": "generate", "model": row.model.name}
        stop = {"stop": "stop", "length": "max_tokens", "refusal": "content_filter"}[finish]
        found: dict[str, Any] = {
            "id": row.item,
            "epoch": row.sample + 1,
            "input": messages,
            "target": reference or "",
            "messages": [*messages, reply],
            "output": {
                "model": row.model.name,
                "choices": [{"message": reply, "stop_reason": stop}],
                "completion": answer,
            },
            "scores": {name: _score(rows) for name, rows in sample.scores.items()},
            "metadata": {"category": row.category, "response": row.id},
        }
        if row.error is not None:
            why = f"{row.error.kind}: {row.error.message}"
            found["error"] = {"message": why, "traceback": "", "traceback_ansi": ""}
        return found


def _score(rows: Sequence[Judgment]) -> dict[str, Any]:
    """What one judge gave an answer: the mean over its turns; every verdict stands in the metadata."""
    given = [row.scores[0] for row in rows if row.scores is not None]
    lost = [f"{row.error.kind}: {row.error.message}" for row in rows if row.error is not None]
    verdicts = [
        {
            "turn": row.turn,
            "repeat": row.repeat,
            "score": None if row.scores is None else row.scores[0],
            "label": row.label,
            "error": None if row.error is None else row.error.kind,
        }
        for row in rows
    ]
    score: dict[str, Any] = {
        "value": sum(given) / len(given) if given else UNSCORED,
        "explanation": "\n\n".join(row.raw for row in rows if row.raw) or None,
        "metadata": {"judge": rows[0].judge.name, "fingerprint": rows[0].judge.fingerprint, "verdicts": verdicts},
    }
    if lost:
        score["metadata"]["failed"] = lost
    if not given:
        kind = next((row.error.kind for row in rows if row.error is not None), "")
        score["reason"] = REASONS.get(kind, "grader_failed")
    return score


def _results(samples: Sequence[_JudgedAnswer]) -> list[Mapping[str, Any]]:
    names = dict.fromkeys(name for sample in samples for name in sample.scores)
    result: list[Mapping[str, Any]] = []
    for name in names:
        values = [_score(sample.scores[name])["value"] for sample in samples if name in sample.scores]
        numbers = [value for value in values if not isnan(value)]
        metrics = {"mean": {"name": "mean", "value": sum(numbers) / len(numbers)}} if numbers else {}
        result.append(
            {
                "name": name,
                "scorer": name,
                "scored_samples": len(numbers),
                "unscored_samples": len(values) - len(numbers),
                "metrics": metrics,
            }
        )
    return result
