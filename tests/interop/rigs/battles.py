"""Battles: a CSV with people's votes, and a JSONL file."""

from tests.interop.files import save

FAILS = False
EXPORTS = True
MALFORMED = {"arena.csv": ("left", "winner"), "more.jsonl": ("model_b", "winner")}
COUNTS = {"judgments": 2}


def build(folder, n=3, name="my model", judge="7", text="Well."):
    """n comparisons in each of two files."""
    save(
        folder / "arena.csv",
        (
            {
                "id": i,
                "prompt": f"{text} {i}",
                "worker": judge,
                "winner": ("tie", "left")[i % 2],
                "left": name,
                "right": "x",
            }
            for i in range(n)
        ),
    )
    save(
        folder / "more.jsonl",
        (
            {"question_id": f"q{i}", "model_a": "x", "model_b": name, "winner": "tie (bothbad)", "note": text}
            for i in range(n)
        ),
    )
    return folder
