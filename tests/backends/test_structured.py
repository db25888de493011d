"""Replies that must be JSON: what each wire format sends, what comes back, and a server that takes no schema."""

from __future__ import annotations

import asyncio
import json

import msgspec
import pytest

from evalkit.backends import anthropic, chat_completions
from evalkit.backends.fake import Fake
from evalkit.core.protocols import Completion, Message, Rejected, ReplySchema, Request, Sampling
from evalkit.core.schema import digest
from evalkit.models.client import Client
from evalkit.models.retry import RetryPolicy

SCHEMA = {
    "type": "object",
    "properties": {"reason": {"type": "string", "maxLength": 9}, "rating": {"type": "integer", "enum": [1, 2]}},
    "required": ["reason", "rating"],
    "additionalProperties": False,
}
REPLY = ReplySchema("verdict", SCHEMA)
ASKED = Request((Message("user", "Rate it."),), Sampling(max_tokens=50), REPLY)
TOOL = msgspec.structs.replace(ASKED, reply=ReplySchema("verdict", SCHEMA, "tool"))
PLAIN = Request(ASKED.messages, ASKED.sampling)


def fail(code, detail, *_):
    raise AssertionError(detail)


def test_a_request_without_a_schema_has_the_key_it_always_had():
    assert msgspec.json.encode(PLAIN) == (
        b'{"messages":[{"role":"user","content":"Rate it."}],"sampling":{"max_tokens":50}}'
    )
    assert digest(PLAIN) != digest(ASKED) != digest(TOOL)


def test_what_the_openai_format_sends():
    form = chat_completions.body(ASKED, "m")["response_format"]
    assert form == {"type": "json_schema", "json_schema": {"name": "verdict", "schema": SCHEMA, "strict": True}}
    own = chat_completions.body(ASKED, "m", strict=True)["response_format"]["json_schema"]["schema"]
    assert own["properties"]["reason"] == {"type": "string"}, "OpenAI refuses a keyword it does not know"
    for body in (chat_completions.body(TOOL, "m"), chat_completions.body(ASKED, "m", structured="tool")):
        assert body["tool_choice"] == {"type": "function", "function": {"name": "verdict"}}
        assert body["tools"][0]["function"]["parameters"] == SCHEMA
        assert "response_format" not in body
    assert chat_completions.body(ASKED, "m", structured="none") == chat_completions.body(PLAIN, "m")


def test_effort_and_room_for_thinking():
    sampling = Sampling(max_tokens=50, effort="low", thinking_tokens=1000)
    body = chat_completions.body(Request(ASKED.messages, sampling), "m")
    assert (body["max_tokens"], body["reasoning_effort"]) == (1050, "low")
    body = anthropic._body(Request(ASKED.messages, sampling), "m")
    assert body["max_tokens"] == 1050
    assert body["thinking"] == {"type": "enabled", "budget_tokens": 1000}
    assert body["output_config"] == {"effort": "low"}


@pytest.mark.parametrize("arguments", ['{"rating": 2}', {"rating": 2}], ids=["text", "object"])
def test_a_tool_call_is_the_reply(arguments):
    call = {"id": "1", "type": "function", "function": {"name": "verdict", "arguments": arguments}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    raw = json.dumps({"choices": [{"message": message, "finish_reason": "tool_calls"}]}).encode()
    completion = chat_completions.decode(raw, fail, TOOL)
    assert (json.loads(completion.text), completion.finish) == ({"rating": 2}, "stop")
    assert chat_completions.decode(raw, fail, PLAIN).text == "", "a call that nobody asked for is no reply"


def test_two_tool_calls_are_no_verdict():
    calls = [{"function": {"name": "verdict", "arguments": f'{{"rating": {n}}}'}} for n in (1, 2)]
    raw = json.dumps({"choices": [{"message": {"tool_calls": calls}, "finish_reason": "stop"}]}).encode()
    assert chat_completions.decode(raw, fail, TOOL).text == '{"rating": 1}\n{"rating": 2}'


def test_what_anthropics_format_sends_and_reads():
    body = anthropic._body(ASKED, "m")
    assert body["tool_choice"] == {"type": "tool", "name": "verdict"}
    assert body["tools"][0]["input_schema"] == SCHEMA
    thinking = msgspec.structs.replace(ASKED, sampling=Sampling(thinking_tokens=2000))
    assert anthropic._body(thinking, "m")["tool_choice"] == {"type": "auto"}, "a forced call excludes thinking"
    blocks = [{"type": "thinking", "thinking": "Hm."}, {"type": "tool_use", "name": "verdict", "input": {"rating": 1}}]
    raw = json.dumps({"content": blocks, "stop_reason": "tool_use"}).encode()
    completion = anthropic._decode(raw, ASKED, "key", fail)
    assert (json.loads(completion.text), completion.thinking, completion.finish) == ({"rating": 1}, "Hm.", "stop")


class NoSchemas(Fake):
    """Takes no schema, and keeps what it was asked."""

    def __init__(self, *, nothing=False):
        super().__init__()
        self.seen, self.nothing = [], nothing

    async def complete(self, request: Request) -> Completion:
        self.seen.append(request)
        if self.nothing or isinstance(request.reply, ReplySchema):
            raise Rejected("400: response_format is not supported")
        return Completion('{"reason": "x", "rating": 1}')


def asked(backend, *requests):
    async def run():
        client = Client(backend, name="j", price=None, retry=RetryPolicy(attempts=1), stopping=asyncio.Event())
        found = []
        for request in requests:
            try:
                found.append((await client.ask(request)).completion)
            except Rejected as error:
                found.append(error)
        return found, client.notes

    return asyncio.run(run())


def test_a_server_that_takes_no_schema_is_asked_in_words_and_it_is_said():
    backend = NoSchemas()
    others = [
        msgspec.structs.replace(ASKED, reply=ReplySchema("verdict", {**SCHEMA, "title": str(n)})) for n in range(4)
    ]
    found, notes = asked(backend, ASKED, ASKED, *others)
    assert all(completion.unformed and completion.text for completion in found)
    assert len(notes) == 1
    assert "takes no JSON schema" in notes[0]
    tries = [request for request in backend.seen if isinstance(request.reply, ReplySchema)]
    assert len(tries) == 3, "one refusal settles a schema, three settle a server"


def test_a_prompt_that_is_refused_either_way_says_nothing_of_schemas():
    found, notes = asked(NoSchemas(nothing=True), ASKED)
    assert isinstance(found[0], Rejected)
    assert notes == []
