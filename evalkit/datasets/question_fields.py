"""Which fields of a file of questions hold what: those that are named, others by common names; the rest is said."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from evalkit.core.protocols import UsageError
from evalkit.datasets.vocabulary import spelt

NAMES: Final[dict[str, tuple[str, ...]]] = {
    "turns": ("turns", "prompt", "instruction", "question", "query", "input"),
    "id": ("question_id", "uid", "id", "prompt_id", "item_id", "instance_id", "item"),
    "category": ("category",),
    "reference": ("reference", "references", "reference_answer"),
}
"""By what it is, the names of the field it is looked for in; the first one there counts."""

CONTEXT: Final = ("input", "context")
"""Fields with more of the question, which stand after its text and a blank line, as Alpaca's ``input`` does."""

UNSUPPORTED: Final = (
    *("system", "system_prompt", "messages", "conversation", "conversations", "history"),
    *("images", "image", "tools"),
)
"""Fields that change what is asked, and that no model is asked with."""


class Fields(Struct, frozen=True, forbid_unknown_fields=True):
    """Which field of a source row holds what. Turns may be a list of texts, or one text."""

    turns: str | None = None
    id: str | None = None
    """None: the id is a hash of the turns."""
    category: str | None = None
    reference: str | None = None
    context: str | None = None
    """More of the question, which is put after the first turn's text."""


@dataclass(frozen=True)
class QuestionFields:
    """The fields of one file, found."""

    turns: str
    id: str | None = None
    category: str | None = None
    reference: str | None = None
    context: tuple[str, ...] = ()

    @classmethod
    def declared(cls, fields: Fields) -> QuestionFields:
        """As a benchmark.yaml says."""
        context = (fields.context,) if fields.context else ()
        return cls(fields.turns or "turns", fields.id, fields.category, fields.reference, context)

    def turns_of(self, row: Mapping[str, Any], where: str) -> tuple[str, ...]:
        """What is asked, turn by turn, with its context.

        Raises:
            UsageError: there is nothing, it is no text, or the row has a field that would have to be dropped.
        """
        turns = texts(row.get(self.turns), f"{where}: field {self.turns!r}")
        more = [text for name in self.context for text in _context(row.get(name), f"{where}: field {name!r}")]
        refuse_unsupported(row, where, self.turns)
        return ("\n\n".join((turns[0], *more)), *turns[1:])

    def reference_of(self, row: Mapping[str, Any], turns: int, where: str) -> tuple[str | None, ...]:
        """Reference answers by turn; several to a question of one turn are alternatives, and one text."""
        value = row.get(self.reference) if self.reference else None
        if value is None or value in ("", []):
            return ()
        if isinstance(value, int | float):
            value = f"{value}"
        found = texts(value, f"{where}: field {self.reference!r}", empty=True)
        return ("\n\nor:\n\n".join(found),) if turns == 1 and len(found) > 1 else found


class FoundFields(NamedTuple):
    """What ``find`` found."""

    fields: QuestionFields
    guessed: tuple[str, ...]
    unused: tuple[str, ...]


def refuse_unsupported(row: Mapping[str, Any], where: str, used: str) -> None:
    """Refuse a row with a field that changes what is asked and cannot be used, naming the field.

    Raises:
        UsageError: there is such a field, and it is not empty.
    """
    for name in UNSUPPORTED:
        if name != used and row.get(name):
            raise UsageError(
                f"{where}: field {name!r} would change what is asked and cannot be used; leave it out of the file, or "
                "put it into the question's text"
            )


def find(there: Iterable[str], path: Path, given: Fields | None = None, taken: Iterable[str] = ()) -> FoundFields:
    """The fields of a file: those given, and the others by the names that question sets commonly use.

    Args:
        there: the names of its fields.
        path: of the file, for messages.
        given: what the user says.
        taken: fields that hold something else.

    Returns:
        The fields; what was guessed, as "the question is 'prompt'"; and the names of fields that are not used.

    Raises:
        UsageError: a given field is not there, or nothing looks like a question.
    """
    other = set(taken)
    names = [name for name in there if name not in other]
    said = {name: value for name, value in msgspec.structs.asdict(given or Fields()).items() if value is not None}
    for name, value in said.items():
        if value not in names:
            near = difflib.get_close_matches(value, names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UsageError(
                f"fields.{name}={value}: {path.name!r} has no such field{hint} There are: {', '.join(names[:20])}"
            )
    written = {spelt(name): name for name in reversed(names)}
    found: dict[str, str] = dict(said)
    for name, candidates in NAMES.items():
        usable = [written[candidate] for candidate in candidates if candidate in written]
        if name not in found and (free := [column for column in usable if column not in found.values()]):
            found[name] = free[0]
    if "turns" not in found:
        raise UsageError(
            f"{str(path)!r}: no field looks like a question; name it with fields.turns=NAME. "
            f"There are: {', '.join(names[:20])}"
        )
    context = tuple(written[name] for name in CONTEXT if written.get(name) not in (None, *found.values()))
    if "context" in said:
        context = (said["context"],)
    fields = QuestionFields(found["turns"], found.get("id"), found.get("category"), found.get("reference"), context)
    return FoundFields(fields, *_told(fields, names, said))


def _told(
    fields: QuestionFields, names: Iterable[str], said: Mapping[str, str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    parts = {"the question": fields.turns, "its id": fields.id, "its category": fields.category}
    parts |= {"the reference answer": fields.reference, "more of the question": " and ".join(fields.context) or None}
    used = {fields.turns, fields.id, fields.category, fields.reference, *fields.context}
    guessed = tuple(f"{what} is {name!r}" for what, name in parts.items() if name and name not in said.values())
    return guessed, tuple(name for name in names if name not in used)


def assumption(path: Path, guessed: Sequence[str], unused: Sequence[str], how: str) -> str:
    """One line that says what was assumed of a file's fields.

    Args:
        path: of the file.
        guessed: as ``find`` tells it.
        unused: names of fields that are not used.
        how: to say otherwise.
    """
    left = f"; not used: {', '.join(map(repr, unused[:12]))}{', ...' if len(unused) > 12 else ''}" if unused else ""
    return f"assumed: in {path.name}, {', '.join(guessed) or 'the fields are as given'}{left} ({how})"


def texts(value: object, where: str, *, empty: bool = False) -> tuple[str, ...]:
    """A text, or a list of texts, as a tuple.

    Args:
        value: of a field.
        where: the field and its record, for messages.
        empty: a list that leaves some out is allowed.
    """
    if isinstance(value, str):
        value = [value]
    try:
        turns = msgspec.convert(value, tuple[str | None, ...] if empty else tuple[str, ...])
    except msgspec.ValidationError as error:
        raise UsageError(f"{where}: expected a text or a list of texts; {error}") from error
    if not turns or not any(turns):
        raise UsageError(f"{where}: is empty; a question needs at least one turn")
    return turns  # type: ignore[return-value]  # without None unless those are allowed


def _context(value: object, where: str) -> tuple[str, ...]:
    if value is None or value in ("", []):
        return ()
    return tuple(text for text in texts(value, where) if text.strip())
