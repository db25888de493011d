"""Argilla: records with two responses, of which some cannot be read."""

from tests.interop.files import save

EXPORTS = False
MALFORMED = {"records.json": ("fields", "responses")}
COUNTS = {"items": 1, "answers": 2, "judgments": 2}


def build(folder, n=3, name="m", judge="zoe", text="Well."):
    rows = (
        {
            "id": str(i),
            "fields": {"prompt": f"{text} {i}?", "response-1": f"{text} {i} a", "response-2": f"{text} {i} b"},
            "metadata": {"model_a": name, "model_b": "other"},
            "responses": {
                "preference": [
                    {"value": "response-2", "user_id": judge},
                    {"value": "nonsense" if i == 1 else "tie", "user_id": "max"},
                ]
            },
        }
        for i in range(n)
    )
    save(folder / "records.json", rows)
    return folder
