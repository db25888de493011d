"""The OpenAI chat-completions wire format: request out, answer in. Spoken by openai.py and llamacpp.py.

Bodies are decoded straight into typed structs. An answer has been paid for by the time it arrives, so whatever a
strict decoder refuses about it (lone surrogates, raw control characters, a float where an integer belongs) is
mended rather than lost.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, NoReturn, TypeVar

import msgspec
from msgspec import Struct

from evalkit.backends.provider import NO_KEY, Detail, refusal, status_meant
from evalkit.core import secrets
from evalkit.core.protocols import (
    Completion,
    EvalkitError,
    Malformed,
    Misconfigured,
    ReplySchema,
    Request,
    Transport,
)
from evalkit.core.schema import Finish, Usage

S = TypeVar("S", bound=Struct)

_RESERVED = frozenset({"messages", "model", "stream", "n"})
"""Fields of ``sampling.extra`` that would change what comes back to something else than one answer."""
_ENDED = frozenset(
    {"", "stop", "eos", "end", "done", "finish", "finished", "complete", "completed", "end_turn", "tool_calls"}
    | {"function_call", "null", "none"}
)
_ENDED_AT = ("stop_", "eos_")
"""Of itself, as compatible servers say it. Whatever else one says, the text may lack its end."""
_FILTERED = frozenset({"content_filter", "refusal", "safety", "recitation", "blocklist", "prohibited_content"})
_CUT = frozenset(
    {"length", "max_tokens", "max_length", "max_output_tokens", "token_limit", "model_length", "pause_turn"}
)
_CUT |= {"model_context_window_exceeded", "context_length", "context_length_exceeded"}
_BROKEN = frozenset(
    {
        "insufficient_system_resource",
        "insufficient_system_resources",
        "error",
        "abort",
        "aborted",
        "cancel",
        "cancelled",
    }
    | {"canceled", "network_error", "timeout", "timed_out", "overloaded", "overloaded_error", "server_error"}
    | {"internal_error", "internal_server_error", "service_unavailable", "engine_error", "failed", "failure"}
    | {"interrupted", "preempted", "malformed_response", "incomplete", "unavailable", "connection_error", "api_error"}
)
"""The generation broke off at the provider: what there is of it is no answer."""
MOST_TOKENS = 10_000_000
"""Of one request. A server that counts more, or fewer than none, has not counted."""


class _Part(Struct):
    """A piece of a content list, as some servers send it."""

    text: str = ""


class _Function(Struct):
    name: str = ""
    arguments: Any = None
    """JSON as text, as it should be, or the object itself, as some servers send it."""


class _ToolCall(Struct):
    function: _Function | None = None


class _ChatMessage(Struct):
    content: str | list[_Part] | None = None
    tool_calls: list[_ToolCall] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None

    def text(self) -> str:
        if isinstance(self.content, list):
            return "".join(part.text for part in self.content)
        return self.content or ""

    def called(self) -> str:
        """The arguments of its calls of a tool, as JSON, a line for each; empty if there are none."""
        return "\n".join(
            arguments_text(call.function.arguments) for call in self.tool_calls or () if call.function is not None
        )

    def thinking(self) -> str:
        """What the server keeps apart as thinking: DeepSeek's and vLLM's field, or OpenRouter's."""
        return self.reasoning_content or self.reasoning or ""


class _Candidate(Struct):
    token: str
    logprob: float | None = None


class _ChatToken(_Candidate):
    top_logprobs: list[_Candidate] | None = None


class _ChatLogprobs(Struct):
    content: list[_ChatToken] | None = None


class _ChatChoice(Struct):
    message: _ChatMessage | None = None
    delta: _ChatMessage | None = None
    finish_reason: str | None = None
    logprobs: _ChatLogprobs | None = None
    error: Any = None


class _Details(Struct):
    cached_tokens: int | None = None


class _ChatUsage(Struct):
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: _Details | None = None


class _ChatBody(Struct):
    choices: list[_ChatChoice] | None = None
    usage: _ChatUsage | None = None
    model: str | None = None
    error: Any = None
    object: Any = None


Structured = Literal["json", "tool", "none"]
"""How a server holds a reply to a schema: as it writes, through a forced call of a tool, or not at all."""
TOOL = "Reports the verdict."
_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(_ChatBody)


def check_extra(extra: Mapping[str, Any]) -> None:
    """Refuse extra fields that would change what comes back to something else than one answer."""
    if reserved := _RESERVED & extra.keys():
        raise Misconfigured(f"sampling.extra may not set {', '.join(sorted(reserved))}: evalkit sets it itself")


def body(
    request: Request,
    model: str,
    max_tokens_field: str = "max_tokens",
    *,
    structured: Structured = "json",
    strict: bool = False,
) -> dict[str, Any]:
    """The JSON object to send.

    Args:
        request: what is asked.
        model: of whom.
        max_tokens_field: how the server calls the token limit.
        structured: how the server is to hold a reply to the request's schema.
        strict: the server is OpenAI's own, which refuses schemas with keywords it does not know.
    """
    sampling = request.sampling
    check_extra(sampling.extra)
    built: dict[str, Any] = {"model": model, "messages": request.messages}
    if sampling.temperature is not None:
        built["temperature"] = sampling.temperature
    if sampling.top_p is not None:
        built["top_p"] = sampling.top_p
    if sampling.max_tokens is not None:
        built[max_tokens_field] = sampling.room
    if sampling.effort is not None:
        built["reasoning_effort"] = sampling.effort
    if isinstance(request.reply, ReplySchema):
        built |= _reply_form(request.reply, structured, strict)
    if sampling.seed is not None:
        built["seed"] = sampling.seed
    if sampling.stop:
        built["stop"] = sampling.stop
    if sampling.top_logprobs is not None:
        built["logprobs"] = True
        built["top_logprobs"] = sampling.top_logprobs
    return built | sampling.extra


def _reply_form(reply: ReplySchema, structured: Structured, strict: bool) -> dict[str, Any]:
    """The fields that hold a reply to its schema."""
    schema = _without(reply.schema, "maxLength") if strict else reply.schema
    if structured == "none":
        return {}
    if structured == "tool" or reply.means == "tool":
        function = {"name": reply.name, "description": TOOL, "parameters": schema, "strict": True}
        return {
            "tools": [{"type": "function", "function": function}],
            "tool_choice": {"type": "function", "function": {"name": reply.name}},
        }
    form = {"name": reply.name, "schema": schema, "strict": True}
    return {"response_format": {"type": "json_schema", "json_schema": form}}


def _without(schema: Any, keyword: str) -> Any:
    """A schema without a keyword, wherever it stands."""
    if isinstance(schema, dict):
        return {name: _without(value, keyword) for name, value in schema.items() if name != keyword}
    return [_without(value, keyword) for value in schema] if isinstance(schema, list) else schema


def encode(built: dict[str, Any]) -> bytes:
    """Encode a body as JSON; lone surrogates, which no server takes, become U+FFFD."""
    try:
        return _ENCODER.encode(built)
    except UnicodeEncodeError:
        return _ENCODER.encode(mend(msgspec.to_builtins(built)))


def mend(value: Any) -> Any:
    """``value`` with the lone surrogates in its strings replaced by U+FFFD."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list | tuple):
        return [mend(entry) for entry in value]
    if isinstance(value, dict):
        return {mend(name): mend(entry) for name, entry in value.items()}
    return value


def loads(raw: bytes) -> Any:
    """JSON as a forgiving reader takes it. Raises ValueError or RecursionError."""
    return mend(json.loads(raw.decode("utf-8-sig", "replace"), strict=False))


def without(secret: str, raw: bytes) -> bytes:
    """A body without our key, however JSON spells it: what a server says is stored."""
    if secret == NO_KEY:
        return raw
    raw = secrets.without_bytes(secret, raw)
    return _spellings(secret).sub(b"***", raw) if b"\\u00" in raw or b"\\/" in raw else raw


@functools.lru_cache(maxsize=8)
def _spellings(secret: str) -> re.Pattern[bytes]:
    """A printable ASCII text in JSON: any character may be escaped."""
    each = (
        f"(?:{re.escape(letter)}|{re.escape(chr(92))}(?:u{ord(letter):04x}{'|/' if letter == '/' else ''}))"
        for letter in secret
    )
    return re.compile("".join(each).encode(), re.IGNORECASE)


def malformed(raw: bytes, secret: str = NO_KEY) -> NoReturn:
    """Raise Malformed, keeping the start of what was sent; minus our key, which a debugging proxy may echo."""
    sent = mend(without(secret, raw[:40_000]).decode("utf-8", "replace"))[:10_000]
    raise Malformed("the server's answer is not a chat completion", body=sent)


def _parse(raw: bytes, secret: str) -> _ChatBody:
    try:
        return _DECODER.decode(raw)
    except (ValueError, RecursionError):  # every error of msgspec is a ValueError, and so is bad UTF-8
        pass
    try:
        data = loads(raw)
    except (ValueError, RecursionError):
        malformed(raw, secret)
    parsed = some(data, _ChatBody)
    if parsed.choices is None and isinstance(data, dict) and isinstance(data.get("choices"), list):
        parsed.choices = [some(choice, _ChatChoice) for choice in data["choices"]]
    return parsed


def some(data: Any, kind: type[S]) -> S:
    """Read as much of an object as its type admits: what is odd beside the text must not cost the text."""
    found = {}
    for field in msgspec.structs.fields(kind) if isinstance(data, dict) else ():
        if field.encode_name in data:
            with contextlib.suppress(ValueError):
                found[field.name] = msgspec.convert(data[field.encode_name], field.type, strict=False)
    return kind(**found)


def continuation(text: str, request: Request) -> str:
    """What was added to the request's last, unfinished assistant message. Some servers repeat that message."""
    last = request.messages[-1] if request.messages else None
    return text.removeprefix(last.content) if last is not None and last.role == "assistant" else text


def decode(
    raw: bytes, fail: Callable[[int, Detail], EvalkitError], request: Request, *, secret: str = NO_KEY
) -> Completion:
    """The completion in a response body.

    Args:
        raw: The body.
        fail: Makes the error for an error object that arrives in place of an answer.
        request: What it answers.
        secret: Never quoted in an error.
    """
    raw = without(secret, raw)
    unusable(raw)
    parsed = _parse(raw, secret)
    if error := error_in(raw, parsed.error, parsed.object):
        return _instead(error, fail)
    if not parsed.choices:
        malformed(raw, secret)
    choice = parsed.choices[0]
    broken_off(choice.finish_reason, choice.error)
    if choice.message is None:
        malformed(raw, secret)
    text = continuation(choice.message.text(), request)
    if isinstance(request.reply, ReplySchema):
        text = choice.message.called() or text
    completion = _completion(parsed, text, choice.message.refusal, choice.finish_reason, choice.logprobs)
    thinking = choice.message.thinking()
    return msgspec.structs.replace(completion, thinking=thinking) if thinking else completion


def decode_stream(events: list[bytes], fail: Callable[[int, Detail], EvalkitError]) -> Completion:
    """Read a completion from the events of a stream, which never repeat the prefill."""
    text: list[str] = []
    thinking: list[str] = []
    finish: str | None = None
    last = _ChatBody()
    for event in events:
        parsed = _parse(event, NO_KEY)
        if error := error_in(event, parsed.error, parsed.object):
            return _instead(error, fail)
        last.usage = parsed.usage or last.usage
        last.model = parsed.model or last.model
        for choice in parsed.choices or ():
            finish = choice.finish_reason or finish
            broken_off(choice.finish_reason, choice.error)
            if choice.delta is not None:
                text.append(choice.delta.text())
                thinking.append(choice.delta.thinking())
    if finish is None:
        malformed(b"".join(events))
    completion = _completion(last, "".join(text), None, finish, None)
    return msgspec.structs.replace(completion, thinking="".join(thinking))


def arguments_text(arguments: object) -> str:
    """A tool call's arguments as JSON text, whichever way a server sends them."""
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def error_in(raw: bytes, error: Any, kind: object) -> Any:
    """The error object of a body: in a field of its own, or the body itself, as vLLM sends it; nothing without one.

    Args:
        raw: the body.
        error: its field ``error``.
        kind: its field ``object``.
    """
    if error or kind != "error":
        return error
    try:
        return loads(raw)
    except (ValueError, RecursionError):
        return None


def _instead(error: Any, fail: Callable[[int, Detail], EvalkitError]) -> Completion:
    """A content filter's refusal, or an error raised, for an error object in place of an answer.

    Some gateways send one with status 200, and llama.cpp has no status.
    """
    status, detail = status_meant(error), Detail.of(error)
    if refused := refusal(status, detail):
        return refused
    raise fail(status, detail)


def broken_off(reason: str | None, error: Any = None) -> None:
    """Raise Transport where a choice says, with status 200, that the generation broke off at the provider."""
    word = (reason or "").lower()
    if word in _BROKEN or error:
        said = f": {Detail.of(error).message[:200]}" if error else ""
        raise Transport(f"the generation broke off at the provider (finish_reason {reason!r}){said}", status=200)


def unusable(raw: bytes) -> None:
    """Raise for a body with status 200 that is no answer of a chat API: cut short, empty, or a web page."""
    head = raw[:1000].lstrip(b"\xef\xbb\xbf \t\r\n")
    if not head and not raw.strip():
        raise Transport("the server sent an empty body with status 200", status=200)
    if head[:1] == b"<":
        sent = mend(raw[:40_000].decode("utf-8", "replace"))[:10_000]
        raise Malformed(
            "a web page came in place of an answer: a captive portal or a proxy's page, most likely; open it in a "
            "browser, or check base_url",
            body=sent,
        )
    tail = raw[-1000:].rstrip()
    if head[:1] in (b"{", b"[") and tail[-1:] not in (b"}", b"]"):
        raise Transport("the server's answer was cut short on its way", status=200)


def _completion(
    parsed: _ChatBody, text: str, refusal: str | None, reason: str | None, logprobs: _ChatLogprobs | None
) -> Completion:
    candidates = tuple(map(_merged, logprobs.content or ())) if logprobs else ()
    return Completion(
        text=text or refusal or "",
        finish="refusal" if refusal else finish_of(reason),
        reason=None if known(reason) else reason,
        usage=_usage(parsed.usage),
        logprobs=candidates if candidates and all(candidates) else None,
        model=parsed.model,
    )


def known(reason: str | None) -> bool:
    """Whether a finish reason is one whose meaning is known."""
    word = (reason or "").lower()
    return word in _ENDED or word.startswith(_ENDED_AT) or word in _FILTERED or word in _CUT


def finish_of(reason: str | None) -> Finish:
    """What a finish reason means; one that is not known: the text may lack its end."""
    word = (reason or "").lower()
    if word in _ENDED or word.startswith(_ENDED_AT):
        return "stop"
    return "refusal" if word in _FILTERED else "length"


def _usage(usage: _ChatUsage | None) -> Usage:
    if usage is None:
        return Usage()
    details = usage.prompt_tokens_details
    cached = details.cached_tokens if details else None
    return counted(usage.prompt_tokens, usage.completion_tokens, cached, usage.total_tokens)


def counted(prompt: int | None, completion: int | None, cached: int | None, total: int | None = None) -> Usage:
    """What a server says it used; nothing, where that cannot be.

    Some servers (xAI's, Gemini's) leave reasoning tokens out of ``completion`` and have them in ``total`` alone: what
    the total has beyond the prompt was generated, and is charged as such.
    """
    counts = (prompt or 0, completion or 0, cached or 0)
    if not all(0 <= count <= MOST_TOKENS for count in counts):
        return Usage()
    if total is None or not sum(counts[:2]) < total <= MOST_TOKENS:
        return Usage(*counts)
    if prompt is None and completion:  # what is missing is the prompt
        return Usage(total - completion, completion, counts[2])
    return Usage(counts[0], total - counts[0], counts[2])


def _merged(token: _ChatToken) -> dict[str, float]:
    """Candidates by text; none where nothing is known of the one that was written.

    Different token ids may spell the same text: their probabilities add up.
    """
    merged: dict[str, float] = {}
    for candidate in token.top_logprobs or (token,):
        new = candidate.logprob
        if new is None or not math.isfinite(new):  # -inf: it cannot occur, so it is no candidate
            continue
        old = merged.get(candidate.token)
        if old is not None:
            high, low = max(old, new), min(old, new)
            new = high + math.log1p(math.exp(low - high))
        merged[candidate.token] = new
    known = token.token in merged or (token.logprob is not None and math.isfinite(token.logprob))
    return merged if known else {}
