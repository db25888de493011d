"""Inspect: a log as JSON."""

import json

from tests.interop.files import save as save_list

EXPORTS = False
WHOLE = True
MALFORMED = {"log.json": ("id", "input")}
COUNTS = {"items": 1, "answers": 1, "judgments": 2}
MODEL = "a model"


def load(path):
    """The samples of a log."""
    return json.loads(path.read_text(encoding="utf-8"))["samples"]


def save(path, rows, name=MODEL):
    """A log of these samples."""
    save_list(path, rows)
    text = path.read_text(encoding="utf-8")
    about = json.dumps({"version": 2, "status": "success", "eval": {"task": "tiny", "model": name}})
    path.write_text(f'{about[:-1]}, "samples": {text}}}', encoding="utf-8")


def build(folder, n=3, name=MODEL, judge="unused", text="Well."):
    """n samples, each with a score by code and one by a model."""
    rows = (
        {
            "id": f"s{i}",
            "epoch": 1,
            "input": [{"role": "system", "content": text}, {"role": "user", "content": f"{text} {i}?"}],
            "target": "4",
            "messages": [],
            "output": {
                "model": name,
                "choices": [{"message": {"role": "assistant", "content": text}, "stop_reason": "stop"}],
            },
            "scores": {
                "match": {"value": "C", "answer": text},
                "model_graded_qa": {"value": "" if i == 1 else "I", "explanation": text},
            },
        }
        for i in range(n)
    )
    save(folder / "log.json", rows, name)
    return folder
