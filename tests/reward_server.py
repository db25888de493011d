"""A loopback server of reward models, in the documented shapes of vLLM, Text Embeddings Inference and SGLang.

What it scores by is a function of what was asked and the answer. It fails on demand like ``tests.fault_server``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from tests.fault_server import FaultServer

MODEL = "org/reward-1"
STATUSES = {
    # vLLM's words, and those of Text Embeddings Inference and SGLang
    "400": (400, {"error": {"message": "This model's maximum context length is 512 tokens.", "code": 400}}),
    "413": (413, {"error": "Input validation error: `inputs` must have less than 512 tokens. Given: 600"}),
    "424": (424, {"error": "Inference failed", "error_type": "Backend"}),
    "not-a-classifier": (424, {"error": "Model is not a classifier model", "error_type": "Backend"}),
    "generative": (404, {"detail": "Not Found"}),
    "no-such-model": (404, {"error": {"message": "The model `x` does not exist.", "code": 404}}),
    "unsupported": (501, {"error": {"message": "The model does not support Classification API", "code": 501}}),
    "not-embedding": (
        400,
        {"error": {"message": "This model is no embedding model: add --is-embedding"}},
    ),
    "old": (400, {"error": {"message": "[{'type': 'missing', 'loc': ('body', 'input'), 'msg': 'Field required'}]"}}),
    "overloaded": (429, {"error": "Model is overloaded", "error_type": "Overloaded"}),
    "system": (400, {"error": {"message": "Conversation roles must alternate user/assistant/user/assistant/..."}}),
}


def quality(asked: str, answer: str) -> float:
    """What it scores by, unless it is told otherwise: more words are better."""
    return len(answer.split()) / 4 - 3


class RewardLoopback(FaultServer):
    """The server; ``score`` is a function of what was asked and the answer, ``steps`` one of the steps of an answer."""

    def __init__(self, score: Callable[[str, str], float] = quality) -> None:
        super().__init__()
        self.score = score
        self.raw: dict[str, bytes] = {}
        """Bodies by situation, sent with status 200."""

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        situation = self._situation(request.path, raw)
        asked = json.loads(raw)
        if situation in STATUSES:
            self.count[situation] += 1
            status, told = STATUSES[situation]
            return web.json_response(told, status=status)
        if situation in self.raw:
            return web.Response(body=self.raw[situation], content_type="application/json")
        if situation != "success":
            self.script.appendleft(situation)
            return await super()._answer(request)
        self.count[situation] += 1
        self.seen.append({"path": request.path_qs, "headers": request.headers.copy(), "body": asked})
        return web.Response(
            body=json.dumps(self.said(request.path, asked)), content_type="application/json", headers=_counted(request)
        )

    def said(self, path: str, asked: dict[str, Any]) -> Any:
        """The whole answer in the shape of an endpoint."""
        usage = {"prompt_tokens": 12, "total_tokens": 12, "completion_tokens": 0, "prompt_tokens_details": None}
        head = {"id": "x-1", "object": "list", "created": 1745383213, "model": MODEL, "usage": usage}
        match path:
            case "/classify" if "text" in asked:
                meta = {"id": "1", "finish_reason": {"type": "length", "length": 0}, "prompt_tokens": 12}
                return {"embedding": [self.score("", asked["text"])], "meta_info": meta}
            case "/classify":
                rows = [{"index": 0, "label": "LABEL_0", "probs": [self._of(asked)], "num_classes": 1}]
                return head | {"data": rows}
            case "/pooling":
                return head | {"data": [{"index": 0, "object": "pooling", "data": self._steps(asked)}]}
            case "/score":
                score = self.score(asked["text_1"], asked["text_2"])
                return head | {"data": [{"index": 0, "object": "score", "score": score}]}
            case "/predict":
                inputs = asked["inputs"]
                pair = inputs if isinstance(inputs, list) else ["", inputs]
                return [{"score": self.score(*pair), "label": "LABEL_0"}]
            case "/rerank":
                return [{"index": 0, "score": self.score(asked["query"], asked["texts"][0])}]
        raise AssertionError(path)

    def _of(self, asked: dict[str, Any]) -> float:
        if "input" in asked:
            return self.score("", asked["input"])
        *before, last = asked["messages"]
        return self.score("\n".join(one["content"] for one in before), last["content"])

    def _steps(self, asked: dict[str, Any]) -> list[list[float]]:
        """Two numbers for each step, as Qwen's process reward models give: wrong and right."""
        answer = asked["messages"][-1]["content"]
        marks = [step for step in answer.split("<extra_0>") if step.strip()]
        rights = [1 / (1 + len(step.split())) for step in marks] or [0.5]
        return [[1 - right, right] for right in rights]


def _counted(request: web.Request) -> dict[str, str]:
    return {"x-compute-tokens": "12"} if request.path in ("/predict", "/rerank") else {}
