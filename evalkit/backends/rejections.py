"""What providers say when they do not take a request: a content filter's refusal, or a setting, and what to do then.

Wordings are those of OpenAI, Azure, Anthropic, Google, Mistral, xAI, DeepSeek, Qwen, GLM, Kimi, OpenRouter, vLLM and
llama.cpp; other servers borrow them. ``model.NAME`` and ``PROTOCOL`` in a remedy are filled in where it is known who
was asked.
"""

from __future__ import annotations

import re

from evalkit.core.protocols import Rejected

FILTER_STATUS = frozenset({200, 400, 403, 422, 451, 500})
"""Of a content filter's refusals; 500 as error objects without a code are read."""

_FILTERED = re.compile(
    r"content[_ -]?filter|content[_ -]?policy|content[_ -]management|responsible\s?ai\s?policy|content[_ -]moderation"
    r"|(?:was|were|been|is|as) (?:\w+ )?flagged|flagged (?:as|for|by)|safety (?:system|setting|filter|reason|check)"
    r"|(?:blocked|filtered|rejected|refused)[^.]{0,60}\b(?:safety|content|moderation|guardrail|prohibited|harmful)"
    r"|prohibited[_ ]content|content exists risk|data[_ ]?inspection[_ ]?failed|considered high risk"
    r"|(?:contain|include)s? (?:\w+ ){0,2}(?:inappropriate|sensitive|unsafe|harmful) (?:content|words|information)"
    r"|content violates|violat\w+ (?:\w+ ){0,3}(?:usage|content|safety|use) (?:guidelines|polic)|safety_check|guardrail"
    r"|limited access to this content|moderation_blocked|不安全或敏感内容|敏感内容|违规内容|invalid_prompt",
    re.IGNORECASE,
)
_NOT_FILTERED = re.compile(
    r"api[_ -]?key|organi[sz]ation|your account|billing|not supported|unsupported", re.IGNORECASE
)
"""Of a message that speaks of who asks, or of a setting."""

_NO_SYSTEM = re.compile(
    r"system (?:role|message|prompt|instruction)s? (?:(?:is|are) )?(?:not|un)\s?(?:supported|allowed|permitted|enabled)"
    r"|(?:does|do) not (?:support|accept|take|allow) (?:a |any |the )?['\"`]?(?:system|developer)\b"
    r"|(?:developer|system) instruction is not enabled|system message must be (?:at the beginning|(?:the )?first)"
    r"|(?:unexpected|unsupported|unknown|invalid) (?:message )?role:? ?['\"`]?(?:system|developer)"
    r"|role ['\"`]?(?:system|developer)['\"`]? (?:is )?(?:not|un)\s?(?:supported|allowed)"
    r"|conversation roles must alternate user/assistant|only user and assistant roles",
    re.IGNORECASE,
)
_LOGPROBS = re.compile(r"log[_ ]?prob", re.IGNORECASE)
_MOST = re.compile(
    r"(?:less than or equal to|at most|no more than|up to|<=|≤|between \d+ and|\[\d+, ?|exceeds?(?: the)?(?: \w+)?"
    r"|maximum(?: allowed)?(?: value)?(?: is| of|:)|max(?: allowed)?(?: is| of|:|=))\s*(\d+)",
    re.IGNORECASE,
)
_REFUSED = (
    r"unsupported|not (?:be )?supported|does not support|unrecognized|unknown (?:parameter|field|argument)|deprecated"
    r"|not permitted|not allowed|unexpected keyword|extra inputs|cannot be set|may only be set|only the default"
    r"|not accept"
)
_UNSUPPORTED = (
    "where a model does not take {0}, put it into the `unsupported` of its settings: model.NAME.unsupported={0}"
)
_FIELDS = ("temperature", "top_p", "seed", "stop")

_REMEDIES: tuple[tuple[str, str], ...] = (
    (
        r"max_completion_tokens' instead|max_tokens'? (?:is )?(?:not supported|unsupported)|unsupported parameter:? "
        r"'?max_tokens|'?max_tokens'?[^.]{0,40}(?:extra inputs|unrecognized)",
        "this server calls the limit otherwise: model.NAME.backend.max_tokens_field=max_completion_tokens",
    ),
    (
        r"max_completion_tokens[^.]{0,60}(?:unsupported|unrecognized|not permitted|extra inputs|unknown)",
        "this server calls the limit otherwise: model.NAME.backend.max_tokens_field=max_tokens",
    ),
    (
        r"max_tokens`?'? must be greater than `?thinking|budget_tokens|thinking[._ ]budget|thinkingbudget",
        "the limit of the reply must exceed the budget of its thinking: raise model.NAME.sampling.max_tokens, or lower "
        "the budget in model.NAME.sampling.extra",
    ),
    (
        r"prefill|must end with a user message|last (?:message|role)[^.]{0,30}(?:must|should) (?:be|have)[^.]{0,20}user"
        r"|expected last role user|final assistant content|trailing whitespace|continue_final_message"
        r"|add_generation_prompt",
        "this model continues no reply that was begun for it: set prefill= (empty) for the protocol, "
        "judge.NAME.protocols.PROTOCOL.prefill=, and scoring=text there if it counted on it",
    ),
    (
        r"roles must alternate|first message must|messages? (?:must|should) (?:start|begin)|role order|consecutive",
        "this model wants turns of user and assistant alone, in order: move the system text into the first user "
        "message, model.NAME.system_role=user",
    ),
    (
        r"temperature[^.]{0,60}(?:must be|should be|less than|greater than|between|range|<=|maximum|at most)",
        "give a temperature that this model takes: model.NAME.sampling.temperature=N",
    ),
    (
        r"(?:temperature[^.]{0,30}top_p|top_p[^.]{0,30}temperature)[^.]{0,40}(?:both|together|cannot)",
        "this model takes one of temperature and top_p: model.NAME.unsupported=top_p",
    ),
    (
        r"maximum context length|context window|context[_ ]length|prompt is too long|too many (?:input )?tokens"
        r"|exceeds? the (?:available )?context|input is too long|input length|reduce the length|request too large"
        r"|exceed_context_size|request_too_large",
        "the prompt and the longest reply together do not fit this model: lower model.NAME.sampling.max_tokens, take a "
        "model with a longer context, or shorten the prompt",
    ),
    (
        r"max_(?:completion_|output_)?tokens[^.]{0,80}"
        r"(?:too large|at most|maximum|exceed|less than|greater than|supports|<=|>)",
        "ask for fewer tokens: model.NAME.sampling.max_tokens=N, with N as the message says",
    ),
    (
        r"reasoning[_.]?effort",
        "this model takes other efforts, or none: change reasoning_effort in model.NAME.sampling.extra",
    ),
)
_COMPILED = tuple((re.compile(pattern, re.IGNORECASE), remedy) for pattern, remedy in _REMEDIES)


def filtered(status: int, message: str, code: str) -> bool:
    """Whether an error is a content filter's: the provider refused to answer, which is a finding, not a fault."""
    if status not in FILTER_STATUS or (status == 500 and "filter" not in code):
        return False
    if re.search(r"content[_ ]?(?:filter|policy)|moderation|data_?inspection|invalid_prompt", code, re.IGNORECASE):
        return True
    text = message[:2000]
    return _FILTERED.search(text) is not None and _NOT_FILTERED.search(text) is None


def about_logprobs(message: str, param: str = "") -> bool:
    """Whether an error is about log-probabilities."""
    return _LOGPROBS.search(f"{param} {message[:2000]}") is not None


def no_system(message: str) -> bool:
    """Whether a model, or its chat template, does not take a system message where it was."""
    return _NO_SYSTEM.search(message[:4000]) is not None


def rejected(said: str, message: str, param: str = "") -> Rejected:
    """The error for a request that a server does not take: first what to do, then what it said.

    Args:
        said: what it said, for people, with its name.
        message: its own words.
        param: the field it names.
    """
    text = message[:4000]
    most = None
    if about_logprobs(text, param):
        named = _MOST.search(text)
        most = int(named[1]) if named and 0 < int(named[1]) <= 100 else None
        return Rejected(f"{_logprobs(most)} ({said})", most_logprobs=most)
    if no_system(text):
        return Rejected(
            f"move the system text into the first user message: model.NAME.system_role=user ({said})", no_system=True
        )
    return Rejected(f"{_remedy(text, param)} ({said})")


def _logprobs(most: int | None) -> str:
    if most is not None:
        return f"ask for {most} alternatives at the most: protocol.top_logprobs={most}"
    return f"this model gives no log-probabilities: {BY_TEXT}"


BY_TEXT = (
    "judge by text, protocol.scoring=text, or judge.NAME.protocols.PROTOCOL.scoring=text where the judge's own YAML "
    "asks for log-probabilities"
)
"""What to do about a judge without log-probabilities."""


def _remedy(message: str, param: str) -> str:
    for pattern, remedy in _COMPILED:
        if pattern.search(message):
            return remedy
    named = param if param in _FIELDS else None
    if named is None and re.search(_REFUSED, message, re.IGNORECASE):
        named = next((name for name in _FIELDS if re.search(rf"\b{name}\b", message)), None)
    if named:
        return _UNSUPPORTED.format(named)
    if param in ("max_tokens", "max_completion_tokens"):
        other = "max_tokens" if param == "max_completion_tokens" else "max_completion_tokens"
        return f"this server calls the limit otherwise: model.NAME.backend.max_tokens_field={other}"
    return "change what it names: settings are model.NAME.sampling.KEY=, and model.NAME.unsupported=KEY leaves one out"
