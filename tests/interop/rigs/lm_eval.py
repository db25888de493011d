"""lm-evaluation-harness: samples of one task."""

from tests.interop.files import save

EXPORTS = False
UNNAMED = True
FILE = "org__model/samples_task_a_2026-01-02T03-04-05.678901.jsonl"
MALFORMED = {FILE: ("doc_id", "resps")}
COUNTS = {"items": 1, "answers": 1, "judgments": 1}


def build(folder, n=3, name="unused", judge="exact_match", text="Well."):
    """n samples, as lm_eval 0.4.13 logs them."""
    rows = (
        {
            "doc_id": i,
            "doc": {"question": f"{text} {i}?"},
            "target": "4",
            "arguments": {"gen_args_0": {"arg_0": f"{text} {i}?", "arg_1": {"until": ["\n"]}}},
            "resps": [[text]],
            "filtered_resps": [text],
            "filter": "none",
            "metrics": [judge],
            "doc_hash": "a",
            "prompt_hash": "b",
            "target_hash": "c",
            judge: None if i == 1 else 1.0,
        }
        for i in range(n)
    )
    save(folder / FILE, rows)
    return folder
