"""OpenCompass: pairs judged by one judge, in one object."""

import json

EXPORTS = False
WHOLE = True
UNNAMED = True
FILE = "results/m1_m2_judged-by--gpt-4/arenahard.json"
MALFORMED = {FILE: ("prediction",)}
COUNTS = {"items": 1, "answers": 2, "judgments": 1}


def load(path):
    """The cases of a file."""
    return list(json.loads(path.read_text(encoding="utf-8")).values())


def save(path, rows):
    """A file of these cases."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({str(i): row for i, row in enumerate(rows)}), encoding="utf-8")


def build(folder, n=3, name="m1", judge="unused", text="Well."):
    """n cases."""
    rows = [
        {
            "origin_prompt": text,
            "prediction": "no" if i == 1 else f"{text} [[A>B]]",
            "gold": {
                "question": f"{text} {i}?",
                "capability": "chat",
                "answer1": name if name.strip() else "m1",
                "answer2": "m2",
                "prediction1": text,
                "prediction2": f"{text}!",
            },
        }
        for i in range(n)
    ]
    save(folder / FILE, rows)
    return folder
