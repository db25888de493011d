"""Prompts with fields: what stands in ``{question}`` and its like, filled in one pass, each piece between marks."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping

from evalkit.core.protocols import Case, UsageError
from evalkit.core.schema import Criterion, Item
from evalkit.judges.own import block
from evalkit.judges.scales import LETTERS

FIELDS = ("question", "answer", "answer_a", "answer_b", "answers", "reference", "conversation", "rubric")
_FIELD = re.compile(r"\{\{|\}\}|\{([A-Za-z_][A-Za-z0-9_]*)\}")
_SPACED = re.compile(r"\{\s+([a-z_]+)\s*\}|\{\s*([a-z_]+)\s+\}")


def fields_of(text: str, where: str, allowed: Collection[str] = FIELDS) -> frozenset[str]:
    """Names of the fields in a text. Doubled braces, and single ones around anything but a name, are text.

    Raises:
        UsageError: a name is none of the fields.
    """
    found = {match[1] for match in _FIELD.finditer(text) if match[1]}
    for name in sorted(found):
        if name not in allowed:
            near = difflib.get_close_matches(name.casefold(), allowed, n=1)
            hint = f"did you mean {{{near[0]}}}? " if near else ""
            fields = ", ".join(f"{{{field}}}" for field in allowed)
            raise UsageError(
                f"{where}: {{{name}}} is not a field; {hint}There are {fields}. For the word in braces as text, double "
                f"them: {{{{{name}}}}}"
            )
    for match in _SPACED.finditer(text):
        name = match[1] or match[2]
        if name in allowed and not match[0].startswith("{{"):
            raise UsageError(f"{where}: write {match[0]!r} without spaces, {{{name}}}, or double its braces")
    return frozenset(found)


def filled(text: str, values: Mapping[str, str]) -> str:
    """The text with each field's value in its place, on lines of its own."""

    def value(match: re.Match[str]) -> str:
        if match[1] is None:
            return match[0][0]
        given = values[match[1]]
        start = "" if match.start() == 0 or text[match.start() - 1] == "\n" else "\n"
        end = "" if match.end() == len(text) or text[match.end()] == "\n" else "\n"
        return f"{start}{given}{end}"

    return _FIELD.sub(value, text)


def material(case: Case, mark: str, names: Collection[str], rubric: tuple[Criterion, ...] = ()) -> dict[str, str]:
    """What each field stands for, between marks that no answer can forge.

    Args:
        case: what is judged.
        mark: what the markers carry.
        names: the fields wanted.
        rubric: criteria for ``{rubric}``; the item's own where it has any.
    """
    item, turn = case.item, case.turn
    reference = item.reference[turn - 1] if turn <= len(item.reference) else None
    criteria = item.rubric or rubric
    made: dict[str, str] = {}
    for name in names:
        match name:
            case "question":
                made[name] = block("question", item.turns[turn - 1], mark)
            case "reference":
                made[name] = block("reference", reference or "(none given)", mark)
            case "conversation":
                made[name] = block("conversation", dialogue(item, case.shown[0].turns, turn, mark), mark)
            case "rubric":
                made[name] = block("rubric", "\n".join(f"- {one.text}" for one in criteria) or "(none given)", mark)
            case "answers":
                made[name] = "\n\n".join(
                    block(f"answer {letter}", answer, mark)
                    for letter, answer in zip(LETTERS, case.answers(), strict=False)
                )
            case _:
                place, kind = {"answer_a": (0, "answer A"), "answer_b": (1, "answer B")}.get(name, (0, "answer"))
                made[name] = block(kind, case.answers()[place], mark)
    return made


def dialogue(item: Item, answers: tuple[str, ...], turn: int, mark: str, *, with_last: bool | None = None) -> str:
    """A conversation as far as the judged turn: system prompt, history, questions and answers, each under a heading.

    Args:
        item: whose system prompt, history and questions.
        answers: to its questions.
        turn: the last one shown, from 1.
        mark: what the headings carry.
        with_last: whether the judged answer is shown; unless said, it is.
    """
    speakers = {"system": "System", "user": "User", "assistant": "Assistant", "tool": "Tool result"}
    parts = [f"### System {mark}\n{item.system}"] if item.system else []
    parts += [f"### {speakers[said.role]} {mark}\n{said.content}" for said in item.messages]
    for place, question in enumerate(item.turns[:turn]):
        parts.append(f"### User {mark}\n{question}")
        if place < turn - 1 or with_last is not False:
            answer = answers[place] if place < len(answers) else ""
            parts.append(f"### Assistant {mark}\n{answer or '(none given)'}")
    return "\n\n".join(parts)
