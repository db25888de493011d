"""How servers of reward models are asked, and where their numbers are in what they answer.

vLLM: docs.vllm.ai, pooling models (``/classify``, ``/pooling``, ``/score``); Text Embeddings Inference: its OpenAPI
file (``/predict``, ``/rerank``); SGLang: docs.sglang.io, native APIs (``/classify`` of a model started with
``--is-embedding``). A score is asked for before any sigmoid or softmax unless ``activation`` is set.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import msgspec
from msgspec import Struct

from evalkit.core.protocols import Message

RewardApi = Literal["vllm-classify", "vllm-pooling", "vllm-score", "tei-predict", "tei-rerank", "sglang-classify"]
"""Server and endpoint."""
Outputs: TypeAlias = list[float] | list[list[float]] | dict[str, float]
"""A model's numbers: one for each class or step, several for each step, or by label."""

PATHS: dict[str, str] = {
    "vllm-classify": "/classify",
    "vllm-pooling": "/pooling",
    "vllm-score": "/score",
    "tei-predict": "/predict",
    "tei-rerank": "/rerank",
    "sglang-classify": "/classify",
}
RENDERS: dict[str, str] = {
    "vllm-classify": "server",
    "vllm-pooling": "server",
    "vllm-score": "pair",
    "tei-predict": "pair",
    "tei-rerank": "pair",
    "sglang-classify": "here",
}
"""How a conversation becomes what the model reads: by the chat template of the server's tokenizer; as a pair of texts,
what was asked and the answer, which the tokenizer joins; or by the tokenizer's chat template in this program."""


class NoScores(ValueError):
    """An answer has no scores where they belong."""


class Asked(Struct, frozen=True):
    """What a server is asked about one conversation."""

    model: str
    messages: tuple[Message, ...]
    text: str | None
    """The conversation as rendered here; None: the server renders it, or reads a pair."""
    activation: bool


def body(api: RewardApi, asked: Asked) -> dict[str, Any]:
    """The JSON of a request."""
    return _BODIES[api](asked)


def _vllm(asked: Asked) -> dict[str, Any]:
    # ``activation`` is what vLLM before 0.12 called it; servers leave out what they do not know.
    common = {"model": asked.model, "use_activation": asked.activation, "activation": asked.activation}
    if asked.text is not None:
        return common | {"input": asked.text}
    return common | {"messages": [{"role": one.role, "content": one.content} for one in asked.messages]}


def _vllm_score(asked: Asked) -> dict[str, Any]:
    question, answer = pair(asked.messages)
    common = {"model": asked.model, "use_activation": asked.activation, "activation": asked.activation}
    return common | {"text_1": question, "text_2": answer}


def _predict(asked: Asked) -> dict[str, Any]:
    inputs = asked.text if asked.text is not None else list(pair(asked.messages))
    return {"inputs": inputs, "raw_scores": not asked.activation, "truncate": False}


def _rerank(asked: Asked) -> dict[str, Any]:
    question, answer = pair(asked.messages)
    return {"query": question, "texts": [answer], "raw_scores": not asked.activation, "truncate": False}


def _sglang(asked: Asked) -> dict[str, Any]:
    return {"model": asked.model, "text": asked.text}


_BODIES: dict[str, Callable[[Asked], dict[str, Any]]] = {
    "vllm-classify": _vllm,
    "vllm-pooling": _vllm,
    "vllm-score": _vllm_score,
    "tei-predict": _predict,
    "tei-rerank": _rerank,
    "sglang-classify": _sglang,
}


def pair(messages: Sequence[Message]) -> tuple[str, str]:
    """What was asked, and the last answer, for models that read two texts.

    One question stands as it is; of a longer conversation each part is named by who says it.
    """
    *before, last = messages
    if len(before) == 1:
        return before[0].content, last.content
    names = {"system": "System", "user": "User", "assistant": "Assistant"}
    return "\n\n".join(f"{names[one.role]}: {one.content}" for one in before), last.content


def outputs(api: RewardApi, content: bytes) -> Outputs:
    """A model's numbers about one conversation, out of what a server answered with status 200.

    Raises:
        NoScores: there are none where they belong, there are those of another conversation, too, or one is not finite;
            the message says what there is.
    """
    try:
        data = msgspec.json.decode(content)
    except (ValueError, RecursionError):
        raise NoScores("the answer is no JSON, or holds numbers that are none (NaN, Infinity)") from None
    if isinstance(data, dict) and "choices" in data:
        raise NoScores("it answered with text, as a chat model does")
    return _READERS[api](data)


def _classified(data: Any) -> Outputs:
    (one,) = _only(_field(data, "data"), "data")
    return _numbers(_field(one, "probs"), "probs")


def _pooled(data: Any) -> Outputs:
    (one,) = _only(_field(data, "data"), "data")
    return pooled(_field(one, "data"))


def pooled(rows: Any) -> Outputs:
    """A pooling model's numbers: one row, or one for each step.

    Raises:
        NoScores: there are none, or one is not finite.
    """
    if isinstance(rows, (int, float)):
        rows = [rows]
    if isinstance(rows, list) and rows and all(isinstance(row, list) for row in rows):
        return [_numbers(row, "data") for row in rows]
    return _numbers(rows, "data")


def _scored(data: Any) -> Outputs:
    (one,) = _only(_field(data, "data"), "data")
    return _numbers([_field(one, "score")], "score")


def _predicted(data: Any) -> Outputs:
    rows = data[0] if isinstance(data, list) and len(data) == 1 and isinstance(data[0], list) else data
    if not isinstance(rows, list) or not rows:
        raise NoScores("there is no list of labels with scores")
    scores = _numbers([_field(row, "score") for row in rows], "score")
    labels = [str(_field(row, "label")) for row in rows]
    if len(set(labels)) < len(labels):
        raise NoScores("a label is there twice")
    return scores if len(rows) == 1 else dict(zip(labels, scores, strict=True))


def _ranked(data: Any) -> Outputs:
    (one,) = _only(data, "the list of ranks")
    return _numbers([_field(one, "score")], "score")


def _embedded(data: Any) -> Outputs:
    if isinstance(data, list):
        (data,) = _only(data, "the list")
    return _numbers(_field(data, "embedding"), "embedding")


_READERS: dict[str, Callable[[Any], Outputs]] = {
    "vllm-classify": _classified,
    "vllm-pooling": _pooled,
    "vllm-score": _scored,
    "tei-predict": _predicted,
    "tei-rerank": _ranked,
    "sglang-classify": _embedded,
}


def prompt_tokens(content: bytes, headers: Mapping[str, str]) -> int:
    """Tokens the server read, as it counts them; 0 where it does not say."""
    counted = headers.get("x-compute-tokens", "")  # Text Embeddings Inference
    if counted.isdecimal():
        return int(counted[:12])
    data = msgspec.json.decode(content)
    for place in ("usage", "meta_info"):
        usage = data.get(place) if isinstance(data, dict) else None
        tokens = usage.get("prompt_tokens") if isinstance(usage, dict) else None
        if isinstance(tokens, int) and not isinstance(tokens, bool) and tokens >= 0:
            return tokens
    return 0


def _field(data: Any, name: str) -> Any:
    if not isinstance(data, dict) or name not in data:
        keys = f": it has {', '.join(sorted(map(str, data))[:6])}" if isinstance(data, dict) and data else ""
        raise NoScores(f"there is no field {name!r}{keys[:120]}")
    return data[name]


def _only(rows: Any, what: str) -> list[Any]:
    if not isinstance(rows, list) or len(rows) != 1:
        number = len(rows) if isinstance(rows, list) else "no list"
        raise NoScores(f"{what} should hold one result, for the one conversation that was sent: it holds {number}")
    return rows


def _numbers(values: Any, what: str) -> list[float]:
    if not isinstance(values, list) or not values:
        raise NoScores(f"{what} is no list of numbers")
    for value in values:
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise NoScores(f"{what} holds {str(value)[:40]!r}, which is no number")
    numbers = [_float(value) for value in values]
    if not all(map(math.isfinite, numbers)):
        raise NoScores(f"{what} holds a number that is not finite")
    return numbers


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # of a whole number
        return math.inf
