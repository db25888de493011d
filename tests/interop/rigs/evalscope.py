"""EvalScope: reviews of one model."""

from tests.interop.files import save

EXPORTS = False
UNNAMED = True
FILE = "reviews/a-model/gsm8k_main.jsonl"
MALFORMED = {FILE: ("index", "sample_score")}
COUNTS = {"items": 1, "answers": 1, "judgments": 1}


def build(folder, n=3, name="unused", judge="acc", text="Well."):
    """n reviews, as evalscope 1.14 writes them."""
    rows = (
        {
            "index": i,
            "target": ["4"],
            "messages": [{"role": "user", "content": f"{text} {i}?"}, {"role": "assistant", "content": text}],
            "agent_trace": None,
            "sample_score": {
                "score": {
                    "value": {} if i == 1 else {judge: 1.0},
                    "status": "judge_failed" if i == 1 else "success",
                    "extracted_prediction": "4",
                    "prediction": text,
                    "explanation": text,
                },
                "sample_id": i,
                "group_id": i,
                "sample_metadata": {},
            },
        }
        for i in range(n)
    )
    save(folder / FILE, rows)
    return folder
