"""What stands before a question: its system prompts and the conversation it comes with."""

from __future__ import annotations

from typing import Literal

from evalkit.core.protocols import Message
from evalkit.core.schema import Item

NO_ANSWER = "(no answer)"
"""What stands for an empty answer in a history: providers reject an empty message of an assistant."""


def answered(text: str) -> str:
    """An earlier answer as it is sent back."""
    return text if text.strip() else NO_ANSWER


def opening(item: Item) -> list[Message]:
    """What stands before an item's first question: system prompts as one message, and the history it comes with.

    What a tool returned is told as the user's text, and messages of one role that follow each other are one: servers
    refuse a tool's message without the call it answers, and many chat templates refuse two of a role in a row.
    """
    systems = [item.system] if item.system else []
    told: list[Message] = []
    for turn in item.messages:
        if turn.role == "system":
            systems.append(turn.content)
            continue
        role: Literal["user", "assistant"] = "assistant" if turn.role == "assistant" else "user"
        content = f"[tool result]\n{turn.content}" if turn.role == "tool" else turn.content
        content = answered(content) if role == "assistant" else content
        if told and told[-1].role == role:
            content = f"{told.pop().content}\n\n{content}"
        told.append(Message(role, content))
    return [*([Message("system", "\n\n".join(systems))] if systems else []), *told]


def ask(messages: list[Message], question: str) -> None:
    """Append a question as the user's next message; joined to the last one where the user spoke last."""
    if messages and messages[-1].role == "user":
        question = f"{messages.pop().content}\n\n{question}"
    messages.append(Message("user", question))
