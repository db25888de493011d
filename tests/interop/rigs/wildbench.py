"""WildBench: scores of one judge, with answers."""

from tests.interop.files import save

EXPORTS = False
MALFORMED = {"scores.jsonl": ("session_id", "score")}
COUNTS = {"answers": 1, "judgments": 1}


def build(folder, n=3, name="a model", judge="gpt-4", text="Well."):
    """n scores."""
    rows = (
        {
            "session_id": f"s{i}",
            "model": name,
            "judge": judge,
            "run": "0522",
            "score": "" if i == 1 else "7",
            "model_output": text,
        }
        for i in range(n)
    )
    save(folder / "scores.jsonl", rows)
    return folder
