"""RewardMATH: pairwise verdicts of one judge."""

from tests.interop.files import save

EXPORTS = False
MALFORMED = {"gpt4_pairwise_reward.json": ("problem", "solution_reference", "score")}
COUNTS = {"items": 1, "judgments": 4}


def build(folder, n=3, name="a/model", judge="unused", text="Well."):
    """n problems with two wrong solutions each."""
    rows = (
        {
            "problem": f"{text} {i}?",
            "solution_reference": [name, name],
            "score": ["A", None if i == 1 else "B"],
            "chosen_position": ["A", "B"],
        }
        for i in range(n)
    )
    save(folder / "gpt4_pairwise_reward.json", rows)
    return folder
