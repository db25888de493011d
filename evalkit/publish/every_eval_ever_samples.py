"""Single judgments as rows of Every Eval Ever's instance-level schema (0.3.0), beside the record of their model.

The schema wants a score and ``is_correct`` in every row. A judgment that failed has no score: it is left out and
counted. A grade is neither right nor wrong: ``is_correct`` says whether it is the best of its scale, and of two answers
whether this one won; the row's metadata say which.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from evalkit.core.schema import Item, Judgment, Response
from evalkit.publish.numbers import RatedModel

BEST = "the grade is the best of its scale; a grade is neither right nor wrong"
WON = "the answer won against the other one; a tie is false"


@dataclass(frozen=True)
class SampleTarget:
    """The record that a model's rows by one judge and protocol belong to."""

    rated: RatedModel
    evaluation_id: str
    result_id: str
    model_id: str
    schema: str


@dataclass
class InstanceRows:
    """The rows of one record, and what was left out, by reason."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


def instance_rows(
    targets: Mapping[tuple[str, str, str, str], SampleTarget],
    judgments: Iterable[Judgment],
    answers: Iterable[Response],
    items: Iterable[Item],
) -> dict[tuple[str, str], InstanceRows]:
    """The rows by benchmark and model.

    Args:
        targets: by benchmark, model, judge and protocol.
        judgments: the latest of each key.
        answers: the latest of each key.
        items: the questions that are stored.
    """
    written = {row.id: row for row in answers}
    asked = {(item.benchmark, item.id): item for item in items}
    found: dict[tuple[str, str], InstanceRows] = {}
    for judgment in judgments:
        for place, model in enumerate(judgment.models):
            target = targets.get((judgment.benchmark, model.name, judgment.judge.name, judgment.protocol))
            if target is None or target.rated.facts.judge != judgment.judge:
                continue
            mine = found.setdefault((judgment.benchmark, model.name), InstanceRows())
            answer = written.get(judgment.shown[place])
            item = asked.get((judgment.benchmark, judgment.item))
            if judgment.scores is None:
                mine.left_out["judgments that failed"] += 1
            elif answer is None or len(answer.turns) < judgment.turn:
                mine.left_out["judgments of answers that are not stored"] += 1
            elif item is None or len(item.turns) < judgment.turn:
                mine.left_out["judgments of questions that are not stored"] += 1
            elif (right := _right(target.rated, judgment, place)) is None:
                mine.left_out["grades on a scale that is not known"] += 1
            else:
                mine.rows.append(_row(target, judgment, place, answer, item, right))
    return found


def _right(rated: RatedModel, judgment: Judgment, place: int) -> tuple[bool, str] | None:
    """Whether this answer's score counts as right, and what that means; None where nothing says."""
    assert judgment.scores is not None
    score = judgment.scores[place]
    if len(judgment.shown) == 2:
        return score > 0.5, WON
    scale = rated.scale
    return None if scale is None or len(judgment.shown) > 2 else (score >= scale[1], BEST)


def _row(
    target: SampleTarget, judgment: Judgment, place: int, answer: Response, item: Item, right: tuple[bool, str]
) -> dict[str, Any]:
    assert judgment.scores is not None
    turn = judgment.turn
    question, said = "\n\n".join(item.turns[:turn]), answer.turns[turn - 1]
    known = item.reference[turn - 1] if turn <= len(item.reference) else None
    references = [known] if known is not None else []
    messages = list(_messages(item, answer, turn))
    alone = len(messages) == 2
    about = {
        "judge": judgment.judge.name,
        "protocol": judgment.protocol,
        "category": judgment.category,
        "turn": str(turn),
        "repeat": str(judgment.repeat),
        "is_correct": right[1],
    }
    if judgment.label is not None:
        about["verdict"] = judgment.label
    if len(judgment.shown) == 2:
        about |= {"compared with": judgment.models[1 - place].name, "shown": ("first", "second")[place]}
    row: dict[str, Any] = {
        "schema_version": target.schema,
        "evaluation_id": target.evaluation_id,
        "model_id": target.model_id,
        "evaluation_name": judgment.benchmark,
        "evaluation_result_id": target.result_id,
        "sample_id": item.id,
        "sample_hash": hashlib.sha256((question + "".join(references)).encode("utf-8", "surrogatepass")).hexdigest(),
        "interaction_type": "single_turn" if alone else "multi_turn",
        "input": {"raw": question, "reference": references},
        "answer_attribution": [
            {
                "turn_idx": 0 if alone else len(messages) - 1,
                "source": "output.raw" if alone else "messages[turn_idx].content",
                "extracted_value": said,
                "extraction_method": "llm_judge",
                "is_terminal": True,
            }
        ],
        "evaluation": {"score": judgment.scores[place], "is_correct": right[0], "num_turns": turn},
        "metadata": about,
    }
    if alone:
        thought = [answer.thinking[0]] if answer.thinking and answer.thinking[0] else None
        row["output"] = {"raw": [said]} | ({"reasoning_trace": thought} if thought else {})
    else:
        row["messages"] = messages
    if len(answer.usage) >= turn:
        prompt = sum(usage.prompt_tokens for usage in answer.usage[:turn])
        reply = sum(usage.completion_tokens for usage in answer.usage[:turn])
        row["token_usage"] = {"input_tokens": prompt, "output_tokens": reply, "total_tokens": prompt + reply}
    return row


def _messages(item: Item, answer: Response, turn: int) -> Iterator[dict[str, Any]]:
    """The conversation up to a turn, its answer included."""
    before = [("system", item.system)] if item.system else []
    before += [(one.role, one.content) for one in item.messages]
    for place in range(turn):
        before += [("user", item.turns[place]), ("assistant", answer.turns[place])]
    for number, (role, content) in enumerate(before):
        yield {"turn_idx": number, "role": role, "content": content}
