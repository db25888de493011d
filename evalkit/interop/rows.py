"""What formats of scored and compared answers have in common: an item, answers to it, and verdicts on them."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace

from evalkit.core.schema import ChatTurn, Failure, Item, Ref, digest
from evalkit.datasets.data_files import Where
from evalkit.interop.records import UNKNOWN, Imported, ImportLedger, JudgedTurn, judge_ref, model_ref
from evalkit.ratings.comparisons import GOLD, HUMAN

Shown = tuple[Ref, tuple[str, int | None]]
"""A model, and the identity and length of its answer."""

_NUMBER: Final = re.compile(r"[+-]?(\d++\.?+\d*+|\.\d++)(e[+-]?\d++)?", re.IGNORECASE)
_COMMA: Final = re.compile(r"[+-]?\d+,\d{1,2}")


class SourceRows:
    """Makes the records of one benchmark, each of which is yielded once.

    The methods are generators that yield new records and return what they are about::

        about = yield from rows.item(where, ("Who?",))
        shown = yield from rows.answer(where, about, "m", ("I.",))
        yield rows.score(where, about, judge_ref("j"), "scores", shown, 7.0)

    Args:
        benchmark: what the records belong to.
        ledger: of the whole import.
    """

    def __init__(self, benchmark: str, ledger: ImportLedger) -> None:
        self.benchmark = benchmark
        self.ledger = ledger
        self._referenced: set[str] = set()

    def item(
        self,
        where: Where,
        turns: tuple[str, ...],
        *,
        identity: str = "",
        category: str = "",
        reference: tuple[str | None, ...] = (),
        turn: int = 1,
        meta: Mapping[str, Any] | None = None,
        system: str | None = None,
        messages: tuple[ChatTurn, ...] = (),
    ) -> Generator[Imported, None, JudgedTurn]:
        """A question; without turns, only its id is known and nothing is yielded. Without an id, the text has one."""
        name = identity or digest(*((turns, system, messages) if system or messages else (turns,)))[:16]
        known = self.ledger.categories.get((self.benchmark, name))
        about = JudgedTurn(self.benchmark, name, turn, known or category or UNKNOWN)
        if turns:
            item = Item(
                id=name,
                benchmark=self.benchmark,
                category=category or known or UNKNOWN,
                turns=turns,
                reference=reference if any(reference) else (),
                meta=dict(meta or {}),
                system=system,
                messages=messages,
            )
            new = self.ledger.new(where, item)
            more = any(reference) and name not in self._referenced
            if new or more:  # again where an earlier row of the same question had no reference
                yield Imported(item)
            if more:
                self._referenced.add(name)
        return about

    def answer(
        self, where: Where, about: JudgedTurn, model: str, turns: tuple[str, ...] | None, failure: Failure | None = None
    ) -> Generator[Imported, None, Shown]:
        """A model's answer, where it is new; without text, the one that is known. Returns what a judge was shown."""
        who = model_ref(model)
        if turns is not None:
            made = self.ledger.answer(where, about[:2], who, turns, again=False, category=about.category)
            if made is not None:
                yield Imported(made if failure is None else replace(made, error=failure))
        return who, self.ledger.shown(about, who, turns)

    def score(
        self,
        where: Where,
        about: JudgedTurn,
        judge: Ref,
        protocol: str,
        shown: Shown,
        verdict: float | Failure,
        **more: Any,
    ) -> Imported:
        """A score of one answer."""
        scores = verdict if isinstance(verdict, Failure) else (verdict,)
        return Imported(self.ledger.judgment(where, about, judge, protocol, [shown], scores, **more))

    def pair(
        self,
        where: Where,
        about: JudgedTurn,
        judge: Ref,
        protocol: str,
        shown: Sequence[Shown],
        verdict: float | Failure,
        **more: Any,
    ) -> Imported:
        """A comparison of two answers, in the order shown; ``verdict`` is the first one's points, 0 to 1."""
        scores = verdict if isinstance(verdict, Failure) else (verdict, 1 - verdict)
        return Imported(self.ledger.judgment(where, about, judge, protocol, shown, scores, **more))


def person(name: str) -> Ref:
    """Somebody who voted."""
    return Ref(name, HUMAN)


def gold() -> Ref:
    """Labels that are known to be right."""
    return judge_ref(GOLD)


def number_of(value: object) -> float | None:
    """The finite number that a cell is, also with a decimal comma; True is 1 and False 0. None: it is none."""
    if isinstance(value, bool | int | float):
        return float(value) if abs(value) < 1e300 else None  # false for NaN, too
    text = str(value).strip() if isinstance(value, str) else ""
    if text.lower() in ("true", "false"):
        return float(text.lower() == "true")
    if _COMMA.fullmatch(text):
        text = text.replace(",", ".")
    return float(text) if len(text) < 64 and _NUMBER.fullmatch(text) else None


def texts_of(value: str | list[dict[str, Any]], where: Where, field: str) -> tuple[tuple[str, str], ...]:
    """A text, or chat messages, as roles and texts; content in parts is joined, and a system's message left out.

    Raises:
        UsageError: a message has no text.
    """
    if isinstance(value, str):
        return (("user", value),)
    result = []
    for message in value:
        content = text_of(message.get("content"))
        if content is None:
            raise where.error(f"field `{field}` has a message without text in `content`")
        if message.get("role") != "system":
            result.append(("assistant" if message.get("role") in ("assistant", "ai") else "user", content))
    return tuple(result)


def system_of(messages: Iterable[Mapping[str, Any]]) -> str | None:
    """What chat messages say before the conversation, where they say anything."""
    texts = [text_of(message.get("content")) for message in messages if message.get("role") == "system"]
    return "\n\n".join(filter(None, texts)) or None


def text_of(content: object) -> str | None:
    """The text of a message's content, which may come in parts; None where there is none."""
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else part for part in content]
        return "\n".join(part for part in parts if isinstance(part, str)) if any(parts) else None
    return content if isinstance(content, str) else None
