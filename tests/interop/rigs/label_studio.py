"""Label Studio: tasks with two annotations, of which some are skipped."""

from tests.interop.files import save

EXPORTS = False
MALFORMED = {"project.json": ("data", "annotations")}
COUNTS = {"items": 1, "answers": 2, "judgments": 2}


def build(folder, n=3, name="m", judge="zoe", text="Well."):
    rows = (
        {
            "id": i,
            "data": {
                "prompt": f"{text} {i}?",
                "answer1": f"{text} {i} a",
                "answer2": f"{text} {i} b",
                "model_a": name,
                "model_b": "other",
            },
            "annotations": [
                {
                    "completed_by": {"id": 1, "email": judge},
                    "result": [{"type": "pairwise", "value": {"selected": "left"}}],
                },
                {
                    "completed_by": 7,
                    "was_cancelled": i == 1,
                    "result": [{"type": "choices", "value": {"choices": ["tie"]}}],
                },
            ],
        }
        for i in range(n)
    )
    save(folder / "project.json", rows)
    return folder
