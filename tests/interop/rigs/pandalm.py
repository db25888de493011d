"""PandaLM: two annotators and a model's verdicts."""

from tests.interop.files import save

EXPORTS = False
UNNAMED = True
MALFORMED = {"testset.json": ("instruction", "response1", "response2")}
COUNTS = {"items": 1, "answers": 2, "judgments": 3}


def build(folder, n=3, name="unused", judge="gpt", text="Well."):
    """n pairs."""
    rows = (
        {
            "idx": i,
            "instruction": f"{text} {i}",
            "input": text,
            "cmp_key": "llama-7b_opt-7b",
            "response1": f"{text} one",
            "response2": f"{text} two",
            "annotator1": i % 3,
            "annotator2": 1,
            f"{judge}_result": "" if i == 1 else 2,
        }
        for i in range(n)
    )
    save(folder / "testset.json", rows)
    return folder
