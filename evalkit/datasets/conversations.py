"""Conversations as files hold them -> what a question needs: system prompt, history, turns to answer, references.

Forms: OpenAI's messages (role, content, tool_calls), ShareGPT's conversations (from, value), pairs of a user's and a
bot's text (user, bot), as MT-Bench-101 has them, and Anthropic's one text with ``Human:`` and ``Assistant:`` in it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct

from evalkit.core.protocols import UsageError
from evalkit.core.schema import ChatTurn

Role = Literal["system", "user", "assistant", "tool"]
ROLES: Mapping[str, Role] = {
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "chatgpt", "bot", "model", "bing", "bard", "function_call"), "assistant"),
    **dict.fromkeys(("tool", "function", "observation", "tool_response", "function_response"), "tool"),
}
"""Our name for a speaker, by how files call it."""
SPOKEN = re.compile(r"\n\n(Human|Assistant):")
"""Where somebody else begins to speak in one of Anthropic's texts."""


class Conversation(Struct, frozen=True):
    """What a conversation comes to as a question."""

    system: str | None
    messages: tuple[ChatTurn, ...]
    """Said before the first turn that is to be answered."""
    turns: tuple[str, ...]
    reference: tuple[str | None, ...] = ()
    """The answer that the file has for the last turn, if any."""


def read_conversation(value: object, where: str) -> Conversation:
    """A conversation that ends with what is to be answered, or with a reference answer to it.

    Where the assistant speaks in between, what comes before the user's last words is history, word for word. Where it
    never does, each of the user's messages is a turn of its own, to be answered one after the other.

    Args:
        value: a list of messages.
        where: it stands, for messages.

    Raises:
        UsageError: it is no such list, or no user speaks last.
    """
    if isinstance(value, str) and value.startswith("\n\nHuman:"):
        value = _transcript(value)
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise UsageError(f"{where}: expected a list of messages, each with role and content; it is {_short(value)}")
    said = [turn for entry in value for turn in _spoken(entry, where)]
    system = "\n\n".join(turn.content for turn in said if turn.role == "system")
    said = [turn for turn in said if turn.role != "system"]
    reference: str | None = None
    if len(said) > 1 and said[-1].role == "assistant" and said[-2].role in ("user", "tool"):
        reference = said.pop().content
    if not said or said[-1].role not in ("user", "tool"):
        raise UsageError(f"{where}: the conversation must end with the user, or with an answer to the user")
    if all(turn.role == "user" for turn in said):
        turns = tuple(turn.content for turn in said)
        history: list[ChatTurn] = []
    elif said[-1].role == "tool":  # the assistant is to go on from what its tool returned
        turns, history = (f"[tool result]\n{said[-1].content}",), said[:-1]
    else:
        turns, history = (said[-1].content,), said[:-1]
    references = (*(None for _ in turns[1:]), reference) if reference is not None else ()
    return Conversation(system or None, tuple(history), turns, references)


def _transcript(text: str) -> list[dict[str, str]]:
    """Messages of one text with ``Human:`` and ``Assistant:``; empty ones are left out, and their neighbours joined."""
    said: list[dict[str, str]] = []
    parts = SPOKEN.split(text)[1:]
    for speaker, words in zip(parts[::2], map(str.strip, parts[1::2]), strict=True):
        if words and said and said[-1]["role"] == speaker.lower():
            said[-1]["content"] += f"\n\n{words}"
        elif words:
            said.append({"role": speaker.lower(), "content": words})
    return said


def _spoken(entry: object, where: str) -> list[ChatTurn]:
    """The messages in one entry of a list."""
    if not isinstance(entry, Mapping):
        raise UsageError(f"{where}: expected a message with role and content; it is {_short(entry)}")
    if "user" in entry and "role" not in entry:
        pair = [ChatTurn("user", _text(entry["user"], where))]
        bot = entry.get("bot", entry.get("assistant"))
        return [*pair, ChatTurn("assistant", _text(bot, where))] if bot else pair
    name = entry.get("role", entry.get("from"))
    role = ROLES.get(str(name).casefold())
    if role is None:
        raise UsageError(f"{where}: role {name!r} is none of {', '.join(sorted(ROLES))}")
    text = _text(entry.get("content", entry.get("value")), where)
    calls = "\n".join(_call(call) for call in entry.get("tool_calls") or ())
    return [ChatTurn(role, "\n".join(part for part in (text, calls) if part))]


def _text(content: object, where: str) -> str:
    """What a message says; of a list of parts, their texts, and a mark where something else stood."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, Sequence):
        return "\n".join(
            part if isinstance(part, str) else str(part.get("text") or f"[{part.get('type', 'attachment')}]")
            for part in content
            if isinstance(part, str | Mapping)
        )
    raise UsageError(f"{where}: the content of a message must be text; it is {_short(content)}")


def _call(call: Any) -> str:
    """A call of a tool as text."""
    function = call.get("function", call) if isinstance(call, Mapping) else {}
    arguments = function.get("arguments", {})
    spelled = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
    return f"[calls {function.get('name', 'a tool')} with {spelled}]"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
