"""promptfoo: one file of results, version 3."""

import json

from tests.interop.files import save as save_list

EXPORTS = False
WHOLE = True
MALFORMED = {"results.json": ("prompt", "provider")}
COUNTS = {"items": 1, "answers": 1, "judgments": 2}


def load(path):
    """The results of a file."""
    return json.loads(path.read_text(encoding="utf-8"))["results"]["results"]


def save(path, rows):
    """A file of these results."""
    save_list(path, rows)
    text = path.read_text(encoding="utf-8")
    head = '{"evalId": "eval-1", "results": {"version": 3, "timestamp": "2026-01-01T00:00:00Z", "results": '
    path.write_text(f'{head}{text}, "stats": {{"successes": 1}}}}, "config": {{}}}}', encoding="utf-8")


def build(folder, n=3, name="openai:gpt", judge="unused", text="Well."):
    """n results, each with a check by code and one by a model."""
    rows = (
        {
            "promptIdx": 0,
            "testIdx": i,
            "provider": {"id": name},
            "prompt": {"raw": f"{text} {i}?", "label": "p"},
            "vars": {"x": i},
            "response": {"output": f"{text} {i}"},
            "success": True,
            "score": 1,
            "gradingResult": {
                "pass": True,
                "score": 1,
                "reason": text,
                "componentResults": [
                    {"pass": True, "score": 1, "reason": text, "assertion": {"type": "contains", "value": "W"}},
                    {
                        "pass": True,
                        "score": None if i == 1 else 0.8,
                        "reason": text,
                        "assertion": {"type": "llm-rubric", "value": "nice"},
                    },
                ],
            },
        }
        for i in range(n)
    )
    save(folder / "results.json", rows)
    return folder
