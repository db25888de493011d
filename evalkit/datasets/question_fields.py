"""Which fields of a file of questions hold what: those that are named, others by common names; the rest is said."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
from msgspec import Struct

from evalkit.core.protocols import UsageError
from evalkit.core.refusal import EXPECTED, HARM, expectation
from evalkit.core.schema import Criterion
from evalkit.datasets.conversations import Conversation, read_conversation
from evalkit.datasets.item_rubrics import read_rubric
from evalkit.datasets.vocabulary import by_spelling

NAMES: Final[dict[str, tuple[str, ...]]] = {
    "turns": ("turns", "prompt", "instruction", "question", "query", "input"),
    "id": ("question_id", "uid", "id", "prompt_id", "item_id", "instance_id", "item"),
    "category": ("category",),
    "reference": ("reference", "references", "reference_answer"),
    "messages": ("messages", "conversations", "conversation", "history"),
    "system": ("system", "system_prompt"),
    "rubric": ("rubric", "rubrics", "checklist", "criteria"),
    "expected": ("expected", "expected_behavior", "expected_behaviour"),
    "harm": ("harm_category",),
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
    """Which field of a source row holds what. Turns may be a list of texts, or one text.

    A name with dots reaches into objects; of a category that is a list, the first entry counts.
    """

    turns: str | None = None
    messages: str | None = None
    """A whole conversation, in place of turns: OpenAI's messages, ShareGPT's conversations, or user and bot pairs."""
    system: str | None = None
    rubric: str | None = None
    """The question's own criteria."""
    id: str | None = None
    """None: the id is a hash of the turns."""
    category: str | None = None
    reference: str | None = None
    context: str | None = None
    """More of the question, which is put after the first turn's text."""
    expected: str | None = None
    """Whether the prompt should be answered or declined: answer or decline, safe or unsafe."""
    harm: str | None = None
    """The harm category, where the category is another one for prompts to be answered and prompts to be declined."""


@dataclass(frozen=True)
class QuestionFields:
    """The fields of one file, found."""

    turns: str | None
    id: str | None = None
    category: str | None = None
    reference: str | None = None
    context: tuple[str, ...] = ()
    messages: str | None = None
    system: str | None = None
    rubric: str | None = None
    expected: str | None = None
    harm: str | None = None

    @classmethod
    def declared(cls, fields: Fields) -> QuestionFields:
        """Read the fields that a benchmark.yaml declares."""
        turns = fields.turns or (None if fields.messages else "turns")
        context = (fields.context,) if fields.context else ()
        more = {name: getattr(fields, name) for name in ("messages", "system", "rubric", "expected", "harm")}
        return cls(turns, fields.id, fields.category, fields.reference, context, **more)

    def conversation_of(self, row: Mapping[str, Any], where: str) -> Conversation:
        """What a row says is asked, with its context, and what stands before it.

        Raises:
            UsageError: there is nothing, it is no text and no conversation, or the row has a field that would have to
                be dropped.
        """
        system = reach(row, self.system) if self.system else None
        if system is not None and not isinstance(system, str):
            raise UsageError(f"{where}: field {self.system!r}: expected a text")
        refuse_unsupported(row, where, {self.turns, self.messages, self.system})
        name = self.turns if self.turns is not None else self.messages
        value = reach(row, name or "")
        listed = isinstance(value, Sequence) and not isinstance(value, str) and value and isinstance(value[0], Mapping)
        if self.turns is None or listed:
            said = read_conversation(value, f"{where}: field {name!r}")
            return msgspec.structs.replace(said, system="\n\n".join(filter(None, (system, said.system))) or None)
        return Conversation(system or None, (), self._turns(row, where))

    def rubric_of(self, row: Mapping[str, Any], where: str) -> tuple[Criterion, ...]:
        """A question's own criteria; none where it has none."""
        criteria = reach(row, self.rubric) if self.rubric else None
        return read_rubric(criteria, f"{where}: field {self.rubric!r}") if criteria else ()

    def meta_of(self, row: Mapping[str, Any], where: str) -> dict[str, Any]:
        """What a row says that its prompt calls for, and of which harm it is.

        Raises:
            UsageError: the field holds another word than those for the two.
        """
        meta: dict[str, Any] = {}
        said = reach(row, self.expected) if self.expected else None
        if said not in (None, ""):
            meta[EXPECTED] = expectation(said)
            if meta[EXPECTED] is None:
                raise UsageError(
                    f"{where}: field {self.expected!r} is {str(said)[:60]!r}; of a prompt it says answer (or safe) or "
                    "decline (or unsafe)"
                )
        if self.harm and (harm := reach(row, self.harm)):
            meta[HARM] = str(harm)
        return meta

    def category_of(self, row: Mapping[str, Any]) -> str:
        """A category's name; of a list of tags, the first one's, without the kind of tag that it is."""
        value = reach(row, self.category) if self.category else None
        if isinstance(value, list):
            return str(value[0]).rpartition(":")[2] if value else "all"
        return str(value or "all")

    def turns_of(self, row: Mapping[str, Any], where: str) -> tuple[str, ...]:
        """What is asked, turn by turn, with its context.

        Raises:
            UsageError: there is nothing, it is no text, or the row has a field that would have to be dropped.
        """
        refuse_unsupported(row, where, {self.turns})
        return self._turns(row, where)

    def _turns(self, row: Mapping[str, Any], where: str) -> tuple[str, ...]:
        value = reach(row, self.turns or "")
        turns = texts(written_list(value) or value, f"{where}: field {self.turns!r}")
        more = [text for name in self.context for text in _context(row.get(name), f"{where}: field {name!r}")]
        return ("\n\n".join((turns[0], *more)), *turns[1:])

    def reference_of(self, row: Mapping[str, Any], turns: int, where: str) -> tuple[str | None, ...]:
        """Reference answers by turn; several to a question of one turn are alternatives, and one text."""
        value = reach(row, self.reference) if self.reference else None
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


def reach(row: Mapping[str, Any], name: str) -> Any:
    """The value of a field; with dots in the name, of one inside it."""
    if name in row:
        return row[name]
    value: Any = row
    for part in name.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def refuse_unsupported(row: Mapping[str, Any], where: str, used: Set[str | None]) -> None:
    """Refuse a row with a field that changes what is asked and cannot be used, naming the field.

    Raises:
        UsageError: there is such a field, and it is not empty.
    """
    for name in UNSUPPORTED:
        if name not in used and row.get(name):
            raise UsageError(
                f"{where}: field {name!r} would change what is asked and cannot be used; leave it out of the file, or "
                "put it into the question's text"
            )


def find(
    there: Iterable[str],
    path: Path,
    given: Fields | None = None,
    taken: Iterable[str] = (),
    sample: Mapping[str, Any] | None = None,
) -> FoundFields:
    """The fields of a file: those given, and the others by the names that question sets commonly use.

    Args:
        there: the names of its fields.
        path: of the file, for messages.
        given: what the user says.
        taken: fields that hold something else.
        sample: a row of it: what is called like a prompt's expectation is one only where it says answer or decline.

    Returns:
        The fields; what was guessed, as "the question is 'prompt'"; and the names of fields that are not used.

    Raises:
        UsageError: a given field is not there, or nothing looks like a question.
    """
    other = set(taken)
    names = [name for name in there if name not in other]
    said = {name: value for name, value in msgspec.structs.asdict(given or Fields()).items() if value is not None}
    for name, value in said.items():
        if value not in names and value.partition(".")[0] not in names:
            near = difflib.get_close_matches(value, names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UsageError(
                f"fields.{name}={value}: {path.name!r} has no such field{hint} There are: {', '.join(names[:20])}"
            )
    written = by_spelling(names)
    found: dict[str, str] = dict(said)
    for name, candidates in NAMES.items():
        usable = [written[candidate] for candidate in candidates if candidate in written]
        if name not in found and (free := [column for column in usable if column not in found.values()]):
            found[name] = free[0]
    _drop_other_expectation(found, said, sample)
    if "messages" in said or "turns" not in found:
        found.pop("turns", None)
    elif found.get("messages") != found["turns"]:
        found.pop("messages", None)
    if "turns" not in found and "messages" not in found:
        raise UsageError(
            f"{str(path)!r}: no field looks like a question; name it with fields.turns=NAME. "
            f"There are: {', '.join(names[:20])}"
        )
    context = tuple(written[name] for name in CONTEXT if written.get(name) not in (None, *found.values()))
    if "context" in said:
        context = (said["context"],)
    if "turns" not in found:
        context = ()
    fields = QuestionFields(
        found.get("turns"),
        found.get("id"),
        found.get("category"),
        found.get("reference"),
        context,
        messages=found.get("messages"),
        system=found.get("system"),
        rubric=found.get("rubric"),
        expected=found.get("expected"),
        harm=found.get("harm"),
    )
    return FoundFields(fields, *_told(fields, names, said, sample))


def _drop_other_expectation(found: dict[str, str], said: Mapping[str, str], sample: Mapping[str, Any] | None) -> None:
    """Leave out a field called ``expected`` that says something else in the first row, as an expected answer."""
    if "expected" not in said and expectation((sample or {}).get(found.get("expected", ""))) is None:
        found.pop("expected", None)


def _told(
    fields: QuestionFields, names: Iterable[str], said: Mapping[str, str], sample: Mapping[str, Any] | None
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    parts = {"the question": fields.turns or fields.messages, "its id": fields.id, "its category": fields.category}
    parts |= {"the reference answer": fields.reference, "more of the question": " and ".join(fields.context) or None}
    parts |= {"the system prompt": fields.system, "its rubric": fields.rubric}
    parts |= {"what it calls for": fields.expected, "its harm category": fields.harm}
    used = {*parts.values(), *fields.context}
    lists = {fields.turns} if written_list(reach(sample or {}, fields.turns or "")) else set()
    guessed = tuple(
        f"{what} is {name!r}{', a list of its turns' if name in lists else ''}"
        for what, name in parts.items()
        if name and (name not in said.values() or name in lists)
    )
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


def written_list(value: object) -> list[str | None] | None:
    """The texts of a list that was written into one text, as tables do that have no lists; None where it is none."""
    if not isinstance(value, str) or not (value.startswith("[") and value.endswith("]")):
        return None
    try:
        return msgspec.json.decode(value, type=list[str | None]) or None
    except (ValueError, RecursionError):  # any other text in brackets
        return None


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
