"""What is odd about a model's answers, before any judge sees them: cut, empty, always the same, or of a wrong template.

Shared by what a run prints under its table, leaderboards, and the audit of judges.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container
from dataclasses import dataclass, field

from evalkit.core.refusal import declines
from evalkit.core.schema import Response
from evalkit.core.text import plain
from evalkit.ratings.answer_languages import LanguageCounts, language_of

SUSPICIOUS = 0.2
"""Share of questions with one and the same answer from which a candidate is named."""
MARKED = 0.05
"""Share of answers with a mark from which a candidate is named: honest ones bear none."""
FEWEST = 5
"""Questions a candidate must have answered."""
LONG = 20
"""Characters: shorter answers (yes, B, 42) may well be equal."""
NEARLY_ALL = 0.9
"""Share of questions from which on a shorter answer of several words is suspicious, too: ``I am a model.``"""
MARKER = re.compile(
    r"\[\[(?:[ABC](?:[<>=]+B)?|\d+(?:\.\d+)?|rating)\]\]"
    r"|<\|(?:im_start|im_end|eot_id|start_header_id|user prompt)\|>"
    r"|(?:\[|<\|)The (?:Start|End) of (?:the )?(?:Assistant|Reference)"
    r"|^[ \t]*\[(?:User Question|System|Question)\][ \t]*$"
    r"|^[ \t]*#+[ \t]*(?:(?:Unordered )?Model Outputs|Best Model Identifier|Assistant [AB]:)[ \t]*$"
    r"|\"model_identifier\"[ \t]*:|\"(?:instruction|output|answer)\"[ \t]*:[ \t]*\"\"\""
    r"|(?:ignore|disregard|forget)\s+(?:all\s+|any\s+|everything\s+)?(?:of\s+)?(?:the\s+|your\s+|these\s+)?"
    r"(?:(?:previous|prior|above|preceding)\s+(?:instruction|prompt|rule|text|output|response)|(?:above|preceding)\s+#)"
    r"|my final verdict is",
    re.IGNORECASE | re.MULTILINE,
)
"""What stands in the prompts of MT-Bench's, Arena-Hard's and AlpacaEval's judges and in no answer: verdict marks,
frames, headings and fields; marks of chat templates; and the plainest injection."""
DIALOGUE = re.compile(
    r"^[ \t]*(?:\*\*|#+ ?)?(?:User|Human|USER|HUMAN|Instruction|### Instruction|\[INST\]|<\|user\|>|<\|assistant\|>)"
    r"(?:\*\*)?[ \t]*:|^[ \t]*(?:\[INST\]|<\|user\|>|<\|assistant\|>|### (?:Human|User|Instruction)\b)",
    re.MULTILINE,
)
"""A turn of somebody else's that an answer goes on with."""
MARK = re.compile(r"\[\[.{1,12}\]\]|<\|[a-z_ ]{1,20}\|>", re.IGNORECASE)
"""The part of a marker that is worth quoting."""
LOOKED_AT = 200
"""Answers of a model whose text is searched for marks: enough to see a share of 5%."""
KEPT = 5000
"""Different texts of a model that are counted."""


@dataclass
class _Counts:
    """What was seen of one model's answers."""

    fingerprint: str
    answers: int = 0
    cut: int = 0
    empty: int = 0
    thought: int = 0
    """Of those empty, how many thought until the limit."""
    failed_thinking: int = 0
    limit: int | None = None
    """The limit that was sent with one that was cut."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Why answers ended, in the server's words, where it is not known what they mean."""
    searched: int = 0
    marked: int = 0
    dialogue: int = 0
    mark: str = ""
    turn: str = ""
    texts: Counter[int] = field(default_factory=Counter)
    language: LanguageCounts | None = None
    """In which languages they are, where the benchmark asks for one."""
    refusals: set[int] = field(default_factory=set)
    """Those of the texts that read as refusals."""
    short: set[int] = field(default_factory=set)
    """Those of the texts that are."""

    def add(self, row: Response) -> None:
        """Count one more answer."""
        self.answers += 1
        stopped = "length" in row.finish and row.finish_reason is None
        if row.finish_reason is not None:
            self.reasons[row.finish_reason] += 1
        if row.error is None and stopped:
            self.cut += 1
            self.limit = row.sampling.get("max_tokens", self.limit)
        if row.error is not None and row.error.kind == "truncated":
            self.failed_thinking += 1
            self.limit = row.sampling.get("max_tokens", self.limit)
        if row.error is None and not all(text.strip() for text in row.turns):
            self.empty += 1
            self.thought += stopped or any(row.thinking)
        if self.searched < LOOKED_AT and row.turns:
            self._search(row)
        several = [turn for turn in row.turns if len(turn) >= LONG or len(turn.split()) > 1]
        for text, turn in {hash(" ".join(turn.split())): turn for turn in several}.items():
            if text in self.texts or len(self.texts) < KEPT:
                self.texts[text] += 1
                if self.texts[text] == 1 and declines(turn):
                    self.refusals.add(text)
                if len(turn) < LONG:
                    self.short.add(text)

    def suspicious(self) -> tuple[int, int] | None:
        """The text that is the answer to suspiciously many questions, and to how many."""
        for text, same in self.texts.most_common(2):
            least = NEARLY_ALL if text in self.short else SUSPICIOUS
            if self.answers >= FEWEST and same > 1 and same >= least * self.answers:
                return text, same
        return None

    def _search(self, row: Response) -> None:
        self.searched += 1
        if self.language is not None:
            self.language.add(row)
        mark = next((found for found in map(MARKER.search, row.turns) if found), None)
        turn = next((found for found in map(DIALOGUE.search, row.turns) if found and found.start() > 0), None)
        if mark is not None:
            self.marked += 1
            self.mark = self.mark or (MARK.search(mark[0]) or mark)[0].strip()[:40]
        if turn is not None:
            self.dialogue += 1
            self.turn = self.turn or turn[0].strip()[:40]


class AnswerChecks:
    """Counts answers as they come, and says what is odd about them. Of several configurations of a model the last."""

    def __init__(self) -> None:
        self._models: dict[tuple[str, str], _Counts] = {}
        """By benchmark and model."""

    def add(self, row: Response) -> None:
        """Count one more answer, failed ones included."""
        place = row.benchmark, row.model.name
        counts = self._models.get(place)
        if counts is None or counts.fingerprint != row.model.fingerprint:
            wanted = language_of(row.benchmark)
            language = None if wanted is None else LanguageCounts(wanted)
            counts = self._models[place] = _Counts(row.model.fingerprint, language=language)
        counts.add(row)

    def notes(self, models: Container[str] | None = None) -> list[str]:
        """A sentence for each thing that a reader of a table must know, with the usual cause, model by model.

        Args:
            models: those of the table; None for all.
        """
        several = len({benchmark for benchmark, _ in self._models}) > 1
        return [
            f"{plain(benchmark)}, {text}" if several else text
            for (benchmark, name), counts in self._models.items()
            if models is None or name in models
            for text in _notes(plain(name), counts)
        ]


def _notes(name: str, counts: _Counts) -> list[str]:
    of = f"of {counts.answers} answers"
    now = "" if counts.limit is None else f" (now {counts.limit:,})"
    raise_it = f"model.{name}.sampling.max_tokens{now}"
    found = []
    if counts.empty:
        verb = "is" if counts.empty == 1 else "are"
        cause = f"; {counts.thought} of them thought until the token limit: raise {raise_it}" if counts.thought else ""
        found.append(f"{name}: {counts.empty} {of} {verb} empty in a turn or more; they count as answers{cause}")
    if counts.failed_thinking:
        found.append(
            f"{name}: {counts.failed_thinking} {of} ended while it was still thinking, at the token limit, and were "
            f"not judged: raise {raise_it}"
        )
    if cut := counts.cut:
        end = "ends" if cut == 1 else "end"
        found.append(f"{name}: {cut} {of} {end} at the token limit and were judged as they are: raise {raise_it}")
    for reason, ended in counts.reasons.most_common(3):
        were, they = ("was", "it was") if ended == 1 else ("were", "they were")
        found.append(
            f"{name}: {ended} {of} {were} ended by the server for a reason that is not known here "
            f"({plain(reason[:60])!r}): whether {they} complete is not known either"
        )
    text, same = counts.suspicious() or (0, 0)
    if same and text in counts.refusals:
        found.append(f"{name}: one and the same refusal is the answer to {same} of {counts.answers} questions")
    elif same:
        found.append(
            f"{name}: one and the same text is the answer to {same} of {counts.answers} questions: a server that "
            "answers with a fixed or an error text, most likely, or a null model made to fool judges; its place "
            "is not to be trusted"
        )
    if counts.language is not None and (said := counts.language.note(name)):
        found.append(said)
    if counts.searched >= FEWEST and counts.marked >= MARKED * counts.searched and counts.marked > 1:
        found.append(
            f"{name}: {counts.marked} of {counts.searched} answers hold marks of a chat template or of a judge's "
            f"prompt ({plain(counts.mark)!r}): a wrong chat template on its server, most likely, or an attack on the "
            "judge"
        )
    if counts.searched >= FEWEST and counts.dialogue >= SUSPICIOUS * counts.searched:
        found.append(
            f"{name}: {counts.dialogue} of {counts.searched} answers go on with a dialogue of their own "
            f"({plain(counts.turn)!r}): a base model, most likely, or one that is served without its chat template"
        )
    return found
