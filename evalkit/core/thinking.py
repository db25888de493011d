"""Tells a model's thinking from its answer, in the spellings of today's models.

Used for candidates, whose answer is what follows their thinking, and for judges, who announce nothing while they think.
A mark that is put in backticks or quotation marks is one the model writes about.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence

from msgspec import Struct

_TAGS = ("think", "thinking", "thought", "thoughts", "reasoning", "seed:think", "mm:think", "longcat_think")
MARKS: tuple[tuple[str, str], ...] = (
    *((f"<{name}>", f"</{name}>") for name in _TAGS),
    ("[THINK]", "[/THINK]"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("◁think▷", "◁/think▷"),
    ("<|channel>thought", "<channel|>"),
    ("<unused94>thought", "<unused95>"),
    ("<|inner_prefix|>", "<|inner_suffix|>"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
)
"""Begin and end of thinking, in any case: DeepSeek, Qwen, EXAONE, Seed, MiniMax, LongCat, Mistral, Cohere, Kimi, Gemma,
MedGemma, Apertus, OpenThinker."""

_ALIKE = {"<thinking>": "<think>", "</thinking>": "</think>", "<thoughts>": "<thought>", "</thoughts>": "</thought>"}
_QUOTES = frozenset("`\"'“‘”’")
_CHANNEL = re.compile(r"<\|channel\|>([a-z]{1,20})(?:[^<\n]|<\|constrain\|>){0,100}<\|message\|>")
_CHANNEL_ENDS = re.compile(r"<\|(?:end|return|call|start|channel)\|>")
_FINAL_BARE = "assistantfinal"
"""How a harmony reply goes on after its thinking where special tokens were lost: ``analysis...assistantfinal...``."""


class Parted(Struct, frozen=True):
    """A text, parted into what was thought and what was said."""

    answer: str
    thinking: str = ""
    ended: bool = True
    """False if the text ends inside the thinking."""


def part(text: str, further: Sequence[tuple[str, str]] = (), *, anywhere: bool = False) -> Parted:  # noqa: C901, PLR0912
    """Part a reply into thinking and answer; a text without marks is all answer. Takes time linear in the text.

    Args:
        text: what the model wrote.
        further: begin and end of thinking as this model writes them, beside ``MARKS``.
        anywhere: count marks in running text and code too, as for a judge, where a verdict that was only thought of
            is worse than one that is missed. Otherwise thinking stands at the beginning or begins a line, and an answer
            about such marks stays whole.
    """
    if (channels := _channels(text)) is not None:
        return channels
    pieces: list[tuple[int, int]] = []
    """Where what is kept begins and ends, before ``begin``."""
    thoughts: list[tuple[int, int]] = []
    begin = looked = 0
    said = mentioned = fenced = False
    opened: re.Match[str] | None = None
    """The mark that began the thinking we are in."""
    pattern, ends = _pattern(tuple(further))
    for match in pattern.finditer(text):
        mark = match[0].casefold()
        mark = _ALIKE.get(mark, mark)
        if mark == "```":
            fenced = not fenced if opened is None and not anywhere else fenced
            continue
        before, after = text[max(0, match.start() - 1) : match.start()], text[match.end() : match.end() + 1]
        if before in _QUOTES if anywhere or not before else {before, after} & _QUOTES:
            continue
        if opened is not None:
            opening = opened[0].casefold()
            if ends[_ALIKE.get(opening, opening)] == mark:
                thoughts.append((opened.end(), match.start()))
                begin, looked, opened = match.end(), match.end(), None
            continue
        said = said or bool(text[looked : match.start()].strip())
        looked = match.end()
        if mark in ends:
            if anywhere or not said or (before == "\n" and not fenced):
                pieces.append((begin, match.start()))
                opened = match
            else:
                mentioned = True
        elif anywhere or not (thoughts or mentioned or fenced):  # the chat template began it
            thoughts, pieces, begin, said = [(0, match.start())], [], match.end(), False
    if opened is not None and not anywhere and said:  # an answer that shows such a mark, and nothing that ends it
        begin, opened = pieces.pop()[0], None
    if opened is not None:
        thoughts.append((opened.end(), len(text)))
    if not thoughts:
        return Parted(text)
    thinking = "\n".join(text[start:end].strip() for start, end in thoughts)
    answer = "".join(text[start:end] for start, end in pieces) + (text[begin:] if opened is None else "")
    return Parted(answer.strip() if opened is not None else answer.lstrip(), thinking, ended=opened is None)


@functools.lru_cache(maxsize=64)
def _pattern(further: tuple[tuple[str, str], ...]) -> tuple[re.Pattern[str], dict[str, str]]:
    """What to look for, and the end of each beginning, both casefolded."""
    marks = (*MARKS, *further)
    literals = sorted({mark for pair in marks for mark in pair}, key=len, reverse=True)
    ends = {begin.casefold(): end.casefold() for begin, end in marks}
    ends = {begin: _ALIKE.get(end, end) for begin, end in ends.items() if begin not in _ALIKE}
    return re.compile("|".join(map(re.escape, [*literals, "```"])), re.IGNORECASE), ends


def _channels(text: str) -> Parted | None:
    """A reply in OpenAI's harmony format, whose channel ``final`` holds the answer; None if it is no such reply."""
    head = text.lstrip()
    if head.startswith("analysis") and _FINAL_BARE in head:
        thought, _, answer = head.rpartition(_FINAL_BARE)
        return Parted(answer.lstrip(), thought.removeprefix("analysis").strip())
    if not head.startswith(("<|channel|>", "<|start|>")) and "<|start|>assistant<|channel|>" not in text:
        return None
    found = list(_CHANNEL.finditer(text))
    if not found:
        return None
    thoughts = [text[: found[0].start()].split("<|end|>", maxsplit=1)[0].replace("<|start|>assistant", "")]
    answers: list[str] = []
    for number, match in enumerate(found):
        stop = found[number + 1].start() if number + 1 < len(found) else len(text)
        said = _CHANNEL_ENDS.split(text[match.end() : stop], maxsplit=1)[0]
        (answers if match[1] == "final" else thoughts).append(said.strip())
    return Parted("\n".join(answers), "\n".join(filter(None, thoughts)), ended=bool(answers))
