"""Results made by hand, of which every fact is known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from evalkit.core.schema import Failure, Item, Judgment, Ref, Response
from evalkit.storage.items import Items
from evalkit.storage.store import Store

JUDGE = Ref("strict", "j" * 32)
MODELS = {name: Ref(name, name * 32) for name in "ab"}


def item(number: int) -> Item:
    return Item(id=f"q{number}", benchmark="own", category=f"c{number % 2}", turns=(f"question {number}",))


def answer(number: int, model: str, **more: Any) -> Response:
    asked = item(number)
    fields = {"turns": (f"answer {number} of {model}",), "finish": ("stop",), "sampling": {"temperature": 0.5}, **more}
    return Response(
        key=f"{model}{number}", item=asked.id, benchmark="own", category=asked.category, model=MODELS[model], **fields
    )


def judgment(number: int, models: str, scores: tuple[float, ...] | None, **more: Any) -> Judgment:
    asked = item(number)
    fields: dict[str, Any] = {
        "judge": JUDGE,
        "protocol": "single" if len(models) == 1 else "pairwise",
        "snapshot": "strict-2026-01",
        "sampling": {"temperature": 0.0},
        "key": f"{models}{number}",
        "error": None if scores is not None else Failure("unparsed", "no verdict"),
        **more,
    }
    return Judgment(
        item=asked.id,
        benchmark="own",
        category=asked.category,
        turn=1,
        parser="rating/2",
        shown=tuple(answer(number, model).id for model in models),
        models=tuple(MODELS[model] for model in models),
        lengths=tuple(20 + number for _ in models),
        scores=scores,
        raw=f"[[{scores}]]",
        **fields,
    )


def manifest(folder: Path, name: str = "1", **more: Any) -> None:
    """A run's record, as the engine writes one."""
    found = {
        "schema": "evalkit.manifest/1",
        "evalkit": "0.0.9",
        "python": "3.12.0",
        "packages": {"openai": "9.9", "numpy": "9.8"},
        "benchmark": "own",
        "items": 12,
        "data": {"questions.jsonl": "d" * 64},
        "models": {
            "a": {"fingerprint": "a" * 32, "backend": "LlamaCpp", "model": "a.gguf", "sha256": "e" * 64},
            "b": {"fingerprint": "b" * 32, "backend": "VLLM", "model": "org/b", "revision": "abc123"},
        },
        "judges": {
            "strict": {
                "fingerprint": "j" * 32,
                "protocol": "single",
                "parser": "rating/2",
                "prompts": "f" * 32,
                "references": "human",
                "backend": "OpenAI",
                "model": "strict-latest",
            }
        },
        "started": "2026-01-02T03:04:05+00:00",
        "outcome": "done",
        **more,
    }
    run = folder / "own" / "runs" / name
    run.mkdir(parents=True)
    (run / "manifest.json").write_text(json.dumps(found))


def singles(folder: Path, questions: int = 12) -> Path:
    """Scores of two models: a gets 7, 8 and 9 in turn, b one less, and one of b's failed."""
    store = Store(folder, "own", durable=False)
    Items(store.root).keep([item(number) for number in range(questions)])
    for number in range(questions):
        for model, lower in (("a", 0), ("b", 1)):
            store.responses(model).append(answer(number, model))
            lost = model == "b" and number == 3
            scores = None if lost else (7.0 + number % 3 - lower,)
            store.judgments("strict", "single").append(judgment(number, model, scores))
    store.close()
    manifest(folder)
    return folder


def pairs(folder: Path, questions: int = 12, *, both: int | None = None) -> Path:
    """Comparisons of two models, of which a wins three in four; the first ``both`` questions in both orders."""
    store = Store(folder, "own", durable=False)
    for number in range(questions):
        won = number % 4 != 0
        log = store.judgments("strict", "pairwise")
        log.append(judgment(number, "ab", (1.0, 0.0) if won else (0.0, 1.0)))
        if both is None or number < both:
            log.append(judgment(number, "ba", (0.0, 1.0) if won else (1.0, 0.0)))
    store.close()
    manifest(folder)
    return folder
