"""Rows of preference data of many kinds -> one shape: what was asked, the answers, and which is better than which.

====================  ======================================================================================
HH-RLHF               ``chosen`` and ``rejected`` are transcripts, in which Human and Assistant take turns
UltraFeedback         ``prompt``; ``chosen`` and ``rejected`` are messages (role, content), or texts; or
                      ``instruction`` and ``completions`` with ``overall_score``
RewardBench           ``prompt``, ``chosen``, ``rejected``, ``chosen_model``, ``rejected_model``, ``subset``, ``id``
RewardBench 2         the same with lists of answers: every chosen one is better than every rejected one
SHP                   ``history``, ``human_ref_A``, ``human_ref_B``, ``labels`` (1: A is better)
summarize             ``info.post``, ``summaries`` with ``text`` and ``policy``, ``choice``, ``worker``
HelpSteer             ``prompt``, ``response``, ``helpfulness``: rows of one prompt are compared by their grades
HelpSteer 2 and 3     ``prompt`` or ``context``, two responses, ``preference_strength`` or ``overall_preference``
Open Assistant        trees: ``prompt`` with ``replies``, of which each has a ``rank`` among its siblings
====================  ======================================================================================

What two annotators could not tell apart is a tie where the data have one (HelpSteer), and no label where they do not.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Final

from msgspec import Struct
from msgspec import field as named

from evalkit.core.preference_strength import STEPS
from evalkit.core.schema import digest
from evalkit.datasets.data_files import Record, Where
from evalkit.interop.rows import texts_of

_SPEAKER: Final = re.compile(r"(?:\A|\n\n)(Human|Assistant): ?")

Messages = tuple[tuple[str, str], ...]
"""Who speaks, ``user`` or ``assistant``, and what."""
Text = str | list[dict[str, Any]]
"""A text, or chat messages."""


@dataclass(frozen=True, kw_only=True)
class LabelledAnswers:
    """Answers to one question, and which of them are better than which."""

    before: Messages
    """What was said before them."""
    answers: tuple[tuple[str, str], ...]
    """By whom (or a name for it), and what; names are all different."""
    labels: tuple[tuple[int, int, float], ...]
    """Two answers, and the points of the first: 1, or .5 for a tie."""
    identity: str = ""
    category: str = ""
    annotator: str = ""
    strength: str = ""
    """By how much the better one is, as preference_strength.py reads it."""
    meta: Mapping[str, Any] = field(default_factory=dict)

    @property
    def asked(self) -> tuple[str, ...]:
        """What the user said, turn by turn."""
        return tuple(text for role, text in self.before if role == "user")


class _Preference(Struct):
    chosen: str | list[str | dict[str, Any]]
    rejected: str | list[str | dict[str, Any]]
    prompt: Text = ""
    chosen_model: str = ""
    rejected_model: str = ""
    models: tuple[str, ...] = ()
    subset: str = ""
    id: str | int | None = None
    prompt_id: str | int | None = None


class _Shp(Struct):
    history: str
    human_ref_A: str
    human_ref_B: str
    labels: int
    post_id: str = ""
    domain: str = ""


class _Summary(Struct):
    text: str
    policy: str = ""


class _Info(Struct):
    id: str = ""
    post: str | None = None
    article: str | None = None
    title: str | None = None
    subreddit: str | None = None


class _Summaries(Struct):
    info: _Info
    summaries: tuple[_Summary, ...]
    choice: int
    worker: str = ""


class _Graded(Struct):
    prompt: Text
    response: str
    helpfulness: float


class _Response2(Struct):
    first: str = named(name="response_1")
    second: str = named(name="response_2")
    prompt: Text = ""
    strength: int = named(name="preference_strength", default=0)


class _Response3(Struct):
    first: str = named(name="response1")
    second: str = named(name="response2")
    context: Text = ""
    preference: int = named(name="overall_preference", default=0)
    domain: str = ""


class _Completion(Struct):
    model: str
    response: str
    overall_score: float | None = None


class _Completions(Struct):
    instruction: str
    completions: tuple[_Completion, ...]
    source: str = ""


class _Reply(Struct):
    text: str
    role: str = "assistant"
    message_id: str = ""
    rank: int | None = None
    deleted: bool | None = None
    replies: tuple[_Reply, ...] = ()


class _Tree(Struct):
    prompt: _Reply
    message_tree_id: str = ""


class PreferenceRows:
    """Reads rows of one file; of HelpSteer's grades, each is compared with those of its prompt that came before."""

    def __init__(self) -> None:
        self._graded: dict[str, list[tuple[str, float]]] = {}

    def of(self, source: Record) -> Iterator[LabelledAnswers]:
        """What one row says.

        Raises:
            UsageError: it has none of the shapes above.
        """
        where, record = source
        for needed, read in self._shapes():
            if needed <= record.keys():
                yield from read(where, record)
                return
        shapes = "; ".join(", ".join(f"`{name}`" for name in sorted(needed)) for needed, _ in self._shapes())
        raise where.error(f"is no preference: it has {', '.join(sorted(record)[:12])}. A row has one of: {shapes}")

    def _shapes(self) -> tuple[tuple[frozenset[str], Callable[[Where, Any], Iterator[LabelledAnswers]]], ...]:
        return (
            (frozenset({"chosen", "rejected"}), _chosen),
            (frozenset({"human_ref_A", "human_ref_B", "labels"}), _shp),
            (frozenset({"summaries", "choice", "info"}), _summaries),
            (frozenset({"response_1", "response_2", "preference_strength"}), _helpsteer2),
            (frozenset({"response1", "response2", "overall_preference"}), _helpsteer3),
            (frozenset({"prompt", "response", "helpfulness"}), self._helpsteer),
            (frozenset({"instruction", "completions"}), _ultrafeedback),
            (frozenset({"message_tree_id", "prompt"}), _open_assistant),
        )

    def _helpsteer(self, where: Where, record: dict[str, Any]) -> Iterator[LabelledAnswers]:
        row = where.read(record, _Graded, strict=False)
        before = _messages(row.prompt, where, "prompt")
        known = self._graded.setdefault(digest(before), [])
        known.append((row.response, row.helpfulness))
        answers = tuple((f"response {place + 1}", text) for place, (text, _) in enumerate(known))
        last = len(known) - 1
        labels = tuple(_label(place, last, known[place][1] - row.helpfulness) for place in range(last))
        yield LabelledAnswers(before=before, answers=answers, labels=labels)


def _label(one: int, other: int, gap: float) -> tuple[int, int, float]:
    """Two answers, the better first."""
    return (one, other, 0.5) if gap == 0 else (one, other, 1.0) if gap > 0 else (other, one, 1.0)


def _chosen(where: Where, record: dict[str, Any]) -> Iterator[LabelledAnswers]:
    row = where.read(record, _Preference)
    before = texts_of(row.prompt, where, "prompt") if row.prompt else ()
    identity = str(row.id if row.id is not None else row.prompt_id if row.prompt_id is not None else "")
    lists = [_several(value) for value in (row.chosen, row.rejected)]
    if all(found is not None for found in lists):
        chosen, rejected = (found or [] for found in lists)
        if not before:
            raise where.error("lists of answers need their question in `prompt`")
        if not chosen or not rejected:
            raise where.error(f"field `{'rejected' if chosen else 'chosen'}` is an empty list")
        names = [f"chosen {n + 1}" for n in range(len(chosen))] + [f"rejected {n + 1}" for n in range(len(rejected))]
        if len(row.models) == len(names):
            names = list(row.models)
        pairs = tuple((i, len(chosen) + j, 1.0) for i in range(len(chosen)) for j in range(len(rejected)))
        answers = tuple(zip(apart(names), (*chosen, *rejected), strict=True))
        yield LabelledAnswers(before=before, answers=answers, labels=pairs, identity=identity, category=row.subset)
        return
    sides = [_said(value, name, before, where) for name, value in (("chosen", row.chosen), ("rejected", row.rejected))]
    same = 0
    while same < min(map(len, sides)) and sides[0][same] == sides[1][same]:
        same += 1
    while same and sides[0][same - 1][0] == "assistant":  # an answer, though both gave the same
        same -= 1
    shared = sides[0][:same]
    if not any(role == "user" for role, _ in shared):
        raise where.error("field `chosen` shares no question with `rejected`: give one in `prompt`")
    names = [row.chosen_model or "chosen", row.rejected_model or "rejected"]
    if names[0] == names[1]:  # two answers of one model
        names = [f"{names[0]} (chosen)", f"{names[1]} (rejected)"]
    texts = (_last(side[same:]) for side in sides)
    answers = tuple(zip(names, texts, strict=True))
    yield LabelledAnswers(before=shared, answers=answers, labels=((0, 1, 1.0),), identity=identity, category=row.subset)


def _several(value: str | list[str | dict[str, Any]]) -> list[str] | None:
    """Several answers; None where it is one, as a text or as messages."""
    if isinstance(value, list):
        texts = [one for one in value if isinstance(one, str)]
        return texts if len(texts) == len(value) else None
    return None


def _last(messages: Messages) -> str:
    if len(messages) == 1:
        return messages[0][1]
    return "\n\n".join(f"{role.title()}: {said}" for role, said in messages)


def _said(value: str | list[str | dict[str, Any]], name: str, before: Messages, where: Where) -> Messages:
    """A side as messages, the prompt's first where the side does not begin with them."""
    if isinstance(value, str) and not before and (parts := _SPEAKER.split(value))[1:]:
        roles = {"Human": "user", "Assistant": "assistant"}
        return tuple((roles[role], text.strip()) for role, text in zip(parts[1::2], parts[2::2], strict=True))
    if isinstance(value, str):
        return (*before, ("assistant", value))
    messages = [one for one in value if isinstance(one, dict)]
    if len(messages) < len(value):
        raise where.error(f"field `{name}` mixes texts and messages")
    found = texts_of(messages, where, name)
    return found if found[: len(before)] == before else (*before, *found)


def _messages(value: Text, where: Where, name: str) -> Messages:
    found = texts_of(value, where, name)
    if not any(role == "user" for role, _ in found):
        raise where.error(f"field `{name}` holds no question")
    return found


def _shp(where: Where, record: dict[str, Any]) -> Iterator[LabelledAnswers]:
    row = where.read(record, _Shp)
    if row.labels not in (0, 1):
        raise where.error(f"field `labels` is {row.labels}; it is 1 where A is better and 0 where B is")
    yield LabelledAnswers(
        before=(("user", row.history),),
        answers=(("comment A", row.human_ref_A), ("comment B", row.human_ref_B)),
        labels=(_label(0, 1, row.labels - 0.5),),
        category=row.domain,
    )


def _summaries(where: Where, record: dict[str, Any]) -> Iterator[LabelledAnswers]:
    row = where.read(record, _Summaries)
    if len(row.summaries) != 2 or row.choice not in (0, 1):
        raise where.error(f"has {len(row.summaries)} summaries and choice {row.choice}: two, and 0 or 1, are expected")
    post = row.info.post or row.info.article or ""
    if not post:
        raise where.error("field `info` has neither `post` nor `article`")
    title = f"{row.info.title}\n\n" if row.info.title else ""
    yield LabelledAnswers(
        before=(("user", f"Summarize this:\n\n{title}{post}"),),
        answers=tuple(
            zip(
                apart([one.policy or f"summary {place + 1}" for place, one in enumerate(row.summaries)]),
                (one.text.strip() for one in row.summaries),
                strict=True,
            )
        ),
        labels=(_label(0, 1, 0.5 - row.choice),),
        category=row.info.subreddit or "",
        annotator=row.worker,
    )


def _helpsteer2(where: Where, record: dict[str, Any]) -> Iterator[LabelledAnswers]:
    row = where.read(record, _Response2, strict=False)
    yield _of_two(_messages(row.prompt, where, "prompt"), row.first, row.second, -row.strength)


def _helpsteer3(where: Where, record: dict[str, Any]) -> Iterator[LabelledAnswers]:
    row = where.read(record, _Response3, strict=False)
    yield _of_two(_messages(row.context, where, "context"), row.first, row.second, -row.preference, row.domain)


def _of_two(before: Messages, first: str, second: str, gap: int, category: str = "") -> LabelledAnswers:
    return LabelledAnswers(
        before=before,
        answers=(("response 1", first), ("response 2", second)),
        labels=(_label(0, 1, gap),),
        category=category,
        strength=STEPS[min(abs(gap), 3)] if gap else "",
    )


def _ultrafeedback(where: Where, record: dict[str, Any]) -> Iterator[LabelledAnswers]:
    row = where.read(record, _Completions)
    known = [one for one in row.completions if one.overall_score is not None]
    scores = [one.overall_score or 0.0 for one in known]
    yield LabelledAnswers(
        before=(("user", row.instruction),),
        answers=tuple(zip(apart([one.model for one in known]), (one.response for one in known), strict=True)),
        labels=tuple(
            _label(i, j, scores[i] - scores[j]) for i, j in combinations(range(len(known)), 2) if scores[i] != scores[j]
        ),
        category=row.source,
    )


def _open_assistant(where: Where, record: dict[str, Any]) -> Iterator[LabelledAnswers]:
    tree = where.read(record, _Tree)
    waiting: list[tuple[_Reply, Messages]] = [(tree.prompt, ())]
    while waiting:
        said, earlier = waiting.pop()
        path = (*earlier, ("assistant" if said.role == "assistant" else "user", said.text))
        ranked = [one for one in said.replies if one.rank is not None and not one.deleted and one.role == "assistant"]
        labels = tuple(
            _label(i, j, (ranked[j].rank or 0) - (ranked[i].rank or 0))
            for i, j in combinations(range(len(ranked)), 2)
            if ranked[i].rank != ranked[j].rank
        )
        if labels:
            names = apart([f"reply ranked {(one.rank or 0) + 1}" for one in ranked])
            answers = tuple(zip(names, (one.text for one in ranked), strict=True))
            identity = said.message_id or digest(path)[:16]
            yield LabelledAnswers(before=path, answers=answers, labels=labels, identity=identity)
        waiting += [(reply, path) for reply in reversed(said.replies) if not reply.deleted]


def apart(names: Sequence[str]) -> tuple[str, ...]:
    """Names that are all different: one that is there again has a number from the second on."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        result.append(name if seen[name] == 1 else f"{name} ({seen[name]})")
    return tuple(result)
