"""Tables: a CSV of answers with scores, and a JSONL file of pairs with their answers."""

from tests.interop.files import save

EXPORTS = False
MALFORMED = {"answers.csv": ("question", "model"), "pairs.jsonl": ("model_b", "winner", "prompt")}
COUNTS = {"items": 2, "answers": 3, "judgments": 2}


def build(folder, n=3, name="my model", judge="7", text="Well."):
    """n graded answers, and n comparisons on other questions."""
    save(
        folder / "answers.csv",
        (
            {
                "question": f"{text} {i}?",
                "answer": f"{text} {i}.",
                "model": name,
                "annotator": judge,
                "score": "" if i == 1 else i,
            }
            for i in range(n)
        ),
    )
    pairs = ({"prompt": f"{text} {i}!", "model_a": name, "model_b": "x", "winner": "b"} for i in range(n))
    answers = {"answer_a": text, "answer_b": f"{text}!"}
    save(folder / "pairs.jsonl", (row | answers for row in pairs))
    return folder
