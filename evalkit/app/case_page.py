"""Everything about one question and some answers to it: what was asked and answered, and all that was said of it."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from evalkit.app.case_table import said
from evalkit.app.judgment_index import ModelKey
from evalkit.app.prompts import PromptRebuilder, RebuiltPrompt
from evalkit.app.results import OpenResults
from evalkit.core.protocols import UsageError
from evalkit.core.schema import ChatTurn, Criterion, CriterionVerdict, Item, Judgment, Response

LIKELY = 10
"""Tokens whose probabilities are listed."""


@dataclass(frozen=True)
class ShownAnswer:
    """One answer to one turn."""

    model: str
    text: str | None
    """None where the answer is not stored."""
    thinking: str = ""
    facts: tuple[str, ...] = ()
    failure: str = ""


@dataclass(frozen=True)
class ShownJudgment:
    """One judgment, in the order its judge saw the answers."""

    judge: str
    order: tuple[str, ...]
    """Models, in the order shown."""
    verdict: str
    tone: str
    label: str
    scores: tuple[tuple[str, float], ...]
    raw: str
    failure: str
    probabilities: tuple[tuple[str, float], ...]
    facts: tuple[str, ...]
    prompt: RebuiltPrompt | None
    thinking: str = ""
    criteria: tuple[tuple[str, str, str], ...] = ()
    """Of a rubric: criterion, what was said of it, why."""


@dataclass(frozen=True)
class Opinions:
    """What one judge said of the same answers: both orders, repeats."""

    judge: str
    verdict: str
    tone: str
    orders_disagree: bool
    judgments: tuple[ShownJudgment, ...]


@dataclass(frozen=True)
class ShownVote:
    """What one person said."""

    annotator: str
    verdict: str
    label: str
    order: tuple[str, ...]
    note: str
    when: str


@dataclass(frozen=True)
class ShownTurn:
    """One turn: the question, its reference, the answers, the judgments."""

    number: int
    asked: str | None
    reference: str
    answers: tuple[ShownAnswer, ...]
    opinions: tuple[Opinions, ...]
    votes: tuple[ShownVote, ...]


@dataclass(frozen=True)
class OpenCase:
    """A page."""

    benchmark: str
    item: str
    category: str
    models: tuple[str, ...]
    turns: tuple[ShownTurn, ...]
    meta: tuple[tuple[str, str], ...] = ()
    system: str = ""
    messages: tuple[ChatTurn, ...] = ()
    rubric: tuple[Criterion, ...] = ()
    about: tuple[str, ...] = field(default=())


@dataclass(frozen=True)
class CaseReader:
    """Reads pages out of results.

    Args:
        results: that are open.
        prompts: makes the judges' prompts again; None leaves them out.
    """

    results: OpenResults
    prompts: PromptRebuilder | None = None

    def read(self, benchmark: str, item: str, models: Sequence[str]) -> OpenCase:
        """Everything about some models' answers to a question.

        Args:
            benchmark: that the question belongs to.
            item: its id.
            models: as they are labelled in the table, or by name.

        Raises:
            UsageError: there is nothing of that kind.
        """
        import numpy as np

        results, cases, names = self.results, self.results.cases, self.results.cases.names
        asked = [number for number, one in enumerate(names.questions) if (one.benchmark, one.item) == (benchmark, item)]
        if not asked:
            raise UsageError(f"no judgment is about the question {item[:100]!r} of {benchmark[:100]!r}")
        keys = {label: self._models(label) for label in dict.fromkeys(models)}
        unknown = next((label for label, found in keys.items() if not found), None)
        if unknown is not None or not keys:
            raise UsageError(f"no judgment is about answers of {str(unknown)[:100]!r}; the table lists all")
        wanted = {number for found in keys.values() for number in found}
        shown = [number for number, several in enumerate(names.shown) if set(several) <= wanted]
        places = np.flatnonzero(np.isin(cases.item, asked) & np.isin(cases.shown, shown)).tolist()
        question = results.texts.question(benchmark, item)
        rows = {place: cases.judgments_of(place) for place in places}
        listed = [row for several in rows.values() for row in several]
        answers = {label: self._answers(benchmark, item, label, found, listed) for label, found in keys.items()}
        turns = max(
            [len(question.turns) if question else 1, *(row.turn for row in listed)]
            + [len(answer.turns) for several in answers.values() for answer in several]
        )
        return OpenCase(
            benchmark=benchmark,
            item=item,
            category=names.questions[asked[0]].category,
            models=tuple(keys),
            turns=tuple(
                self._turn(number, question, answers, [place for place in places if cases.turn[place] == number], rows)
                for number in range(1, turns + 1)
            ),
            meta=_meta(question),
            system=(question.system or "") if question else "",
            messages=question.messages if question else (),
            rubric=question.rubric if question else (),
            about=_about(answers),
        )

    def _models(self, label: str) -> list[int]:
        names = self.results.cases.names
        exact = [place for place, model in enumerate(names.models) if self.results.model_label(model) == label]
        return exact or [place for place, model in enumerate(names.models) if model.name == label]

    def _answers(
        self, benchmark: str, item: str, label: str, numbers: Iterable[int], rows: Iterable[Judgment]
    ) -> list[Response]:
        """A model's stored answers, the judged ones last: the last is the one that is shown."""
        keys = [self.results.cases.names.models[number] for number in numbers]
        judged = {one for row in rows for one in row.shown}
        found = [
            answer for key in keys for answer in self.results.texts.answers(benchmark, item, key.name, key.fingerprint)
        ] or [answer for key in keys for answer in self.results.texts.answers(benchmark, item, key.name)]
        return sorted(found, key=lambda answer: (answer.id in judged, -answer.sample))

    def _turn(
        self,
        number: int,
        question: Item | None,
        answers: Mapping[str, list[Response]],
        places: Iterable[int],
        rows: Mapping[int, list[Judgment]],
    ) -> ShownTurn:
        cases = self.results.cases
        by_id = {answer.id: answer for several in answers.values() for answer in several}
        opinions, votes = [], []
        for place in places:
            if cases.person[place]:
                votes += [_vote(row) for row in rows[place]]
            else:
                opinions.append(self._opinions(place, rows[place], question, by_id))
        reference = question.reference[number - 1] if question and len(question.reference) >= number else None
        return ShownTurn(
            number=number,
            asked=question.turns[number - 1] if question and len(question.turns) >= number else None,
            reference=reference or "",
            answers=tuple(_answer(label, several, number) for label, several in answers.items()),
            opinions=tuple(opinions),
            votes=tuple(votes),
        )

    def _opinions(
        self, place: int, rows: Iterable[Judgment], question: Item | None, answers: Mapping[str, Response]
    ) -> Opinions:
        cases, names = self.results.cases, self.results.cases.names
        models = tuple(self.results.model_label(names.models[one]) for one in names.shown[int(cases.shown[place])])
        judge = self.results.judge_label(names.judges[int(cases.judge[place])])
        verdict, tone = said(
            float(cases.value[place]),
            models,
            pair=bool(cases.pair[place]),
            failed=int(cases.failed[place]),
            standing=float(cases.standing[place]),
        )
        shown = tuple(self._judgment(judge, row, question, answers) for row in rows)
        return Opinions(judge, verdict, tone, bool(cases.orders_disagree[place]), shown)

    def _judgment(
        self, judge: str, row: Judgment, question: Item | None, answers: Mapping[str, Response]
    ) -> ShownJudgment:
        order = tuple(self.results.model_label(ModelKey(model.name, model.fingerprint)) for model in row.models)
        verdict, tone = _verdict(row, order)
        prompt = None
        if self.prompts is not None and question is not None and all(one in answers for one in row.shown):
            prompt = self.prompts.prompt(row, question, [answers[one] for one in row.shown])
        likely = sorted((row.logprobs or {}).items(), key=lambda one: -one[1])[:LIKELY]
        return ShownJudgment(
            judge=judge,
            order=order,
            verdict=verdict,
            tone=tone,
            label=row.label or "",
            scores=tuple(zip(order, row.scores or (), strict=False)),
            raw=row.raw,
            failure=f"{row.error.kind}: {row.error.message}" if row.error else "",
            probabilities=tuple((token, math.exp(min(0.0, value))) for token, value in likely),
            facts=_facts(row, all(one in answers for one in row.shown)),
            prompt=prompt,
            thinking=row.thinking,
            criteria=tuple((one.id, _criterion(one), one.reason) for one in row.criteria),
        )


def _verdict(row: Judgment, order: tuple[str, ...]) -> tuple[str, str]:
    """A judgment in words, and its tone."""
    if row.scores is None:
        return f"no verdict ({row.error.kind if row.error else 'unparsed'})", "failed"
    if len(row.scores) == 1:
        return f"{row.scores[0]:.4g}", "even"
    if len(row.scores) > 2:
        return ", ".join(f"{model} {score:.3g}" for model, score in zip(order, row.scores, strict=True)), "even"
    first, second = row.scores
    if first == second:
        return "tie", "even"
    return f"{order[0] if first > second else order[1]} is better", "good"


def _criterion(said: CriterionVerdict) -> str:
    if said.value is None:
        return f"no verdict ({said.error.kind if said.error else 'unparsed'})"
    worth = f"{said.points:g} point{'' if abs(said.points) == 1 else 's'}"
    return f"{'met' if said.value else 'not met'} ({worth})" if said.kind == "yes_no" else f"{said.value:g} ({worth})"


def _facts(row: Judgment, known: bool) -> tuple[str, ...]:
    """What a judgment took, and what else is to be known of it."""
    facts = []
    if row.usage.prompt_tokens or row.usage.completion_tokens:
        facts.append(f"{row.usage.prompt_tokens:,} + {row.usage.completion_tokens:,} tokens")
    if row.cost is not None:
        facts.append(f"${row.cost:.4g}")
    if row.latency:
        facts.append(f"{row.latency:.2g} s")
    if row.repeat:
        facts.append(f"repeat {row.repeat + 1}")
    if row.finish != "stop":
        facts.append(f"ended by: {row.finish}")
    if row.snapshot:
        facts.append(row.snapshot)
    if row.created:
        facts.append(_when(row.created))
    facts.append(f"parser {row.parser}")
    if not known:
        facts.append("about an answer that is not stored here")
    return tuple(facts)


def _answer(label: str, several: Sequence[Response], turn: int) -> ShownAnswer:
    if not several:
        return ShownAnswer(label, None)
    answer = several[-1]
    if answer.error is not None and len(answer.turns) < turn:
        return ShownAnswer(label, None, failure=f"{answer.error.kind}: {answer.error.message}")
    if len(answer.turns) < turn:
        return ShownAnswer(label, None)
    facts = [f"{len(answer.turns[turn - 1]):,} characters"]
    if len(answer.usage) >= turn:
        facts.append(f"{answer.usage[turn - 1].completion_tokens:,} tokens")
    if len(answer.finish) >= turn and answer.finish[turn - 1] != "stop":
        facts.append(f"ended by: {answer.finish[turn - 1]}")
    if answer.cost is not None:
        facts.append(f"${answer.cost:.4g} for all turns")
    if len(several) > 1:
        facts.append(f"one of {len(several)} stored answers")
    thinking = answer.thinking[turn - 1] if len(answer.thinking) >= turn else ""
    return ShownAnswer(label, answer.turns[turn - 1], thinking, tuple(facts))


def _vote(row: Judgment) -> ShownVote:
    order = tuple(model.name for model in row.models)
    verdict = _verdict(row, order)[0]
    note = row.error.message if row.error else _comment(row.raw)
    return ShownVote(row.judge.name, verdict, row.label or "", order, note, _when(row.created) if row.created else "")


def _comment(raw: str) -> str:
    """What a person wrote beside a vote."""
    try:
        said = json.loads(raw)
    except ValueError:
        return raw
    return str(said.get("comment", "")) if isinstance(said, dict) else raw


def _when(created: float) -> str:
    try:
        return datetime.fromtimestamp(created, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    except (OverflowError, OSError, ValueError):
        return ""


def _meta(question: Item | None) -> tuple[tuple[str, str], ...]:
    """What else is stored of a question."""
    found: dict[str, Any] = dict(question.meta) if question else {}
    texts = (
        (name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        for name, value in found.items()
    )
    return tuple((name, text[:20_000]) for name, text in texts)


def _about(answers: Mapping[str, Sequence[Response]]) -> tuple[str, ...]:
    missing = [label for label, several in answers.items() if not several]
    if not missing:
        return ()
    return (f"The answers of {', '.join(missing)} are not stored beside the judgments.",)
