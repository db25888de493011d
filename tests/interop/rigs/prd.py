"""PRD: two models, a judge in both orders, people."""

from tests.interop.files import save

FAILS = False
EXPORTS = False
PAIR = "answer_{}-vs-answer_{}-{}-reviewer_threeclass.jsonl"
MALFORMED = {
    "prompts/vicuna_questions.jsonl": ("question_id", "text"),
    "generations/answer_one.jsonl": ("question_id", "text"),
    "ratings-gpt4/" + PAIR.format("one", "two", "gpt4"): ("question_id", "score"),
}
COUNTS = {"items": 1, "answers": 2, "judgments": 2 + 3}


def build(folder, n=3, name="unused", judge="gpt4", text="Well."):
    """n questions."""
    save(
        folder / "prompts" / "vicuna_questions.jsonl",
        ({"question_id": i, "text": f"{text} {i}?", "category": "generic"} for i in range(n)),
    )
    for model in ("one", "two"):
        save(
            folder / "generations" / f"answer_{model}.jsonl",
            ({"question_id": i, "answer_id": f"{model}{i}", "text": text} for i in range(n)),
        )
    for pair in (("one", "two"), ("two", "one")):
        save(
            folder / "ratings-gpt4" / PAIR.format(*pair, "gpt4"),
            ({"question_id": i, "text": text, "score": 1 + i % 3} for i in range(n)),
        )
    save(
        folder / "ratings-human" / PAIR.format("one", "two", "human"),
        ({"question_id": i, "text": "?", "score": 1 + k} for i in range(n) for k in range(3)),
    )
    return folder
