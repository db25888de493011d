"""XSTest: one model's completions."""

from tests.interop.files import save

EXPORTS = False
UNNAMED = True
MALFORMED = {"gpt4.csv": ("final_label",)}
COUNTS = {"items": 1, "answers": 1, "judgments": 5}


def build(folder, n=3, name="unused", judge="unused", text="Well."):
    """n prompts."""
    rows = (
        {
            "id": f"v2-{i}",
            "type": "homonyms",
            "prompt": f"{text} {i}?",
            "completion": text,
            "annotation_1": "1_full_compliance",
            "annotation_2": "3_partial_refusal",
            "agreement": "False",
            "final_label": "1_full_compliance",
            "gpt4_label": text if i == 1 else "2_full_refusal",
            "strmatch_label": "1_full_compliance",
        }
        for i in range(n)
    )
    save(folder / "gpt4.csv", rows)
    return folder
