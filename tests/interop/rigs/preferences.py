"""Preferences: RewardBench's shape, in which a person may be named."""

from tests.interop.files import save

FAILS = False
EXPORTS = False
MALFORMED = {"pairs.jsonl": ("chosen", "rejected")}
COUNTS = {"items": 1, "answers": 2, "judgments": 1}


def build(folder, n=3, name="a model", judge="ann", text="Well."):
    """n pairs."""
    rows = (
        {
            "prompt": f"{text} {i}?",
            "chosen": f"{text} yes",
            "rejected": [{"role": "user", "content": f"{text} {i}?"}, {"role": "assistant", "content": f"{text} no"}],
            "chosen_model": name,
            "rejected_model": "other",
            "subset": "chat",
            "annotator": judge,
        }
        for i in range(n)
    )
    save(folder / "pairs.jsonl", rows)
    return folder
